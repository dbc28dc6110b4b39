"""Growth limit of texts with repeated names."""

from __future__ import annotations

from ragloom.components.source.base import CannotRead

_MAX_GROWTH = 50
"""Length of a text relative to its file, above `_ANY_GROWTH`: names are repeated with each value."""
_ANY_GROWTH = 10_000_000  # characters


class GrowthLimit:
    """Characters left to a growing text.

    Args:
        text: of the file.
        what: cause of the growth, for the error.
    """

    def __init__(self, text: str, what: str) -> None:
        self._left = max(_ANY_GROWTH, _MAX_GROWTH * len(text))
        self._what = what

    def take(self, characters: int) -> None:
        """Use up characters.

        Raises:
            CannotRead: the limit is exceeded.
        """
        self._left -= characters
        if self._left < 0:
            raise CannotRead(f"{self._what} would make its text over {_MAX_GROWTH} times as long; shorten the names")

"""Length limit of texts that repeat names with each value."""

from __future__ import annotations

from ragloom.components.source.base import CannotRead

_MAX_GROWTH = 50
"""How many times as long as the file its text may be, over `_ANY_GROWTH`: names are repeated with each value."""
_ANY_GROWTH = 10_000_000  # characters


class GrowthLimit:
    """How long a text may still become.

    Args:
        text: of the file.
        what: what makes it longer, for the error.
    """

    def __init__(self, text: str, what: str) -> None:
        self._left = max(_ANY_GROWTH, _MAX_GROWTH * len(text))
        self._what = what

    def take(self, characters: int) -> None:
        """Take so many.

        Raises:
            CannotRead: there are none left.
        """
        self._left -= characters
        if self._left < 0:
            raise CannotRead(f"{self._what} would make its text over {_MAX_GROWTH} times as long; shorten the names")

"""One call's texts: what is known of them, what is to be made, and in which order it comes back. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ragloom.cache.embeddings import is_bypassed
from ragloom.cache.embeddings.embedding_cache import CacheLookup, ModelCache
from ragloom.cache.embeddings.row_format import Vector


class Call:
    """The texts of one call. Each distinct one is looked up once, and made once where it is not known.

    Args:
        asked: the texts, in the caller's order.
        counts: tokens of each; None where there is no limit.
        cache: where vectors are found and kept; None = nowhere.

    Attributes:
        texts: that are to be made.
        counts: their tokens.
        places: where each was asked for first.
        found: what the cache gave; None where it was not asked.
    """

    def __init__(self, asked: list[str], counts: list[int] | None, cache: ModelCache | None) -> None:
        self._asked = asked
        first: dict[str, int] = {}
        for place, text in enumerate(asked):
            first.setdefault(text, place)
        self.found: CacheLookup | None = None if cache is None or is_bypassed() else cache.look_up(list(first))
        self._known: dict[str, Vector] = {} if self.found is None else dict(self.found.vectors)
        self.reused = {text: place for text, place in first.items() if text in self._known}
        self.places = [place for text, place in first.items() if text not in self._known]
        self.texts = [asked[place] for place in self.places]
        self.counts = None if counts is None else [counts[place] for place in self.places]

    def part(self, at: Sequence[int]) -> tuple[list[str], list[int] | None]:
        """Return texts that are to be made, and their tokens."""
        return [self.texts[one] for one in at], None if self.counts is None else [self.counts[one] for one in at]

    def take(self, at: Sequence[int], vectors: np.ndarray) -> None:
        """Take in vectors that were made."""
        self._known.update(zip((self.texts[one] for one in at), vectors, strict=True))

    def vectors(self) -> np.ndarray:
        """Return the vectors of all texts, in the caller's order: `[n, dimensions] float32`."""
        return np.stack([self._known[text] for text in self._asked])

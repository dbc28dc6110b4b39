"""The texts of one call: cached ones, new ones, and their order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ragloom.cache.embeddings import is_bypassed
from ragloom.cache.embeddings.embedding_cache import CacheLookup, ModelCache
from ragloom.cache.embeddings.row_format import Vector


class EmbeddingCall:
    """The texts of one call, without repetitions for cache and model.

    Args:
        texts: the texts, in the caller's order.
        counts: tokens of each; None without a limit.
        cache: of vectors; None = no cache.

    Attributes:
        lookup: the cache's result; None without a lookup.
        reused: cached texts -> their first place in the call.
        texts: to embed.
        counts: their tokens.
    """

    def __init__(self, texts: list[str], counts: list[int] | None, cache: ModelCache | None) -> None:
        self._all = texts
        first: dict[str, int] = {}
        for place, text in enumerate(texts):
            first.setdefault(text, place)
        self.lookup: CacheLookup | None = None if cache is None or is_bypassed() else cache.look_up(list(first))
        self._known: dict[str, Vector] = {} if self.lookup is None else dict(self.lookup.vectors)
        self.reused = {text: place for text, place in first.items() if text in self._known}
        places = [place for text, place in first.items() if text not in self._known]
        self.texts = [texts[place] for place in places]
        self.counts = None if counts is None else [counts[place] for place in places]

    def part(self, at: Sequence[int]) -> tuple[list[str], list[int] | None]:
        """Return some texts to embed, and their tokens."""
        return [self.texts[one] for one in at], None if self.counts is None else [self.counts[one] for one in at]

    def take(self, at: Sequence[int], vectors: np.ndarray) -> None:
        """Add vectors of texts."""
        self._known.update(zip((self.texts[one] for one in at), vectors, strict=True))

    def vectors(self) -> np.ndarray:
        """Return the vectors in the caller's order: `[n, dimensions] float32`."""
        return np.stack([self._known[text] for text in self._all])

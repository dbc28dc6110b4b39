"""Memo of recent query vectors, which both retriever and reranker need."""

from __future__ import annotations

import threading

from ragloom.cache.embeddings import is_bypassed

MOST = 64
"""Queries in the memo."""


class QueryCache:
    """Thread-safe memo of the last queries' vectors."""

    def __init__(self) -> None:
        self._vectors: dict[str, list[float]] = {}
        self._changing = threading.Lock()

    def known(self, text: str) -> list[float] | None:
        """Return the vector of a recent query."""
        with self._changing:
            known = None if is_bypassed() else self._vectors.get(text)
        return None if known is None else list(known)

    def remember(self, text: str, vector: list[float]) -> list[float]:
        """Add a vector, and return it."""
        with self._changing:
            self._vectors[text] = vector
            while len(self._vectors) > MOST:
                del self._vectors[next(iter(self._vectors))]
        return list(vector)

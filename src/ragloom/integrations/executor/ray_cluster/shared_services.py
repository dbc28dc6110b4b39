"""Services that all workers of a run share, in one actor.

What holds for the whole cluster is kept in one place: the budget, the requests and tokens per minute, the embedding
cache (SQLite, which no network file system may hold), and the look-up of vectors that the index has already.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ragloom.components.vector_store.record_types import IndexMissing
from ragloom.core.budget import Budget, BudgetSpent
from ragloom.errors import RagloomError
from ragloom.integrations.executor.ray_cluster.task_records import TaskError
from ragloom.providers.rate_limiter import Limiter, Rates

if TYPE_CHECKING:
    import numpy as np

    from ragloom.cache.embeddings.embedding_cache import CacheLookup, ModelCache
    from ragloom.components.vector_store.protocols import Index

CONCURRENCY = 16
"""Calls that are answered at once."""


class SharedServices:
    """Budget, rate limits, embedding cache and stored vectors of one run.

    Args:
        budget: of the run, as the driver has spent of it so far.
        rates: limits of the embedding's provider.
        cache: of the embedding; None without one.
        open_index: opens the committed index for its vectors; None: workers read them themselves, or there are none.
    """

    def __init__(
        self,
        budget: Budget,
        rates: Rates,
        cache: ModelCache | None,
        open_index: Callable[[], Index] | None,
    ) -> None:
        self._budget = budget
        self._limiter = Limiter(rates)
        self._cache = cache
        self._open_index = open_index
        self._index: Index | None = None
        self._owners: dict[str, str] = {}

    def open(self) -> TaskError | None:
        """Check the cache's folder, open the index; return a failure."""
        try:
            if self._cache is not None:
                self._cache.cache.demand_local()
            if self._open_index is not None:
                with suppress(IndexMissing):  # a first ingest was interrupted: nothing is committed
                    self._index = self._open_index()
        except RagloomError as error:
            return TaskError.of(error)
        return None

    def charge(self, tokens: int, output: int, model: str | None) -> str | None:
        """Reserve what a call may use; return an objection, if any."""
        try:
            self._budget.charge(tokens, output, model)
        except BudgetSpent as error:
            return str(error)
        return None

    def refund(self, tokens: int, output: int, model: str | None) -> None:
        """Give back what is not billed."""
        self._budget.refund(tokens, output, model)

    def budget(self) -> Budget:
        """Return the budget as spent so far, reservations of dead workers included."""
        return self._budget

    def reserve(self, tokens: int) -> float:
        """Reserve a place for a request; return the seconds to wait."""
        return self._limiter.reserve(tokens)

    def look_up(self, texts: list[str]) -> CacheLookup:
        """Look up distinct texts in the embedding cache."""
        assert self._cache is not None
        return self._cache.look_up(texts)

    def store(self, texts: list[str], vectors: np.ndarray) -> bool:
        """Store vectors in the embedding cache; return whether they were."""
        assert self._cache is not None
        return self._cache.store(texts, vectors)

    def hold(self, owners: Sequence[tuple[str, str]]) -> None:
        """Take documents of the index: hash of the text, id."""
        for text_hash, id in owners:
            self._owners.setdefault(text_hash, id)

    def holding(self, text_hashes: Sequence[str]) -> list[str]:
        """Return documents of the index with these texts, where there are any."""
        return [self._owners[text_hash] for text_hash in text_hashes if text_hash in self._owners]

    def vectors_of(self, ids: Sequence[str], sent: Collection[str] | None) -> dict[tuple[str, str], Any]:
        """Return the stored vectors of documents by (document, sent_hash)."""
        return {} if self._index is None else self._index.vectors_of(ids, sent)

    def close(self) -> None:
        """Write what the cache has not written yet."""
        if self._cache is not None:
            self._cache.cache.close()

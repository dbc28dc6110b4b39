"""Retrievers: dense, BM25, and hybrid with fused lists.

Stages timed (`ragloom.core.timing`): `embed_query`, `dense`, `bm25`, `fuse`. The arms run side by side, so that their
times overlap.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.core.vector_stores import MetadataFilters

from ragloom.components.retriever.fusion import Candidate, ordered
from ragloom.components.retriever.scored_nodes import ranked
from ragloom.core.records import Hit
from ragloom.core.run_context import in_context
from ragloom.core.timing import timed
from ragloom.errors import DataError

Fusion = Callable[[Sequence[Hit], Sequence[Hit]], list[Candidate]]
"""Dense hits, BM25 hits -> one list, best first."""


class SearchableIndex(Protocol):
    """Index interface of retrievers.

    Lists are complete, with equal scores ordered by (document, start) at the cut.
    """

    def dense(self, vector: list[float], k: int, filters: MetadataFilters | None) -> list[Hit]:
        """Return the k filtered chunks of highest cosine similarity."""

    def lexical(self, query: str, k: int, filters: MetadataFilters | None) -> list[Hit]:
        """Return the k filtered chunks of highest BM25 score."""


@dataclass(frozen=True)
class Arm(ABC):
    """One way of searching an index.

    Attributes:
        name: of the arm, in a candidate's fields.
        index: where to search.
        k: length of the list.
        filters: applied before the search; None for none.
        min_score: hits below this raw score are left out; None for none.
    """

    name: ClassVar[str]
    index: SearchableIndex
    k: int
    filters: MetadataFilters | None
    min_score: float | None

    @abstractmethod
    def search(self, query: QueryBundle, k: int | None = None) -> list[Hit]:
        """Return the hits for a query, best first.

        Args:
            query: text, with or without its vector.
            k: length of the list; None: as configured.
        """

    async def asearch(self, query: QueryBundle) -> list[Hit]:
        """As `search`, without blocking the event loop."""
        return await asyncio.to_thread(self.search, query)

    def candidates(self, hits: Sequence[Hit]) -> list[Candidate]:
        """Convert hits of this arm, best first, to candidates."""
        rank, score = f"{self.name}_rank", f"{self.name}_score"
        places: list[dict[str, Any]] = [{rank: at, score: hit.score} for at, hit in enumerate(hits, start=1)]
        return [Candidate(hit.chunk, hit.score, **place) for hit, place in zip(hits, places, strict=True)]


@dataclass(frozen=True)
class DenseArm(Arm):
    """Dense retriever by cosine similarity.

    `embedding` makes the vector of the query unless the query brings one.
    """

    name = "dense"
    embedding: BaseEmbedding

    def search(self, query: QueryBundle, k: int | None = None) -> list[Hit]:
        """Return the hits for a query, best first."""
        vector = query.embedding
        if vector is None:
            with timed("embed_query"):
                texts = query.embedding_strs
                if len(texts) == 1:
                    vector = self.embedding.get_query_embedding(texts[0])
                else:
                    vector = self.embedding.get_agg_embedding_from_queries(texts)
        return self._near(vector, k or self.k)

    async def asearch(self, query: QueryBundle) -> list[Hit]:
        """As `search`, with the embedding's own async client."""
        vector = query.embedding
        if vector is None:
            with timed("embed_query"):
                texts = query.embedding_strs
                if len(texts) == 1:
                    vector = await self.embedding.aget_query_embedding(texts[0])
                else:
                    vector = await self.embedding.aget_agg_embedding_from_queries(texts)
        return await asyncio.to_thread(self._near, vector, self.k)

    def _near(self, vector: list[float], k: int) -> list[Hit]:
        with timed("dense"):
            return ordered(self.index.dense(vector, k, self.filters), self.min_score)


class LexicalArm(Arm):
    """BM25 over the terms of the index's analyzer."""

    name = "bm25"

    def search(self, query: QueryBundle, k: int | None = None) -> list[Hit]:
        """Return the hits for a query, best first."""
        with timed("bm25"):
            return ordered(self.index.lexical(query.query_str, k or self.k, self.filters), self.min_score)


class OneArm(BaseRetriever):
    """A LlamaIndex retriever that returns one arm's list as it is."""

    def __init__(self, arm: Arm) -> None:
        super().__init__()
        self._arm = arm

    @property
    def depth(self) -> int:
        """Length of the arm's list."""
        return self._arm.k

    def lists(self, query: QueryBundle, k: int) -> list[list[Hit]]:
        """Return the arm's first k hits."""
        return [self._arm.search(query, k)]

    def fused(self, lists: Sequence[list[Hit]]) -> list[Candidate]:
        """Turn the arm's hits into candidates."""
        return self._arm.candidates(lists[0])

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        _demand_text(query_bundle)
        return ranked(self._arm.candidates(self._arm.search(query_bundle)))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        _demand_text(query_bundle)
        return ranked(self._arm.candidates(await self._arm.asearch(query_bundle)))


class Hybrid(BaseRetriever):
    """Hybrid retriever: both arms at once, with fused lists.

    Args:
        dense, bm25: the arms; None where its weight is 0, so that it is not asked at all.
        fusion: both lists -> one.
        top_k: length of the list that leaves.
    """

    def __init__(self, dense: Arm | None, bm25: Arm | None, fusion: Fusion, top_k: int) -> None:
        super().__init__()
        self._dense = dense
        self._bm25 = bm25
        self._fusion = fusion
        self._top_k = top_k

    @property
    def depth(self) -> int:
        """Length of each arm's list before fusion."""
        arm = self._dense or self._bm25
        assert arm is not None
        return arm.k

    def lists(self, query: QueryBundle, k: int | None = None) -> list[list[Hit]]:
        """Return the first k hits of both arms, dense first.

        An arm without weight has none.
        """
        if self._dense is None or self._bm25 is None:
            dense = self._dense.search(query, k) if self._dense else []
            return [dense, self._bm25.search(query, k) if self._bm25 else []]
        # A pool of one thread for this call: the other arm runs in this one, and an error of either is raised here.
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ragloom-bm25") as pool:
            lexical = pool.submit(in_context(self._bm25.search), query, k)
            dense = self._dense.search(query, k)
            return [dense, lexical.result()]

    def fused(self, lists: Sequence[list[Hit]]) -> list[Candidate]:
        """Fuses the lists of both arms into one."""
        return self._fusion(*lists)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        _demand_text(query_bundle)
        return self._fuse(*self.lists(query_bundle))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        _demand_text(query_bundle)
        arms = [arm for arm in (self._dense, self._bm25) if arm is not None]
        # Both are awaited before either's error is raised: no search runs on unobserved.
        results = await asyncio.gather(*(arm.asearch(query_bundle) for arm in arms), return_exceptions=True)
        lists: list[list[Hit]] = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            lists.append(result)
        dense = lists[0] if self._dense else []
        return self._fuse(dense, lists[-1] if self._bm25 else [])

    def _fuse(self, dense: list[Hit], bm25: list[Hit]) -> list[NodeWithScore]:
        with timed("fuse"):
            return ranked(self.fused([dense, bm25])[: self._top_k])


def _demand_text(query: QueryBundle) -> None:
    if not query.query_str.strip():
        raise DataError(f"query: the question {query.query_str!r} must hold text; ask in at least one word")

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
                vector = self.embedding.get_agg_embedding_from_queries(query.embedding_strs)
        return self._near(vector, k or self.k)

    async def asearch(self, query: QueryBundle) -> list[Hit]:
        """As `search`, with the embedding's own async client."""
        vector = query.embedding
        if vector is None:
            with timed("embed_query"):
                vector = await self.embedding.aget_agg_embedding_from_queries(query.embedding_strs)
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


class ArmRetriever(BaseRetriever):
    """Base of the LlamaIndex retrievers: asks two arms at once.

    Args:
        arms: one or two, dense first; an arm whose weight is 0 is none of them, so that it is not asked at all.
    """

    def __init__(self, arms: Sequence[Arm]) -> None:
        super().__init__()
        self._arms = arms

    @property
    def depth(self) -> int:
        """Length of each arm's list."""
        return self._arms[0].k

    def lists(self, query: QueryBundle, k: int | None = None) -> list[list[Hit]]:
        """Return the first k hits of each arm."""
        first, *others = self._arms
        if not others:
            return [first.search(query, k)]
        # A pool of one thread for this call: the other arm runs in this one, and an error of either is raised here.
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ragloom-bm25") as pool:
            lexical = pool.submit(in_context(others[0].search), query, k)
            return [first.search(query, k), lexical.result()]

    @abstractmethod
    def fused(self, lists: Sequence[list[Hit]]) -> list[Candidate]:
        """Turn the arms' lists into one."""

    def _ranked(self, lists: Sequence[list[Hit]]) -> list[NodeWithScore]:
        return ranked(self.fused(lists))

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        _demand_text(query_bundle)
        return self._ranked(self.lists(query_bundle))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        _demand_text(query_bundle)
        # Both are awaited before either's error is raised: no search runs on unobserved.
        results = await asyncio.gather(*(arm.asearch(query_bundle) for arm in self._arms), return_exceptions=True)
        lists: list[list[Hit]] = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            lists.append(result)
        return self._ranked(lists)


class OneArm(ArmRetriever):
    """A LlamaIndex retriever that returns one arm's list as it is."""

    def fused(self, lists: Sequence[list[Hit]]) -> list[Candidate]:
        """Turn the arm's hits into candidates."""
        return self._arms[0].candidates(lists[0])


class Hybrid(ArmRetriever):
    """Hybrid retriever: fused lists of both arms.

    Args:
        arms: as `ArmRetriever` has them.
        fusion: both lists -> one.
        top_k: length of the list that leaves.
    """

    def __init__(self, arms: Sequence[Arm], fusion: Fusion, top_k: int) -> None:
        super().__init__(arms)
        self._fusion = fusion
        self._top_k = top_k

    def fused(self, lists: Sequence[list[Hit]]) -> list[Candidate]:
        """Fuse the lists of both arms; an unasked arm has none."""
        hits = {arm.name: some for arm, some in zip(self._arms, lists, strict=True)}
        return self._fusion(hits.get("dense", []), hits.get("bm25", []))

    def _ranked(self, lists: Sequence[list[Hit]]) -> list[NodeWithScore]:
        with timed("fuse"):
            return ranked(self.fused(lists)[: self._top_k])


def _demand_text(query: QueryBundle) -> None:
    if not query.query_str.strip():
        raise DataError(f"query: the question {query.query_str!r} must hold text; ask in at least one word")

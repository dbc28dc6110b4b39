"""Retrievers: dense, BM25, and hybrid with fused lists.

Stages timed (`ragloom.core.timing`): `embed_query`, `dense`, `bm25`, `fuse`, `load`. The arms run side by side, so that
their times overlap. Lists that are fused and cut are ranked without their chunks; `load` reads those that leave.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.core.vector_stores import MetadataFilters

from ragloom.components.retriever.fusion import Candidate, leading, ordered, placed
from ragloom.components.retriever.scored_nodes import ranked
from ragloom.core.records import Chunk, Hit, Match
from ragloom.core.run_context import in_context
from ragloom.core.timing import timed
from ragloom.errors import DataError, OutdatedRanking

Fusion = Callable[[Sequence[Match], Sequence[Match]], list[Candidate]]
"""Dense matches, BM25 matches -> one list, best first."""
_SEARCHES = 10
"""Searches of one question, when chunks are replaced between ranking and loading."""
_THREADS = 64
"""Questions whose BM25 arm may run at once; a thread is started when it is needed first."""


class SearchableIndex(Protocol):
    """Index interface of retrievers.

    Lists are complete, with equal scores ordered by (document, start) at the cut.
    """

    def dense(self, vector: list[float], k: int, filters: MetadataFilters | None) -> list[Hit]:
        """Return the k filtered chunks of highest cosine similarity."""

    def lexical(self, query: str, k: int, filters: MetadataFilters | None) -> list[Hit]:
        """Return the k filtered chunks of highest BM25 score."""

    def dense_matches(self, vector: list[float], k: int, filters: MetadataFilters | None) -> list[Match]:
        """Rank as `dense`, and read no chunk."""

    def lexical_matches(self, query: str, k: int, filters: MetadataFilters | None) -> list[Match]:
        """Rank as `lexical`, and read no chunk."""

    def load(self, keys: Sequence[Hashable]) -> list[Chunk]:
        """Read the chunks of matches, in their order.

        Raises:
            OutdatedRanking: one of them was replaced since.
        """


@dataclass(frozen=True)
class Arm(ABC):
    """One way of searching an index.

    Attributes:
        name: of the arm, in a candidate's fields.
        index: where to search.
        k: length of the list.
        filters: applied before the search; None for none.
        min_score: matches below this raw score are left out; None for none.
    """

    name: ClassVar[str]
    index: SearchableIndex
    k: int
    filters: MetadataFilters | None
    min_score: float | None

    @abstractmethod
    def search(self, query: QueryBundle, k: int | None = None, *, loaded: bool) -> list[Match]:
        """Return the matches of a query, best first.

        Args:
            query: text, with or without its vector.
            k: length of the list; None: as configured.
            loaded: with their chunks.
        """

    async def asearch(self, query: QueryBundle, *, loaded: bool) -> list[Match]:
        """As `search`, without blocking the event loop."""
        return await asyncio.to_thread(self.search, query, loaded=loaded)

    def candidates(self, matches: Sequence[Match]) -> list[Candidate]:
        """Convert matches of this arm, best first, to candidates."""
        rank, score = f"{self.name}_rank", f"{self.name}_score"
        places: list[dict[str, Any]] = [{rank: at, score: match.score} for at, match in enumerate(matches, start=1)]
        return [
            Candidate(match, match.score, at, **place)
            for at, (match, place) in enumerate(zip(matches, places, strict=True))
        ]

    def _above(self, matches: list[Match]) -> list[Match]:
        least = self.min_score
        return matches if least is None else [match for match in matches if match.score >= least]


@dataclass(frozen=True)
class DenseArm(Arm):
    """Dense retriever by cosine similarity.

    `embedding` makes the vector of the query unless the query brings one.
    """

    name = "dense"
    embedding: BaseEmbedding

    def search(self, query: QueryBundle, k: int | None = None, *, loaded: bool) -> list[Match]:
        """Return the matches of a query, best first."""
        vector = query.embedding
        if vector is None:
            with timed("embed_query"):
                vector = self.embedding.get_agg_embedding_from_queries(query.embedding_strs)
        return self._near(vector, k or self.k, loaded)

    async def asearch(self, query: QueryBundle, *, loaded: bool) -> list[Match]:
        """As `search`, with the embedding's own async client."""
        vector = query.embedding
        if vector is None:
            with timed("embed_query"):
                vector = await self.embedding.aget_agg_embedding_from_queries(query.embedding_strs)
        return await asyncio.to_thread(self._near, vector, self.k, loaded)

    def _near(self, vector: list[float], k: int, loaded: bool) -> list[Match]:
        with timed("dense"):
            if loaded:
                return ordered(self.index.dense(vector, k, self.filters), self.min_score)
            return self._above(self.index.dense_matches(vector, k, self.filters))


class LexicalArm(Arm):
    """BM25 over the terms of the index's analyzer."""

    name = "bm25"

    def search(self, query: QueryBundle, k: int | None = None, *, loaded: bool) -> list[Match]:
        """Return the matches of a query, best first."""
        with timed("bm25"):
            if loaded:
                return ordered(self.index.lexical(query.query_str, k or self.k, self.filters), self.min_score)
            return self._above(self.index.lexical_matches(query.query_str, k or self.k, self.filters))


class ArmRetriever(BaseRetriever):
    """Base of the LlamaIndex retrievers: asks two arms at once.

    Args:
        arms: one or two, dense first; an arm whose weight is 0 is none of them, so that it is not asked at all.
    """

    loaded: ClassVar[bool]
    """Whether the arms bring their chunks: all of them leave."""

    def __init__(self, arms: Sequence[Arm]) -> None:
        super().__init__()
        self._arms = arms
        # Kept: starting a thread for each question is a part of what a fast store takes. It ends with the retriever.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="ragloom-bm25")

    @property
    def depth(self) -> int:
        """Length of each arm's list."""
        return self._arms[0].k

    def lists(self, query: QueryBundle, k: int | None = None, *, loaded: bool) -> list[list[Match]]:
        """Return the first k matches of each arm."""
        first, *others = self._arms
        if not others:
            return [first.search(query, k, loaded=loaded)]
        lexical = self._threads.submit(in_context(others[0].search), query, k, loaded=loaded)
        try:
            dense = first.search(query, k, loaded=loaded)
        finally:
            wait([lexical])  # also where the other arm fails: no search runs on unobserved
        return [dense, lexical.result()]

    @abstractmethod
    def fused(self, lists: Sequence[list[Match]]) -> list[Candidate]:
        """Turn the arms' lists into one."""

    def load(self, matches: Iterable[Match]) -> dict[Hashable, Chunk]:
        """Return the chunks of matches by key; missing ones are read."""
        chunks = {match.key: match.chunk for match in matches}
        missing = [key for key, chunk in chunks.items() if chunk is None]
        if missing:
            with timed("load"):
                chunks |= zip(missing, self._arms[0].index.load(missing), strict=True)
        return cast(dict[Hashable, Chunk], chunks)

    def _leaving(self, lists: Sequence[list[Match]]) -> list[NodeWithScore]:
        """Turn the arms' lists into the nodes that leave."""
        return ranked(placed(self.fused(lists), self.load(lists[0])))

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        _demand_text(query_bundle)
        for _ in range(_SEARCHES - 1):
            with suppress(OutdatedRanking):
                return self._leaving(self.lists(query_bundle, loaded=self.loaded))
        return self._leaving(self.lists(query_bundle, loaded=self.loaded))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        _demand_text(query_bundle)
        for _ in range(_SEARCHES - 1):
            with suppress(OutdatedRanking):
                return await asyncio.to_thread(self._leaving, await self._alists(query_bundle))
        return await asyncio.to_thread(self._leaving, await self._alists(query_bundle))

    async def _alists(self, query: QueryBundle) -> list[list[Match]]:
        # Both are awaited before either's error is raised: no search runs on unobserved.
        searches = (arm.asearch(query, loaded=self.loaded) for arm in self._arms)
        lists: list[list[Match]] = []
        for result in await asyncio.gather(*searches, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
            lists.append(result)
        return lists


class OneArm(ArmRetriever):
    """A LlamaIndex retriever that returns one arm's list as it is."""

    loaded = True

    def fused(self, lists: Sequence[list[Match]]) -> list[Candidate]:
        """Turn the arm's matches into candidates."""
        return self._arms[0].candidates(lists[0])


class Hybrid(ArmRetriever):
    """Hybrid retriever: fused lists of both arms.

    Args:
        arms: as `ArmRetriever` has them.
        fusion: both lists -> one.
        top_k: length of the list that leaves.
    """

    loaded = False

    def __init__(self, arms: Sequence[Arm], fusion: Fusion, top_k: int) -> None:
        super().__init__(arms)
        self._fusion = fusion
        self._top_k = top_k

    def fused(self, lists: Sequence[list[Match]]) -> list[Candidate]:
        """Fuse the lists of both arms; an unasked arm has none."""
        matches = {arm.name: some for arm, some in zip(self._arms, lists, strict=True)}
        return self._fusion(matches.get("dense", []), matches.get("bm25", []))

    def _leaving(self, lists: Sequence[list[Match]]) -> list[NodeWithScore]:
        with timed("fuse"):
            candidates = leading(self.fused(lists), self._top_k)
        chunks = self.load(candidate.match for candidate in candidates)
        return ranked(placed(candidates, chunks)[: self._top_k])


def _demand_text(query: QueryBundle) -> None:
    if not query.query_str.strip():
        raise DataError(f"query: the question {query.query_str!r} must hold text; ask in at least one word")

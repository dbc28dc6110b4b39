"""Ranking depth: extend a ranking until the metrics have enough chunks.

A document metric at k needs k distinct documents, whatever the number of their chunks. A step appends the same chunks
whatever the metrics are: no prefix of a ranking depends on the requested metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace

from ragloom.components.retriever.deeper_ranks import Below
from ragloom.core.metric_names import Need
from ragloom.evaluation.query_outcome import RankedChunk, Ranking, ranked_chunks, ranking_of
from ragloom.query.query_result import QueryResult


@dataclass(frozen=True)
class RankingDepth:
    """Extends rankings as deep as the metrics look.

    Attributes:
        search: search of the config, with a reranker that keeps all its input.
        below: reads one step below the known chunks: (question, step from 1, known ids).
        top_k: chunks that leave the retriever.
        least: minimum number of chunks of a trimmed ranking.
        need: depth of the metrics.
        count: token count of a text.
    """

    search: Callable[[str], QueryResult]
    below: Callable[[str, int, Set[str]], Below]
    top_k: int
    least: int
    need: Need
    count: Callable[[str], int]

    def first(self, question: str) -> tuple[Ranking, dict[str, float]]:
        """Search as the config says; return the ranking and stage -> milliseconds."""
        result = self.search(question)
        return ranking_of(result, top_k=self.top_k), result.timings_ms

    def extended(self, question: str, ranking: Ranking) -> Ranking:
        """Append steps until the ranking suffices or has no more chunks."""
        while not self.suffices(ranking):
            known = {item.chunk.id for item in ranking.chunks} | {*ranking.dropped}
            step = self.below(question, len(ranking.ends), known)
            chunks = (*ranking.chunks, *ranked_chunks(step.nodes))
            ranking = replace(ranking, chunks=chunks, ends=(*ranking.ends, len(chunks)), more=step.more)
        return ranking

    def suffices(self, ranking: Ranking) -> bool:
        """Check whether a ranking is deep enough for the metrics, or complete."""
        return not ranking.more or reach(ranking.chunks, self.need, self.count) is not None

    def cut(self, ranking: Ranking) -> Ranking:
        """Trim a ranking to the depth that metrics read."""
        enough = reach(ranking.chunks, self.need, self.count)
        shown = len(ranking.chunks) if enough is None else max(enough, min(self.least, ranking.reranked))
        return replace(ranking, chunks=ranking.chunks[:shown])


def reach(chunks: Sequence[RankedChunk], need: Need, count: Callable[[str], int]) -> int | None:
    """Return how many leading chunks fulfil a need; None if too few."""
    names: set[str] = set()
    tokens = 0
    if need == Need():
        return 0
    for length, item in enumerate(chunks, start=1):
        names.add(item.chunk.document)
        tokens += count(item.chunk.text) if need.tokens else 0
        if length >= need.chunks and len(names) >= need.documents and tokens >= need.tokens:
            return length
    return None

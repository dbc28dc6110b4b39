"""How far down a ranking is read: the config's own search, then steps below it, until metrics have enough.

A ranking of documents needs k distinct ones, however many chunks of each come before. What a step appends does not
depend on what metrics need, so that no prefix of a ranking depends on which metrics are requested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING

from ragloom.core.metric_names import Need
from ragloom.evaluation.query_results import Found, Ranking, found_of, ranking_of

if TYPE_CHECKING:
    from ragloom.components.retriever.deeper_ranks import Below
    from ragloom.query.query_result import QueryResult


class Deepening:
    """Reads rankings as far down as metrics look.

    Args:
        search: the config's own search, of which the reranker leaves all that it is given.
        below: reads one step below the known chunks: question, step from 1, their ids.
        top_k: chunks that leave the retriever in the config's own search.
        least: chunks of a ranking that are shown in any case.
        need: how far the metrics look.
        count: counts the tokens of a text, for a need of tokens.
    """

    def __init__(
        self,
        search: Callable[[str], QueryResult],
        below: Callable[[str, int, Set[str]], Below],
        top_k: int,
        least: int,
        need: Need,
        count: Callable[[str], int],
    ) -> None:
        self._search = search
        self._below = below
        self._top_k = top_k
        self._least = least
        self._need = need
        self._count = count

    def first(self, question: str) -> tuple[Ranking, dict[str, float]]:
        """Searches as the config says; returns the ranking and stage -> milliseconds."""
        result = self._search(question)
        return ranking_of(result, top_k=self._top_k), result.timings_ms

    def extended(self, question: str, ranking: Ranking) -> Ranking:
        """Appends step after step until there is enough, or nothing more."""
        while not self.suffices(ranking):
            known = {item.chunk.id for item in ranking.found} | {*ranking.dropped}
            step = self._below(question, len(ranking.ends), known)
            found = (*ranking.found, *found_of(step.nodes))
            ranking = replace(ranking, found=found, ends=(*ranking.ends, len(found)), more=step.more)
        return ranking

    def suffices(self, ranking: Ranking) -> bool:
        """Says whether a ranking is long enough for the metrics, or all there is."""
        return not ranking.more or reach(ranking.found, self._need, self._count) is not None

    def cut(self, ranking: Ranking) -> Ranking:
        """Leaves what the metrics look at: the same whoever read the ranking, and however deep."""
        enough = reach(ranking.found, self._need, self._count)
        shown = len(ranking.found) if enough is None else max(enough, min(self._least, ranking.reranked))
        return replace(ranking, found=ranking.found[:shown])


def reach(found: Sequence[Found], need: Need, count: Callable[[str], int]) -> int | None:
    """Returns how many of the first chunks fulfil a need; None where all together do not."""
    names: set[str] = set()
    tokens = 0
    if need == Need():
        return 0
    for length, item in enumerate(found, start=1):
        names.add(item.chunk.document)
        tokens += count(item.chunk.text) if need.tokens else 0
        if length >= need.chunks and len(names) >= need.documents and tokens >= need.tokens:
            return length
    return None

"""Scores what was found against the gold. Knows which metric suits which gold; the formulas are `ragloom.metrics`.

Every question with gold is scored: one that failed has an empty ranking, which scores zero. A mean is over all
questions whose gold a metric suits, so that a failure can only lower it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from ragloom.evaluation.found import Asked, Ranking
from ragloom.gold import Query
from ragloom.measures import Measure, MetricSettings, measures
from ragloom.metrics import Passage
from ragloom.metrics.ranking import documents, ranking_scores, span_qrels, span_ranking
from ragloom.metrics.spans import Convention, span_scores, within_budget

if TYPE_CHECKING:
    from ragloom.tokenizer import Tokenizer

Scores = dict[str, float]
"""Metric -> score."""


class Scorer:
    """Scores rankings by what `metrics` says.

    Args:
        settings: `metrics`, with right names.
        tokenizer: loads what counts a token budget.
    """

    def __init__(self, settings: MetricSettings, tokenizer: Callable[[], Tokenizer]) -> None:
        self._settings = settings
        self._tokenizer = tokenizer
        self._of_spans = measures(settings["spans"])
        self._of_documents = measures(settings["documents"])

    def scores(self, queries: Sequence[Query], asked: Sequence[Asked]) -> list[Scores]:
        """Scores each question; one without gold has no score."""
        found: list[Scores] = [{} for _ in queries]
        ranked = self.ranked(queries, asked)
        for of_documents, names in ((False, self._of_spans), (True, self._of_documents)):
            rank_names = [item.name for item in names if not item.of_characters]
            places = {
                query.id: at for at, query in enumerate(queries) if query.judged and by_documents(query) is of_documents
            }
            if not rank_names or not places:
                continue
            rankings = {id: ranked[at] for id, at in places.items()}
            scored = ranking_scores(rankings, {id: qrels(queries[at]) for id, at in places.items()}, rank_names)
            for id, at in places.items():
                found[at] |= scored[id]
        for at, query in enumerate(queries):
            if query.spans:
                found[at] |= self._of_characters(query, asked[at].ranking)
        order = [item.name for item in (*self._of_spans, *self._of_documents)]
        return [{name: scores[name] for name in order if name in scores} for scores in found]

    def ranked(self, queries: Sequence[Query], asked: Sequence[Asked]) -> list[list[str]]:
        """Ranks for each question the ids that its qrels name: documents, or gold spans; none without gold."""
        most = max((item.k for item in self._of_spans if not item.budget), default=None)
        lists: list[list[str]] = []
        for query, outcome in zip(queries, asked, strict=True):
            passages = passages_of(outcome.ranking)
            if by_documents(query):
                lists.append(documents(passages))
            elif query.spans:
                looked_at = len(passages) if most is None else most
                coverage = self._settings["min_coverage"]
                lists.append(span_ranking(passages, query.spans, most=looked_at, min_coverage=coverage))
            else:
                lists.append([])
        return lists

    def _of_characters(self, query: Query, ranking: Ranking) -> Scores:
        scores: Scores = {}
        convention: Convention = self._settings["convention"]
        for item in self._of_spans:
            if item.of_characters:
                found = span_scores(self._cut(item, ranking), query.spans, convention)
                scores[item.name] = getattr(found, item.base)
        return scores

    def _cut(self, item: Measure, ranking: Ranking) -> list[Passage]:
        passages = passages_of(ranking)
        if not item.budget:
            return passages[: item.k]
        texts = [found.chunk.text for found in ranking.found]
        return within_budget(passages, texts, budget=item.k, tokenizer=self._tokenizer())


def passages_of(ranking: Ranking) -> list[Passage]:
    """Shows a ranking as metrics see it."""
    return [Passage(found.chunk.document, found.chunk.start, found.chunk.end) for found in ranking.found]


def qrels(query: Query) -> dict[str, int]:
    """Grades what a question's ranking may hold: gold spans, or documents."""
    return dict(query.grades) if by_documents(query) else span_qrels(query.spans)


def means(scores: Sequence[Mapping[str, float]]) -> Scores:
    """Averages each metric over the questions that have it, in the order in which metrics first come."""
    columns: dict[str, list[float]] = defaultdict(list)
    for each in scores:
        for name, value in each.items():
            columns[name].append(value)
    return {name: fmean(values) for name, values in columns.items()}


def by_documents(query: Query) -> bool:
    """Says whether a question is scored by graded documents: where it has gold spans these count, being stricter."""
    return bool(query.grades) and not query.spans

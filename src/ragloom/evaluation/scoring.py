"""Scores of rankings against the gold: which metric suits which gold (formulas: `ragloom.evaluation.metrics`).

Every question with gold is scored: one that failed has an empty ranking, which scores zero. A mean is over all
questions whose gold a metric suits, so that a failure can only lower it.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from ragloom.config.settings import MetricSettings
from ragloom.core.gold import Query
from ragloom.core.metric_names import OMEGA, Measure, Need, measures
from ragloom.core.records import Chunk
from ragloom.evaluation.metrics import Passage
from ragloom.evaluation.metrics.ranking import documents, ranking_scores, span_qrels, span_ranking
from ragloom.evaluation.metrics.spans import (
    Convention,
    at_first_occurrence,
    precision_omega,
    span_scores,
    within_budget,
)
from ragloom.evaluation.query_results import Asked, Ranking, Scores
from ragloom.evaluation.ranking_depth import reach

if TYPE_CHECKING:
    from ragloom.core.tokenizers import Tokenizer

METRICS_CODE = 1
"""Raise it when the same ranking or answer gets another score: `compare` refuses to mix runs of two versions."""
_DOCUMENTS_HELD = 64  # texts and chunks kept at a time: questions of one document follow each other


@dataclass(frozen=True)
class Corpus:
    """What an index holds, for metrics that look beyond a ranking; read only when they ask.

    Attributes:
        text: of a document.
        chunks: all of a document.
    """

    text: Callable[[str], str]
    chunks: Callable[[str], Sequence[Chunk]]


class Scorer:
    """Scores rankings by what `metrics` says.

    Args:
        settings: `metrics`, with right names.
        tokenizer: loads what counts a token budget.
        corpus: what was ranked.
    """

    def __init__(self, settings: MetricSettings, tokenizer: Callable[[], Tokenizer], corpus: Corpus) -> None:
        self._settings = settings
        self._tokenizer = tokenizer
        self._convention: Convention = settings["convention"]
        self._text = functools.lru_cache(_DOCUMENTS_HELD)(corpus.text)
        self._all_of = functools.lru_cache(_DOCUMENTS_HELD)(lambda name: self._places(corpus.chunks(name)))
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
                found[at] |= self._of_characters(query, asked[at])
        return [
            {item.name: scores[item.name] for item in self._suiting(query) if item.name in scores}
            for query, scores in zip(queries, found, strict=True)
        ]

    def below(self, queries: Sequence[Query], asked: Sequence[Asked]) -> dict[str, int]:
        """Counts for each metric the questions on which it looks below what the reranker ordered; none is left out."""
        counts: Counter[str] = Counter()
        for query, outcome in zip(queries, asked, strict=True):
            ranking = outcome.ranking
            for item in self._suiting(query):
                looked = reach(ranking.found, self._needed(item, query), lambda text: self._tokenizer().count(text))
                counts[item.name] += (len(ranking.found) if looked is None else looked) > ranking.reranked
        return {name: count for name, count in counts.items() if count}

    def _suiting(self, query: Query) -> Sequence[Measure]:
        """Lists the metrics of a question's kind of gold, as they were asked for."""
        return self._of_spans if query.spans else self._of_documents if query.grades else ()

    @staticmethod
    def _needed(item: Measure, query: Query) -> Need:
        if not item.k:
            return Need()
        if item.budget:
            return Need(tokens=item.k)
        return Need(documents=item.k) if by_documents(query) else Need(chunks=item.k)

    def ranked(self, queries: Sequence[Query], asked: Sequence[Asked]) -> list[list[str]]:
        """Ranks for each question the ids that its qrels name: documents, or gold spans; none without gold."""
        most = max((item.k for item in self._of_spans if item.k and not item.budget), default=None)
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

    def _of_characters(self, query: Query, outcome: Asked) -> Scores:
        scores: Scores = {}
        for item in self._of_spans:
            if item.base == OMEGA:
                scores[item.name] = self._omega(query) if outcome.error is None else 0.0
            elif item.of_characters:
                found = span_scores(self._cut(item, outcome.ranking), query.spans, self._convention)
                scores[item.name] = getattr(found, item.base)
        return scores

    def _omega(self, query: Query) -> float:
        names = dict.fromkeys(span.document for span in query.spans)
        return precision_omega([each for name in names for each in self._all_of(name)], query.spans, self._convention)

    def _places(self, chunks: Sequence[Chunk]) -> list[Passage]:
        """Says where chunks stand, as the convention finds them."""
        passages = [Passage(chunk.document, chunk.start, chunk.end) for chunk in chunks]
        if self._convention != "chroma":
            return passages
        return [
            at_first_occurrence(passage, chunk.text, self._text(chunk.document))
            for passage, chunk in zip(passages, chunks, strict=True)
        ]

    def _cut(self, item: Measure, ranking: Ranking) -> list[Passage]:
        passages = self._places([found.chunk for found in ranking.found])
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


def means(scores: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    """Averages each metric over the questions that have it, in the order in which metrics first come.

    A question that was not judged is in no mean; a metric that was judged nowhere has none.
    """
    columns: dict[str, list[float]] = defaultdict(list)
    for each in scores:
        for name, value in each.items():
            if value is not None:
                columns[name].append(value)
    return {name: fmean(values) for name, values in columns.items()}


def by_documents(query: Query) -> bool:
    """Says whether a question is scored by graded documents: where it has gold spans these count, being stricter."""
    return bool(query.grades) and not query.spans

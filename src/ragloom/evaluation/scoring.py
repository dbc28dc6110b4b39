"""Scores of rankings against the gold (formulas: `ragloom.evaluation.metrics`).

Every query with gold is scored: a failed one has an empty ranking, which scores zero. A mean is over all queries whose
gold suits the metric, so that a failure can only lower it.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from ragloom.config.settings import MetricSettings
from ragloom.core.gold import Query
from ragloom.core.metric_names import OMEGA, Measure, Need, measures
from ragloom.core.records import Chunk
from ragloom.core.tokenizers import Tokenizer, load
from ragloom.evaluation.metrics import Passage
from ragloom.evaluation.metrics.ranking import documents, ranking_scores, span_qrels, span_ranking
from ragloom.evaluation.metrics.spans import (
    Convention,
    at_first_occurrence,
    precision_omega,
    span_scores,
    within_budget,
)
from ragloom.evaluation.query_outcome import QueryOutcome, Ranking, Scores
from ragloom.evaluation.ranking_depth import reach

METRICS_CODE = 1
"""Increase it when scores of the same ranking or answer change: `compare` does not mix versions."""
_CACHED_DOCUMENTS = 64  # texts and chunks in memory: queries on one document follow each other


class Scorer:
    """Scores of rankings by the configured metrics.

    Args:
        settings: `metrics` of the config, validated.
        text: document id -> text, for metrics that look beyond a ranking.
        chunks: document id -> all its chunks.
    """

    def __init__(
        self, settings: MetricSettings, text: Callable[[str], str], chunks: Callable[[str], Sequence[Chunk]]
    ) -> None:
        self._settings = settings
        self._convention: Convention = settings["convention"]
        self._text = functools.lru_cache(_CACHED_DOCUMENTS)(text)
        self._all_of = functools.lru_cache(_CACHED_DOCUMENTS)(lambda name: self._places(chunks(name)))
        self._of_spans = measures(settings["spans"])
        self._of_documents = measures(settings["documents"])

    def _tokenizer(self) -> Tokenizer:
        return load(self._settings["tokenizer"])

    def scores(self, queries: Sequence[Query], outcomes: Sequence[QueryOutcome]) -> list[Scores]:
        """Score each query; queries without gold have no scores."""
        result: list[Scores] = [{} for _ in queries]
        ranked = self.ranked(queries, outcomes)
        for of_documents, names in ((False, self._of_spans), (True, self._of_documents)):
            rank_names = [item.name for item in names if not item.of_characters]
            places = [at for at, query in enumerate(queries) if query.judged and by_documents(query) is of_documents]
            if rank_names and places:
                rankings = {queries[at].id: ranked[at] for at in places}
                scored = ranking_scores(rankings, {queries[at].id: qrels(queries[at]) for at in places}, rank_names)
                for at in places:
                    result[at] |= scored[queries[at].id]
        for at, query in enumerate(queries):
            if query.spans:
                result[at] |= self._of_characters(query, outcomes[at])
        return [
            {item.name: scores[item.name] for item in self._suiting(query) if item.name in scores}
            for query, scores in zip(queries, result, strict=True)
        ]

    def below(self, queries: Sequence[Query], outcomes: Sequence[QueryOutcome]) -> dict[str, int]:
        """Count for each metric the queries that look below the reranker."""
        counts: Counter[str] = Counter()
        for query, outcome in zip(queries, outcomes, strict=True):
            ranking = outcome.ranking
            for item in self._suiting(query):
                looked = reach(ranking.chunks, self._needed(item, query), lambda text: self._tokenizer().count(text))
                counts[item.name] += (len(ranking.chunks) if looked is None else looked) > ranking.reranked
        return {name: count for name, count in counts.items() if count}

    def _suiting(self, query: Query) -> Sequence[Measure]:
        """Return the requested metrics that suit the gold of a query."""
        return self._of_spans if query.spans else self._of_documents if query.grades else ()

    @staticmethod
    def _needed(item: Measure, query: Query) -> Need:
        kind = "tokens" if item.budget else "documents" if by_documents(query) else "chunks"
        return Need(**{kind: item.k})

    def ranked(self, queries: Sequence[Query], outcomes: Sequence[QueryOutcome]) -> list[list[str]]:
        """Return the rankings of queries by qrels ids; empty without gold."""
        most = max((item.k for item in self._of_spans if item.k and not item.budget), default=None)
        lists: list[list[str]] = []
        coverage = self._settings["min_coverage"]
        for query, outcome in zip(queries, outcomes, strict=True):
            passages = [_passage(item.chunk) for item in outcome.ranking.chunks]
            ids = documents(passages) if by_documents(query) else []
            if query.spans:
                looked_at = len(passages) if most is None else most
                ids = span_ranking(passages, query.spans, most=looked_at, min_coverage=coverage)
            lists.append(ids)
        return lists

    def _of_characters(self, query: Query, outcome: QueryOutcome) -> Scores:
        scores: Scores = {}
        for item in self._of_spans:
            if item.base == OMEGA:
                scores[item.name] = self._omega(query) if outcome.error is None else 0.0
            elif item.of_characters:
                by_name = span_scores(self._cut(item, outcome.ranking), query.spans, self._convention)
                scores[item.name] = getattr(by_name, item.base)
        return scores

    def _omega(self, query: Query) -> float:
        names = dict.fromkeys(span.document for span in query.spans)
        return precision_omega([each for name in names for each in self._all_of(name)], query.spans, self._convention)

    def _places(self, chunks: Sequence[Chunk]) -> list[Passage]:
        """Return the passages of chunks, by the convention of the metrics."""
        if self._convention != "chroma":
            return [_passage(chunk) for chunk in chunks]
        return [at_first_occurrence(_passage(chunk), chunk.text, self._text(chunk.document)) for chunk in chunks]

    def _cut(self, item: Measure, ranking: Ranking) -> list[Passage]:
        chunks = [item.chunk for item in ranking.chunks]
        passages, texts = self._places(chunks), [chunk.text for chunk in chunks]
        if not item.budget:
            return passages[: item.k]
        return within_budget(passages, texts, budget=item.k, tokenizer=self._tokenizer())


def _passage(chunk: Chunk) -> Passage:
    return Passage(chunk.document, chunk.start, chunk.end)


def qrels(query: Query) -> dict[str, int]:
    """Return the grades of gold spans or documents of a query."""
    return dict(query.grades) if by_documents(query) else span_qrels(query.spans)


def means(scores: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    """Average each metric over its scored queries, in order of appearance.

    Queries without a verdict are left out; a metric without any verdict has no mean.
    """
    columns: dict[str, list[float]] = defaultdict(list)
    for each in scores:
        for name, value in each.items():
            if value is not None:
                columns[name].append(value)
    return {name: fmean(values) for name, values in columns.items()}


def by_documents(query: Query) -> bool:
    """Return whether a query is scored by graded documents.

    Gold spans, being stricter, come first.
    """
    return bool(query.grades) and not query.spans

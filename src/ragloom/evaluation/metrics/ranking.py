"""Ranking metrics by their standard names, computed by `ir_measures` (trec_eval).

Documents are ranked by their best chunk. Gold spans are ranked by the chunks that complete them. Every list that goes
to the library has strictly decreasing scores and no id twice, since tools order ties differently (TRAPS 44) and count
a duplicate as found again (TRAPS 26).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ragloom.core.gold import GoldSpan, Range
from ragloom.core.metric_names import RANKING, measure
from ragloom.evaluation.metrics import Passage
from ragloom.evaluation.metrics.intervals import intersection, length, union

_TOLERANCE = 1e-9  # a share of a place, so that 0.7 of 10 characters is 7


def ranking_scores(
    rankings: Mapping[str, Sequence[str]], qrels: Mapping[str, Mapping[str, int]], measures: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Score each query that has gold; missing rankings score zero.

    Gains of nDCG are linear in the grade and its discount is log2(rank + 1) (Järvelin & Kekäläinen 2002, as in
    trec_eval); the other measures take a grade of 1 or more as relevant.

    Args:
        rankings: query -> ids, best first, none twice.
        qrels: query -> id -> grade, one of them 1 or more.
        measures: such as `nDCG@10`; names that `ragloom.core.metric_names` has found right.

    Returns:
        query -> measure -> score, with every query of the qrels, in their order.

    Raises:
        ValueError: a wrong measure, a query without gold, or an id that is ranked twice.
    """
    import ir_measures

    if wrong := [name for name in measures if (read := measure(name)) is None or read.base not in RANKING]:
        raise ValueError(f"measures must be such as nDCG@10, and not {', '.join(map(repr, wrong))}")
    _demand_scorable(rankings, qrels)
    numbers = {query: str(number) for number, query in enumerate(qrels)}
    run = {
        numbers[query]: {id: float(len(ids) - rank) for rank, id in enumerate(ids)}
        for query, ids in rankings.items()
        if ids
    }
    scores: dict[str, dict[str, float]] = {query: dict.fromkeys(measures, 0.0) for query in qrels}
    if not run:
        return scores
    parsed = {ir_measures.parse_measure(measure): measure for measure in measures}
    queries = list(qrels)
    judged = {numbers[query]: dict(grades) for query, grades in qrels.items()}
    for value in ir_measures.iter_calc(list(parsed), judged, run):
        scores[queries[int(value.query_id)]][parsed[value.measure]] = float(value.value)
    return scores


def documents(passages: Iterable[Passage]) -> list[str]:
    """Collapses ranked chunks to documents: each stands where its best chunk does."""
    return list(dict.fromkeys(passage.document for passage in passages))


def span_id(number: int) -> str:
    """Return the id of a gold span in qrels and runs."""
    return f"span{number}"


def span_qrels(gold: Sequence[GoldSpan]) -> dict[str, int]:
    """Grades a query's gold spans, each with 1."""
    return {span_id(number): 1 for number in range(len(gold))}


def span_ranking(passages: Sequence[Passage], gold: Sequence[GoldSpan], *, most: int, min_coverage: float) -> list[str]:
    """Ranks gold spans by the chunks that complete them.

    In chunk order a chunk that brings spans to `min_coverage`, together with the chunks before it, writes their ids;
    any other writes a separate id that is not relevant. So no span is found twice, one that is retrieved in five
    pieces is found with the fifth, and a list of k chunks has at least k ids: `@k` looks at k chunks or fewer.

    Args:
        passages: best first.
        most: chunks that are looked at, the largest k.
        min_coverage: the share of a span's characters, blanks aside, above 0.
    """
    if not 0 < min_coverage <= 1:
        raise ValueError(f"min_coverage={min_coverage} must be above 0 and at most 1")
    held: dict[str, list[Range]] = defaultdict(list)
    missing = dict(enumerate(gold))
    ranked: list[str] = []
    for rank, passage in enumerate(passages[:most]):
        held[passage.document] = ranges = union([*held[passage.document], (passage.start, passage.end)])
        completed = [
            number
            for number, span in missing.items()
            if span.document == passage.document and _is_complete(span, ranges, min_coverage)
        ]
        for number in completed:
            del missing[number]
        ranked += [span_id(number) for number in completed] or [f"chunk{rank}"]
    return ranked


def _is_complete(span: GoldSpan, held: Sequence[Range], min_coverage: float) -> bool:
    """Return whether enough non-blank characters of a place are retrieved."""

    def complete(place: Range) -> bool:
        blanks = union(intersection(span.blanks, [place]))
        wanted = length([place]) - length(blanks)
        size = length(intersection(held, [place])) - length(intersection(held, blanks))
        return wanted > 0 and size >= (min_coverage - _TOLERANCE) * wanted

    return any(map(complete, span.places))


def _demand_scorable(rankings: Mapping[str, Sequence[str]], qrels: Mapping[str, Mapping[str, int]]) -> None:
    for query in {**qrels, **rankings}:
        if not any(grade > 0 for grade in qrels.get(query, {}).values()):
            raise ValueError(f"query {query!r} must have gold; one without is not scored but counted apart")
    for query, ids in rankings.items():
        if len(set(ids)) < len(ids):
            raise ValueError(f"the ranking of query {query!r} must have no id twice")

"""Scores of answers: which metric suits which question (formulas: `ragloom.evaluation.metrics.answers`).

    exact_match, f1                     questions with reference answers
    citation_precision, citation_recall questions with gold
    answered                            answerable questions: whether an answer was given
    abstained                           questions without an answer: whether none was given; they count here only
    faithfulness, correctness           verdicts of the judge, see `ragloom.evaluation.judging`

A failed query scores zero in all of them. An answer that was not judged has no score, and is no pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ragloom.core.gold import Query
from ragloom.core.metric_names import JUDGED
from ragloom.core.prompt_and_reply import language_of
from ragloom.evaluation.metrics import Passage
from ragloom.evaluation.metrics.answers import answer_scores, citation_scores, unit_of
from ragloom.evaluation.query_outcome import QueryOutcome, Scores
from ragloom.query.citations.abstention import abstains


def answer_metrics(query: Query, outcome: QueryOutcome, names: Sequence[str]) -> Scores:
    """Score one query by the metrics that suit it.

    Args:
        names: of `ragloom.core.metric_names.ANSWERS` and `JUDGED`.

    Returns:
        metric -> score; None without a verdict of the judge.
    """
    scores: Scores = {}
    for name in names:
        if name in JUDGED:
            if name in outcome.verdicts:
                passed = outcome.verdicts[name].passed
                scores[name] = None if passed is None else float(passed)
        elif (value := _METRICS[name](query, outcome)) is not None:
            scores[name] = value
    return scores


def _text(outcome: QueryOutcome) -> str:
    return outcome.answer.text if outcome.answer is not None else ""


def _words(query: Query, outcome: QueryOutcome) -> tuple[float, float] | None:
    if not query.answers or query.answerable is False:
        return None
    if outcome.error is not None:
        return 0.0, 0.0
    scores = answer_scores(
        _text(outcome), query.answers, unit_of(query.tags.get("language") or language_of(query.text))
    )
    return scores.exact, scores.f1


def _citations(query: Query, outcome: QueryOutcome) -> tuple[float, float] | None:
    if not query.judged:
        return None
    cited = outcome.answer.citations if outcome.answer is not None else ()
    quotes = [
        Passage(item["document"], item["start"], item["end"])
        if item["verified"] and item["document"] is not None and item["start"] is not None
        else None
        for item in cited
    ]
    scores = citation_scores(quotes, query.spans, () if query.spans else query.grades)
    return scores.precision, scores.recall


def _has_answer(query: Query) -> bool:
    return query.answerable is not False and (query.judged or bool(query.answers))


def _answered(query: Query, outcome: QueryOutcome) -> float | None:
    return float(outcome.error is None and not abstains(_text(outcome))) if _has_answer(query) else None


def _refused(query: Query, outcome: QueryOutcome) -> float | None:
    return float(outcome.error is None and abstains(_text(outcome))) if query.answerable is False else None


def _part(
    pair: Callable[[Query, QueryOutcome], tuple[float, float] | None], at: int
) -> Callable[[Query, QueryOutcome], float | None]:
    def one(query: Query, outcome: QueryOutcome) -> float | None:
        both = pair(query, outcome)
        return None if both is None else both[at]

    return one


_METRICS: dict[str, Callable[[Query, QueryOutcome], float | None]] = {
    "exact_match": _part(_words, 0),
    "f1": _part(_words, 1),
    "citation_precision": _part(_citations, 0),
    "citation_recall": _part(_citations, 1),
    "answered": _answered,
    "abstained": _refused,
}

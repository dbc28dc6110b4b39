"""Scores of answers: which metric suits which question (formulas: `ragloom.evaluation.metrics.answers`).

    exact_match, f1                     questions with right answers in words
    citation_precision, citation_recall questions with gold
    answered                            questions with an answer: whether there was one
    abstained                           questions without an answer: whether there was none; they count here only
    faithfulness, correctness           as the judge says, see `ragloom.evaluation.judging`

A question that failed scores zero in all of them. One that was not judged has no score, and is no pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ragloom.core.gold import Query
from ragloom.core.metric_names import JUDGED
from ragloom.core.prompt_blocks import language_of
from ragloom.evaluation.metrics import Passage
from ragloom.evaluation.metrics.answers import answer_scores, citation_scores, unit_of
from ragloom.evaluation.query_results import Asked, Scores
from ragloom.query.citations.abstention import abstains


def answer_metrics(query: Query, asked: Asked, names: Sequence[str]) -> Scores:
    """Scores one question by those of the metrics that suit it.

    Args:
        names: of `ragloom.core.metric_names.ANSWERS` and `JUDGED`.

    Returns:
        metric -> score; None where the judge gave no verdict.
    """
    found: Scores = {}
    for name in names:
        if name in JUDGED:
            if name in asked.verdicts:
                passed = asked.verdicts[name].passed
                found[name] = None if passed is None else float(passed)
        elif (value := _METRICS[name](query, asked)) is not None:
            found[name] = value
    return found


def _text(asked: Asked) -> str:
    return asked.answer.text if asked.answer is not None else ""


def _words(query: Query, asked: Asked) -> tuple[float, float] | None:
    if not query.answers or query.answerable is False:
        return None
    if asked.error is not None:
        return 0.0, 0.0
    scores = answer_scores(_text(asked), query.answers, unit_of(query.tags.get("language") or language_of(query.text)))
    return scores.exact, scores.f1


def _citations(query: Query, asked: Asked) -> tuple[float, float] | None:
    if not query.judged:
        return None
    cited = asked.answer.citations if asked.answer is not None else ()
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


def _answered(query: Query, asked: Asked) -> float | None:
    return float(asked.error is None and not abstains(_text(asked))) if _has_answer(query) else None


def _refused(query: Query, asked: Asked) -> float | None:
    return float(asked.error is None and abstains(_text(asked))) if query.answerable is False else None


def _part(
    pair: Callable[[Query, Asked], tuple[float, float] | None], at: int
) -> Callable[[Query, Asked], float | None]:
    def one(query: Query, asked: Asked) -> float | None:
        both = pair(query, asked)
        return None if both is None else both[at]

    return one


_METRICS: dict[str, Callable[[Query, Asked], float | None]] = {
    "exact_match": _part(_words, 0),
    "f1": _part(_words, 1),
    "citation_precision": _part(_citations, 0),
    "citation_recall": _part(_citations, 1),
    "answered": _answered,
    "abstained": _refused,
}

"""Scores of answers: which metric suits which question (formulas: `ragloom.evaluation.metrics.answers`).

    exact_match, f1                     questions with reference answers
    citation_precision, citation_recall questions with gold
    answered                            answerable questions: whether an answer was given
    abstained                           questions without an answer: whether none was given; they count here only
    faithfulness, correctness           verdicts of the judge, see `ragloom.evaluation.judging`

A failed query scores zero in all of them. An answer that was not judged has no score, and is no pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ragloom.core.gold import Query
from ragloom.core.prompt_and_reply import language_of
from ragloom.evaluation.metrics import Passage
from ragloom.evaluation.metrics.answers import answer_scores, citation_scores, unit_of
from ragloom.evaluation.query_outcome import Answer, QueryOutcome, Scores
from ragloom.query.citations.abstention import abstains


def answer_metrics(query: Query, outcome: QueryOutcome, names: Sequence[str]) -> Scores:
    """Score one query by the metrics that suit it.

    Args:
        names: of `ragloom.core.metric_names.ANSWERS` and `JUDGED`.

    Returns:
        metric -> score; None without a verdict of the judge.
    """
    scores = _all_scores(query, outcome)
    return {name: scores[name] for name in names if name in scores}


def _all_scores(query: Query, outcome: QueryOutcome) -> Scores:
    succeeded = outcome.error is None
    answer = outcome.answer or Answer("")
    scores: Scores = {
        name: None if verdict.passed is None else float(verdict.passed) for name, verdict in outcome.verdicts.items()
    }
    if query.answers and query.answerable is not False:
        unit = unit_of(query.tags.get("language") or language_of(query.text))
        words = answer_scores(answer.text, query.answers, unit) if succeeded else (0.0, 0.0)
        scores["exact_match"], scores["f1"] = words
    if query.judged:
        grades = () if query.spans else query.grades
        cited = citation_scores([_place(citation) for citation in answer.citations], query.spans, grades)
        scores["citation_precision"], scores["citation_recall"] = cited
    if query.answerable is False:
        scores["abstained"] = float(succeeded and abstains(answer.text))
    elif query.judged or query.answers:
        scores["answered"] = float(succeeded and not abstains(answer.text))
    return scores


def _place(citation: Mapping[str, Any]) -> Passage | None:
    """Return where a quote stands; None where it is not verified."""
    if not citation["verified"] or citation["document"] is None or citation["start"] is None:
        return None
    return Passage(citation["document"], citation["start"], citation["end"])

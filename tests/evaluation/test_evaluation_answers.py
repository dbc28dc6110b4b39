"""Answers scored: each question by what suits it, failures as zeros."""

from typing import Any

import pytest

from ragloom.core.gold import GoldSpan, Query
from ragloom.core.metric_names import ANSWERS
from ragloom.core.prompt_and_reply import NO_ANSWER
from ragloom.evaluation.answer_scoring import answer_metrics
from ragloom.evaluation.query_outcome import Answer, QueryOutcome

GOLD = GoldSpan("a.txt", ((10, 20),), "five years")
QUESTION = Query("q", "How long?", spans=(GOLD,), answers=("five years",), answerable=True)
UNANSWERABLE = Query("n", "Who?", answerable=False)


def cited(start: int, end: int, *, verified: bool = True) -> dict[str, Any]:
    return {"number": 1, "document": "a.txt", "start": start, "end": end, "quote": "", "verified": verified}


def test_right_answer_with_right_quote_scores_one_where_the_question_has_gold() -> None:
    asked = QueryOutcome(answer=Answer("Five years [1].", (cited(12, 18),)))
    assert answer_metrics(QUESTION, asked, ANSWERS) == {
        "exact_match": 1.0,
        "f1": 1.0,
        "citation_precision": 1.0,
        "citation_recall": 1.0,
        "answered": 1.0,
    }


def test_quote_that_is_not_verified_counts_against_precision() -> None:
    asked = QueryOutcome(answer=Answer("five", (cited(12, 18), cited(12, 18, verified=False))))
    scores = answer_metrics(QUESTION, asked, ANSWERS)
    assert scores["citation_precision"] == 1 / 2
    assert scores["f1"] == pytest.approx(2 * 1 / (1 + 2))


def test_question_without_an_answer_counts_in_abstained_only() -> None:
    refused = QueryOutcome(answer=Answer(NO_ANSWER["ko"]))
    assert answer_metrics(UNANSWERABLE, refused, ANSWERS) == {"abstained": 1.0}
    assert answer_metrics(UNANSWERABLE, QueryOutcome(answer=Answer("Kim.")), ANSWERS) == {"abstained": 0.0}


def test_failed_question_scores_zero_in_everything_that_suits_it() -> None:
    failed = QueryOutcome(error="it broke")
    assert set(answer_metrics(QUESTION, failed, ANSWERS).values()) == {0.0}
    assert answer_metrics(UNANSWERABLE, failed, ANSWERS) == {"abstained": 0.0}, "failing is not abstaining"


def test_abstaining_where_there_is_an_answer_is_not_answered() -> None:
    scores = answer_metrics(QUESTION, QueryOutcome(answer=Answer(NO_ANSWER["en"])), ANSWERS)
    assert scores["answered"] == scores["exact_match"] == scores["citation_recall"] == 0.0


def test_korean_is_compared_by_characters() -> None:
    korean = Query("k", "얼마나?", answers=("오 년",), answerable=True)
    scores = answer_metrics(korean, QueryOutcome(answer=Answer("오 년간")), ["f1"])
    assert scores["f1"] == pytest.approx(2 * 2 / (3 + 2))

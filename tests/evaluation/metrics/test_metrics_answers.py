"""Exact match, F1 and citations: expected values are written as arithmetic."""

import pytest

from messages import wording
from messages.evaluation import metric_counts_apart
from ragloom.core.gold import GoldSpan
from ragloom.evaluation.metrics import Passage
from ragloom.evaluation.metrics.answers import (
    answer_scores,
    citation_scores,
    normal_answer,
    unit_of,
)

A = "a.md"
GOLD = [GoldSpan(A, ((10, 20),)), GoldSpan(A, ((40, 50), (90, 100)))]


@pytest.mark.parametrize(
    ("answer", "right", "exact", "f1"),
    [
        ("The Broncos!", ["broncos"], 1.0, 1.0),
        ("a cat sat", ["the cat sat down"], 0.0, 2 * 2 / (2 + 3)),
        ("cat cat", ["cat"], 0.0, 2 * 1 / (2 + 1)),
        ("five years [1], [2, 3]", ["five years"], 1.0, 1.0),
        ("dog", ["cat"], 0.0, 0.0),
        ("", ["cat"], 0.0, 0.0),
        ("dog", ["cat", "Dog."], 1.0, 1.0),
    ],
)
def test_words_of_english_are_compared_as_squad_does(answer: str, right: list[str], exact: float, f1: float) -> None:
    assert answer_scores(answer, right, "words") == (exact, pytest.approx(f1))


@pytest.mark.parametrize(
    ("answer", "right", "exact", "f1"),
    [
        ("임종석이", ["임종석"], 0.0, 2 * 3 / (4 + 3)),
        ("《임종석》", ["임종석"], 1.0, 1.0),
        ("1989년 2월 15일.", ["1989년 2월 15일"], 1.0, 1.0),
        ("1989년2월15일", ["1989년 2월 15일"], 0.0, 1.0),  # blanks are no characters of F1, but of the exact match
        ("가".encode().decode(), ["가"], 1.0, 1.0),
        ("\u1100\u1161", ["가"], 1.0, 1.0),  # Hangul written in parts
        ("a cat", ["cat"], 0.0, 2 * 3 / (4 + 3)),  # KorQuAD's script ignores articles
    ],
)
def test_characters_of_korean_are_compared_as_korquad_does(
    answer: str, right: list[str], exact: float, f1: float
) -> None:
    assert answer_scores(answer, right, "characters") == (exact, pytest.approx(f1))


def test_unit_follows_the_language() -> None:
    assert unit_of("ko") == "characters"
    assert unit_of("en") == "words"
    assert normal_answer("An Apple, a day", "words") == "apple day"


def test_question_without_a_right_answer_is_refused() -> None:
    with pytest.raises(ValueError, match=wording(metric_counts_apart())):
        answer_scores("anything", [], "words")


def test_citation_is_right_when_it_shares_a_character_with_gold() -> None:
    quotes = [Passage(A, 0, 11), Passage(A, 20, 30), Passage(A, 95, 96), Passage("b.md", 10, 20)]
    assert citation_scores(quotes, GOLD) == (2 / 4, 2 / 2)


def test_unverified_citation_is_wrong_and_an_answer_without_citations_scores_zero() -> None:
    assert citation_scores([Passage(A, 10, 20), None], GOLD) == (1 / 2, 1 / 2)
    assert citation_scores([], GOLD) == (0.0, 0.0)


def test_citations_are_held_against_documents_where_there_are_no_spans() -> None:
    quotes = [Passage(A, 0, 5), Passage(A, 5, 9), Passage("x", 0, 1)]
    assert citation_scores(quotes, [], ["a.md", "b.md"]) == (2 / 3, 1 / 2)
    with pytest.raises(ValueError, match=wording(metric_counts_apart())):
        citation_scores(quotes, [])

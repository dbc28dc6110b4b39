"""Span metrics against a set of characters, and the defects of other tools that they must not have."""

import random
from collections.abc import Iterator

import numpy as np
import pytest

from messages import wording
from messages.evaluation import metric_counts_apart
from ragloom.core.gold import GoldSpan
from ragloom.core.tokenizers import Offsets, Tokenizer, load
from ragloom.evaluation.metrics import Passage
from ragloom.evaluation.metrics.intervals import intersection, length, union
from ragloom.evaluation.metrics.spans import (
    SpanScores,
    at_first_occurrence,
    precision_omega,
    span_scores,
    within_budget,
)

A = "a.md"


def span(*places: tuple[int, int], document: str = A) -> GoldSpan:
    return GoldSpan(document, places)


def characters(document: str, ranges: list[tuple[int, int]]) -> set[tuple[str, int]]:
    return {(document, at) for start, end in ranges for at in range(start, end)}


def best(gold: list[GoldSpan], held: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """The gold's characters, each span at the place of which the largest share is held."""
    chosen: set[tuple[str, int]] = set()
    for item in gold:
        places = [characters(item.document, [place]) for place in item.places]
        shares = [len(place & held) / len(place) for place in places]
        chosen |= places[shares.index(max(shares))]
    return chosen


def brute_force(passages: list[Passage], gold: list[GoldSpan]) -> SpanScores:
    held = {(name, at) for name, start, end in passages for at in range(start, end)}
    wanted = best(gold, held)
    both = len(held & wanted)
    return SpanScores(both / len(wanted), both / len(held) if held else 0.0, both / len(held | wanted))


def brute_omega(passages: list[Passage], gold: list[GoldSpan]) -> float:
    everywhere = {(item.document, at) for item in gold for place in item.places for at in range(*place)}
    chunks = [characters(name, [(start, end)]) for name, start, end in passages]
    touching = set().union(*[chunk for chunk in chunks if chunk & everywhere])
    wanted = best(gold, touching)
    needed = set().union(*[chunk for chunk in chunks if chunk & wanted])
    return len(needed & wanted) / len(needed) if needed else 0.0


def made(random_: random.Random) -> tuple[list[Passage], list[GoldSpan]]:
    def place() -> tuple[int, int]:
        start = random_.randrange(40)
        return start, start + random_.randint(1, 12)

    names = ["a.md", "b.md", "ㄷ 문서"]
    passages = [Passage(random_.choice(names), *place()) for _ in range(random_.randint(0, 8))]
    gold = [
        GoldSpan(random_.choice(names), tuple(place() for _ in range(random_.randint(1, 3))))
        for _ in range(random_.randint(1, 4))
    ]
    return passages, gold


def test_span_scores_are_those_of_sets_of_characters() -> None:
    random_ = random.Random(26)
    for _ in range(1000):
        passages, gold = made(random_)
        ours, theirs = span_scores(passages, gold), brute_force(passages, gold)
        for name in ("recall", "precision", "iou"):
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name), abs=1e-12), (passages, gold)
            assert 0 <= getattr(ours, name) <= 1
        assert precision_omega(passages, gold) == pytest.approx(brute_omega(passages, gold), abs=1e-12)


def test_ranges_are_sets_of_numbers() -> None:
    random_ = random.Random(3)
    for _ in range(300):
        left, right = (
            [(start, start + random_.randint(0, 6)) for start in random_.choices(range(30), k=random_.randint(0, 6))]
            for _ in range(2)
        )
        mine, other = characters("", left), characters("", right)
        assert characters("", union(left)) == mine
        assert length(union(left)) == len(mine)
        assert characters("", intersection(union(left), union(right))) == mine & other


def test_passage_in_five_pieces_counts_as_the_whole() -> None:
    """TRAPS 34: a passage retrieved in five pieces scored 0."""
    gold = [span((0, 100))]
    pieces = [Passage(A, start, start + 20) for start in range(0, 100, 20)]
    assert span_scores(pieces, gold) == span_scores([Passage(A, 0, 100)], gold) == SpanScores(1.0, 1.0, 1.0)


def test_million_character_chunk_pays_in_precision() -> None:
    """TRAPS 34: one million-character chunk scored 1."""
    scores = span_scores([Passage(A, 0, 1_000_000)], [span((500, 600))])
    assert scores == SpanScores(1.0, 100 / 1_000_000, 100 / 1_000_000)


def test_gold_counts_in_whichever_chunks_hold_it() -> None:
    """TRAPS 34: gold matched only the first of five chunks that contained it."""
    gold = [span((40, 50))]
    holders = [Passage(A, start, start + 50) for start in range(0, 41, 10)]
    assert all(span_scores([chunk], gold).recall == 1.0 for chunk in holders)


def test_same_chunk_twice_changes_nothing() -> None:
    chunk, gold = Passage(A, 0, 30), [span((10, 20))]
    assert span_scores([chunk, chunk], gold) == span_scores([chunk], gold)


def test_query_without_a_result_scores_zero() -> None:
    """TRAPS 26: an empty result aborted everything; 34: queries that crashed were left out of the mean."""
    assert span_scores([], [span((0, 10))]) == SpanScores(0.0, 0.0, 0.0)
    assert span_scores([], [span((0, 10))], "chroma") == SpanScores(0.0, 0.0, 0.0)
    assert precision_omega([], [span((0, 10))]) == 0.0


def test_query_without_gold_is_refused_and_scores_neither_0_nor_1() -> None:
    with pytest.raises(ValueError, match=wording(metric_counts_apart())):
        span_scores([Passage(A, 0, 10)], [])
    with pytest.raises(ValueError, match=wording(metric_counts_apart())):
        precision_omega([Passage(A, 0, 10)], [GoldSpan(A, (), "a quote not looked for")])


def test_repeated_quote_counts_once_at_its_best_place() -> None:
    gold = [span((0, 10), (50, 60))]
    assert span_scores([Passage(A, 45, 60)], gold) == SpanScores(1.0, 10 / 15, 10 / 15)
    both = span_scores([Passage(A, 0, 10), Passage(A, 50, 60)], gold)
    assert both == SpanScores(1.0, 10 / 20, 10 / 20)  # the second place is no gold in addition to the first


def test_chroma_convention_sums_lengths_and_counts_touching() -> None:
    gold = [span((10, 20))]
    passages = [Passage(A, 5, 15), Passage(A, 10, 20), Passage("b.md", 0, 10)]
    chroma = span_scores(passages, gold, "chroma")
    assert chroma == SpanScores(10 / 10, 10 / 30, 10 / 30)
    assert span_scores(passages, gold) == SpanScores(10 / 10, 10 / 25, 10 / 25)
    chunks = [Passage(A, 0, 10), Passage(A, 10, 15)]  # the first touches only; 15 to 20 is in no chunk
    assert precision_omega(chunks, gold, "chroma") == 5 / 20
    assert precision_omega(chunks, gold) == 5 / 5


def test_chroma_convention_takes_the_first_place_and_finds_a_chunk_at_its_first() -> None:
    gold = [span((0, 10), (50, 60))]
    assert span_scores([Passage(A, 50, 60)], gold, "chroma").recall == 0.0
    text = "same. other. same. end"
    assert at_first_occurrence(Passage(A, 13, 18), text[13:18], text) == Passage(A, 0, 5)
    assert at_first_occurrence(Passage(A, 3, 5), "not there", text) == Passage(A, 3, 5)


@pytest.mark.parametrize(
    "text", ["one two three four five six seven eight nine ten", "다람쥐 헌 쳇바퀴에 타고파 👨‍👩‍👧‍👦 끝"]
)
def test_budget_cuts_the_chunk_that_crosses_it(text: str) -> None:
    tokenizer = load("cl100k_base")
    whole = tokenizer.count(text)
    for budget in range(1, whole + 3):
        kept = within_budget([Passage(A, 100, 100 + len(text))], [text], budget=budget, tokenizer=tokenizer)
        assert len(kept) <= 1
        for passage in kept:
            cut = text[: passage.end - passage.start]
            assert tokenizer.count(cut) <= budget
            assert passage.start == 100
        if budget >= whole:
            assert kept == [Passage(A, 100, 100 + len(text))]
    first, second = "one two three", "two three four"
    passages = [Passage(A, 0, 13), Passage(A, 4, 18)]
    kept = within_budget(passages, [first, second], budget=4, tokenizer=tokenizer)
    assert kept == [Passage(A, 0, 13), Passage(A, 4, 7)]  # "two" is paid again, and is covered already


def test_budget_takes_nothing_after_the_chunk_that_crosses_it() -> None:
    tokenizer = load("cl100k_base")
    texts = ["one two three four", "five", "six"]
    passages = [Passage(A, 0, 18), Passage(A, 20, 24), Passage(A, 30, 33)]
    assert within_budget(passages, texts, budget=2, tokenizer=tokenizer) == [Passage(A, 0, 7)]
    with pytest.raises(ValueError, match="above 0"):
        within_budget(passages, texts, budget=0, tokenizer=tokenizer)


class InPieces(Tokenizer):
    """A token per two characters, whose offsets come eight characters at once."""

    name = "in pieces"
    max_char_tokens = 1

    def count(self, text: str) -> int:
        return -(-len(text) // 2)

    def edges(self, text: str, fitting: int = 0) -> Iterator[tuple[Offsets, Offsets]]:
        for start in range(0, len(text), 8):
            bounds = np.append(np.arange(start, min(start + 8, len(text)), 2), min(start + 8, len(text)))
            yield bounds, bounds


@pytest.mark.parametrize("budget", range(1, 15))
def test_last_passage_is_cut_after_the_tokens_that_are_left_wherever_they_are(budget: int) -> None:
    (cut,) = within_budget([Passage(A, 100, 130)], ["x" * 30], budget=budget, tokenizer=InPieces())
    assert cut == Passage(A, 100, 100 + 2 * budget)

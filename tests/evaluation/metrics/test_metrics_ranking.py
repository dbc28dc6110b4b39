"""Ranking metrics against ranx and against arithmetic, and the defects of other tools that they must not have."""

import json
import math
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages import wording
from messages.evaluation import metric_counts_apart
from places import TESTS
from ragloom.core.gold import GoldSpan
from ragloom.evaluation.metrics import Passage
from ragloom.evaluation.metrics.ranking import (
    documents,
    ranking_scores,
    span_qrels,
    span_ranking,
)

MEASURES = ["nDCG@1", "nDCG@5", "nDCG@10", "R@5", "R@10", "P@5", "RR@10", "AP@5", "AP@100", "Success@1", "Success@10"]
A = "a.md"


def by_hand(measure: str, ids: list[str], grades: dict[str, int]) -> float:
    name, k = measure.split("@")
    gains = [grades.get(id, 0) for id in ids[: int(k)]]
    hits = [rank for rank, gain in enumerate(gains, start=1) if gain > 0]
    relevant = sum(grade > 0 for grade in grades.values())
    ideal = sorted(grades.values(), reverse=True)[: int(k)]

    def dcg(values: list[int]) -> float:
        return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(values, start=1))

    return {
        "nDCG": dcg(gains) / dcg(ideal),
        "R": len(hits) / relevant,
        "P": len(hits) / int(k),
        "RR": 1 / hits[0] if hits else 0.0,
        "AP": sum((found + 1) / rank for found, rank in enumerate(hits)) / relevant,
        "Success": float(bool(hits)),
    }[name]


def cases(seed: int, count: int) -> tuple[dict[str, list[str]], dict[str, dict[str, int]]]:
    """Rankings with absent queries and empty results among them."""
    random_ = random.Random(seed)
    ids = [f"문서 {number}" for number in range(30)]
    rankings, qrels = {}, {}
    for number in range(count):
        grades = {id: random_.choice([0, 1, 1, 2, 3]) for id in random_.sample(ids, random_.randint(1, 12))}
        qrels[f"질문 {number}"] = grades | {random_.choice(ids): 1}
        if number % 7:
            rankings[f"질문 {number}"] = random_.sample(ids, random_.choice([0, 1, 3, 10, 30]))
    return rankings, qrels


def test_ranking_scores_are_those_of_arithmetic() -> None:
    rankings, qrels = cases(1, 300)
    scores = ranking_scores(rankings, qrels, MEASURES)
    assert list(scores) == list(qrels)
    for query, grades in qrels.items():
        for measure in MEASURES:
            wanted = by_hand(measure, rankings.get(query, []), grades)
            assert scores[query][measure] == pytest.approx(wanted, abs=1e-6)
            assert 0 <= scores[query][measure] <= 1


@pytest.mark.slow
def test_ranking_scores_are_those_of_a_second_library(tmp_path: Path) -> None:
    """Acceptance: ranx on TREC files gives our numbers to 1e-6, with absent queries and empty results."""
    rankings, qrels = cases(2, 200)
    numbers = {query: f"q{number}" for number, query in enumerate(qrels)}
    run, gold = tmp_path / "run.trec", tmp_path / "qrels.trec"
    run.write_text(
        "".join(
            f"{numbers[query]} Q0 {id.replace(' ', '%20')} {rank} {1000 - rank} ours\n"
            for query, ids in rankings.items()
            for rank, id in enumerate(ids, start=1)
        ),
        encoding="utf-8",
    )
    gold.write_text(
        "".join(
            f"{numbers[query]} 0 {id.replace(' ', '%20')} {grade}\n"
            for query, grades in qrels.items()
            for id, grade in grades.items()
        ),
        encoding="utf-8",
    )
    program = TESTS / "support" / "second_opinion.py"
    done = subprocess.run(
        [sys.executable, str(program), str(run), str(gold), *MEASURES], capture_output=True, text=True, check=True
    )
    theirs = json.loads(done.stdout)
    ours = ranking_scores(rankings, qrels, MEASURES)
    for measure in MEASURES:
        for query, number in numbers.items():
            assert ours[query][measure] == pytest.approx(theirs[measure].get(number, 0.0), abs=1e-6), (measure, query)


def test_perfect_top_two_of_four_is_one() -> None:
    """TRAPS 26: a perfect top 2 of 4 gave an nDCG of .64."""
    scores = ranking_scores({"q": ["a", "b"]}, {"q": dict.fromkeys("abcd", 1)}, ["nDCG@2", "R@2"])
    assert scores["q"] == {"nDCG@2": 1.0, "R@2": 2 / 4}


def test_duplicates_are_refused_and_give_no_ndcg_over_one() -> None:
    """TRAPS 26: duplicates gave an nDCG of 2.13."""
    with pytest.raises(ValueError, match="no id twice"):
        ranking_scores({"q": ["a", "a", "a"]}, {"q": {"a": 1}}, ["nDCG@10"])


def test_chunks_collapse_to_documents_by_best_rank() -> None:
    """TRAPS 26: five chunks of one document are one document found, not five."""
    chunks = [Passage("b", 0, 1), Passage("a", 0, 1), Passage("b", 1, 2), Passage("c", 0, 1), Passage("a", 1, 2)]
    assert documents(chunks) == ["b", "a", "c"]
    assert ranking_scores({"q": documents(chunks)}, {"q": {"a": 1, "b": 1}}, ["nDCG@10"])["q"]["nDCG@10"] == 1.0


def test_equal_scores_of_a_store_leave_no_tie_to_the_library() -> None:
    """TRAPS 44: tied scores gave RR@10 = 1.0 and nDCG@10 = .631 from one call: here both follow the list's order."""
    scores = ranking_scores({"q": ["z", "a"]}, {"q": {"a": 1}}, ["RR@10", "nDCG@10"])
    assert scores["q"] == {"RR@10": 1 / 2, "nDCG@10": pytest.approx(1 / math.log2(3), abs=1e-6)}
    scores = ranking_scores({"q": ["a", "z"]}, {"q": {"a": 1}}, ["RR@10", "nDCG@10"])
    assert scores["q"] == {"RR@10": 1.0, "nDCG@10": 1.0}


def test_query_that_failed_counts_as_zero() -> None:
    """TRAPS 26 and 34: an empty result aborted everything, and a crashing config won."""
    qrels = {"good": {"a": 1}, "empty": {"a": 1}, "absent": {"a": 1}}
    scores = ranking_scores({"good": ["a"], "empty": []}, qrels, ["nDCG@10"])
    assert [scores[query]["nDCG@10"] for query in qrels] == [1.0, 0.0, 0.0]
    assert ranking_scores({}, qrels, ["nDCG@10"]) == {query: {"nDCG@10": 0.0} for query in qrels}


@pytest.mark.parametrize("qrels", [{"q": {}}, {"q": {"a": 0}}, {}])
def test_query_without_gold_is_refused(qrels: dict[str, dict[str, int]]) -> None:
    with pytest.raises(ValueError, match=wording(metric_counts_apart())):
        ranking_scores({"q": ["a"]}, qrels, ["nDCG@10"])


def span(*places: tuple[int, int], blanks: tuple[tuple[int, int], ...] = (), document: str = A) -> GoldSpan:
    return GoldSpan(document, places, blanks=blanks)


def test_span_in_five_pieces_is_found_with_the_fifth() -> None:
    """TRAPS 34: a passage retrieved in five pieces scored 0."""
    pieces = [Passage(A, start, start + 20) for start in range(0, 100, 20)]
    ranked = span_ranking(pieces, [span((0, 100))], most=10, min_coverage=1.0)
    assert ranked == ["chunk0", "chunk1", "chunk2", "chunk3", "span0"]
    assert span_ranking(pieces, [span((0, 100))], most=4, min_coverage=1.0) == ["chunk0", "chunk1", "chunk2", "chunk3"]
    assert span_ranking(pieces, [span((0, 100))], most=10, min_coverage=0.6)[2] == "span0"


def test_blanks_between_two_chunks_do_not_keep_a_span_incomplete() -> None:
    gold = [span((0, 9), blanks=((4, 5),))]  # "gold text", cut as "gold" and "text"
    assert span_ranking([Passage(A, 0, 4), Passage(A, 5, 9)], gold, most=2, min_coverage=1.0) == ["chunk0", "span0"]
    assert span_ranking([Passage(A, 0, 5), Passage(A, 6, 9)], gold, most=2, min_coverage=1.0) == ["chunk0", "chunk1"]


def test_every_chunk_that_holds_gold_finds_it_and_only_the_first_in_rank_is_paid() -> None:
    """TRAPS 34: gold matched only the first of five chunks that contained it."""
    chunks = [Passage(A, start, start + 50) for start in range(0, 41, 10)]
    for chunk in chunks:
        assert span_ranking([chunk], [span((40, 50))], most=5, min_coverage=1.0) == ["span0"]
    ranked = span_ranking(chunks, [span((40, 50))], most=5, min_coverage=1.0)
    assert ranked == ["span0", "chunk1", "chunk2", "chunk3", "chunk4"]


def test_one_chunk_may_find_several_spans_and_a_repeated_quote_is_found_at_any_place() -> None:
    gold = [span((0, 5)), span((10, 15), (80, 85)), span((50, 60))]
    ranked = span_ranking([Passage(A, 70, 90), Passage(A, 0, 60)], gold, most=2, min_coverage=1.0)
    assert ranked == ["span1", "span0", "span2"]
    assert span_qrels(gold) == {"span0": 1, "span1": 1, "span2": 1}


places = st.tuples(st.integers(0, 30), st.integers(1, 10)).map(lambda item: (item[0], item[0] + item[1]))
names = st.sampled_from(["a.md", "b.md"])


@settings(max_examples=150, deadline=None)
@given(
    passages=st.lists(st.builds(lambda name, place: Passage(name, *place), names, places), max_size=12),
    gold=st.lists(
        st.builds(GoldSpan, names, st.lists(places, min_size=1, max_size=2).map(tuple)), min_size=1, max_size=5
    ),
    coverage=st.sampled_from([0.3, 0.5, 1.0]),
    most=st.integers(1, 12),
)
def test_span_ranking_finds_what_a_set_of_characters_says(
    passages: list[Passage], gold: list[GoldSpan], coverage: float, most: int
) -> None:
    ranked = span_ranking(passages, gold, most=most, min_coverage=coverage)
    assert len(ranked) == len(set(ranked))
    held = {(name, at) for name, start, end in passages[:most] for at in range(start, end)}
    shares = [max(sum((g.document, at) in held for at in range(*p)) / (p[1] - p[0]) for p in g.places) for g in gold]
    found = {f"span{number}" for number, share in enumerate(shares) if share >= coverage - 1e-9}
    assert {id for id in ranked if id.startswith("span")} == found
    scores = ranking_scores({"q": ranked}, {"q": span_qrels(gold)}, ["nDCG@5", "R@10"])["q"]
    assert all(0 <= score <= 1 for score in scores.values())


def test_share_of_a_span_must_be_above_zero() -> None:
    with pytest.raises(ValueError, match="above 0"):
        span_ranking([], [span((0, 1))], most=1, min_coverage=0.0)


@pytest.mark.parametrize("measure", ["nDCG@0", "recall@5", "bogus", "nDCG"])
def test_wrong_measure_is_an_error_and_not_the_end_of_the_process(measure: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(measure))):
        ranking_scores({"q": ["a"]}, {"q": {"a": 1}}, [measure])

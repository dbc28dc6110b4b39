"""Percentiles, capacity, verdict, recall and file of a benchmark."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from evaluation_corpus import overrides, write_corpus, write_questions
from load_tools import fifo_log, log_of, result
from messages import wording
from messages.benchmark import (
    as_benchmark_writes_it,
    does_not_at,
    highest_measured,
    holds_up_to,
    improve_first,
    not_settled_at,
    not_shown_to_hold,
    queue_wait,
    still_grows,
)
from ragloom.assembly import Assembly
from ragloom.config.config import load
from ragloom.core.records import Hit
from ragloom.errors import DataError, ServiceError
from ragloom.evaluation.benchmark.benchmark_file import FILE, load_results, save_results
from ragloom.evaluation.benchmark.capacity import backlog_growth, grows, search_capacity
from ragloom.evaluation.benchmark.dense_recall import dense_recall
from ragloom.evaluation.benchmark.latency_promise import judge
from ragloom.evaluation.benchmark.machine import machine, usage, used
from ragloom.evaluation.benchmark.percentiles import histogram_of, interval_ranks, percentiles
from ragloom.evaluation.benchmark.rate_summary import summarize


def test_percentiles_are_nearest_ranks_with_order_statistics_around_them() -> None:
    figures = percentiles(histogram_of(np.arange(1, 1001, dtype=float), 10_000))
    assert figures["p50"] == pytest.approx({"ms": 500, "low": 469, "high": 532}, rel=1e-3)
    assert figures["p99"] == pytest.approx({"ms": 990, "low": 984, "high": 997}, rel=1e-3)


def test_interval_covers_the_true_percentile_as_often_as_it_says() -> None:
    low, high = interval_ranks(1000, 0.99)
    random = np.random.default_rng(0)
    below = (random.random((4000, 1000)) < 0.99).sum(axis=1)  # values below the true percentile
    covered = (low <= below) & (below < high)
    assert 0.94 < covered.mean() < 0.99


def test_no_p99_from_fewer_than_1000_requests_and_no_p999_from_fewer_than_10000() -> None:
    def names(count: int) -> set[str]:
        return {name for name in percentiles(histogram_of(np.ones(count), 10)) if name.startswith("p")}

    assert "p99" not in names(999)
    assert "p99" in names(1000)
    assert "p99.9" not in names(9999)
    assert "p99.9" in names(10_000)


def test_upper_end_is_unknown_where_the_values_do_not_reach_so_far() -> None:
    assert interval_ranks(100, 0.99)[1] is None
    assert interval_ranks(1000, 0.99)[1] is not None


def test_histogram_is_kept_in_a_form_that_can_be_merged() -> None:
    figures = percentiles(histogram_of(np.array([1.0, 2.0, 300.0]), 10_000))
    merged = HdrHistogram(1, 10_000_000, 3)
    merged.decode_and_add(figures["histogram"])
    merged.decode_and_add(figures["histogram"])
    assert merged.get_total_count() == 6
    assert merged.get_max_value() == pytest.approx(300_000, rel=1e-3)


@pytest.mark.parametrize(("true", "start"), [(100.0, 130.0), (100.0, 12.0), (100.0, 900.0), (0.5, 0.4)])
def test_bisection_finds_the_capacity_within_its_precision(true: float, start: float) -> None:
    tried: list[float] = []

    def holds(rate: float) -> bool:
        tried.append(rate)
        return rate <= true

    capacity = search_capacity(start, 0.05, holds)
    assert true / 1.05 <= capacity <= true
    assert len(tried) < 20


def test_a_service_that_holds_no_rate_is_an_error() -> None:
    with pytest.raises(ServiceError, match=wording(still_grows())):
        search_capacity(1.0, 0.05, lambda rate: False)


def test_capacity_of_a_server_of_known_speed_is_found_from_its_backlog() -> None:
    """One request after the other, 20 ms each: 50 a second."""
    capacity = search_capacity(
        45, 0.02, lambda rate: not grows(fifo_log(rate, 0.02, round(30 * rate)), round(30 * rate))
    )
    assert 48 <= capacity <= 52


def test_backlog_that_rises_and_falls_does_not_grow() -> None:
    planned = np.arange(3000) / 100
    bulge = np.where((planned > 12) & (planned < 16), 1.0, 0.01)
    assert not grows(log_of(planned, bulge), 3000)
    assert backlog_growth(log_of(planned, planned * 0.1)) > 100
    assert grows(log_of(planned, planned * 0.1), 3000)
    assert grows(log_of(planned, np.full(3000, 0.01)), 4000), "a load that had to end early"


def rate(at: float, low: float, high: float | None, **slow: float) -> dict[str, object]:
    p99 = {"ms": low, "low": low, "high": high}
    return {"rate": at, "latency_ms": {"p99": p99}, "slow_ms": slow or {"latency": low}}


def test_promise_holds_up_to_the_highest_rate_below_all_that_do_not() -> None:
    promise = judge([rate(10, 100, 120), rate(20, 200, 290), rate(30, 310, 400), rate(40, 100, 120)], 300)
    assert promise.up_to == 20
    assert holds_up_to("300", "20") in promise.sentence
    assert does_not_at("30") in promise.sentence


def test_promise_that_holds_everywhere_is_one_up_to_the_highest_rate_measured() -> None:
    promise = judge([rate(20, 200, 290), rate(10, 100, 120)], 300)
    assert promise.sentence == holds_up_to("300", "20") + highest_measured()


@pytest.mark.parametrize(
    ("low", "high", "why"), [(301, 400, does_not_at), (299, 301, not_settled_at), (1, None, not_settled_at)]
)
def test_without_a_rate_that_is_shown_to_hold_there_is_no_promise(
    low: float, high: float | None, why: Callable[[str], str]
) -> None:
    promise = judge([rate(10, low, high)], 300)
    assert promise.up_to is None
    assert not_shown_to_hold("300") in promise.sentence
    assert why("10") in promise.sentence


def test_stage_to_improve_is_the_longest_work_of_the_slow_requests_and_never_the_wait() -> None:
    slow = {
        "latency": 320.0,
        "wait": 250.0,
        "total": 70.0,
        "retrieve": 60.0,
        "dense": 55.0,
        "bm25": 20.0,
        "rerank": 10.0,
    }
    promise = judge([rate(10, 310, 330, **slow)], 300)
    assert promise.improve == "dense"
    assert improve_first("dense") in promise.advice
    assert queue_wait() in promise.advice
    own = {"latency": 100.0, "wait": 1.0, "total": 99.0, "retrieve": 90.0, "rerank": 5.0}
    assert judge([rate(10, 90, 110, **own)], 300).improve == "retrieve", "a retriever whose parts are not known"
    assert judge([rate(10, 90, 110)], 300).improve is None


def test_recall_is_that_of_the_exact_neighbours(tmp_path: Path) -> None:
    words = [
        "alpha",
        "bravo",
        "charlie",
        "delta",
        "echo",
        "foxtrot",
        "golf",
        "hotel",
        "india",
        "juliett",
        "kilo",
        "lima",
        "mike",
        "november",
        "oscar",
        "papa",
    ]
    write_corpus(tmp_path, {f"{word}.txt": " ".join(words[: at + 1]) for at, word in enumerate(words)})
    write_questions(tmp_path)
    (config,) = load([*overrides(tmp_path), "retriever=dense", f"vector_store.path={tmp_path / 'store'}"])
    with Assembly(config) as assembly:
        assembly.ingest()
        index = assembly.open()
        questions = [" ".join(words), " ".join(words[2:])]
        assert dense_recall(assembly, index, questions) == {"depth": 10, "questions": 2, "recall": 1.0}
        exact = index.dense

        def loses_two(vector: list[float], k: int) -> list[Hit]:
            return exact(vector, k + 2)[2:]

        index.dense = loses_two  # type: ignore[method-assign]
        assert dense_recall(assembly, index, questions) == {"depth": 10, "questions": 2, "recall": 0.8}


def test_recall_is_not_measured_without_dense_search(tmp_path: Path) -> None:
    (config,) = load([f"vector_store.path={tmp_path}", "retriever=bm25"])
    with Assembly(config) as assembly:
        assert dense_recall(assembly, None, ["a"]) is None  # type: ignore[arg-type]


def test_file_keeps_one_result_of_each_run_machine_condition_and_rate(tmp_path: Path) -> None:
    save_results(tmp_path, [result("a", 10, 50), result("a", 20, 80)])
    save_results(tmp_path, [result("a", 20, 90), result("b", 20, 70), result("a", 20, 99, ingest="copy")])
    kept = [
        (each["run"], each["rate"], each["ingest"], each["latency_ms"]["p99"]["ms"]) for each in load_results(tmp_path)
    ]
    assert kept == [("a", 10, "none", 50), ("a", 20, "none", 90), ("b", 20, "none", 70), ("a", 20, "copy", 99)]
    save_results(tmp_path, [result("a", 10, 1, machine={"id": "m2"})])
    assert len(load_results(tmp_path)) == 5


def test_damaged_file_is_an_error_and_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"results": [{}]}')
    with pytest.raises(DataError, match=wording(as_benchmark_writes_it())):
        save_results(tmp_path, [result("a", 10, 50)])
    assert json.loads((tmp_path / FILE).read_text()) == {"results": [{}]}


def test_machine_has_the_same_id_each_time_and_usage_counts_busy_cores() -> None:
    assert machine() == machine()
    assert machine()["cores"] >= 1
    before = usage({"self": os.getpid()})
    sum(range(3_000_000))
    shown = used(before, usage({"self": os.getpid(), "gone": 2**22 + 1}))
    if shown["cores"]:  # Linux
        assert shown["cores"]["self"] > 0
        assert shown["memory_mb"]["self"] > 10
        assert "gone" not in shown["cores"]


def test_figures_of_a_rate_are_json(tmp_path: Path) -> None:
    log = log_of(np.arange(1000) / 10, np.full(1000, 0.05), timings={"total": 20.0})
    assert json.loads(json.dumps(summarize(10, ["a"] * 1000, log, 300), allow_nan=False))

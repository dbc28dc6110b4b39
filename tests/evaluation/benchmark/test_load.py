"""Open-loop load: planned times, the log of requests, and the proof of the method."""

import http.client
import json
import time
from urllib.parse import urlsplit

import numpy as np
import pytest

from load_tools import fifo_log, log_of, open_load, run_load
from ragloom.evaluation.benchmark.arrivals import Load, drawn, planned_offsets
from ragloom.evaluation.benchmark.rate_summary import summarize
from ragloom.evaluation.latency import latency
from search_service import SearchService, Stalls, answered


def test_poisson_arrivals_come_from_the_seed_at_the_rate_with_exponential_distances() -> None:
    made = planned_offsets(50, 20_000, "poisson", np.random.default_rng(7))
    assert (made == planned_offsets(50, 20_000, "poisson", np.random.default_rng(7))).all()
    assert (made != planned_offsets(50, 20_000, "poisson", np.random.default_rng(8))).any()
    distances = np.diff(made)
    assert distances.min() >= 0
    assert distances.mean() == pytest.approx(1 / 50, rel=0.05)
    assert distances.std() == pytest.approx(1 / 50, rel=0.05)  # of an exponential: its mean


def test_constant_arrivals_have_equal_distances() -> None:
    assert planned_offsets(4, 5, "constant", np.random.default_rng(0)).tolist() == [0, 0.25, 0.5, 0.75, 1.0]


def test_questions_are_drawn_with_replacement_from_the_seed() -> None:
    made = drawn(["a", "b", "c"], 100, np.random.default_rng(1))
    assert set(made) == {"a", "b", "c"}
    assert made == drawn(["a", "b", "c"], 100, np.random.default_rng(1))


def test_backlog_counts_what_was_planned_and_not_answered() -> None:
    log = log_of([0, 1, 2, 3, 4], [0.5, 2.5, np.nan, 0.5, 0.5])
    assert log.backlog(points=5).tolist() == [1, 1, 2, 3, 2]


def test_latency_counts_from_the_planned_time_and_a_failure_as_the_time_out() -> None:
    log = log_of([0, 1, 2, 3], [0.1, 0.2, np.nan, 0.3], lateness=0.004, failed=[1])
    figures = summarize(4, ["a", "b", "a", "b"], log, 250)
    assert (figures["errors"], figures["timeouts"], figures["distinct_questions"]) == (1, 1, 2)
    assert figures["within_slo"] == 1 / 4  # .3 s is over the limit, and so is what failed
    assert figures["slow_ms"]["latency"] == pytest.approx(300)  # from the planned time, not from the sending 4 ms later
    assert figures["latency_ms"]["max"] == pytest.approx(10_000, rel=1e-3)
    assert figures["lateness_p99_ms"] == pytest.approx(4)
    assert figures["valid"]


def test_a_rate_whose_generator_was_late_is_invalid() -> None:
    assert not summarize(1, ["a"], log_of([0.0], [0.1], lateness=0.0051), 300)["valid"]


def test_wait_is_the_time_of_a_request_that_is_no_work() -> None:
    log = log_of(np.arange(1000) / 10, np.full(1000, 0.050), timings={"total": 20.0, "dense": 15.0})
    figures = summarize(10, ["a"] * 1000, log, 300)
    assert figures["stages_ms"]["wait"]["p99"]["ms"] == pytest.approx(30, rel=2e-3)
    assert figures["slow_ms"] == {"latency": 50.0, "wait": 30.0, "total": 20.0, "dense": 15.0}


def test_a_rate_above_what_is_answered_is_saturated_and_one_below_is_not() -> None:
    assert summarize(11, ["a"] * 1000, fifo_log(11, 0.1, 1000), 300)["saturated"]
    assert not summarize(9.9, ["a"] * 1000, fifo_log(9.9, 0.1, 1000), 300)["saturated"]


def test_requests_leave_at_planned_times_though_no_reply_comes() -> None:
    def late(path: str, question: str) -> tuple[int, dict[str, object]]:
        time.sleep(1)
        return answered(path, question)

    with SearchService(late) as service:
        log = run_load(service.url, open_load(200, 50))
    assert len(service.requests) == 50
    assert log.good.all()
    # All 50 left within .25 s, while a closed loop would have waited a second for each.
    assert np.sort(log.done)[0] > log.sent[-1]


def test_request_is_a_json_question_by_post_and_stages_are_those_of_the_reply() -> None:
    with SearchService(answered) as service:
        log = run_load(f"{service.url}/api/", Load(["무엇인가?"] * 3, None, 1, 5.0))
    assert service.requests == [("/api/search", {"question": "무엇인가?"})] * 3
    assert log.timings_ms == [{"total": 0.1, "retrieve": 0.1, "bm25": 0.1}] * 3


def test_errors_and_time_outs_of_a_service_are_failures_with_their_reason() -> None:
    def faulty(path: str, question: str) -> tuple[int, dict[str, object]]:
        if question == "question 1?":
            return 503, {"detail": "too busy"}
        if question == "question 2?":
            time.sleep(4)
        return 200, {}

    with SearchService(faulty) as service:
        log = run_load(service.url, open_load(50, 7, timeout=2.0))
    assert (~log.good).nonzero()[0].tolist() == [1, 2]
    assert log.timed_out.nonzero()[0].tolist() == [2]
    assert 'status 503: {"detail": "too busy"}' in log.errors


def test_load_ends_early_when_more_requests_wait_than_it_allows() -> None:
    def never(path: str, question: str) -> tuple[int, dict[str, object]]:
        time.sleep(2)
        return 200, {}

    with SearchService(never) as service:
        load = open_load(200, 100)
        log = run_load(service.url, Load(load.questions, load.offsets, 0, 10.0, most_waiting=20))
    assert len(log.planned) == 21


@pytest.mark.slow
def test_a_server_that_stalls_one_second_in_ten_shows_in_p99_here_and_not_in_a_closed_loop() -> None:
    """The proof of the method: 100 of 1,000 planned requests meet the stall; a closed loop asks one question then."""
    with SearchService(Stalls()) as service:
        log = run_load(service.url, open_load(100, 1000))
    opened = summarize(100, ["a"] * 1000, log, 300)["latency_ms"]
    with SearchService(Stalls()) as service:
        address = urlsplit(service.url)
        client = http.client.HTTPConnection(address.hostname or "", address.port)

        def ask(question: str) -> dict[str, float]:
            began = time.perf_counter()
            client.request("POST", "/search", json.dumps({"question": question}))
            client.getresponse().read()
            return {"total": (time.perf_counter() - began) * 1000}

        closed = latency(ask, ["a"], concurrency=1, total=1000)["stages"]["total"]
    assert opened["p99"]["low"] > 500
    assert opened["p50"]["ms"] < 250
    assert closed["p99"] < 250

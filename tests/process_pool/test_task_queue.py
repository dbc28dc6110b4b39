"""Items, their sizes and waiting results are bounded; so are each item's time and each worker's memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from process_tools import NEEDS_FORK, ONLY_LINUX, pool_limits
from ragloom.process_pool.pool import ProcessPool
from ragloom.process_pool.results import TaskFailure, TaskResult
from worker_functions import RECEIVED, act

pytestmark = NEEDS_FORK


@pytest.mark.parametrize("processes", [0, 2])
def test_number_of_items_in_flight_is_bounded(processes: int) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    with ProcessPool(act, pool_limits(processes, items=8)) as pool:
        for number, outcome in enumerate(pool.run(items())):
            assert outcome.item == number
            assert len(taken) <= number + 8


def test_size_of_items_in_flight_is_bounded() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    with ProcessPool(act, pool_limits(items=100, in_flight_mb=3), size=lambda item: 1_000_000) as pool:
        for number, _ in enumerate(pool.run(items())):
            assert len(taken) <= number + 3


def test_size_of_results_that_wait_for_their_turn_is_bounded() -> None:
    RECEIVED.clear()
    with ProcessPool(act, pool_limits(processes=3, in_flight_mb=10)) as pool:
        outcomes = pool.run([("sleep", 1.0, "slow"), *[("counted", 4_000_000)] * 20])
        assert next(outcomes) == TaskResult(("sleep", 1.0, "slow"), "slow")
        assert RECEIVED == [4_000_000] * 2  # a third would exceed 10 MB
        assert all(isinstance(outcome, TaskResult) for outcome in outcomes)
    assert len(RECEIVED) == 20


def test_larger_items_have_more_time() -> None:
    items = [("sleep", 1.0, "large"), ("sleep", 1.0, "small")]
    limits = pool_limits(seconds=0.3, seconds_per_mb=5)
    with ProcessPool(act, limits, size=lambda item: 1_000_000 if item[2] == "large" else 0) as pool:
        outcomes: list[Any] = list(pool.run(items))
    assert outcomes == [TaskResult(items[0], "large"), TaskFailure(items[1], "it took longer than 0.3 s")]


@ONLY_LINUX
def test_worker_that_retains_memory_is_replaced() -> None:
    with ProcessPool(act, pool_limits(1)) as pool:
        counts = [outcome.value for outcome in pool.run(["retain"] * 12) if isinstance(outcome, TaskResult)]
    assert counts == [1] * 12  # 60 MB is over a quarter of 200 MB: each item had a fresh process


def test_death_is_not_blamed_on_the_next_item() -> None:
    items = ["die soon", *(("sleep", 0.02, number) for number in range(10))]
    with ProcessPool(act, pool_limits(1)) as pool:
        outcomes = list(pool.run(items))
    assert all(isinstance(outcome, TaskResult) for outcome in outcomes)
    assert [outcome.item for outcome in outcomes] == items

"""Callbacks run in the parent, in the caller's context, and their time does not count against the item."""

from __future__ import annotations

import contextvars
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from process_tools import NEEDS_FORK, pool_limits
from ragloom.errors import DataError
from ragloom.process_pool.parent_callbacks import raise_if_cancelled
from ragloom.process_pool.pool import ProcessPool
from ragloom.process_pool.results import TaskResult
from worker_functions import act

pytestmark = NEEDS_FORK
CALLER: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="nobody")


def calls(*requests: Any) -> list[Any]:
    return [("call parent", request) for request in requests]


@pytest.mark.parametrize("processes", [0, 2])
def test_callback_runs_in_the_parent_in_the_callers_context(processes: int) -> None:
    def callback(request: Any) -> Any:
        return request, os.getpid(), CALLER.get()

    items = calls(*({"n": n} for n in range(50)))
    token = CALLER.set("the caller")
    try:
        with ProcessPool(act, pool_limits(processes), callback=callback) as pool:
            outcomes = list(pool.run(items))
    finally:
        CALLER.reset(token)
    assert outcomes == [TaskResult(item, (item[1], os.getpid(), "the caller")) for item in items]


def test_callback_time_does_not_count_against_the_item() -> None:
    def slow(request: Any) -> str:
        time.sleep(1.2)
        return "reply"

    with ProcessPool(act, pool_limits(seconds=0.5), callback=slow) as pool:
        assert list(pool.run(calls(1, 2))) == [TaskResult(item, "reply") for item in calls(1, 2)]


@pytest.mark.parametrize("processes", [0, 2])
def test_error_of_a_callback_is_raised_unchanged(processes: int) -> None:
    error = DataError("the budget is spent")

    def fail(request: Any) -> None:
        raise error

    with ProcessPool(act, pool_limits(processes), callback=fail) as pool:
        with pytest.raises(DataError) as caught:
            list(pool.run([1, *calls(1), 2]))
        assert caught.value is error
    with ProcessPool(act, pool_limits(processes)) as pool, pytest.raises(RuntimeError, match="`callback`"):
        list(pool.run(calls(1)))


def test_tasks_that_arrive_during_a_callback_are_processed() -> None:
    items = [item for n in range(200) for item in (n, ("call parent", n))]
    with ProcessPool(act, pool_limits(items=200), callback=lambda request: request) as pool:
        values = [outcome.value for outcome in pool.run(items) if isinstance(outcome, TaskResult)]
    assert values == [n for n in range(200) for _ in range(2)]


def test_callback_that_nobody_awaits_is_cancelled_between_its_parts() -> None:
    started, ended = threading.Event(), threading.Event()

    def callback(request: object) -> None:
        try:
            while True:
                started.set()
                raise_if_cancelled()
                time.sleep(0.01)
        finally:
            ended.set()

    def items() -> Iterator[object]:
        yield from calls("x")
        yield "a"
        started.wait()
        raise ValueError("the right error")

    pool = ProcessPool(act, pool_limits(1, seconds=60, items=8), callback=callback)
    with pytest.raises(ValueError, match="the right error"), pool:
        list(pool.run(items()))
    assert ended.wait(30)


def test_nothing_is_cancelled_outside_a_pool() -> None:
    raise_if_cancelled()

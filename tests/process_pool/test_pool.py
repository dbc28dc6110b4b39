"""Every item has its result or failure, in order, whatever one of them does to its process."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from process_tools import NEEDS_FORK, ONLY_LINUX, all_ended, marked_processes, pool_limits
from ragloom.errors import ConfigError, DataError
from ragloom.process_pool.pool import ProcessPool
from ragloom.process_pool.results import TaskFailure, TaskResult, UnpicklableError
from worker_functions import PREPARED, act, prepare, refuse, sleep_long

pytestmark = NEEDS_FORK


@pytest.fixture(scope="module")
def quick_pool() -> Iterator[ProcessPool[Any, Any]]:
    """Two workers with 2.5 seconds per item; an item that does not hang takes milliseconds."""
    with ProcessPool(act, pool_limits(seconds=2.5)) as pool:
        yield pool


@pytest.fixture(scope="module")
def patient_pool() -> Iterator[ProcessPool[Any, Any]]:
    """Two workers with 200 MB and a minute per item: memory runs out before time does, even on a busy machine."""
    with ProcessPool(act, pool_limits(seconds=60)) as pool:
        yield pool


REASONS = {
    "hang": "it took longer than 2.5 s",
    "hang in C": "it took longer than 2.5 s",
    "hang and ignore SIGTERM": "it took longer than 2.5 s",
    "stop": "it took longer than 2.5 s",
    "segfault": "its worker process died (signal 11, SIGSEGV)",
    "abort": "its worker process died (signal 6, SIGABRT: what a library does that gets no more memory)",
    "kill": "its worker process died (signal 9, SIGKILL: what a system does that has no more memory)",
    "exit": "its worker process ended itself (status 7)",
    "exit cleanly": "its worker process ended itself (status 0)",
    "sys.exit": "its reader was stopped by SystemExit",
    "panic": "its reader failed inside a library: Panic: index out of bounds",
}
MEMORY_REASONS = dict.fromkeys(["allocate", "grow"], "it needed more than 200 MB of memory")


def expected(item: Any) -> TaskResult[Any, Any] | TaskFailure[Any]:
    if isinstance(item, tuple):
        return TaskResult(item, "x" * item[1])
    reason = (REASONS | MEMORY_REASONS).get(item)
    return TaskResult(item, item) if reason is None else TaskFailure(item, reason)


def with_neighbours(item: str) -> list[Any]:
    return ["a", 1, item, ("large", 3_000_000), 2, "z"]


@pytest.mark.parametrize("item", REASONS)
@pytest.mark.slow
def test_item_that_takes_its_process_down_fails_alone(item: str, quick_pool: ProcessPool[Any, Any]) -> None:
    assert list(quick_pool.run(with_neighbours(item))) == [expected(each) for each in with_neighbours(item)]


@ONLY_LINUX
@pytest.mark.parametrize("item", MEMORY_REASONS)
def test_item_that_needs_too_much_memory_fails_alone(item: str, patient_pool: ProcessPool[Any, Any]) -> None:
    assert list(patient_pool.run(with_neighbours(item))) == [expected(each) for each in with_neighbours(item)]


PLAIN = st.one_of(st.integers(), st.tuples(st.just("large"), st.integers(0, 2_000_000)), st.text("ab"))
ITEMS = st.tuples(st.lists(PLAIN, max_size=40), st.lists(st.sampled_from([*REASONS]), max_size=4)).flatmap(
    lambda both: st.permutations([*both[0], *both[1]])
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=ITEMS)
def test_every_item_has_its_outcome_in_order(items: list[Any], quick_pool: ProcessPool[Any, Any]) -> None:
    assert list(quick_pool.run(items)) == [expected(item) for item in items]


@pytest.mark.parametrize("processes", [0, 2])
def test_bug_is_raised_at_its_place_with_the_workers_traceback(processes: int) -> None:
    outcomes: list[Any] = []
    with ProcessPool(act, pool_limits(processes)) as pool:
        with pytest.raises(KeyError, match="no such key") as caught:
            outcomes.extend(pool.run([1, 2, "bug", 3]))
        assert outcomes == [TaskResult(1, 1), TaskResult(2, 2)]
        assert [outcome.item for outcome in pool.run([4, 5])] == [4, 5]  # and the pool is usable again
    if processes:
        assert "worker_functions.py" in str(caught.value.__cause__)
        assert "_bug" in str(caught.value.__cause__)


def test_unpicklable_result_or_exception_is_raised() -> None:
    with ProcessPool(act, pool_limits()) as pool:
        with pytest.raises(UnpicklableError, match=r"worker_functions\.Unportable: 1 and 2"):
            list(pool.run(["unportable"]))
        with pytest.raises((AttributeError, pickle.PicklingError)) as caught:  # which one differs by Python version
            list(pool.run(["unpicklable"]))
        assert "worker_process.py" in str(caught.value.__cause__)
        with pytest.raises(RecursionError):
            list(pool.run(["recurse"]))


def test_outcomes_are_the_same_without_worker_processes() -> None:
    items = ["a", "panic", ("large", 5)]
    with ProcessPool(act, pool_limits(0)) as pool:
        assert list(pool.run(items)) == [expected(item) for item in items]
        with pytest.raises(SystemExit):  # it would end this process, no worker
            list(pool.run(["sys.exit"]))


def test_nothing_starts_before_the_first_item(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **keys: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", fail)
    before = threading.active_count()
    with ProcessPool(act, pool_limits(), initializer=refuse) as pool:
        assert list(pool.run([])) == []
        assert threading.active_count() == before


def test_initializer_runs_once_for_all_workers() -> None:
    with ProcessPool(act, pool_limits(), initializer=prepare) as pool:
        values = [outcome.value for outcome in pool.run(["prepared", "prepared"]) if isinstance(outcome, TaskResult)]
        (pid,) = values[0]
        list(pool.run(["exit", "kill"]))
        values += [outcome.value for outcome in pool.run(["prepared"] * 20) if isinstance(outcome, TaskResult)]
    assert pid != os.getpid()
    assert values == [[pid]] * 22
    with ProcessPool(act, pool_limits(0), initializer=prepare) as here:
        assert list(here.run(["prepared", "prepared"])) == [TaskResult("prepared", [os.getpid()])] * 2
    PREPARED.clear()


@pytest.mark.parametrize("processes", [0, 2])
def test_error_of_initializer_is_raised(processes: int) -> None:
    pool = ProcessPool(act, pool_limits(processes), initializer=refuse)
    with pool, pytest.raises(DataError, match="nothing is ready"):
        list(pool.run([1]))


def test_function_of_the_main_module_is_an_error() -> None:
    code = """
        from ragloom.process_pool.pool import PoolLimits, ProcessPool
        def own(item): return item
        with ProcessPool(own, PoolLimits(1, 5, 0, 100, 8, 8)) as pool:
            list(pool.run([1]))
    """
    program = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert program.returncode == 1
    assert "Can't get attribute 'own'" in program.stderr


def test_without_fork_only_zero_processes_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    with pytest.raises(ConfigError, match="cannot fork.*set processes to 0"):
        ProcessPool(act, pool_limits(1))
    with ProcessPool(act, pool_limits(0)) as pool:
        assert list(pool.run([1])) == [TaskResult(1, 1)]


def test_only_one_run_at_a_time() -> None:
    with ProcessPool(act, pool_limits()) as pool:
        outcomes = pool.run([1, 2])
        next(outcomes)
        with pytest.raises(RuntimeError, match="one sequence of items at a time"):
            next(pool.run([3]))


@ONLY_LINUX
def test_closing_ends_all_processes(mark: str) -> None:
    with ProcessPool(act, pool_limits()) as pool:
        outcomes = pool.run(["a", "hang in C", "hang and ignore SIGTERM"])
        assert next(outcomes) == TaskResult("a", "a")
        assert len(marked_processes(mark)) >= 2
    assert all_ended(mark)
    with pytest.raises(RuntimeError, match="closed"):
        next(outcomes)


def test_closing_during_the_initializer_does_not_wait() -> None:
    errors: list[BaseException] = []
    with ProcessPool(act, pool_limits(), initializer=sleep_long) as pool:

        def run() -> None:
            try:
                list(pool.run([1]))
            except RuntimeError as error:
                errors.append(error)

        runner = threading.Thread(target=run)
        runner.start()
        time.sleep(0.5)
        pool.close()
        runner.join(10)
        assert not runner.is_alive()
    assert "closed" in str(errors[0])


@ONLY_LINUX
def test_stopping_early_ends_busy_workers_and_the_pool_is_usable(mark: str) -> None:
    with ProcessPool(act, pool_limits(seconds=60)) as pool:
        for outcome in pool.run(["a", "hang", "hang in C", *range(100)]):
            assert outcome == TaskResult("a", "a")
            break
        assert [outcome.item for outcome in pool.run(range(50))] == list(range(50))
    assert all_ended(mark)


def test_pool_leaves_no_zombie_and_no_thread() -> None:
    before = threading.active_count()
    with ProcessPool(act, pool_limits()) as pool:
        list(pool.run(["a", "segfault", "exit", "b"]))
    with contextlib.suppress(ChildProcessError):  # no child at all
        assert os.waitpid(-1, os.WNOHANG) == (0, 0)
    assert threading.active_count() == before

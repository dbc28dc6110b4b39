"""What the worker pool promises: every item has its outcome in order, whatever one of them does to its process."""

from __future__ import annotations

import contextlib
import contextvars
import os
import pickle
import secrets
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from places import TESTS
from ragloom.errors import ConfigError, DataError
from ragloom.process_pool.pool import Workers
from ragloom.process_pool.results import Done, Failed, Lost
from ragloom.process_pool.task_queue import Bounds
from worker_functions import PREPARED, Panic, act, prepare, refuse, sleep_long

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork: there are no workers")
ONLY_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds a process's memory and lists /proc")


def bounds(processes: int = 2, **changed: Any) -> Bounds:
    values = {"seconds": 20, "seconds_per_mb": 0, "megabytes": 200, "items": 32, "in_flight_mb": 64}
    return Bounds(processes=processes, **(values | changed))


def marked(mark: str) -> set[int]:
    """Processes, zombies aside, that have the mark in their environment."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (path / "environ").read_bytes():
                found.add(int(path.name))
        except OSError:
            continue  # it has ended, or is not ours
    return found


def gone(mark: str, within: float = 10.0) -> bool:
    until = time.monotonic() + within
    while marked(mark):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """What all processes that a test starts are known by."""
    mark = f"ragloom-test-{secrets.token_hex(8)}"
    monkeypatch.setenv("RAGLOOM_TEST_MARK", mark)
    return mark


@pytest.fixture(scope="module")
def impatient() -> Iterator[Workers[Any, Any]]:
    """Two workers that give an item 2.5 seconds; what does not hang takes milliseconds."""
    with Workers(act, bounds(seconds=2.5)) as workers:
        yield workers


@pytest.fixture(scope="module")
def patient() -> Iterator[Workers[Any, Any]]:
    """Two workers that give an item 200 MB and a minute: memory runs out before time does, on busy machines too."""
    with Workers(act, bounds(seconds=60)) as workers:
        yield workers


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
MEMORY = {"allocate", "grow"}
MEMORY_REASON = "it needed more than 200 MB of memory"


def expected(item: Any) -> Done[Any, Any] | Failed[Any]:
    if item in MEMORY:
        return Failed(item, MEMORY_REASON)
    if isinstance(item, tuple):
        return Done(item, "x" * item[1])
    return Failed(item, REASONS[item]) if item in REASONS else Done(item, item)


@pytest.mark.parametrize("item", REASONS)
@pytest.mark.slow
def test_an_item_that_takes_its_process_down_is_named_and_takes_nothing_with_it(
    item: str, impatient: Workers[Any, Any]
) -> None:
    items = ["a", 1, item, ("large", 3_000_000), 2, "z"]
    assert list(impatient.run(items)) == [expected(each) for each in items]


@ONLY_LINUX
@pytest.mark.parametrize("item", sorted(MEMORY))
def test_an_item_that_needs_too_much_memory_is_named_and_takes_nothing_with_it(
    item: str, patient: Workers[Any, Any]
) -> None:
    items = ["a", 1, item, ("large", 3_000_000), 2, "z"]
    assert list(patient.run(items)) == [expected(each) for each in items]


PLAIN = st.one_of(st.integers(), st.tuples(st.just("large"), st.integers(0, 2_000_000)), st.text("ab"))
FATES = st.sampled_from([*REASONS])
ITEMS = st.tuples(st.lists(PLAIN, max_size=40), st.lists(FATES, max_size=4)).flatmap(
    lambda both: st.permutations([*both[0], *both[1]])
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=ITEMS)
def test_every_item_has_its_outcome_in_order_whatever_the_others_do(
    items: list[Any], impatient: Workers[Any, Any]
) -> None:
    assert list(impatient.run(items)) == [expected(item) for item in items]


@pytest.mark.parametrize("processes", [0, 2])
def test_a_bug_is_raised_at_its_place_with_the_workers_traceback(processes: int) -> None:
    seen: list[Any] = []
    with Workers(act, bounds(processes)) as workers:
        with pytest.raises(KeyError, match="no such key") as caught:
            seen.extend(workers.run([1, 2, "bug", 3]))
        assert seen == [Done(1, 1), Done(2, 2)]
        assert [outcome.item for outcome in workers.run([4, 5])] == [4, 5]  # and it can be used again
    if processes:
        assert "worker_functions.py" in str(caught.value.__cause__)
        assert "_bug" in str(caught.value.__cause__)


def test_a_result_or_exception_that_does_not_pickle_is_told_of() -> None:
    with Workers(act, bounds()) as workers:
        with pytest.raises(Lost, match=r"worker_functions\.Unportable: 1 and 2"):
            list(workers.run(["unportable"]))
        with pytest.raises((AttributeError, pickle.PicklingError)) as caught:  # which one differs by Python version
            list(workers.run(["unpicklable"]))
        assert "worker_process.py" in str(caught.value.__cause__)
        with pytest.raises(RecursionError):
            list(workers.run(["recurse"]))


def test_in_this_process_outcomes_are_the_same() -> None:
    with Workers(act, bounds(0)) as workers:
        assert list(workers.run(["a", "panic", ("large", 5)])) == [expected(i) for i in ["a", "panic", ("large", 5)]]
        with pytest.raises(SystemExit):  # nobody's process but this one
            list(workers.run(["sys.exit"]))


def test_nothing_is_started_before_the_first_item(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any, **keys: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refused)
    before = threading.active_count()
    with Workers(act, bounds(), initialise=refuse) as workers:
        assert list(workers.run([])) == []
        assert threading.active_count() == before


def test_initialise_runs_once_and_every_worker_has_what_it_made() -> None:
    with Workers(act, bounds(), initialise=prepare) as workers:
        prepared = [outcome.value for outcome in workers.run(["prepared", "prepared"]) if isinstance(outcome, Done)]
        (first,) = prepared[0]
        list(workers.run(["exit", "kill"]))
        again = [outcome.value for outcome in workers.run(["prepared"] * 20) if isinstance(outcome, Done)]
    assert first != os.getpid()
    assert prepared + again == [[first]] * 22
    with Workers(act, bounds(0), initialise=prepare) as here:
        assert list(here.run(["prepared", "prepared"])) == [Done("prepared", [os.getpid()])] * 2
    PREPARED.clear()


@pytest.mark.parametrize("processes", [0, 2])
def test_what_initialise_raises_is_raised(processes: int) -> None:
    with (
        Workers(act, bounds(processes), initialise=refuse) as workers,
        pytest.raises(DataError, match="nothing is ready"),
    ):
        list(workers.run([1]))


def test_a_function_that_workers_cannot_import_is_said_to_be_one() -> None:
    code = """
        from ragloom.process_pool.task_queue import Bounds
        from ragloom.process_pool.pool import Workers
        def own(item): return item
        with Workers(own, Bounds(1, 5, 0, 100, 8, 8)) as workers:
            list(workers.run([1]))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "Can't get attribute 'own'" in done.stderr


def test_without_fork_only_this_process_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    with pytest.raises(ConfigError, match="processes must be 0 on a system that cannot fork"):
        Workers(act, bounds(1))
    with Workers(act, bounds(0)) as workers:
        assert list(workers.run([1])) == [Done(1, 1)]


# Bounds.


@pytest.mark.parametrize("processes", [0, 2])
def test_items_are_taken_in_a_bounded_number_ahead(processes: int) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    with Workers(act, bounds(processes, items=8)) as workers:
        for at, outcome in enumerate(workers.run(items())):
            assert outcome.item == at
            assert len(taken) <= at + 8


def test_items_are_taken_in_up_to_a_bounded_size() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    with Workers(act, bounds(items=100, in_flight_mb=3), size=lambda item: 1_000_000) as workers:
        for at, _ in enumerate(workers.run(items())):
            assert len(taken) <= at + 3


def test_results_that_wait_for_their_turn_are_held_up_to_a_bounded_size() -> None:
    held: list[int] = []
    with Workers(act, bounds(processes=3, in_flight_mb=10)) as workers:

        def items() -> Iterator[Any]:
            yield ("sleep", 1.0, "slow")
            for _ in range(20):
                yield ("large", 4_000_000)

        watching = threading.Event()

        def watch() -> None:
            while not watching.wait(0.005):
                held.append(workers._flow._held)

        watcher = threading.Thread(target=watch)
        watcher.start()
        outcomes = list(workers.run(items()))
        watching.set()
        watcher.join()
    assert len(outcomes) == 21
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert 4_000_000 < max(held) < 15_000_000  # the first in the order may go over it


def test_an_item_has_more_time_the_more_it_stands_for() -> None:
    with Workers(
        act, bounds(seconds=0.3, seconds_per_mb=5), size=lambda item: 1_000_000 if item[2] == "large" else 0
    ) as workers:
        outcomes = list(workers.run([("sleep", 1.0, "large"), ("sleep", 1.0, "small")]))
    assert outcomes == [
        Done(("sleep", 1.0, "large"), "large"),
        Failed(("sleep", 1.0, "small"), "it took longer than 0.3 s"),
    ]


@ONLY_LINUX
def test_a_worker_that_keeps_memory_is_replaced_so_that_no_item_pays_for_another() -> None:
    with Workers(act, bounds(1)) as workers:
        kept = [outcome.value for outcome in workers.run(["keep"] * 12) if isinstance(outcome, Done)]
    assert kept == [1] * 12  # 60 MB are over a quarter of 200 MB: each had a process of its own


def test_a_death_is_not_put_down_to_an_item_that_only_came_next() -> None:
    items = ["die soon", *(("sleep", 0.02, number) for number in range(10))]
    with Workers(act, bounds(1)) as workers:
        outcomes = list(workers.run(items))
    assert [outcome for outcome in outcomes if isinstance(outcome, Failed)] == []
    assert [outcome.item for outcome in outcomes] == items


# Asking the parent.

ASKED_BY: contextvars.ContextVar[str] = contextvars.ContextVar("asked_by", default="nobody")


@pytest.mark.parametrize("processes", [0, 2])
def test_ask_is_answered_by_the_parent_in_the_callers_context(processes: int) -> None:
    token = ASKED_BY.set("the caller")
    try:
        with Workers(act, bounds(processes), answer=lambda request: (request, os.getpid(), ASKED_BY.get())) as workers:
            outcomes = list(workers.run([("ask", {"n": n}) for n in range(50)]))
    finally:
        ASKED_BY.reset(token)
    assert outcomes == [Done(("ask", {"n": n}), ({"n": n}, os.getpid(), "the caller")) for n in range(50)]


def test_the_time_that_an_answer_takes_is_not_the_items() -> None:
    def slow(request: Any) -> str:
        time.sleep(1.2)
        return "answered"

    with Workers(act, bounds(seconds=0.5), answer=slow) as workers:
        assert list(workers.run([("ask", 1), ("ask", 2)])) == [Done(("ask", n), "answered") for n in (1, 2)]


@pytest.mark.parametrize("processes", [0, 2])
def test_what_answering_raises_is_raised_as_it_is(processes: int) -> None:
    error = DataError("the budget is spent")

    def refused(request: Any) -> None:
        raise error

    with Workers(act, bounds(processes), answer=refused) as workers:
        with pytest.raises(DataError) as caught:
            list(workers.run([1, ("ask", 1), 2]))
        assert caught.value is error
    with Workers(act, bounds(processes)) as workers, pytest.raises(RuntimeError, match="`answer`"):
        list(workers.run([("ask", 1)]))


def test_a_worker_that_is_sent_items_while_it_asks_keeps_them() -> None:
    items = [item for n in range(200) for item in (n, ("ask", n))]
    with Workers(act, bounds(items=200), answer=lambda request: request) as workers:
        assert [outcome.value for outcome in workers.run(items) if isinstance(outcome, Done)] == [
            n for n in range(200) for _ in range(2)
        ]


# How it ends.


@ONLY_LINUX
def test_closing_ends_all_processes_whatever_they_are_at(mark: str) -> None:
    with Workers(act, bounds()) as workers:
        outcomes = workers.run(["a", "hang in C", "hang and ignore SIGTERM"])
        assert next(outcomes) == Done("a", "a")
        assert len(marked(mark)) >= 2
    assert gone(mark)
    with pytest.raises(RuntimeError, match="closed"):
        next(outcomes)


def test_closing_while_workers_are_being_prepared_does_not_wait() -> None:
    raised: list[BaseException] = []
    with Workers(act, bounds(), initialise=sleep_long) as workers:

        def wait() -> None:
            try:
                list(workers.run([1]))
            except RuntimeError as error:
                raised.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.5)
        workers.close()
        waiting.join(10)
        assert not waiting.is_alive()
    assert "closed" in str(raised[0])


@ONLY_LINUX
def test_stopping_early_ends_what_is_under_way_and_the_pool_goes_on(mark: str) -> None:
    with Workers(act, bounds(seconds=60)) as workers:
        for outcome in workers.run(["a", "hang", "hang in C", *range(100)]):
            assert outcome == Done("a", "a")
            break
        assert [outcome.item for outcome in workers.run(range(50))] == list(range(50))
    assert gone(mark)


@ONLY_LINUX
@pytest.mark.parametrize("victim", ["a worker", "the process that forks them"])
def test_what_somebody_kills_is_replaced_and_nothing_is_lost(victim: str, mark: str) -> None:
    with Workers(act, bounds()) as workers:
        outcomes = []
        for outcome in workers.run([("sleep", 0.01, number) for number in range(150)]):
            outcomes.append(outcome)
            if len(outcomes) in (40, 80):
                assert workers._nursery is not None
                assert workers._nursery._zygote is not None
                parent = workers._nursery._zygote.pid
                children = marked(mark) - {parent, os.getpid()}
                os.kill(min(children) if victim == "a worker" else parent, signal.SIGKILL)
        assert outcomes == [Done(("sleep", 0.01, number), number) for number in range(150)]
    assert gone(mark)


SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background was told to ignore it
from ragloom.process_pool.task_queue import Bounds
from ragloom.process_pool.pool import Workers
from worker_functions import act
workers = Workers(act, Bounds(2, 1000, 0, 200, 8, 8))
outcomes = workers.run(["a", *sys.argv[1:]])
print(next(outcomes).item, flush=True)
"""


@pytest.fixture
def script(mark: str) -> Iterator[Callable[[str, list[str]], subprocess.Popen[str]]]:
    """Starts a program that has a pool, in a process group of its own, and waits until its workers are at work."""
    started = []

    def start(end: str, items: list[str]) -> subprocess.Popen[str]:
        program = subprocess.Popen(
            [sys.executable, "-c", SCRIPT + end, *items],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(TESTS / "support")},
        )
        started.append(program)
        assert program.stdout is not None
        assert program.stdout.readline() == "a\n"
        return program

    yield start
    for program in started:
        program.kill()
        program.communicate()


@ONLY_LINUX
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda sent: sent.name)
@pytest.mark.parametrize("to", ["the program", "its process group"])
def test_no_worker_outlives_a_program_that_is_ended(
    to: str, sent: signal.Signals, script: Callable[[str, list[str]], subprocess.Popen[str]], mark: str
) -> None:
    program = script("next(outcomes)", ["hang in C", "hang and ignore SIGTERM"])
    assert len(marked(mark)) >= 3
    (os.kill if to == "the program" else os.killpg)(program.pid, sent)
    program.communicate(timeout=20)
    assert program.returncode in (-sent, 1)
    assert gone(mark)


@ONLY_LINUX
def test_a_program_that_forgets_to_close_its_pool_ends_all_the_same(
    script: Callable[[str, list[str]], subprocess.Popen[str]], mark: str
) -> None:
    program = script("", ["hang in C"])
    _, said = program.communicate(timeout=20)
    assert (program.returncode, said) == (0, "")
    assert gone(mark)


@ONLY_LINUX
def test_what_a_worker_prints_is_not_in_the_programs_output(
    script: Callable[[str, list[str]], subprocess.Popen[str]],
) -> None:
    program = script("list(outcomes); workers.close()", ["print"])
    printed, said = program.communicate(timeout=20)
    assert (program.returncode, printed, said) == (0, "", "from a worker\n")


def test_a_pool_leaves_no_zombie_and_no_thread() -> None:
    before = threading.active_count()
    with Workers(act, bounds()) as workers:
        list(workers.run(["a", "segfault", "exit", "b"]))
    with contextlib.suppress(ChildProcessError):  # raised where there is not even a living one
        assert os.waitpid(-1, os.WNOHANG) == (0, 0)
    assert threading.active_count() == before


def test_one_sequence_of_items_at_a_time() -> None:
    with Workers(act, bounds()) as workers:
        outcomes = workers.run([1, 2])
        next(outcomes)
        with pytest.raises(RuntimeError, match="one sequence of items at a time"):
            next(workers.run([3]))
    assert Panic.__mro__[1] is BaseException

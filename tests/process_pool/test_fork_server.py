"""Processes that somebody kills are replaced; no process outlives the program; any main module will do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from places import TESTS
from process_tools import ONLY_LINUX, all_ended, marked_processes, parent_of, pool_limits
from ragloom.process_pool.pool import ProcessPool
from ragloom.process_pool.results import TaskResult
from worker_functions import act

pytestmark = ONLY_LINUX


@pytest.mark.parametrize("victim", ["worker", "fork server"])
def test_killed_process_is_replaced_and_no_item_is_lost(victim: str, mark: str) -> None:
    items = [("sleep", 0.01, number) for number in range(150)]
    with ProcessPool(act, pool_limits()) as pool:
        outcomes = []
        for outcome in pool.run(items):
            outcomes.append(outcome)
            if len(outcomes) in (40, 80):
                children = marked_processes(mark) - {os.getpid()}
                servers = {pid for pid in children if parent_of(pid) == os.getpid()}
                os.kill(min(servers if victim == "fork server" else children - servers), signal.SIGKILL)
        assert outcomes == [TaskResult(item, item[2]) for item in items]
    assert all_ended(mark)


SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
from ragloom.process_pool.pool import PoolLimits, ProcessPool
from worker_functions import act
pool = ProcessPool(act, PoolLimits(2, 1000, 0, 200, 8, 8))
outcomes = pool.run(["a", *sys.argv[1:]])
print(next(outcomes).item, flush=True)
"""
PATH = os.pathsep.join([str(TESTS), str(TESTS / "support")])
Start = Callable[[str, list[str]], "subprocess.Popen[str]"]


@pytest.fixture
def start(mark: str) -> Iterator[Start]:
    """Start a program with a pool in its own process group; wait until its workers are busy."""
    programs = []

    def start(end: str, items: list[str]) -> subprocess.Popen[str]:
        program = subprocess.Popen(
            [sys.executable, "-c", SCRIPT + end, *items],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": PATH},
        )
        programs.append(program)
        assert program.stdout is not None
        assert program.stdout.readline() == "a\n"
        return program

    yield start
    for program in programs:
        program.kill()
        program.communicate()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("target", ["program", "process group"])
def test_no_worker_outlives_a_killed_program(target: str, number: signal.Signals, start: Start, mark: str) -> None:
    program = start("next(outcomes)", ["hang in C", "hang and ignore SIGTERM"])
    assert len(marked_processes(mark)) >= 3
    (os.kill if target == "program" else os.killpg)(program.pid, number)
    program.communicate(timeout=20)
    assert program.returncode in (-number, 1)
    assert all_ended(mark)


def test_program_that_does_not_close_its_pool_ends(start: Start, mark: str) -> None:
    program = start("", ["hang in C"])
    _, errors = program.communicate(timeout=20)
    assert (program.returncode, errors) == (0, "")
    assert all_ended(mark)


def test_worker_prints_to_stderr(start: Start) -> None:
    program = start("list(outcomes); pool.close()", ["print"])
    output, errors = program.communicate(timeout=20)
    assert (program.returncode, output, errors) == (0, "", "from a worker\n")


MAIN = """
from ragloom.process_pool.pool import PoolLimits, ProcessPool
from worker_functions import act
with ProcessPool(act, PoolLimits(2, 1000, 0, 200, 8, 8)) as pool:
    assert len(list(pool.run([1, 2]))) == 2
open("result", "a").write("once")
"""


@pytest.mark.parametrize(
    "arguments", ["main.py", "- <main.py", '-c "$(cat main.py)"', "main.py <&-", "main.py <&- >&-", "-m main <&- >&-"]
)
def test_main_module_needs_no_guard_and_no_standard_streams(arguments: str, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(MAIN)
    program = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} {arguments}"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": PATH},
        timeout=60,
        check=False,
    )
    assert (program.returncode, program.stderr) == (0, "")
    assert (tmp_path / "result").read_text() == "once"

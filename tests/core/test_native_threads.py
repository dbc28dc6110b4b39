"""Interpreter exit waits for native code in daemon threads, and for nothing else."""

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from places import TESTS
from ragloom.process_pool.parent_callbacks import demand_wanted
from ragloom.process_pool.pool import Workers
from ragloom.process_pool.task_queue import Bounds
from worker_functions import act

ENDS_WHILE_A_THREAD_WORKS = """
import sys, threading, time
from pathlib import Path
from ragloom.core.native_threads import finished_before_exit

begun = threading.Event()

def work():
    with finished_before_exit():
        begun.set()
        time.sleep(0.5)
        Path(sys.argv[1]).write_text("finished")
    time.sleep(3600)  # Python code outside: exit does not wait for it

threading.Thread(target=work, daemon=True).start()
begun.wait()
sys.exit(1)
"""


def program(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(text), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=TESTS / "support", check=False)


def test_exit_waits_for_native_code_in_a_daemon_thread(tmp_path: Path) -> None:
    done = program(ENDS_WHILE_A_THREAD_WORKS, str(tmp_path / "file"))
    assert (done.returncode, done.stderr) == (1, "")
    assert (tmp_path / "file").read_text() == "finished"


def test_answer_that_nobody_waits_for_is_stopped_between_its_parts() -> None:
    begun, ended = threading.Event(), threading.Event()

    def answer(request: object) -> None:
        try:
            while True:
                begun.set()
                demand_wanted()
                time.sleep(0.01)
        finally:
            ended.set()

    def items() -> Iterator[object]:
        yield ("ask", "x")
        yield "a"
        begun.wait()
        raise ValueError("the right error")

    bounds = Bounds(processes=1, seconds=60, seconds_per_mb=0, megabytes=400, items=8, in_flight_mb=8)
    with pytest.raises(ValueError, match="the right error"), Workers(act, bounds, answer=answer) as workers:
        list(workers.run(items()))
    assert ended.wait(30)


def test_answer_is_wanted_outside_of_a_pool() -> None:
    demand_wanted()

"""Interpreter exit waits for native code in daemon threads, and for nothing else."""

import subprocess
import sys
import textwrap
from pathlib import Path

ENDS_WHILE_A_THREAD_WORKS = """
import sys, threading, time
from pathlib import Path
from ragloom.native import finished_before_exit

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

ENDS_WHILE_AN_ANSWER_IS_COMPUTED = """
import sys, threading, time
from pathlib import Path
from ragloom.workers.asking import demand_wanted
from ragloom.workers.flow import Bounds
from ragloom.workers.pool import Workers
import worker_functions

begun = threading.Event()

def answer(request):
    begun.set()
    for part in range(1000):  # would take 17 minutes
        demand_wanted()
        time.sleep(1)

bounds = Bounds(processes=1, seconds=60, seconds_per_mb=0, megabytes=400, items=8, in_flight_mb=8)

def items():
    yield ("ask", "x")
    yield "a"
    begun.wait()
    raise ValueError("the right error")

try:
    with Workers(worker_functions.act, bounds, answer=answer) as workers:
        list(workers.run(items()))
except ValueError as error:
    print(error)
    sys.exit(1)
"""


def program(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(text), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)


def test_exit_waits_for_native_code_in_a_daemon_thread(tmp_path: Path) -> None:
    done = program(ENDS_WHILE_A_THREAD_WORKS, str(tmp_path / "file"))
    assert (done.returncode, done.stderr) == (1, "")
    assert (tmp_path / "file").read_text() == "finished"


def test_answer_that_nobody_waits_for_is_stopped_between_its_parts() -> None:
    done = program(ENDS_WHILE_AN_ANSWER_IS_COMPUTED)
    assert (done.returncode, done.stdout, done.stderr) == (1, "the right error\n", "")

"""Interpreter exit waits for native code in daemon threads, and for nothing else."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys, threading, time
from pathlib import Path
from ragloom.core.native_threads import finished_before_exit

started = threading.Event()

def work():
    with finished_before_exit():
        started.set()
        time.sleep(0.5)
        Path(sys.argv[1]).write_text("finished")
    time.sleep(3600)  # Python code outside: exit does not wait for it

threading.Thread(target=work, daemon=True).start()
started.wait()
sys.exit(1)
"""


def test_exit_waits_for_native_code_in_a_daemon_thread(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "file")]
    program = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (program.returncode, program.stderr) == (1, "")
    assert (tmp_path / "file").read_text() == "finished"

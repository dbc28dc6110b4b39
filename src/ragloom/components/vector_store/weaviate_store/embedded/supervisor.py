"""Supervisor of an embedded server: ends it after its last user.

It is a separate process and imports nothing of ours. Every program that uses the server holds a shared lock on
`users.lock`, which the kernel releases when the program ends, however it ends. The supervisor ends the server when it
gets that lock exclusively, and keeps it until the server is gone, so that no program joins meanwhile. On Linux the
kernel ends the server if the supervisor itself is killed.

Usage: supervisor.py FOLDER < {"command": [...], "env": {...}, "state": {...}}
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

STATE, USERS, START, LOG, DATA = "server.json", "users.lock", "start.lock", "server.log", "data"
"""Files in an embedded server's folder."""
_POLL_SECONDS = 0.1
END_SECONDS = 30.0
"""Limit for a server's end before it is killed."""
_SET_PDEATHSIG = 1  # prctl(2)


def start_time(process: int) -> str | None:
    """Read a process's start time, as the system's text; None once ended."""
    if platform.system() == "Linux":
        try:
            fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    ps = subprocess.run(["ps", "-o", "lstart=", "-p", str(process)], capture_output=True, text=True, check=False)
    return ps.stdout.strip() or None


def try_lock(file: int, kind: int) -> bool:
    """Take a lock unless another process holds it."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Replace the state file atomically; its key is for the owner only."""
    new = folder / f"{STATE}.new"
    new.unlink(missing_ok=True)
    new.touch(0o600, exist_ok=False)
    new.write_text(json.dumps(state), encoding="utf-8")
    new.replace(folder / STATE)


def main() -> None:
    """Start the server, and wait for its end."""
    folder = Path(sys.argv[1])
    job = json.load(sys.stdin)
    if os.fork():
        os._exit(0)  # the program that started us does not wait
    os.setsid()
    state = {**job["state"], "supervisor": os.getpid(), "supervisor_started": start_time(os.getpid())}
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ending.append(number))
    with (folder / LOG).open("ab") as log, (folder / USERS).open("ab") as users:
        try:
            server = subprocess.Popen(
                job["command"],
                env=job["env"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                preexec_fn=_end_with_parent,
            )
        except OSError as error:
            write_state(folder, {**state, "status": "failed", "reason": str(error)})
            return
        state |= {"process": server.pid, "started": start_time(server.pid), "status": "running"}
        write_state(folder, state)
        while server.poll() is None and not ending and not try_lock(users.fileno(), fcntl.LOCK_EX):
            time.sleep(_POLL_SECONDS)
        if server.poll() is not None:
            write_state(folder, {**state, "status": "failed", "reason": f"it ended with code {server.returncode}"})
            return
        write_state(folder, {**state, "status": "ending"})
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(END_SECONDS)
        server.kill()
        server.wait()
        (folder / STATE).unlink()


def _end_with_parent() -> None:
    if platform.system() == "Linux":
        ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()

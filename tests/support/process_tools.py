"""Tools for tests of worker processes."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ragloom.process_pool.task_queue import PoolLimits

NEEDS_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork: there are no workers")
ONLY_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory and lists /proc")


def pool_limits(processes: int = 2, **changes: Any) -> PoolLimits:
    values = {"seconds": 20, "seconds_per_mb": 0, "megabytes": 200, "items": 32, "in_flight_mb": 64}
    return PoolLimits(processes=processes, **(values | changes))


def marked_processes(mark: str) -> set[int]:
    """Process ids, without zombies, whose environment contains the mark."""
    pids = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (path / "environ").read_bytes():
                pids.add(int(path.name))
        except OSError:
            continue  # it has ended, or is another user's
    return pids


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def all_ended(mark: str, within: float = 10.0) -> bool:
    """Wait up to `within` seconds until no process with the mark runs."""
    deadline = time.monotonic() + within
    while marked_processes(mark):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True

"""The rule for files that change while they are read: how old a change must be before the file is read.

A file may be half written, and equal sizes and times before and after a read do not show it: a writer rests between
two writes, and a clock of files ticks every few milliseconds (every two seconds on FAT). A file that changed within
the last `WINDOW_NS` is therefore read after a pause. Its time may then be trusted: whatever changes the file later
gives it another time. A time in the future proves nothing, as with Git's "racy" entries.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

WINDOW_NS = 2_000_000_000
"""Nanoseconds: the coarsest clock of a common file system (FAT)."""
STILL_NS = WINDOW_NS // 2
"""Nanoseconds: what changed within this time after the pause is still being written; what is older is read, and its
time is not trusted before it is as old as `WINDOW_NS`."""

# Tests set these two: none waits, and none depends on the speed of a machine.
now_ns = time.time_ns
sleep = time.sleep


def is_recent(mtime_ns: int | None, within: int = WINDOW_NS) -> bool:
    """Return whether a change is so recent that the writer may not have finished."""
    return mtime_ns is not None and 0 <= now_ns() - mtime_ns < within


def trusted_mtime(mtime_ns: int) -> int | None:
    """Return a time by which an unchanged file can be told later; None for one in the future."""
    return mtime_ns if mtime_ns <= now_ns() else None


def pause(mtime_ns: int) -> None:
    """Wait until a change at that time is old enough, at most `WINDOW_NS`."""
    remaining = min(mtime_ns + WINDOW_NS - now_ns(), WINDOW_NS)
    if remaining > 0:
        sleep(remaining / 1e9)


def stat_after_pause(path: Path) -> os.stat_result:
    """Return a file's status, after a pause where it changed a moment ago.

    Raises:
        OSError: it cannot be looked at.
    """
    status = path.stat()
    if is_recent(status.st_mtime_ns):
        pause(status.st_mtime_ns)
        status = path.stat()
    return status

"""Handling of files under change: minimum age before a read.

Equal sizes and times before and after a read do not prove that a file is complete: writers pause between writes, and
file clocks tick every few milliseconds (every two seconds on FAT). A file changed within the last `WINDOW_NS` is
therefore read after a pause. Its time is then reliable: any later change gives another time. A time in the future
proves nothing, as with Git's "racy" entries.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

WINDOW_NS = 2_000_000_000
"""Nanoseconds: the coarsest clock of a common file system (FAT)."""
STILL_NS = WINDOW_NS // 2
"""Nanoseconds: a file changed within this time after the pause is still being written. An older one is read; its time
is unreliable until it is as old as `WINDOW_NS`."""

# Set by tests, so that they neither wait nor depend on the speed of a machine.
now_ns = time.time_ns
sleep = time.sleep


def is_recent(mtime_ns: int | None, within: int = WINDOW_NS) -> bool:
    """Return whether a change is too recent for a finished write."""
    return mtime_ns is not None and 0 <= now_ns() - mtime_ns < within


def trusted_mtime(mtime_ns: int) -> int | None:
    """Return a modification time usable for comparison; None for a future one."""
    return mtime_ns if mtime_ns <= now_ns() else None


def pause(mtime_ns: int) -> None:
    """Wait until a change is old enough, at most `WINDOW_NS`."""
    remaining = min(mtime_ns + WINDOW_NS - now_ns(), WINDOW_NS)
    if remaining > 0:
        sleep(remaining / 1e9)


def stat_after_pause(path: Path) -> os.stat_result:
    """Return the status of a file, after a pause if recently changed.

    Raises:
        OSError: the file is inaccessible.
    """
    status = path.stat()
    if is_recent(status.st_mtime_ns):
        pause(status.st_mtime_ns)
        status = path.stat()
    return status

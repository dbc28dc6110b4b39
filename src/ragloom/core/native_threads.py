"""Interpreter exit waits for native code that runs in daemon threads.

A daemon thread that returns from C++ while the interpreter ends is unwound through that code: the process aborts
(SIGABRT, status 134) after the right error was printed.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_changed = threading.Condition()
_running: set[int] = set()
_INTERRUPTED = 130


@contextmanager
def finished_before_exit() -> Iterator[None]:
    """Delay interpreter exit until the block has ended.

    For daemon threads that call native code.
    """
    thread = threading.get_ident()
    with _changed:
        _running.add(thread)
    try:
        yield
    finally:
        with _changed:
            _running.discard(thread)
            _changed.notify_all()


def _wait() -> None:
    try:
        with _changed:
            while _running:
                _changed.wait()
    except KeyboardInterrupt:
        os._exit(_INTERRUPTED)  # the only end that unwinds no thread


def _forget() -> None:
    """Forget the parent's threads, which a forked child does not have."""
    global _changed
    _changed = threading.Condition()
    _running.clear()


atexit.register(_wait)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

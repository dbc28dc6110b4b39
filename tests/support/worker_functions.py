"""Functions for worker processes in tests: they sleep, die, leak, call the parent, raise or return, as the item says."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import threading
import time
from typing import Any

from ragloom.errors import DataError
from ragloom.process_pool.parent_callbacks import call_parent

PREPARED: list[int] = []
"""Process ids that `prepare` ran in."""
RETAINED: list[bytes] = []
RECEIVED: list[int] = []
"""Sizes of the `Counted` values that this process unpickled."""


class Panic(BaseException):
    """Fake of pyo3's PanicException, which is no Exception either."""


class Unportable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class Counted:
    """A value that records its size where it is unpickled."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __reduce__(self) -> tuple[Any, ...]:
        return _counted, (self.content,)


def _counted(content: bytes) -> Counted:
    RECEIVED.append(len(content))
    return Counted(content)


def prepare() -> None:
    PREPARED.append(os.getpid())


def refuse() -> None:
    raise DataError("nothing is ready")


def sleep_long() -> None:
    time.sleep(1000)


def act(item: Any) -> Any:
    """Do what the item's name says; return other items unchanged."""
    action = ACTIONS.get(item) if isinstance(item, str) else None
    if isinstance(item, tuple):
        return PARAMETRIC[item[0]](*item[1:])
    return item if action is None else action()


def _bug() -> None:
    {}["no such key"]


def _raise(error: BaseException) -> None:
    raise error


def _grow() -> None:
    blocks = []
    while True:
        blocks.append(b"1" * 20_000_000)


def _retain() -> int:
    RETAINED.append(b"1" * 60_000_000)
    return len(RETAINED)


def _die_soon() -> str:
    """Return, and kill the process while it processes the next items."""
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGKILL)).start()
    return "returned"


ACTIONS: dict[str, Any] = {
    "hang": lambda: time.sleep(1000),
    "hang in C": lambda: re.match(r"(a+)+$", "a" * 60 + "b"),
    "hang and ignore SIGTERM": lambda: (signal.signal(signal.SIGTERM, signal.SIG_IGN), time.sleep(1000)),
    "segfault": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(7),
    "exit cleanly": lambda: os._exit(0),
    "abort": lambda: os.abort(),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "sys.exit": lambda: sys.exit(3),
    "allocate": lambda: len(bytearray(3_000_000_000)),
    "grow": _grow,
    "retain": _retain,
    "recurse": lambda: (lambda again: again(again))(lambda again: again(again)),
    "bug": _bug,
    "panic": lambda: _raise(Panic("index out\nof bounds")),
    "unportable": lambda: _raise(Unportable(1, 2)),
    "unpicklable": lambda: lambda: 0,
    "prepared": lambda: list(PREPARED),
    "pid": os.getpid,
    "print": lambda: print("from a worker", flush=True),
    "die soon": _die_soon,
}
PARAMETRIC: dict[str, Any] = {
    "large": lambda size: "x" * size,
    "sleep": lambda seconds, value: (time.sleep(seconds), value)[1],
    "counted": lambda size: Counted(bytes(size)),
    "call parent": call_parent,
}

"""What runs in a worker process: one item after the other, within its limits, until the parent closes the wire.

The parent keeps the time; an alarm of the kernel's stands behind it, for a parent that is too busy, or gone.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import resource
import signal
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Never

from ragloom.process_pool.messages import Frame, Kind, Wire, frame
from ragloom.process_pool.parent_callbacks import answering
from ragloom.process_pool.results import FROM_OUTSIDE, OUT_OF_MEMORY, Lost, Refused, panicked

ALARM_AFTER = 5.0
"""Seconds that the parent has to end a worker whose time is over, before the kernel does."""
_KEPT_SHARE = 4
"""A worker that keeps over one part in so many of its memory after an item makes room for a new one, so that the
limit means the same for each item."""
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def serve(end: socket.socket, function: Callable[[Any], Any], megabytes: float) -> Never:
    """Works until the parent closes its end. Ends the process."""
    status = 0
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        _Worker(Wire(end), function, megabytes).loop()
    except (BrokenPipeError, ConnectionResetError, EOFError):
        status = 0  # the parent has gone, and nobody is left to be told
    except MemoryError:
        status = OUT_OF_MEMORY
    except BaseException:  # noqa: BLE001 - the process ends here, and must not run what the one it was forked from left
        traceback.print_exc()
        status = 1
    sys.stderr.flush()
    os._exit(status)


def die_with_parent(parent: int) -> None:
    """Has the kernel end this process when the one that forked it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


class _Worker:
    def __init__(self, wire: Wire, function: Callable[[Any], Any], megabytes: float) -> None:
        self._wire = wire
        self._function = function
        self._waiting: deque[tuple[bytes, float]] = deque()
        self._begun_with = _private_bytes()
        self._budget = round(megabytes * 1_000_000)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if self._begun_with:
            limit = self._begun_with + self._budget
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    def loop(self) -> None:
        with answering(self._ask):
            while (item := self._next()) is not None:
                pickled, seconds = item
                signal.setitimer(signal.ITIMER_REAL, seconds + ALARM_AFTER)
                answer = self._tried(pickled)
                signal.setitimer(signal.ITIMER_REAL, 0)
                self._wire.send(answer)
                del answer
                if self._keeps_too_much():
                    self._wire.send(frame(Kind.RETIRE, None))
                    return

    def _next(self) -> tuple[bytes, float] | None:
        if self._waiting:
            return self._waiting.popleft()
        head = self._wire.head()
        if head is None:
            return None
        item: tuple[bytes, float] = self._wire.body(head)  # type: ignore[assignment]
        return item

    def _tried(self, pickled: bytes) -> Frame:
        try:
            return frame(Kind.VALUE, self._function(pickle.loads(pickled)))
        except MemoryError:
            return frame(Kind.OUT_OF_MEMORY, None)
        except Exception as error:  # noqa: BLE001 - raised again by the parent
            return frame(Kind.RAISED, (_portable(error), traceback.format_exc()))
        except FROM_OUTSIDE as error:
            return frame(Kind.FAILED, f"its reader was stopped by {type(error).__name__}")
        except BaseException as panic:  # noqa: BLE001 - pyo3's PanicException: told of this item only
            return frame(Kind.FAILED, panicked(panic))

    def _ask(self, request: Any) -> Any:
        left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        self._wire.send(frame(Kind.ASK, request))
        while True:
            head = self._wire.head()
            if head is None:
                raise EOFError
            value = self._wire.body(head)
            if head.kind is not Kind.ITEM:
                break
            self._waiting.append(value)  # type: ignore[arg-type]
        signal.setitimer(signal.ITIMER_REAL, left)
        if head.kind is Kind.REFUSAL:
            raise Refused
        return value

    def _keeps_too_much(self) -> bool:
        if _private_bytes() - self._begun_with <= self._budget // _KEPT_SHARE:
            return False
        gc.collect()
        return _private_bytes() - self._begun_with > self._budget // _KEPT_SHARE


def _portable(error: Exception) -> Exception:
    """Gives an exception that pickles: itself, or what is left of it."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - whatever its pickling raises, its own type and text are told
        return Lost(f"{type(error).__module__}.{type(error).__qualname__}: {error}")
    return error


def _private_bytes() -> int:
    """What counts against RLIMIT_DATA: writable memory of this process alone; 0 where the system does not say."""
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()

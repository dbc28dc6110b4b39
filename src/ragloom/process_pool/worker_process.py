"""Worker process: runs tasks within limits until the parent closes the connection.

The parent enforces the time limit; a kernel alarm backs it up if the parent is too busy, or dead.
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

from ragloom.process_pool.messages import Message, MessageKind, MessageSocket, encode
from ragloom.process_pool.parent_callbacks import callback_handler
from ragloom.process_pool.results import (
    EXIT_EXCEPTIONS,
    OUT_OF_MEMORY_STATUS,
    CallbackError,
    UnpicklableError,
    panic_reason,
)

_ALARM_DELAY = 5.0
"""Seconds for the parent to end a worker that exceeds its time, before the kernel does."""
_MAX_GROWTH = 0.25
"""Share of its memory limit that a worker may retain after a task; above it a fresh one takes over, so that the
limit means the same for each task."""
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def run_worker(connection: socket.socket, function: Callable[[Any], Any], megabytes: float) -> Never:
    """Run tasks until the parent closes its end, then end the process."""
    status = 0
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        _Worker(MessageSocket(connection), function, megabytes).run()
    except (BrokenPipeError, ConnectionResetError, EOFError):
        pass  # the parent closed the pool, or died
    except MemoryError:
        status = OUT_OF_MEMORY_STATUS
    except BaseException:  # noqa: BLE001 - the fork server's own code must not run in this process
        traceback.print_exc()
        status = 1
    sys.stderr.flush()
    os._exit(status)


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its parent ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


class _Worker:
    def __init__(self, messages: MessageSocket, function: Callable[[Any], Any], megabytes: float) -> None:
        self._messages, self._function = messages, function
        self._tasks: deque[tuple[bytes, float]] = deque()
        """Tasks that arrived before the reply to a request."""
        self._initial_bytes, self._max_bytes = _private_bytes(), round(megabytes * 1_000_000)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if self._initial_bytes:
            limit = self._initial_bytes + self._max_bytes
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    def run(self) -> None:
        with callback_handler(self._call_parent):
            while not self._has_grown():
                item, seconds = self._tasks.popleft() if self._tasks else self._messages.receive()[1]
                signal.setitimer(signal.ITIMER_REAL, seconds + _ALARM_DELAY)
                result = self._process(item)
                signal.setitimer(signal.ITIMER_REAL, 0)
                self._messages.send(result)
                del item, result
        self._messages.send(encode(MessageKind.RETIRE, None))

    def _process(self, item: bytes) -> Message:
        try:
            return encode(MessageKind.VALUE, self._function(pickle.loads(item)))
        except MemoryError:
            return encode(MessageKind.OUT_OF_MEMORY, None)
        except Exception as error:  # noqa: BLE001 - raised again by the parent
            return encode(MessageKind.EXCEPTION, (_picklable(error), traceback.format_exc()))
        except EXIT_EXCEPTIONS as error:
            return encode(MessageKind.FAILURE, f"its reader was stopped by {type(error).__name__}")
        except BaseException as panic:  # noqa: BLE001 - pyo3's PanicException fails only this item
            return encode(MessageKind.FAILURE, panic_reason(panic))

    def _call_parent(self, request: Any) -> Any:
        seconds_left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        self._messages.send(encode(MessageKind.REQUEST, request))
        while (message := self._messages.receive())[0] is MessageKind.TASK:
            self._tasks.append(message[1])
        signal.setitimer(signal.ITIMER_REAL, seconds_left)
        kind, reply = message
        if kind is MessageKind.CALLBACK_ERROR:
            raise CallbackError("the callback in the parent process failed")
        return reply

    def _has_grown(self) -> bool:
        limit = self._initial_bytes + _MAX_GROWTH * self._max_bytes
        if _private_bytes() <= limit:
            return False
        gc.collect()
        return _private_bytes() > limit


def _picklable(error: Exception) -> Exception:
    """Return the exception, or type and text of an unpicklable one."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - pickling may raise anything
        return UnpicklableError(f"{type(error).__module__}.{type(error).__qualname__}: {error}")
    return error


def _private_bytes() -> int:
    """Read the process's own writable memory, which counts against RLIMIT_DATA.

    It is 0 on other systems than Linux.
    """
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()

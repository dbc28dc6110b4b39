"""The parent's side of the zygote: starts it when the first worker is needed, has workers forked and ended."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ragloom.errors import ConfigError, ServiceError
from ragloom.process_pool.messages import COMMAND, ENDED, FORKED, Kind, Wire
from ragloom.process_pool.results import InWorker

_BOOTSTRAP = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from ragloom.process_pool.fork_server import main; main(int(sys.argv[1]))"
)
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
"""A worker is one of several processes on the machine, and what is forked must run no thread."""
_POLITE = 0.1
"""Seconds that closing waits for somebody else's turn."""
_TO_END = 5.0
"""Seconds that the zygote has to end its workers and itself."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a worker ended: exit status (negative: the signal), and the most bytes it had beyond what it began with."""

    status: int
    peak: int


@dataclass(frozen=True, slots=True)
class Process:
    """A worker process, and the zygote it was forked from."""

    pid: int
    wire: Wire
    zygote: subprocess.Popen[bytes]


class Nursery:
    """Workers of one function.

    Args:
        function, initialise: picklable; `initialise` is called once, before the first worker is forked.
        megabytes: memory of each worker beyond what it is forked with.
    """

    def __init__(
        self, function: Callable[[Any], Any], initialise: Callable[[], object] | None, megabytes: float
    ) -> None:
        if not hasattr(os, "fork"):
            raise ConfigError("workers: processes must be 0 on a system that cannot fork, such as Windows; set it to 0")
        self._payload = pickle.dumps(sys.path) + pickle.dumps((function, initialise, megabytes))
        self._turn = threading.Lock()
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._closed = False

    def fork(self) -> Process:
        """Forks a worker; the first one waits until everything is imported and loaded.

        Raises:
            ServiceError: the system starts no more processes.
            Exception: whatever importing, loading or `initialise` raised.
        """
        with self._turn:
            try:
                pid, end = self._forked()
            except (OSError, EOFError):
                self._drop()  # the zygote had died: killed from outside, with all that it had forked
                pid, end = self._forked()
            zygote = self._zygote
        assert zygote is not None
        if pid < 0:
            end.close()
            raise ServiceError(
                f"workers: a process must be started, and the system refuses: {os.strerror(-pid)}; use fewer processes"
            )
        return Process(pid, Wire(end), zygote)

    def _forked(self) -> tuple[int, socket.socket]:
        control = self._ready()
        ours, its = socket.socketpair()
        with its:
            socket.send_fds(control, [COMMAND.pack(b"F", 0)], [its.fileno()])
        (pid,) = FORKED.unpack(_exactly(control, FORKED.size))
        return pid, ours

    def end(self, process: Process) -> Ending | None:
        """Ends a worker, if it has not ended itself; None where it is not known how it ended."""
        process.wire.close()
        with self._turn:
            if self._control is None or process.zygote is not self._zygote:
                return None  # that zygote is gone, and its workers with it
            try:
                self._control.sendall(COMMAND.pack(b"E", process.pid))
                known, status, peak = ENDED.unpack(_exactly(self._control, ENDED.size))
            except (OSError, EOFError):
                self._drop()  # the zygote died, and its workers with it: the next one is forked from a new one
                return None
        return Ending(status, peak) if known else None

    def close(self) -> None:
        """Ends the zygote and all workers. May be called from any thread, and again."""
        self._closed = True
        zygote = self._zygote
        if not self._turn.acquire(timeout=_POLITE):
            if zygote is not None:
                zygote.kill()  # it is loading: whoever waits for it is told so by its end
            self._turn.acquire()
        try:
            self._drop()
        finally:
            self._turn.release()

    def _drop(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._zygote is not None:
            try:
                self._zygote.wait(_TO_END)
            except subprocess.TimeoutExpired:
                self._zygote.kill()
                self._zygote.wait()
            self._zygote = None

    def _ready(self) -> socket.socket:
        """Gives the zygote's socket; starts it where it is not running."""
        if self._control is not None:
            return self._control
        if self._closed:
            raise RuntimeError("the pool is closed")
        ours, its = socket.socketpair()
        with its:
            self._zygote = subprocess.Popen(
                [sys.executable, "-c", _BOOTSTRAP, str(its.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=[its.fileno()],
                env={**os.environ, **dict.fromkeys(_ONE_THREAD, "1"), "TOKENIZERS_PARALLELISM": "false"},
            )
        self._control = ours
        try:
            assert self._zygote.stdin is not None
            with self._zygote.stdin as given:
                given.write(self._payload)
            wire = Wire(ours)
            head = wire.head()
            if head is None:
                raise EOFError
            said: Any = wire.body(head)
        except (OSError, EOFError):
            status = self._zygote.wait()
            self._drop()
            how = signal.Signals(-status).name if status < 0 else f"status {status}"
            raise ServiceError(f"workers: the process that starts them ended before it was ready ({how})") from None
        if head.kind is Kind.RAISED:
            error, traceback = said
            self._drop()
            raise error or RuntimeError("workers could not be prepared") from InWorker(traceback)
        return ours


def _exactly(end: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        read = end.recv(size - len(content))
        if not read:
            raise EOFError
        content += read
    return content

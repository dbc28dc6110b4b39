"""Client of the fork server: starts it, and starts and ends workers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ragloom.errors import ConfigError, ServiceError
from ragloom.process_pool.messages import REPLY, REQUEST, MessageKind, MessageSocket, encode
from ragloom.process_pool.results import WorkerTraceback

_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
"""A worker is one of several on the machine, and a process that forks must run no thread."""
_LOCK_TIMEOUT = 0.1
"""Seconds that closing waits for another thread before it kills a server that is loading."""
_STOP_TIMEOUT = 5.0
"""Seconds for the server to end its workers and itself."""


@dataclass(frozen=True, slots=True)
class WorkerExit:
    """Exit status of a worker (negative: signal) and added peak memory, bytes."""

    status: int
    peak: int


@dataclass(frozen=True, slots=True)
class WorkerHandle:
    """A worker process with the server that forked it."""

    pid: int
    messages: MessageSocket
    server: subprocess.Popen[bytes]


class ForkServerClient:
    """Starts and ends the workers of one function.

    Args:
        function: picklable.
        initializer: picklable; called once, before the first worker is forked.
        megabytes: memory of each worker beyond its memory at start.
    """

    def __init__(
        self, function: Callable[[Any], Any], initializer: Callable[[], object] | None, megabytes: float
    ) -> None:
        if not hasattr(os, "fork"):
            raise ConfigError("workers: this system, such as Windows, cannot fork processes; set processes to 0")
        self._setup = encode(MessageKind.TASK, (function, initializer, megabytes))
        self._lock = threading.Lock()
        self._server: tuple[subprocess.Popen[bytes], socket.socket] | None = None
        self._closed = False

    def start_worker(self) -> WorkerHandle:
        """Fork a worker; the first call waits for loading.

        Raises:
            ServiceError: the system starts no more processes.
            Exception: any error of importing, loading or `initializer`.
        """
        with self._lock:
            try:
                worker, error = self._fork()
            except (OSError, EOFError):
                self._stop()  # somebody killed the server, and with it all its workers
                worker, error = self._fork()
        if error:
            worker.messages.close()
            raise ServiceError(
                f"workers: the system refuses to start another process ({os.strerror(error)}); use fewer processes"
            )
        return worker

    def _fork(self) -> tuple[WorkerHandle, int]:
        server, control = self._server or self._start()
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(control, [REQUEST.pack(0)], [theirs.fileno()])
        forked, pid_or_error, _ = _receive_reply(control)
        return WorkerHandle(pid_or_error, MessageSocket(ours), server), 0 if forked else pid_or_error

    def end_worker(self, worker: WorkerHandle) -> WorkerExit | None:
        """Kill a worker unless it ended; None for an unknown status."""
        worker.messages.close()
        with self._lock:
            if self._server is None or worker.server is not self._server[0]:
                return None  # that server has ended, and with it its workers
            control = self._server[1]
            try:
                control.sendall(REQUEST.pack(worker.pid))
                ended, status, peak = _receive_reply(control)
            except (OSError, EOFError):
                self._stop()  # the server died, and with it its workers; the next worker starts a new one
                return None
        return WorkerExit(status, peak) if ended else None

    def close(self) -> None:
        """End the server and all workers. Callable from any thread, repeatedly."""
        self._closed = True
        server = self._server
        if not self._lock.acquire(timeout=_LOCK_TIMEOUT):
            if server is not None:
                server[0].kill()  # it is loading: the thread that waits for it gets an error
            self._lock.acquire()
        try:
            self._stop()
        finally:
            self._lock.release()

    def _stop(self) -> None:
        if self._server is None:
            return
        server, control = self._server
        self._server = None
        control.close()
        try:
            server.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()

    def _start(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Start the server and wait until it has loaded everything."""
        if self._closed:
            raise RuntimeError("the pool is closed")
        path = [str(folder) for folder in sys.path]
        code = f"import sys; sys.path[:] = {path!a}; from ragloom.process_pool.fork_server import main; main()"
        ours, theirs = socket.socketpair()
        with theirs:
            environment = os.environ | dict.fromkeys(_ONE_THREAD, "1") | {"TOKENIZERS_PARALLELISM": "false"}
            server = subprocess.Popen([sys.executable, "-c", code], stdin=theirs.fileno(), env=environment)
        self._server = server, ours
        messages = MessageSocket(ours)
        try:
            messages.send(self._setup)
            kind, value = messages.receive()
        except (OSError, EOFError):
            status = server.wait()
            self._stop()
            how = signal.Signals(-status).name if status < 0 else f"status {status}"
            raise ServiceError(f"workers: the process that starts them ended before it was ready ({how})") from None
        if kind is MessageKind.EXCEPTION:
            error, text = value
            self._stop()
            raise error or RuntimeError("workers: loading their function failed") from WorkerTraceback(text)
        return self._server


def _receive_reply(control: socket.socket) -> tuple[bool, int, int]:
    reply = control.recv(REPLY.size)
    if not reply:
        raise EOFError
    return REPLY.unpack(reply)

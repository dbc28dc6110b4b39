"""Fork server: a single-threaded process that loads once and forks workers.

Forking the parent is unsafe (its libraries run threads); starting each worker as a new program takes seconds
(importing LlamaIndex). This process starts as a new program; a worker forked from it is ready in milliseconds and
shares its memory. It ends, with all its workers, when the parent closes the socket or dies.

Why not `multiprocessing`'s fork server: it runs the main module again in each worker (a script without a
`__main__` guard starts itself), shares no `initializer`, outlives the pool, and a worker that hangs keeps it alive
after the parent was killed (Python 3.11).
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, Never

from ragloom.process_pool.messages import REPLY, REQUEST, MessageKind, MessageSocket, encode
from ragloom.process_pool.worker_process import die_with_parent, run_worker

_KILL_TIMEOUT = 2.0
"""Seconds for a killed worker to end; one that waits for a dead network disk never does."""


def main() -> Never:
    """Serve until the parent closes the socket on standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which decides
    control = socket.socket(fileno=fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)  # libraries must not print into the parent's output
    _Server(control, *_load(MessageSocket(control))).serve()


def _load(messages: MessageSocket) -> tuple[Callable[[Any], Any], float]:
    try:
        _, (function, initializer, megabytes) = messages.receive()
        if initializer is not None:
            initializer()
    except BaseException as error:  # noqa: BLE001 - raised again by the parent
        exception = error if isinstance(error, Exception) else None
        messages.send(encode(MessageKind.EXCEPTION, (exception, traceback.format_exc())))
        sys.exit(1)
    gc.collect()
    gc.freeze()  # collecting in a worker must not touch, and so copy, shared memory
    messages.send(encode(MessageKind.VALUE, None))
    return function, megabytes


class _Server:
    def __init__(self, control: socket.socket, function: Callable[[Any], Any], megabytes: float) -> None:
        self._control, self._function, self._megabytes = control, function, megabytes
        self._workers: set[int] = set()

    def serve(self) -> Never:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # the parent died
            while True:
                request, descriptors, _, _ = socket.recv_fds(self._control, REQUEST.size, 1)
                if not request:
                    break
                (pid,) = REQUEST.unpack(request)
                self._control.sendall(REPLY.pack(*(self._end(pid) if pid else self._fork(descriptors[0]))))
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)
        for pid in self._workers:
            _wait(pid)
        os._exit(0)

    def _fork(self, descriptor: int) -> tuple[bool, int, int]:
        server = os.getpid()
        with socket.socket(fileno=descriptor) as connection:
            try:
                pid = os.fork()
            except OSError as error:
                return False, error.errno or 0, 0
            if pid == 0:
                self._control.close()
                die_with_parent(server)
                run_worker(connection, self._function, self._megabytes)
        self._workers.add(pid)
        return True, pid, 0

    def _end(self, pid: int) -> tuple[bool, int, int]:
        self._workers.remove(pid)
        os.kill(pid, signal.SIGKILL)  # at least a zombie exists: only this process reaps it
        return _wait(pid)


def _wait(pid: int) -> tuple[bool, int, int]:
    """Wait for a killed worker; see `REPLY`."""
    deadline = time.monotonic() + _KILL_TIMEOUT
    while time.monotonic() < deadline:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            shared = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            scale = 1 if sys.platform == "darwin" else 1024
            return True, os.waitstatus_to_exitcode(status), max(usage.ru_maxrss - shared, 0) * scale
        time.sleep(0.001)
    return False, 0, 0

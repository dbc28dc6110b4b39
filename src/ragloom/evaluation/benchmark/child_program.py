"""Child programs of a benchmark, with message sockets.

A child starts as a new program: nothing of the parent (threads, locks, a main module without a guard) comes along. It
ends when the parent closes the socket or dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from ragloom.errors import ServiceError
from ragloom.process_pool.messages import MessageKind, MessageSocket, encode
from ragloom.process_pool.results import WorkerTraceback

_END_SECONDS = 10.0
"""Limit for a child's end before it is killed."""


class ChildProgram(AbstractContextManager["ChildProgram"]):
    """A child program that runs one function.

    Args:
        name: of the child, for messages.
        function: picklable by name; called with a `MessageSocket` to this process, then with `arguments`.
        arguments: picklable.
        sockets: passed on; the function gets their file descriptors as its last arguments.

    Attributes:
        pid: process id.
    """

    def __init__(
        self, name: str, function: Callable[..., None], *arguments: Any, sockets: Sequence[socket.socket] = ()
    ) -> None:
        self._name = name
        path = [str(folder) for folder in sys.path]
        code = f"import sys; sys.path[:] = {path!a}; from {__name__} import main; main()"
        ours, theirs = socket.socketpair()
        files = [each.fileno() for each in sockets]
        with theirs:
            self._process = subprocess.Popen([sys.executable, "-c", code], stdin=theirs.fileno(), pass_fds=files)
        self.pid = self._process.pid
        self._socket, self._messages = ours, MessageSocket(ours)
        self.send((function, (*arguments, *files)))

    def send(self, value: object) -> None:
        """Send a value to the child."""
        try:
            self._messages.send(encode(MessageKind.VALUE, value))
        except OSError as error:
            raise self._ended() from error

    def receive(self) -> Any:
        """Wait for the child's next value.

        Raises:
            ServiceError: the child ended.
            Exception: any error of its function.
        """
        try:
            kind, value = self._messages.receive()
        except (OSError, EOFError) as ending:
            raise self._ended() from ending
        if kind is MessageKind.EXCEPTION:
            error, text = value
            raise error or RuntimeError(f"benchmark: the {self._name} failed") from WorkerTraceback(text)
        return value

    def is_ready(self) -> bool:
        """Tell whether the child has sent something, or ended."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def _ended(self) -> ServiceError:
        status = self._process.wait()
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return ServiceError(f"benchmark: the {self._name} ended before the benchmark did ({how}); run it again")

    def __exit__(self, *raised: object) -> None:
        self._messages.shutdown()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._messages.close()


def main() -> None:
    """Run the function that the parent sends, and return its error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which ends this process
    connection = socket.socket(fileno=fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)  # libraries must not print into the parent's output
    messages = MessageSocket(connection)
    try:
        _, (function, arguments) = messages.receive()
        function(messages, *arguments)
    except (BrokenPipeError, ConnectionResetError, EOFError):
        pass  # the parent has what it wants, or died
    except BaseException as error:  # noqa: BLE001 - raised again by the parent
        exception = error if isinstance(error, Exception) else None
        with contextlib.suppress(OSError):  # it died
            messages.send(encode(MessageKind.EXCEPTION, (exception, traceback.format_exc())))
    sys.stderr.flush()
    os._exit(0)  # a daemon thread that returns from native code while the interpreter ends would abort the process

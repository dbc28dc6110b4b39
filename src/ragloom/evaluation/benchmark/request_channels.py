"""Channels of the load generator: socket and HTTP.

A channel sends a request without waiting for its reply, however many are under way.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

from ragloom.evaluation.benchmark.request_log import LogWriter
from ragloom.process_pool.messages import MessageKind, MessageSocket, encode

_SHOWN = 200
"""Characters of an error body that are shown."""
_MOST_CONNECTIONS = 2000
"""HTTP connections at the same time; a request beyond them fails."""


class RequestChannel(Protocol):
    """Sends requests, and records when they left and came back."""

    log: LogWriter

    def send(self, number: int, question: str, deadline: float) -> None:
        """Send a request; its reply is recorded by another thread.

        Args:
            number: of the request.
            question: its text.
            deadline: of its reply (`time.monotonic`).
        """


class SocketChannel:
    """Requests to the serving process, all over one socket."""

    log: LogWriter

    def __init__(self, connection: socket.socket) -> None:
        self._messages = MessageSocket(connection)
        threading.Thread(target=self._receive, name="ragloom-replies", daemon=True).start()

    def send(self, number: int, question: str, deadline: float) -> None:
        """Send a request."""
        self.log.mark_sent(number, time.monotonic())
        with contextlib.suppress(OSError):  # the serving process ended, which the parent reports
            self._messages.send(encode(MessageKind.REQUEST, (number, question)))

    def _receive(self) -> None:
        with contextlib.suppress(OSError, EOFError):  # the serving process ended, which the parent reports
            while True:
                _, (number, timings_ms, error, spent) = self._messages.receive()
                self.log.mark_done(number, time.monotonic(), timings_ms, error, spent)


class HttpChannel:
    """Requests to a running service, each on its own connection.

    A connection is used again; there are as many as there were requests at the same time.

    Args:
        target: `http://HOST:PORT/PREFIX`.
        path: of the endpoint, such as `/search`.
    """

    log: LogWriter

    def __init__(self, target: str, path: str) -> None:
        address = urlsplit(target)
        self._path = address.path.rstrip("/") + path
        secure = address.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._connect: Callable[[], http.client.HTTPConnection] = lambda: kind(address.hostname or "", address.port)
        self._requests: queue.SimpleQueue[tuple[int, str, float]] = queue.SimpleQueue()
        self._changing = threading.Lock()
        self._idle = 0
        self._connections = 0

    def send(self, number: int, question: str, deadline: float) -> None:
        """Hand a request to a free or new connection."""
        with self._changing:
            is_free, self._idle = self._idle > 0, max(0, self._idle - 1)
            full = not is_free and self._connections >= _MOST_CONNECTIONS
            self._connections += not (is_free or full)
        if full:
            now = time.monotonic()
            self.log.mark_sent(number, now)
            self.log.mark_done(number, now, {}, f"{_MOST_CONNECTIONS} requests wait for the service", False)
            return
        self._requests.put((number, question, deadline))
        if not is_free:
            threading.Thread(target=self._run, name="ragloom-connection", daemon=True).start()

    def _run(self) -> None:
        connection = self._connect()
        while True:
            number, question, deadline = self._requests.get()
            log = self.log
            log.mark_sent(number, time.monotonic())
            timings_ms, error = self._ask(connection, question, deadline)
            log.mark_done(number, time.monotonic(), timings_ms, error, False)
            with self._changing:
                self._idle += 1

    def _ask(
        self, connection: http.client.HTTPConnection, question: str, deadline: float
    ) -> tuple[dict[str, float], str | None]:
        """Send a request and wait; return its stages, and an error."""
        if connection.sock is not None and select.select([connection.sock], [], [], 0)[0]:
            connection.close()  # the service has closed it meanwhile; the next request opens another
        body = json.dumps({"question": question}, ensure_ascii=False).encode()
        connection.timeout = max(0.001, deadline - time.monotonic())
        if connection.sock is not None:
            connection.sock.settimeout(connection.timeout)
        try:
            connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
            if response.status // 100 != 2:
                return {}, f"status {response.status}: {content[:_SHOWN].decode(errors='replace')}"
            return _timings(json.loads(content)), None
        except (OSError, http.client.HTTPException, ValueError, TypeError) as error:
            connection.close()
            return {}, f"{type(error).__name__}: {error}"


def _timings(reply: Any) -> dict[str, float]:
    """Read `timings_ms` of a reply; a service need not have it."""
    timings = reply.get("timings_ms") if isinstance(reply, dict) else None
    return {str(stage): float(value) for stage, value in timings.items()} if isinstance(timings, dict) else {}

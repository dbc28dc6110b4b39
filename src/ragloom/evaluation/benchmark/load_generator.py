"""Load generator: a process that sends requests at planned times.

It does nothing else, so that no work of the serving side delays it, and measures how late it was.
"""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import time

from ragloom.evaluation.benchmark.arrivals import Load
from ragloom.evaluation.benchmark.request_channels import HttpChannel, RequestChannel, SocketChannel
from ragloom.evaluation.benchmark.request_log import LogWriter, RequestLog
from ragloom.process_pool.messages import MessageKind, MessageSocket, encode

_REPORT_SECONDS = 0.5
"""Distance of progress reports; the first that fails ends the process."""
_PRIORITY = -10
"""Nice value of the process: it uses little of a core, and must not wait for a busy one."""
_LEAD_SECONDS = 0.05
"""From the start of a load to its first planned time."""


def generate(messages: MessageSocket, target: str | None, path: str, descriptor: int = -1) -> None:
    """Run one load after another; entry of the process.

    Args:
        messages: to the parent: a `Load` comes in, the number of replies (progress) and the `RequestLog` go out.
        target: address of a service; None: our serving process.
        path: of the endpoint of a service.
        descriptor: file descriptor of the socket to the serving process.
    """
    generator = _Generator(messages, _channel(target, path, descriptor))
    with contextlib.suppress(OSError):  # no right to; how late it was shows whether that matters
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    gc.disable()  # a collection would delay a request; a load leaves few cycles
    while True:
        _, load = messages.receive()
        messages.send(encode(MessageKind.VALUE, generator.run(load)))
        gc.collect()


def _channel(target: str | None, path: str, descriptor: int) -> RequestChannel:
    return SocketChannel(socket.socket(fileno=descriptor)) if target is None else HttpChannel(target, path)


class _Generator:
    def __init__(self, messages: MessageSocket, channel: RequestChannel) -> None:
        self._messages, self._channel = messages, channel
        self._first = 0
        self._reported = 0.0

    def run(self, load: Load) -> RequestLog:
        """Send all requests of a load, or end early.

        It ends early when more requests wait than it allows, no reply comes in a closed loop, or the budget is spent.
        """
        log = LogWriter(len(load.questions), self._first)
        self._channel.log = log
        self._first += len(load.questions)
        start = time.monotonic() + _LEAD_SECONDS
        sent = 0
        for row, question in enumerate(load.questions):
            planned = self._next(load, log, row, start)
            full = load.most_waiting is not None and sent - log.replies > load.most_waiting
            if planned is None or full or log.spent is not None:
                break
            log.planned[row] = planned
            self._channel.send(log.first + row, question, planned + load.timeout)
            sent += 1
        deadline = log.planned[max(0, sent - 1)] + load.timeout
        while (left := deadline - time.monotonic()) > 0 and not log.wait(sent, min(_REPORT_SECONDS, left)):
            self._report(log)
        return log.log(load.timeout)

    def _next(self, load: Load, log: LogWriter, row: int, start: float) -> float | None:
        """Wait until a request has to leave.

        Returns:
            its planned time; None: in a closed loop, no reply came within the time-out.
        """
        if load.offsets is None:
            self._report(log)
            return time.monotonic() if log.wait(row - load.in_flight + 1, load.timeout) else None
        planned = start + float(load.offsets[row])
        self._report(log)
        while (left := planned - time.monotonic()) > 0:
            time.sleep(min(left, _REPORT_SECONDS))
            if left > _REPORT_SECONDS:
                self._report(log)
        return planned

    def _report(self, log: LogWriter) -> None:
        now = time.monotonic()
        if now - self._reported >= _REPORT_SECONDS:
            self._reported = now
            self._messages.send(encode(MessageKind.VALUE, log.replies))

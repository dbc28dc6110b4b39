"""Parent's thread for one worker: sends tasks, enforces limits, replaces processes.

An item is blamed for its worker's death only if the process had finished no other item: an earlier item's leftovers
and a SIGKILL from outside must not count against it.
"""

from __future__ import annotations

import contextlib
import contextvars
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

from ragloom.process_pool.fork_server_client import ForkServerClient, WorkerExit, WorkerHandle
from ragloom.process_pool.messages import MessageHeader, MessageKind, encode
from ragloom.process_pool.parent_callbacks import ParentCallback, cancellation_check
from ragloom.process_pool.results import OUT_OF_MEMORY_STATUS, TaskFailure, TaskResult, WorkerTraceback
from ragloom.process_pool.task_queue import Task, TaskQueue

_STALL_TIMEOUT = 60.0
"""Seconds without a byte in mid-message after which a worker counts as dead."""
_MAX_DEATHS = 2
"""Workers that a task may lose for unknown reasons before it fails."""
_HINTS = {
    "SIGABRT": ": what a library does that gets no more memory",
    "SIGKILL": ": what a system does that has no more memory",
}


class WorkerThread(threading.Thread):
    """A thread with the worker process that it controls.

    Args:
        callback: replies to the function's requests.
        context: the caller's, in which callbacks run.
    """

    def __init__(
        self, queue: TaskQueue, server: ForkServerClient, callback: ParentCallback | None, context: contextvars.Context
    ) -> None:
        super().__init__(name="ragloom-worker", daemon=True)
        self._queue, self._server, self._callback, self._caller_context = queue, server, callback, context
        self._worker: WorkerHandle | None = None
        self._sent: deque[Task] = deque()
        self._unsent: list[Task] = []
        self._finished = 0
        """Tasks that the current process finished."""
        self._deadline = 0.0

    def run(self) -> None:
        """Work until the pool is closed."""
        try:
            self._caller_context.run(self._work)
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            self._queue.fail(error)
        finally:
            if self._worker is not None:
                self._worker.messages.close()

    def interrupt(self) -> None:
        """End a busy worker, whose tasks were cancelled; for another thread."""
        worker = self._worker
        if worker is not None and self._sent:
            worker.messages.shutdown()

    def _work(self) -> None:
        while (taken := self._queue.take([*self._unsent, *self._sent])) is not None:
            tasks, self._unsent = [*self._unsent, *taken], []
            self._send(task for task in tasks if not task.cancelled)
            if self._sent and self._worker is not None:
                self._receive(self._worker)

    def _send(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            if self._worker is None:
                self._worker, self._finished = self._server.start_worker(), 0
            task.callback_error = None
            self._sent.append(task)
            if len(self._sent) == 1:
                self._deadline = time.monotonic() + task.seconds
            with contextlib.suppress(OSError):  # the worker died: receiving notices
                self._worker.messages.send(task.message)

    def _receive(self, worker: WorkerHandle) -> None:
        header = None
        try:
            header = worker.messages.receive_header(max(self._deadline - time.monotonic(), 0.001))
            if header.kind is MessageKind.RETIRE:
                self._replace_worker()
            elif header.kind is MessageKind.REQUEST:
                self._reply(worker, header)
            else:
                self._queue.reserve(self._sent[0], header.size)
                self._finish(header.kind, worker.messages.receive_value(header, _STALL_TIMEOUT))
        except (OSError, EOFError) as error:
            if header is None and isinstance(error, TimeoutError):
                self._replace_worker(_time_reason(self._sent[0]))
            else:
                self._handle_death()

    def _finish(self, kind: MessageKind, value: Any) -> None:
        if kind is MessageKind.OUT_OF_MEMORY:
            self._replace_worker(self._memory_reason() if self._finished == 0 else None)
            return
        task = self._sent.popleft()
        self._finished += 1
        if self._sent:
            self._deadline = time.monotonic() + self._sent[0].seconds
        if kind is MessageKind.VALUE:
            self._queue.finish(task, TaskResult(task.item, value))
        elif kind is MessageKind.FAILURE:
            self._queue.finish(task, TaskFailure(task.item, value))
        else:
            error, traceback = value
            error.__cause__ = WorkerTraceback(traceback)
            self._queue.finish(task, task.callback_error or error)

    def _reply(self, worker: WorkerHandle, header: MessageHeader) -> None:
        task, start = self._sent[0], time.monotonic()
        request = worker.messages.receive_value(header, _STALL_TIMEOUT)
        try:
            if self._callback is None:
                raise RuntimeError("the function called call_parent(), and its pool has no `callback`")
            with cancellation_check(lambda: task.cancelled or self._queue.closed):
                message = encode(MessageKind.REPLY, self._callback(request))
        except Exception as error:  # noqa: BLE001 - raised in the worker's function, and then in the caller
            task.callback_error = error
            message = encode(MessageKind.CALLBACK_ERROR, None)
        worker.messages.send(message)
        self._deadline += time.monotonic() - start

    def _handle_death(self) -> None:
        end = self._end_worker()
        task = self._sent[0]
        task.worker_deaths += 1
        if end is not None and end.status == -signal.SIGALRM:
            self._replace_worker(_time_reason(task))
        else:
            certain = self._finished == 0 and end is not None
            blamed = certain or task.worker_deaths == _MAX_DEATHS
            self._replace_worker(self._death_reason(end) if blamed else None)

    def _replace_worker(self, failure: str | None = None) -> None:
        """End the worker; its successor starts with the unfinished tasks.

        Args:
            failure: reason why the first of these fails instead.
        """
        self._end_worker()
        if failure is not None:
            task = self._sent.popleft()
            self._queue.finish(task, TaskFailure(task.item, failure))
        self._unsent = [*self._sent]
        self._sent.clear()

    def _end_worker(self) -> WorkerExit | None:
        worker, self._worker = self._worker, None
        return None if worker is None else self._server.end_worker(worker)

    def _memory_reason(self) -> str:
        return f"it needed more than {self._queue.limits.megabytes:,.0f} MB of memory"

    def _death_reason(self, end: WorkerExit | None) -> str:
        if end is None:
            return "its worker process died"
        if end.status == OUT_OF_MEMORY_STATUS:
            return self._memory_reason()
        if end.status >= 0:
            return f"its worker process ended itself (status {end.status})"
        peak, limit = end.peak / 1_000_000, self._queue.limits.megabytes
        memory = f"; it used {peak:,.0f} of {limit:,.0f} MB of memory" if peak > limit / 2 else ""
        name = signal.Signals(-end.status).name
        return f"its worker process died (signal {-end.status}, {name}{_HINTS.get(name, '')}){memory}"


def _time_reason(task: Task) -> str:
    seconds = task.seconds if task.seconds < 10 else round(task.seconds)
    return f"it took longer than {seconds:,g} s"

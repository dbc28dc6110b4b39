"""Ordered, bounded task queue between caller and worker threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ragloom.process_pool.messages import Message
from ragloom.process_pool.results import Outcome

_PREFETCH = 16
"""Most tasks per worker at once: a worker continues while the parent is busy."""
_PREFETCH_MESSAGE_BYTES = 1 << 16
"""Bound on their messages: a socket buffers this much, so that sending never blocks on a worker that itself sends."""
_PREFETCH_ITEM_BYTES = 1 << 20
"""Bound on their items' sizes: no task waits behind a large one while another worker is idle."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Resource limits of a pool.

    Attributes:
        processes: workers; 0 = in this process, without a limit on an item's time and memory.
        seconds: wall-clock time of one item; callbacks to the parent do not count.
        seconds_per_mb: further time for each MB (1,000,000 bytes) of an item's size.
        megabytes: memory of one worker beyond its memory at start (Linux only).
        items: in flight at once: taken from the input and not yet yielded.
        in_flight_mb: sizes of these plus results that wait to be yielded; one more may exceed it.
    """

    processes: int
    seconds: float
    seconds_per_mb: float
    megabytes: float
    items: int
    in_flight_mb: float


@dataclass(slots=True, eq=False)
class Task:
    """An item in flight.

    Attributes:
        message: the item, encoded for a worker.
        size: bytes, by the pool's `size`.
        seconds: time limit.
        outcome: result, failure, or an exception for the caller; None until finished.
        cancelled: nobody awaits the outcome.
        result_size: bytes reserved for the result.
        worker_deaths: workers that died while they had this task.
        callback_error: raised by the callback for this task.
    """

    item: Any
    message: Message
    size: int
    seconds: float
    outcome: Outcome[Any, Any] | Exception | None = None
    cancelled: bool = False
    result_size: int = 0
    worker_deaths: int = 0
    callback_error: Exception | None = None

    @property
    def message_size(self) -> int:
        """Bytes of the message."""
        return sum(map(len, self.message))


class TaskQueue:
    """Tasks queued, at a worker, or finished and not yet yielded."""

    def __init__(self, limits: PoolLimits) -> None:
        self.limits = limits
        self.closed = False
        self._max_bytes = round(limits.in_flight_mb * 1_000_000)
        self._changed = threading.Condition()
        self._queue: deque[Task] = deque()
        self._in_flight: deque[Task] = deque()
        self._item_bytes = self._result_bytes = 0
        self._idle_threads = 0
        self._error: BaseException | None = None

    # For the caller's thread.

    def has_room(self) -> bool:
        """Check whether another item may be taken in."""
        with self._changed:
            return not self._in_flight or (
                len(self._in_flight) < self.limits.items and self._item_bytes + self._result_bytes < self._max_bytes
            )

    def add(self, task: Task) -> bool:
        """Queue a task; return whether tasks outnumber idle threads."""
        with self._changed:
            self._queue.append(task)
            self._in_flight.append(task)
            self._item_bytes += task.size
            self._changed.notify_all()
            return len(self._queue) > self._idle_threads

    def wait_for_first(self) -> Task | None:
        """Wait until the first task in flight is finished; None without one.

        Raises:
            BaseException: the error that stopped a worker thread.
            RuntimeError: the pool was closed.
        """
        with self._changed:
            while self._in_flight and self._in_flight[0].outcome is None:
                if self._error is not None:
                    raise self._error
                if self.closed:
                    raise RuntimeError("the pool was closed while items were in flight")
                self._changed.wait()
            return self._in_flight[0] if self._in_flight else None

    def remove_first(self) -> None:
        """Remove the first task in flight, after its outcome was yielded."""
        with self._changed:
            task = self._in_flight.popleft()
            self._item_bytes -= task.size
            self._result_bytes -= task.result_size
            self._changed.notify_all()

    def cancel(self) -> bool:
        """Cancel all tasks; return whether there were any."""
        with self._changed:
            any_in_flight = bool(self._in_flight)
            for task in self._in_flight:
                task.cancelled = True
            self._queue.clear()
            self._in_flight.clear()
            self._item_bytes = self._result_bytes = 0
            self._changed.notify_all()
            return any_in_flight

    def close(self) -> None:
        """End all waiting threads."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    # For a worker thread.

    def take(self, assigned: Sequence[Task]) -> list[Task] | None:
        """Take tasks for a thread with `assigned` tasks; None after `close`.

        It waits for one if the thread has none.
        """
        with self._changed:
            while not (self._queue or assigned or self.closed):
                self._idle_threads += 1
                self._changed.wait()
                self._idle_threads -= 1
            if self.closed:
                return None
            taken: list[Task] = []
            share = (len(self._queue) + len(assigned)) // (2 * self.limits.processes)
            max_tasks = min(max(share, 1), _PREFETCH)
            message_bytes = sum(task.message_size for task in assigned)
            item_bytes = sum(task.size for task in assigned)
            while self._queue and len(assigned) + len(taken) < max_tasks:
                task = self._queue[0]
                message_bytes, item_bytes = message_bytes + task.message_size, item_bytes + task.size
                too_large = message_bytes > _PREFETCH_MESSAGE_BYTES or item_bytes > _PREFETCH_ITEM_BYTES
                if too_large and (assigned or taken):
                    break
                taken.append(self._queue.popleft())
            return taken

    def reserve(self, task: Task, size: int) -> None:
        """Wait until a result of `size` bytes may be read.

        The first task in flight never waits.
        """
        with self._changed:
            while not (task.cancelled or self.closed or task is self._in_flight[0]):
                if not self._result_bytes or self._result_bytes + size <= self._max_bytes:
                    break
                self._changed.wait()
            if not task.cancelled:
                self._result_bytes += size - task.result_size
                task.result_size = size

    def finish(self, task: Task, outcome: Outcome[Any, Any] | Exception) -> None:
        """Set a task's outcome."""
        with self._changed:
            task.outcome = outcome
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Report the error that stops a worker thread."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

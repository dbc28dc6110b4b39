"""The tasks between the caller's thread and those of the workers: in order, and within bounds. Knows no process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ragloom.process_pool.messages import Frame, Kind

_AHEAD = 16
"""Items that a worker is sent at once, at most: it goes on while the parent is busy with other things."""
_AHEAD_BYTES = 1 << 16
"""Of their messages, together: a socket holds as many unread, so that sending never waits for a worker that itself
waits to be read."""
_AHEAD_SIZE = 1 << 20
"""Of what they stand for, together: behind a long item none waits that another worker could take."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a pool may use.

    Attributes:
        processes: workers; 0 = in this process, without any bound on an item's time and memory.
        seconds: wall-clock time of one item; that of `ask` does not count.
        seconds_per_mb: further time for each MB (1,000,000 bytes) that an item stands for.
        megabytes: memory of one worker beyond what it begins with (Linux; elsewhere unbounded).
        items: in flight at once: taken in and not yet yielded.
        in_flight_mb: of what these stand for, and of results that wait to be yielded; one more may go over it.
    """

    processes: int
    seconds: float
    seconds_per_mb: float
    megabytes: float
    items: int
    in_flight_mb: float


@dataclass(slots=True, eq=False)
class Task:
    """An item on its way.

    Attributes:
        message: the item as it is sent to a worker.
        size: bytes that it stands for.
        seconds: that it may take.
        outcome: what came of it: `VALUE`, `FAILED` with a reason, or `RAISED` with an exception.
        cancelled: nobody waits for it any more.
        held: bytes of its result.
        deaths: of workers that had it before.
        refused: what answering its worker raised.
    """

    item: Any
    message: Frame
    size: int
    seconds: float
    outcome: tuple[Kind, Any] | None = None
    cancelled: bool = False
    held: int = 0
    deaths: int = 0
    refused: Exception | None = None

    @property
    def bytes(self) -> int:
        """Bytes of the message."""
        return sum(map(len, self.message))


class Flow:
    """What is queued, in flight and done."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.closed = False
        self._most = round(bounds.in_flight_mb * 1_000_000)
        self._changed = threading.Condition()
        self._queue: deque[Task] = deque()
        self._in_flight: deque[Task] = deque()
        self._sizes = 0
        self._held = 0
        self._idle = 0
        self._broken: BaseException | None = None

    # What the caller's thread does.

    def has_room(self) -> bool:
        """Says whether another item may be taken in."""
        with self._changed:
            return not self._in_flight or (
                len(self._in_flight) < self.bounds.items and self._sizes + self._held < self._most
            )

    def add(self, task: Task) -> bool:
        """Queues a task; says whether there are more of them than threads that wait for one."""
        with self._changed:
            self._queue.append(task)
            self._in_flight.append(task)
            self._sizes += task.size
            self._changed.notify_all()
            return len(self._queue) > self._idle

    def first(self) -> Task | None:
        """Waits until the first task in flight is done; None when there is none.

        Raises:
            Exception: why the workers cannot go on.
        """
        with self._changed:
            while self._in_flight and self._in_flight[0].outcome is None:
                if self._broken is not None:
                    raise self._broken
                if self.closed:
                    raise RuntimeError("the pool was closed while items were in flight")
                self._changed.wait()
            return self._in_flight[0] if self._in_flight else None

    def yielded(self) -> None:
        """Forgets the first task."""
        with self._changed:
            task = self._in_flight.popleft()
            self._sizes -= task.size
            self._held -= task.held
            self._changed.notify_all()

    def cancel(self) -> bool:
        """Gives up all tasks; says whether there were any."""
        with self._changed:
            cancelled = bool(self._in_flight)
            for task in self._in_flight:
                task.cancelled = True
            self._queue.clear()
            self._in_flight.clear()
            self._sizes = self._held = 0
            self._changed.notify_all()
            return cancelled

    def close(self) -> None:
        """Has all threads end."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    # What a worker's thread does.

    def take(self, has: Sequence[Task]) -> list[Task] | None:
        """Gives the next tasks to a thread that has some already; waits where it has none. None: it is to end."""
        with self._changed:
            while not (self._queue or has or self.closed):
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
            if self.closed:
                return None
            taken: list[Task] = []
            share = (len(self._queue) + len(has)) // (2 * self.bounds.processes)
            most = min(max(share, 1), _AHEAD)
            message = sum(task.bytes for task in has)
            size = sum(task.size for task in has)
            while self._queue and len(has) + len(taken) < most:
                task = self._queue[0]
                message, size = message + task.bytes, size + task.size
                if (has or taken) and (message > _AHEAD_BYTES or size > _AHEAD_SIZE):
                    break
                taken.append(self._queue.popleft())
            return taken

    def hold(self, task: Task, size: int) -> None:
        """Waits until a result of this size may be read; the first in flight always may."""
        with self._changed:
            while not (task.cancelled or self.closed or task is self._in_flight[0]):
                if not self._held or self._held + size <= self._most:
                    break
                self._changed.wait()
            if not task.cancelled:
                self._held += size - task.held
                task.held = size

    def finish(self, task: Task, kind: Kind, value: object) -> None:
        """Says what came of a task."""
        with self._changed:
            task.outcome = kind, value
            self._changed.notify_all()

    def broke(self, error: BaseException) -> None:
        """Says that a thread cannot go on."""
        with self._changed:
            self._broken = self._broken or error
            self._changed.notify_all()

"""A pool of worker processes in which no item can hang, crash or fill the machine. Knows not what the work is.

Each item is bounded in time and memory, also where C code does not return: its process is killed and replaced, and
only that item fails, with its reason. Items in flight are bounded in number and bytes, results come in the items'
order, and no process is started before the first item is there.

Why no library: `concurrent.futures` and `loky` break the whole pool when a worker dies, and bound no item's time;
`multiprocessing.Pool` hangs; `pebble` is LGPL; `billiard` forks the parent, which is unsafe beside threads.
"""

from __future__ import annotations

import contextvars
import pickle
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Generic, Self

from ragloom.process_pool.fork_server_client import Nursery
from ragloom.process_pool.messages import Kind, frame
from ragloom.process_pool.parent_callbacks import Answer, answering
from ragloom.process_pool.results import FROM_OUTSIDE, Done, Failed, Item, Value, panicked
from ragloom.process_pool.task_queue import Bounds, Flow, Task
from ragloom.process_pool.worker_thread import Lane

_JOIN = 1.0
"""Seconds that closing waits for a thread, which may be waiting for an answer from elsewhere."""


class Workers(Generic[Item, Value]):
    """A function that is run on many items, each in one of a few processes.

    A context manager: leaving it ends all processes.

    Args:
        function: picklable, of a module that can be imported (not `__main__`).
        initialise: called once, before the first item, to load what the workers share; picklable.
        size: gives the bytes that an item stands for; without it every item counts as nothing.
        answer: called, in a thread of this process, for what `function` asks by `parent_callbacks.ask`.
    """

    def __init__(
        self,
        function: Callable[[Item], Value],
        bounds: Bounds,
        *,
        initialise: Callable[[], object] | None = None,
        size: Callable[[Item], int] | None = None,
        answer: Answer | None = None,
    ) -> None:
        self.bounds = bounds
        self._function, self._initialise, self._size, self._answer = function, initialise, size, answer
        self._nursery = Nursery(function, initialise, bounds.megabytes) if bounds.processes else None
        self._flow = Flow(bounds)
        self._lanes: list[Lane] = []
        self._running = self._initialised = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all processes at once; what they were at is lost."""
        self._flow.close()
        if self._nursery is not None:
            self._nursery.close()
        for lane in self._lanes:
            lane.join(_JOIN)
        self._lanes.clear()

    def run(self, items: Iterable[Item]) -> Iterator[Done[Item, Value] | Failed[Item]]:
        """Yields what comes of each item, in the items' order.

        `items` is read in the caller's thread, a bounded number ahead of what was yielded. Stopping early, or an
        exception, ends the processes that are at work.

        Raises:
            Exception: what `function`, `initialise` or `answer` raised, at its place in the order; where that was in
                the worker is its cause.
            ServiceError: the system starts no processes.
        """
        if self._running:
            raise RuntimeError("a pool runs one sequence of items at a time")
        self._running = True
        try:
            yield from self._here(items) if self._nursery is None else self._elsewhere(iter(items), self._nursery)
        finally:
            self._running = False

    def _here(self, items: Iterable[Item]) -> Iterator[Done[Item, Value] | Failed[Item]]:
        for item in items:
            with answering(self._answer):
                outcome = self._tried(item)
            yield outcome

    def _tried(self, item: Item) -> Done[Item, Value] | Failed[Item]:
        if self._initialise is not None and not self._initialised:
            self._initialise()
        self._initialised = True
        try:
            return Done(item, self._function(item))
        except MemoryError:
            return Failed(item, "it needed more memory than there is")
        except (Exception, *FROM_OUTSIDE):
            raise
        except BaseException as panic:  # noqa: BLE001 - pyo3's PanicException: told of this item only
            return Failed(item, panicked(panic))

    def _elsewhere(self, items: Iterator[Item], nursery: Nursery) -> Iterator[Done[Item, Value] | Failed[Item]]:
        flow, ended = self._flow, False
        try:
            while True:
                if not ended and flow.has_room():
                    try:
                        item = next(items)
                    except StopIteration:
                        ended = True
                    else:
                        self._begin(item, nursery)
                elif (first := flow.first()) is not None:
                    yield _outcome(first)
                    flow.yielded()
                else:
                    return
        finally:
            if flow.cancel():
                for lane in self._lanes:
                    lane.stop()

    def _begin(self, item: Item, nursery: Nursery) -> None:
        size = self._size(item) if self._size is not None else 0
        seconds = self.bounds.seconds + self.bounds.seconds_per_mb * size / 1_000_000
        message = frame(Kind.ITEM, (pickle.dumps(item, protocol=5), seconds))
        more_than_threads = self._flow.add(Task(item, message, size, seconds))
        if more_than_threads and len(self._lanes) < self.bounds.processes:
            lane = Lane(self._flow, nursery, self._answer, contextvars.copy_context())
            self._lanes.append(lane)
            lane.start()


def _outcome(task: Task) -> Done[Item, Value] | Failed[Item]:
    assert task.outcome is not None
    kind, value = task.outcome
    if kind is Kind.RAISED:
        raise value
    return Done(task.item, value) if kind is Kind.VALUE else Failed(task.item, value)

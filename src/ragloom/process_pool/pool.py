"""Pool of worker processes with limits of time and memory.

Each item is bounded in time and memory, even in C code that never returns: the pool kills and replaces its process,
and only that item fails, with a reason. Items in flight are bounded in number and bytes, results come in the items'
order, and no process starts before the first item.

Why no library: `concurrent.futures` and `loky` break the whole pool when a worker dies, and bound no item's time;
`multiprocessing.Pool` hangs; `pebble` is LGPL; `billiard` forks the parent, which is unsafe with threads.
"""

from __future__ import annotations

import contextvars
import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Self

from ragloom.process_pool.fork_server_client import ForkServerClient
from ragloom.process_pool.messages import MessageKind, encode
from ragloom.process_pool.parent_callbacks import ParentCallback, callback_handler
from ragloom.process_pool.results import EXIT_EXCEPTIONS, Item, Outcome, TaskFailure, TaskResult, Value, panic_reason
from ragloom.process_pool.task_queue import PoolLimits, Task, TaskQueue
from ragloom.process_pool.worker_thread import WorkerThread

_JOIN_TIMEOUT = 1.0
"""Seconds that closing waits for a thread, which may be in a callback."""


class ProcessPool(Generic[Item, Value]):
    """Function applied to many items in a few processes.

    A context manager: leaving it ends all processes.

    Args:
        function: picklable, from an importable module (not `__main__`).
        initializer: loads what the workers share; called once, before the first item; picklable.
        size: an item's size in bytes; None = 0 for all.
        callback: runs in a thread of this process when `function` uses `parent_callbacks.call_parent`.
    """

    def __init__(
        self,
        function: Callable[[Item], Value],
        limits: PoolLimits,
        *,
        initializer: Callable[[], object] | None = None,
        size: Callable[[Item], int] | None = None,
        callback: ParentCallback | None = None,
    ) -> None:
        self.limits = limits
        self._function, self._initializer, self._size, self._callback = function, initializer, size, callback
        self._server = ForkServerClient(function, initializer, limits.megabytes) if limits.processes else None
        self._queue = TaskQueue(limits)
        self._threads: list[WorkerThread] = []
        self._running = self._initialized = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes at once; unfinished items are lost."""
        self._queue.close()
        if self._server is not None:
            self._server.close()
        for thread in self._threads:
            thread.join(_JOIN_TIMEOUT)
        self._threads.clear()

    def run(self, items: Iterable[Item]) -> Iterator[Outcome[Item, Value]]:
        """Yield each item's result or failure, in the items' order.

        The caller's thread reads `items`, a bounded number ahead of the results. Stopping early, or an exception,
        ends the busy processes.

        Raises:
            Exception: from `function`, `initializer` or `callback`, at its place in the order, with the worker's
                traceback as its cause.
            ServiceError: the system starts no processes.
        """
        if self._running:
            raise RuntimeError("a pool runs one sequence of items at a time")
        self._running = True
        try:
            yield from self._run_here(items) if self._server is None else self._run(iter(items), self._server)
        finally:
            self._running = False

    def _run_here(self, items: Iterable[Item]) -> Iterator[Outcome[Item, Value]]:
        for item in items:
            with callback_handler(self._callback):
                outcome = self._process(item)
            yield outcome

    def _process(self, item: Item) -> Outcome[Item, Value]:
        if self._initializer is not None and not self._initialized:
            self._initializer()
        self._initialized = True
        try:
            return TaskResult(item, self._function(item))
        except MemoryError:
            return TaskFailure(item, "it needed more memory than there is")
        except (Exception, *EXIT_EXCEPTIONS):
            raise
        except BaseException as panic:  # noqa: BLE001 - pyo3's PanicException fails only this item
            return TaskFailure(item, panic_reason(panic))

    def _run(self, items: Iterator[Item], server: ForkServerClient) -> Iterator[Outcome[Item, Value]]:
        queue, exhausted = self._queue, False
        try:
            while True:
                if not exhausted and queue.has_room():
                    try:
                        item = next(items)
                    except StopIteration:
                        exhausted = True
                    else:
                        self._submit(item, server)
                elif (task := queue.wait_for_first()) is None:
                    return
                elif isinstance(task.outcome, TaskResult | TaskFailure):
                    yield task.outcome
                    queue.remove_first()
                elif task.outcome is not None:
                    raise task.outcome
        finally:
            if queue.cancel():
                for thread in self._threads:
                    thread.interrupt()

    def _submit(self, item: Item, server: ForkServerClient) -> None:
        size = self._size(item) if self._size is not None else 0
        seconds = self.limits.seconds + self.limits.seconds_per_mb * size / 1_000_000
        message = encode(MessageKind.TASK, (pickle.dumps(item, protocol=5), seconds))
        needs_thread = self._queue.add(Task(item, message, size, seconds))
        if needs_thread and len(self._threads) < self.limits.processes:
            thread = WorkerThread(self._queue, server, self._callback, contextvars.copy_context())
            self._threads.append(thread)
            thread.start()

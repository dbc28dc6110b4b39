"""Dispatch of documents to workers: bounded tasks, deaths, retries.

A worker has two tasks: one in work, one that waits. A task ends with a result, or its worker dies. What a dead worker
had in work goes out again, one document a task; a document whose worker died twice with nothing else in work is
reported by name. What a dead node had in work goes out as it was: no document is to blame.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ragloom.errors import ServiceError
from ragloom.ingestion.read_stage import Job
from ragloom.integrations.executor.ray_cluster.cluster import Node, ray_module
from ragloom.integrations.executor.ray_cluster.service_clients import first_line
from ragloom.integrations.executor.ray_cluster.task_records import IngestTask, TaskError, TaskReport

_TASKS_EACH = 2
"""Tasks of a worker at once."""
_MOST_DEATHS = 2
"""Workers that may die with a single document in work; then it is to blame."""
_MOST_STARTS = 3
"""Starts in a row that may fail on a node; then it does no more work."""
_POLL_SECONDS = 1.0
_CLOSE_SECONDS = 5.0
"""Time for workers to remove their temporary files; one in work is killed."""
_QUIET_SECONDS = 2.0
"""Pause before documents of a dead worker are given out again: the store ends the requests that were cut off."""


@dataclass(frozen=True, slots=True)
class TaskSize:
    """Bounds of one task: documents, and bytes of their files.

    A larger file is a task by itself.
    """

    documents: int
    bytes: float


class TaskListener(Protocol):
    """Receiver of results, in the driver's thread."""

    def done(self, task: IngestTask, result: TaskReport, node: Node) -> None:
        """Record the result of a task."""

    def lost(self, job: Job, reason: str) -> None:
        """Record a document that ended its workers."""

    def counts(self) -> tuple[int, int]:
        """Return the texts embedded and refused in the run so far."""

    def waiting(self) -> None:
        """Learn that time passes."""


@dataclass(slots=True, eq=False)
class _WorkerSlot:
    """A worker actor on a node, and its tasks in order.

    Attributes:
        ready: what its start returns; None once it is there.
        since: when it was started (`time.monotonic`).
    """

    node: Node
    actor: Any
    ready: Any
    since: float
    tasks: deque[tuple[Any, IngestTask]] = field(default_factory=deque)


class Dispatcher:
    """Runs tasks on the workers of a cluster.

    Args:
        nodes: that get a worker each.
        start: starts the worker of a node.
        size: of a task.
        listener: receives the results.
        seconds: limit of a worker's start.

    Attributes:
        has_deaths: whether a worker died with a task in work.
        notes: of nodes that were lost, for people.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        start: Callable[[Node], Any],
        size: TaskSize,
        listener: TaskListener,
        seconds: float,
    ) -> None:
        self._ray = ray_module()
        self._start, self._size, self._listener, self._seconds = start, size, listener, seconds
        self._retries: deque[IngestTask] = deque()
        self._deaths: Counter[str] = Counter()
        self._failed_starts: Counter[str] = Counter()
        self._workers: list[_WorkerSlot] = []
        self.has_deaths = False
        self.notes: list[str] = []
        for node in nodes:
            self._add_worker(node)

    def close(self) -> None:
        """End all workers."""
        calls = [worker.actor.close.remote() for worker in self._workers if worker.ready is None]
        if calls:
            self._ray.wait(calls, num_returns=len(calls), timeout=_CLOSE_SECONDS)
        for worker in self._workers:
            self._ray.kill(worker.actor)
        self._workers.clear()

    def run(self, jobs: Iterator[Job]) -> None:
        """Take in documents; return when each has a result or is reported.

        Raises:
            ServiceError: no worker is left.
        """
        tasks = self._tasks(jobs)
        exhausted = False
        while True:
            while (worker := self._idle()) is not None:
                task = self._retries.popleft() if self._retries else next(tasks, None)
                if task is None:
                    exhausted = True
                    break
                worker.tasks.append((worker.actor.run.remote(task), task))
            calls = [worker.ready or worker.tasks[0][0] for worker in self._workers if worker.ready or worker.tasks]
            if exhausted and not self._retries and not any(worker.tasks for worker in self._workers):
                return
            self._ray.wait(calls, num_returns=1, timeout=_POLL_SECONDS)
            for worker in list(self._workers):
                self._advance(worker)
            self._listener.waiting()

    def _tasks(self, jobs: Iterator[Job]) -> Iterator[IngestTask]:
        some: list[Job] = []
        size = 0
        for job in jobs:
            if some and (len(some) == self._size.documents or size + job.entry.size > self._size.bytes):
                yield IngestTask(some, False, *self._listener.counts())
                some, size = [], 0
            some.append(job)
            size += job.entry.size
        if some:
            yield IngestTask(some, False, *self._listener.counts())

    def _idle(self) -> _WorkerSlot | None:
        """Return the worker with the fewest tasks, if any has room."""
        ready = [worker for worker in self._workers if worker.ready is None and len(worker.tasks) < _TASKS_EACH]
        return min(ready, key=lambda worker: len(worker.tasks), default=None)

    def _advance(self, worker: _WorkerSlot) -> None:
        """Take what a worker has answered."""
        from ray.exceptions import GetTimeoutError, RayError, RayTaskError

        try:
            if worker.ready is not None:
                error: TaskError | None = self._ray.get(worker.ready, timeout=0)
                if error is not None:
                    raise error.exception(worker.node.address)
                worker.ready = None
                self._failed_starts.pop(worker.node.id, None)
            while worker.tasks:
                call, task = worker.tasks[0]
                result = self._ray.get(call, timeout=0)
                worker.tasks.popleft()
                self._listener.done(task, result, worker.node)
        except GetTimeoutError:
            if worker.ready is not None and time.monotonic() - worker.since > self._seconds:
                limit = f"executor.startup_seconds={self._seconds:g}"
                self._died(worker, f"none started within {limit}: are its CPUs, GPUs or memory in use?")
        except RayTaskError:
            raise  # a bug in the worker, with its traceback
        except RayError as error:  # the actor, its node, or a result that the node had is gone
            self._died(worker, first_line(error))

    def _died(self, worker: _WorkerSlot, reason: str) -> None:
        """Give out the tasks of a dead worker again, and replace it."""
        self._workers.remove(worker)
        self._ray.kill(worker.actor)  # an unreachable one may go on otherwise
        has_node = self._is_alive(worker.node)
        started = worker.ready is None
        tasks = [task for _, task in worker.tasks]
        self._retries.extend(tasks[1:])
        if tasks:
            running, self.has_deaths = tasks[0], True
            time.sleep(_QUIET_SECONDS)
            if has_node:
                self._repeat(running, worker.node, reason)
            else:
                self._retries.append(IngestTask(running.jobs, True, running.taken, running.refused))
        if not has_node:
            self.notes.append(f"node {worker.node.address} was lost; the others took over what it had in work")
        elif started or self._failed_starts[worker.node.id] < _MOST_STARTS:
            self._failed_starts[worker.node.id] += not started
            self._add_worker(worker.node)
        else:
            self.notes.append(f"node {worker.node.address} does no more work: its workers do not start ({reason})")
        if not self._workers:
            raise ServiceError(
                f"executor: no node is left that can work ({reason}); what was stored stays: look at `ray status`, and "
                "ingest again"
            )

    def _repeat(self, task: IngestTask, node: Node, reason: str) -> None:
        """Repeat documents one by one; report one that alone ended two workers."""
        if len(task.jobs) == 1:
            (job,) = task.jobs
            self._deaths[job.entry.id] += 1
            if (times := self._deaths[job.entry.id]) == _MOST_DEATHS:
                where = f"the last one on node {node.address}"
                self._listener.lost(job, f"{times} workers died with it alone in work, {where}: {reason}")
                return
        self._retries.extend(IngestTask([job], True, task.taken, task.refused) for job in task.jobs)

    def _is_alive(self, node: Node) -> bool:
        """Return whether a node lives, once Ray can know it."""
        end = time.monotonic() + _QUIET_SECONDS
        while time.monotonic() < end:
            if not any(item["NodeID"] == node.id and item["Alive"] for item in self._ray.nodes()):
                return False
            time.sleep(_QUIET_SECONDS / 4)
        return True

    def _add_worker(self, node: Node) -> None:
        actor = self._start(node)
        self._workers.append(_WorkerSlot(node, actor, actor.open.remote(), time.monotonic()))

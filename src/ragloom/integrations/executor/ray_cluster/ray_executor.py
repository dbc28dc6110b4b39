"""Executor of a Ray cluster: runs tasks and records their results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress

from ragloom.components.source.base import printable_path
from ragloom.core.budget import Budget
from ragloom.core.records import Unreadable
from ragloom.core.run_context import current
from ragloom.core.usage import record_usage
from ragloom.errors import RagloomError
from ragloom.ingestion.embed_stage import most_refused, too_many_refused
from ragloom.ingestion.pipeline import IngestRun
from ragloom.ingestion.read_stage import Job
from ragloom.integrations.executor.ray_cluster.cluster import Node, joined
from ragloom.integrations.executor.ray_cluster.dispatcher import Dispatcher, TaskSize
from ragloom.integrations.executor.ray_cluster.service_clients import ServiceHandle
from ragloom.integrations.executor.ray_cluster.task_records import IngestTask, TaskReport
from ragloom.integrations.executor.ray_cluster.task_writer import TaskTables, replay
from ragloom.integrations.executor.ray_cluster.worker_setup import RaySettings, WorkerSetup
from ragloom.process_pool.task_queue import PoolLimits


class RayExecutor:
    """Executor that runs an ingest on the nodes of a Ray cluster.

    Args:
        settings: of the cluster and its tasks.
    """

    def __init__(self, settings: RaySettings) -> None:
        self._settings = settings

    def run(self, run: IngestRun, workers: PoolLimits) -> None:
        """Take in every document that is new or changed.

        Raises:
            ConfigError: a node lacks something that the ingest needs.
            DataError, ServiceError: as the local executor; or no node is left.
        """
        settings = self._settings
        with ExitStack() as stack:
            stack.enter_context(joined(settings.address))
            setup = WorkerSetup(settings, run, workers)
            nodes = setup.checked_nodes()
            services = ServiceHandle(setup.start_services())
            recorder = _Recorder(run, services)
            size = TaskSize(settings.documents, settings.megabytes * 1e6)
            dispatcher = Dispatcher(nodes, setup.start_worker, size, recorder, settings.startup_seconds)
            stack.callback(dispatcher.close)
            try:
                for jobs in run.passes():
                    dispatcher.run(recorder.until_stopped(jobs))
            except BaseException:
                with suppress(RagloomError):  # the first error counts
                    recorder.settle()
                raise
            dispatcher.close()
            recorder.settle()
            if dispatcher.has_deaths and hasattr(run.writer, "require_recovery"):
                run.writer.require_recovery()
            run.summary.notes += dispatcher.notes
            run.flush_touched()


class _Recorder:
    """Records results in the driver's run, store and budget."""

    def __init__(self, run: IngestRun, services: ServiceHandle) -> None:
        self._run, self._services = run, services
        self._tokens = self._taken = 0
        self._refused: set[str] = set()
        self._stopped: str | None = None

    def until_stopped(self, jobs: Iterator[Job]) -> Iterator[Job]:
        """Yield jobs until the budget is spent."""
        for job in jobs:
            if self._stopped is not None:
                return
            yield job

    def done(self, task: IngestTask, result: TaskReport, node: Node) -> None:
        """Record the result of a task."""
        run = self._run
        record_usage(result.usage)
        for job in task.jobs:
            if (read := result.read.get(job.entry.id)) is not None:
                run.take(job, read)
        for failed in result.failed:
            run.refused(failed.id, failed.location, failed.bytes_hash, failed.reason)
        if isinstance(result.written, TaskTables):
            replay(result.written, run.writer, run.ledger.folder)
        else:
            run.writer.merge(result.written)  # type: ignore[attr-defined]
        run.wrote(result.chunks, result.stored)
        self._tokens += result.tokens
        self._taken += result.taken
        self._refused |= result.refused.keys()
        self._stopped = self._stopped or result.stopped
        run.advanced(self._tokens, self._stopped)
        if result.error is not None:
            raise result.error.exception(node.address)
        share = run.embedding.max_refused
        if result.refused and len(self._refused) > most_refused(self._taken, share):
            reason = list(result.refused.values())[-1]
            raise too_many_refused(len(self._refused), self._taken, share, reason)

    def lost(self, job: Job, reason: str) -> None:
        """Record a document that ended its workers."""
        self._run.take(job, Unreadable(printable_path(job.entry.location), reason, stage="worker"))

    def counts(self) -> tuple[int, int]:
        """Return the texts that were embedded and refused so far."""
        return self._taken, len(self._refused)

    def waiting(self) -> None:
        """Report progress."""
        self._run.tell()

    def settle(self) -> None:
        """Take over the cluster's spending, and close the cache."""
        spent: Budget = self._services.call("budget")
        if (budget := current().budget) is not None:
            budget.settle_as(spent)
        self._services.call("close")

"""Actor of a node that takes in the documents of its tasks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ragloom.core.budget import BudgetSpent, within
from ragloom.core.usage import collect_usage
from ragloom.errors import RagloomError
from ragloom.ingestion.batches import ChunkBatch, PendingDocument
from ragloom.ingestion.document_stages import DocumentStages, known_vectors, stored_documents
from ragloom.ingestion.pipeline import pending_document
from ragloom.ingestion.read_stage import ChunkedDocument, Readers
from ragloom.integrations.executor.ray_cluster.model_actor import ModelPool
from ragloom.integrations.executor.ray_cluster.service_clients import (
    RemoteBudget,
    RemoteVectors,
    ServiceHandle,
    connect_embedding,
)
from ragloom.integrations.executor.ray_cluster.task_records import FailedDocument, IngestTask, TaskError, TaskReport
from ragloom.integrations.executor.ray_cluster.task_writer import TaskWriter

if TYPE_CHECKING:
    from ragloom.components.chunking.base import SpanParser
    from ragloom.components.embedding.base import Embedding
    from ragloom.components.source.base import Source
    from ragloom.process_pool.task_queue import PoolLimits


@dataclass(frozen=True)
class IngestParts:
    """What a worker needs of an ingest; picklable, and without a secret.

    Attributes:
        writer: opens the store in a worker; None: only the driver can write it.
        is_cached, is_limited: whether the cluster has an embedding cache, and a budget with a limit.
        has_rates: whether the provider has limits per minute.
        has_index: whether the index holds vectors that may be used again.
    """

    source: Source
    chunking: SpanParser
    embedding: Embedding
    writer: Any
    is_cached: bool
    is_limited: bool
    has_rates: bool
    has_index: bool


class IngestWorker:
    """Takes in documents on its node, one task after another.

    Args:
        parts: of the ingest.
        services: actor of the shared services.
        limits: of the processes that read.
        start_model: starts an actor with an embedding's model on this node; None: the model runs here.
        models: such actors.
        seconds: limit of such a start.
    """

    def __init__(
        self,
        parts: IngestParts,
        services: Any,
        limits: PoolLimits,
        start_model: Callable[[Embedding], Any] | None,
        models: int,
        seconds: float,
    ) -> None:
        self._parts, self._limits = parts, limits
        self._services = ServiceHandle(services)
        self._models = start_model, models, seconds
        self._exit_stack = ExitStack()

    def open(self) -> TaskError | None:
        """Start processes, load the model, open the store; return a failure."""
        try:
            self._open()
        except RagloomError as error:
            return TaskError.of(error)
        return None

    def _open(self) -> None:
        parts = self._parts
        self._embedding = parts.embedding
        connect_embedding(self._embedding, self._services, is_cached=parts.is_cached, has_rates=parts.has_rates)
        start_model, models, seconds = self._models
        if start_model is not None:
            pool = ModelPool(partial(start_model, parts.embedding), models, seconds)
            self._embedding.compute_by(pool, models)
        chunking = parts.chunking
        if getattr(chunking, "embedding", None) is not None:
            chunking = chunking.model_copy(update={"embedding": self._embedding})
        spool = Path(self._exit_stack.enter_context(tempfile.TemporaryDirectory(prefix="ragloom-ray-")))
        self._readers = self._exit_stack.enter_context(Readers(parts.source, chunking, self._limits, spool))
        reader = RemoteVectors(self._services)
        writer = TaskWriter(self._embedding.dimensions, reader) if parts.writer is None else parts.writer.open()
        self._writer = self._exit_stack.enter_context(writer)

    def run(self, task: IngestTask) -> TaskReport:
        """Take in the documents of a task; the result has the failures."""
        result = TaskReport()
        self._writer.begin_task(is_retry=task.is_retry)
        with collect_usage() as usage, within(RemoteBudget(self._services, self._parts.is_limited)):  # type: ignore[arg-type]
            listener = _Listener(result)
            stages = DocumentStages(
                self._embedding, self._writer, self._stored_vectors, listener, self._limits.in_flight_mb
            )
            stages.embedding.go_on_from(task.taken, task.refused)
            try:
                with closing(stages):
                    stages.process(self._documents(task, stages, result))
                    stages.finish()
            except RagloomError as error:
                result.error = TaskError.of(error)
        result.usage = usage
        result.tokens, result.taken = stages.embedding.tokens, stages.embedding.taken - task.taken
        result.refused = dict(stages.embedding.refused)
        result.stopped = result.stopped or stages.stopped
        result.written = self._writer.take()
        return result

    def close(self) -> None:
        """End the processes that read, close the store, and remove temporary files."""
        self._exit_stack.close()

    def _documents(self, task: IngestTask, stages: DocumentStages, result: TaskReport) -> Iterator[PendingDocument]:
        try:
            for job, read in self._readers.read(task.jobs):
                if stages.stopped is not None:
                    return
                if isinstance(read, ChunkedDocument):
                    result.read[job.entry.id] = read.counts
                    yield pending_document(job, read)
                    continue
                stages.count_refused(read)
                result.read[job.entry.id] = read
        except BudgetSpent as error:  # by chunking that needs vectors
            result.stopped = str(error)

    def _stored_vectors(self, batches: Sequence[ChunkBatch]) -> dict[str, np.ndarray]:
        if not self._parts.has_index:
            return {}
        return known_vectors(batches, lambda hashes: self._services.call("holding", hashes), self._writer)


class _Listener:
    """Notes what becomes of the documents of a task."""

    def __init__(self, result: TaskReport) -> None:
        self._result = result

    def failed(self, document: PendingDocument, reason: str) -> None:
        row = document.row
        self._result.failed.append(FailedDocument(row.id, document.location, row.bytes_hash, reason))

    def stored(self, batches: Sequence[ChunkBatch]) -> None:
        self._result.chunks += sum(len(batch.chunks) for batch in batches)
        self._result.stored += [(document.row, document.known) for document in stored_documents(batches)]

    def advanced(self, tokens: int, stopped: str | None) -> None:
        self._result.stopped = self._result.stopped or stopped

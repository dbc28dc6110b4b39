"""Executors run the stages of an ingest: interface and local executor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import Protocol

from ragloom.core.budget import BudgetSpent
from ragloom.ingestion.batches import PendingDocument
from ragloom.ingestion.document_stages import DocumentStages
from ragloom.ingestion.pipeline import IngestRun
from ragloom.ingestion.read_stage import Job, Readers, ReadResult
from ragloom.process_pool.task_queue import PoolLimits


class ChunkCache(Protocol):
    """Chunk cache: supplies documents that were cut before."""

    def run(self, readers: Readers, jobs: Iterable[Job]) -> Iterator[tuple[Job, ReadResult]]:
        """Yield each job with its result in order, as `readers.read` does."""


class Executor(Protocol):
    """Runs read, embed and write stages of what an ingest has listed."""

    def run(self, run: IngestRun, workers: PoolLimits) -> None:
        """Take in every document that is new or changed.

        Raises:
            DataError: a text is over the embedding's limit, or `source.on_unreadable=stop` met an unreadable document.
            ServiceError: the store or the provider failed.
        """


class LocalExecutor:
    """Executor of this machine: worker processes that read, and stage threads.

    Args:
        cuts: has what was cut before; None: every document is read.
    """

    def __init__(self, cuts: ChunkCache | None = None) -> None:
        self._cuts = cuts

    def run(self, run: IngestRun, workers: PoolLimits) -> None:
        """Take in every document that is new or changed."""
        stages = DocumentStages(run.embedding, run.writer, run.stored_vectors, run, workers.in_flight_mb)
        run.touch = stages.touch
        with closing(stages):
            with Readers(run.source, run.chunking, workers, run.ledger.folder) as readers:
                stages.process(self._documents(run, stages, readers))
            run.flush_touched()
            stages.finish()
        run.advanced(stages.embedding.tokens, stages.stopped)

    def _documents(self, run: IngestRun, stages: DocumentStages, readers: Readers) -> Iterator[PendingDocument]:
        """Yield the documents to store, until the budget is spent."""
        read = readers.read if self._cuts is None else partial(self._cuts.run, readers)
        try:
            for jobs in run.passes():
                for job, result in read(jobs):
                    if stages.stopped is not None:
                        return
                    stages.count_refused(result)
                    if (document := run.take(job, result)) is not None:
                        yield document
        except BudgetSpent as error:  # by chunking that needs vectors
            run.spent(error)

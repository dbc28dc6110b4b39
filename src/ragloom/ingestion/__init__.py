"""Ingestion: sync an index with its source in bounded memory.

A document counts as ingested when its manifest row is written, after its chunks were counted in the store. An
unchanged document costs nothing, nor does one whose text is in the index already (moved, copied, other metadata), and
what vanished from the source is deleted, but only when the source was listed completely.

    document_diff       items of the source next to documents of the index, on disk
    read_stage          in worker processes: bytes -> text -> spans
    batches             chunks in bounded batches, across documents
    executor            where the stages run: in this process and its workers, or elsewhere
    document_stages     embed and write stages, one after the other
    embed_stage         look-ups, full batches, several at once
    write_stage         one thread that appends and finishes documents, in order
    failed_documents    documents at which the embedding failed, recorded in the index
    recall_queries      sentences of chunks, embedded as queries: approximate search is measured with them
    summary             progress and result
    dry_run             the same run without a request or a write (counting_embedding takes the embedding's place)
    scale_model         time, memory and size of an ingest, from rates per stage
    ingest_forecast     forecast of a dry run: with its reading_pace, and former_rates or those of a reference machine
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from ragloom.components.vector_store.protocols import Database
from ragloom.core.budget import within
from ragloom.core.garbage_collection import older_objects_unscanned
from ragloom.core.maintenance_steps import steps_reported
from ragloom.core.usage import collect_usage
from ragloom.ingestion.deletions import Deletions, checked_root, delete_vanished
from ragloom.ingestion.document_diff import DocumentDiff
from ragloom.ingestion.empty_source import NothingToIndex, demand_document, demand_something
from ragloom.ingestion.executor import Executor
from ragloom.ingestion.failed_documents import RefusedDocuments, remembered
from ragloom.ingestion.limits import Limits
from ragloom.ingestion.pipeline import IngestRun
from ragloom.ingestion.recall_queries import questions_of
from ragloom.ingestion.summary import IngestState, IngestSummary, Progress, no_progress

if TYPE_CHECKING:
    from ragloom.components.chunking.base import SpanParser
    from ragloom.components.embedding.base import Embedding
    from ragloom.components.source.base import Source

__all__ = ["Deletions", "IngestState", "IngestSummary", "Limits", "Progress", "ingest"]


def ingest(
    source: Source,
    chunking: SpanParser,
    embedding: Embedding,
    database: Database,
    *,
    index_name: str,
    description: dict[str, Any],
    config: dict[str, Any],
    limits: Limits,
    executor: Executor,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> IngestSummary:
    """Sync an index with its source.

    Args:
        source: what is listed, read and parsed.
        chunking: cuts documents into chunks.
        embedding: makes their vectors.
        database: holds the index.
        index_name: `<source.name>-<fingerprint>`.
        description: what shapes the index, in words; kept with it.
        config: the composed config without secrets; kept with the commit.
        limits: of memory, time, money and deletions.
        executor: runs the stages.
        progress: receives progress updates.
        stop: asked before each document; once true, what is in flight is finished and committed, and nothing else.

    Raises:
        ConfigError: the source's name belongs to another root.
        DataError: the source cannot be listed, has nothing for a first index, a text is over the embedding's limit, or
            a document cannot be read and `source.on_unreadable=stop`. What was written before stays, is not seen by
            queries, and is gone on from by the next ingest.
        ServiceError: the store or the provider failed.
    """
    root = checked_root(source, database, index_name)
    clock = _Clock()
    with (
        older_objects_unscanned(),
        _first(source, database, index_name) as is_first,
        collect_usage() as usage,
        within(limits.budget),
        DocumentDiff() as ledger,
        database.writer(index_name, dimensions=embedding.dimensions, description=description, root=root) as writer,
    ):
        summary = IngestSummary(index_name, recovered=writer.recover(), usage=usage)
        tell = progress or no_progress
        refusals = RefusedDocuments(remembered(database, index_name), limits.retry_failed)
        verify = source.verify or root != source.root
        committed = partial(database.open, index_name)
        run = IngestRun(source, chunking, embedding, writer, ledger, summary, tell, stop, refusals, verify, committed)
        run.list()
        clock.lap(summary, "listing")
        if run.has_work:
            executor.run(run, limits.workers)
        clock.lap(summary, "ingesting")
        if summary.stopped is None:
            run.tell("deleting")
            delete_vanished(run, limits.deletions)
            clock.lap(summary, "deleting")
        if is_first:
            demand_something(run, source)
        run.tell("maintaining")
        complete = summary.stopped is None and run.hiding is None
        record = {"config": config, "oversized": summary.oversized, "stopped": summary.stopped}
        with steps_reported(run.tell_step):
            info = writer.commit({**record, **run.refusals.to_keep(complete=complete)}, questions_of(embedding))
        clock.lap(summary, "maintaining")
    if root != source.root:
        database.relocate(index_name, source.root)
    summary.documents, summary.chunks = info.documents, info.chunks
    summary.deleted_chunks, summary.notes = info.deleted_chunks, [*summary.notes, *info.notes]
    summary.notes += [] if root == source.root else [f"the index has moved: its documents are at {source.root} now"]
    summary.seconds = sum(summary.stages.values())
    run.tell("done")
    return summary


@contextmanager
def _first(source: Source, database: Database, index_name: str) -> Iterator[bool]:
    """Track whether nothing is committed yet.

    A source without a document leaves no index behind then.

    Raises:
        NothingToIndex: the source lists no document, or the caller found that none can be read.
    """
    is_first = all(info.name != index_name for info in database.indexes())
    if is_first:
        demand_document(source)
    try:
        yield is_first
    except NothingToIndex:
        database.delete(index_name)
        raise


class _Clock:
    """Format the seconds of each stage."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self, summary: IngestSummary, stage: str) -> None:
        """Note the seconds since the stage before."""
        now = time.perf_counter()
        summary.stages[stage] = now - self._last
        self._last = now

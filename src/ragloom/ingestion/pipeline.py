"""Ingestion pipeline: list the source, pass changes through workers and stage threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ragloom.components.source import file_age
from ragloom.components.source.base import STILL_WRITTEN, printable_path
from ragloom.components.vector_store.protocols import Writer
from ragloom.components.vector_store.record_types import ManifestRow
from ragloom.core.budget import BudgetSpent
from ragloom.core.records import Changing, DocumentWarning, Entry, Skipped, Unreadable
from ragloom.errors import DataError
from ragloom.ingestion.batches import ChunkBatch, PendingDocument, chunk_batches
from ragloom.ingestion.document_diff import DocumentDiff
from ragloom.ingestion.embed_stage import BatchResult, EmbedStage
from ragloom.ingestion.failed_documents import RefusedDocuments
from ragloom.ingestion.parent_embedding import refusal
from ragloom.ingestion.read_stage import ChunkedDocument, Job, Readers, ReadResult, Unchanged
from ragloom.ingestion.summary import IngestState, IngestSummary, Progress, Stage
from ragloom.ingestion.write_stage import StoredRows, WriteStage

if TYPE_CHECKING:
    from ragloom.components.chunking.base import SpanParser
    from ragloom.components.embedding.base import Embedding
    from ragloom.components.source.base import Source
    from ragloom.process_pool.task_queue import PoolLimits

TOUCHED_AT_ONCE = 1024
"""Unchanged documents whose new sizes and times are written together."""
INTERRUPTED = "it was interrupted; what it had read is committed, and the same command goes on from there"
SPENT = "what was completed is committed, and the same command goes on from there with as much again, or set more"


class ChunkCache(Protocol):
    """Chunk cache: supplies documents that were cut before."""

    def run(self, readers: Readers, jobs: Iterable[Job]) -> Iterator[tuple[Job, ReadResult]]:
        """Yield each job with its result in order, as `readers.read` does."""


@dataclass(eq=False, repr=False)
class IngestRun:
    """The state of one pass.

    Attributes:
        stop: called before each document; True ends the pass early.
        hiding: the first thing that could not be read and may hide documents.
        cuts: has what was cut before; None: every document is read.
        refusals: documents at which the embedding failed, now and before.
        verify: whether size and time are no proof that a document is unchanged.
    """

    source: Source
    chunking: SpanParser
    embedding: Embedding
    writer: Writer
    ledger: DocumentDiff
    summary: IngestSummary
    progress: Progress
    stop: Callable[[], bool]
    refusals: RefusedDocuments
    verify: bool
    cuts: ChunkCache | None = None
    hiding: Unreadable | None = field(default=None, init=False)
    _state: IngestState = field(default_factory=IngestState, init=False)
    _reading: dict[str, ManifestRow | None] = field(default_factory=dict, init=False)
    _touched: list[ManifestRow] = field(default_factory=list, init=False)
    _events: SimpleQueue[BatchResult | StoredRows | BaseException] = field(default_factory=SimpleQueue, init=False)
    _blocks: deque[ChunkBatch] = field(default_factory=deque, init=False)
    _in_flight: int = field(default=0, init=False)
    _youngest: int | None = field(default=None, init=False)
    _racy: set[str] = field(default_factory=set, init=False)

    @property
    def state(self) -> IngestState:
        """How far it is."""
        return self._state

    def tell(self, stage: Stage | None = None) -> None:
        """Tell how far it is."""
        state = self._state
        state.stage = stage or state.stage
        state.unreadable = self.summary.unreadable_count
        state.written, state.embedded, state.tokens = self.summary.written, self.summary.embedded, self.summary.tokens
        self.progress(state)

    def tell_step(self, step: str) -> None:
        """Report a step of maintenance; also called again while it lasts."""
        self._state.step = step
        self.progress(self._state)

    def list(self) -> None:
        """List the source completely, and counts what has to be read.

        Raises:
            DataError: the source cannot be listed, or something is unreadable and `source.on_unreadable=stop`.
        """
        self.tell("listing")
        self.ledger.hold(self.writer.manifest())
        self.ledger.enter(self._entries())
        state = self._state
        state.to_read, state.bytes_to_read = self.ledger.to_read(verify=self.verify)
        self.summary.unchanged = state.listed - state.to_read
        self.tell("ingesting")

    def _entries(self) -> Iterator[Entry]:
        for listed in self.source.entries():
            if isinstance(listed, Unreadable):
                if not listed.hides:
                    self.ledger.hide(listed.location)
                elif self.hiding is None:
                    self.hiding = listed
                self._unreadable(listed)
            elif isinstance(listed, Skipped):
                if listed.stays:
                    self.ledger.hide(listed.location)
                self.summary.skip(listed)
            else:
                self._state.listed += 1
                yield listed
            self.tell()

    def take_in(self, workers: PoolLimits) -> None:
        """Take in every document that is new or changed.

        Raises:
            DataError: a text is over the embedding's limit, or `source.on_unreadable=stop` met an unreadable document.
            ServiceError: the store or the provider failed.
        """
        if not self._state.to_read:
            return
        with (
            closing(EmbedStage(self.embedding, self._stored, self._events)) as self._vectors,
            closing(WriteStage(self.writer, self._events)) as self._storing,
        ):
            with Readers(self.source, self.chunking, workers, self.ledger.folder) as readers:
                for block in chunk_batches(self._documents(readers), self.embedding.dimensions):
                    while self._vectors.busy or (
                        self._in_flight and self._in_flight + block.bytes > workers.in_flight_mb * 1e6
                    ):
                        self._advance(wait=True)
                    self._in_flight += block.bytes
                    self._vectors.take(block)
                    self._blocks.append(block)
                    self._advance(wait=False)
            self._vectors.flush()
            self._touch()
            while self._blocks or self._storing.waiting:
                self._advance(wait=True)
        self.summary.tokens = self._vectors.tokens + self.summary.usage.cache.made_tokens
        self.tell()

    def _documents(self, readers: Readers) -> Iterator[PendingDocument]:
        """Read new and changed documents; yield those to store."""
        for job, itemt in self._found(readers):
            # A time that proves nothing is not kept: the next ingest reads the document again.
            entry = replace(job.entry, mtime_ns=None) if job.entry.id in self._racy else job.entry
            row = self._reading.pop(entry.id)
            self._state.read += 1
            self._state.bytes_read += entry.size
            if isinstance(itemt, ChunkedDocument) and self.refusals.knows(entry.id, itemt.bytes_hash):
                itemt.close()
                itemt = Unreadable(printable_path(entry.location), "", stage="embedding", refused=itemt.bytes_hash)
            if isinstance(itemt, Unreadable):
                if itemt.refused is not None and itemt.reason:
                    self._vectors.refuse({itemt.refused: itemt.reason})
                self._refused_or_unreadable(job.entry.id, itemt)
            elif isinstance(itemt, Unchanged):
                assert row is not None
                self.summary.unchanged += 1
                new = replace(row, size=entry.size, mtime_ns=entry.mtime_ns, bytes_hash=itemt.bytes_hash)
                self._touched.append(new)
                if len(self._touched) >= TOUCHED_AT_ONCE:
                    self._touch()
            else:
                self.summary.oversized += itemt.oversized
                self._state.chunks += len(itemt)
                for warning in itemt.warnings:
                    self.summary.warn(DocumentWarning(printable_path(entry.location), warning))
                yield _incoming(entry, itemt, row)
            self.tell()

    def _found(self, readers: Readers) -> Iterator[tuple[Job, ReadResult]]:
        """Read until the budget is spent, by chunks or by cutting."""
        try:
            for job, result in self._read(readers):
                if self._vectors.stopped is not None:
                    return
                yield job, result
        except BudgetSpent as error:
            self._spent(error)

    def _read(self, readers: Readers) -> Iterator[tuple[Job, ReadResult]]:
        """Read recently changed documents last, after one common pause (`source.file_age`)."""
        run = readers.read if self.cuts is None else partial(self.cuts.run, readers)
        for job, result in run(self._jobs()):
            if isinstance(result, Changing):
                del self._reading[job.entry.id]
                self._postpone(job.entry, file_age.now_ns())
            else:
                yield job, result
        if self._youngest is not None and self.summary.stopped is None:
            file_age.pause(self._youngest)
            yield from run(self._postponed())

    def _spent(self, error: object) -> None:
        self.summary.stopped = self.summary.stopped or f"{error}; {SPENT}"

    def _jobs(self) -> Iterator[Job]:
        for entry, row in self.ledger.changes(verify=self.verify):
            if self._interrupted():
                return
            if file_age.is_recent(entry.mtime_ns):
                self._postpone(entry, entry.mtime_ns or 0)
            else:
                yield self._job(entry, row)

    def _interrupted(self) -> bool:
        if interrupted := self.stop():
            self.summary.stopped = INTERRUPTED
        return interrupted

    def _postpone(self, entry: Entry, mtime_ns: int) -> None:
        self._youngest = max(mtime_ns, self._youngest or 0)
        self.ledger.postpone(entry.id)

    def _postponed(self) -> Iterator[Job]:
        for listed, row in self.ledger.postponed():
            if self._interrupted():
                return
            entry = self.source.refresh(listed)
            if entry != listed and file_age.is_recent(entry.mtime_ns, file_age.STILL_NS):
                self._state.read += 1
                self._state.bytes_read += listed.size
                self._unreadable(Unreadable(printable_path(entry.location), STILL_WRITTEN))
            else:
                if file_age.is_recent(entry.mtime_ns):
                    self._racy.add(entry.id)
                yield self._job(entry, row)

    def _job(self, entry: Entry, row: ManifestRow | None) -> Job:
        self._reading[entry.id] = row
        bytes_hash, content_hash = (row.bytes_hash, row.content_hash) if row else (None, None)
        return Job(entry, bytes_hash, content_hash, self.refusals.bytes_hash(entry.id))

    def _stored(self, some: Sequence[ChunkBatch]) -> dict[str, np.ndarray]:
        """Look up vectors in the index, by former versions and equal text."""
        owners = {id(owner): owner for block in some for owner in block.owners}.values()
        names = {owner.row.id for owner in owners if owner.known}
        names.update(self.ledger.holding([owner.row.text_hash for owner in owners]))
        if not names:
            return {}
        # Only what these blocks need: a document of thousands of chunks comes in as many blocks.
        hashes = {sent for block in some for sent in block.hashes}
        return {sent: vector for (_, sent), vector in self.writer.vectors_of(sorted(names), hashes).items()}

    def _advance(self, *, wait: bool) -> None:
        """Do what the stages have answered; with `wait`, something at least."""
        self._release()
        if wait and not self._vectors.running and not self._storing.waiting:
            self._vectors.flush()
        try:
            while True:
                self._take(self._events.get(block=wait))
                wait = False
        except Empty:
            self._release()
        self.tell()

    def _take(self, event: BatchResult | StoredRows | BaseException) -> None:
        if isinstance(event, BatchResult):
            for document, reason in self._vectors.took(event):
                row = document.row
                item = Unreadable(
                    printable_path(document.location), refusal(reason), stage="embedding", refused=row.bytes_hash
                )
                self._refused_or_unreadable(row.id, item)
            if self._vectors.stopped is not None:
                self._spent(self._vectors.stopped)
        elif isinstance(event, StoredRows):
            self._storing.took(event)
            self._count(block for block in event.items if isinstance(block, ChunkBatch))
        else:
            raise event

    def _release(self) -> None:
        """Has blocks written whose vectors are all there, in order."""
        while self._blocks and not self._blocks[0].missing:
            self._storing.put(self._blocks.popleft())

    def _count(self, some: Iterable[ChunkBatch]) -> None:
        for block in some:
            self._in_flight -= block.bytes
            self.summary.written += len(block.chunks)
            stored = [document for document in block.complete if document.failed is None]
            for document in block.complete:
                document.cut.close()
            self.ledger.wrote(document.row for document in stored)
            changed = sum(document.known for document in stored)
            self.summary.changed += changed
            self.summary.added += len(stored) - changed
        self.summary.embedded = self.summary.usage.cache.made
        self.summary.tokens = self._vectors.tokens + self.summary.usage.cache.made_tokens

    def _touch(self) -> None:
        if self._touched:
            self._storing.put(self._touched)
            self._touched = []

    def _refused_or_unreadable(self, id: str, item: Unreadable) -> None:
        """Record an unreadable document, with its place for the embedding."""
        if item.refused is not None:
            self.summary.refused += 1
            if item.reason:
                self.refusals.add(id, item.refused, item.reason)
            else:
                item = replace(item, reason=self.refusals.again(id))
        self._unreadable(item)

    def _unreadable(self, item: Unreadable) -> None:
        self.summary.cannot_read(item)
        if self.source.on_unreadable == "stop":
            raise DataError(
                f"source: {item.location}: {item.reason}; fix or exclude it, or set source.on_unreadable=report"
            )


def _incoming(entry: Entry, cut: ChunkedDocument, row: ManifestRow | None) -> PendingDocument:
    new = ManifestRow(
        id=entry.id,
        size=entry.size,
        mtime_ns=entry.mtime_ns,
        bytes_hash=cut.bytes_hash,
        text_hash=cut.text_hash,
        metadata_hash=cut.metadata_hash,
        content_hash=cut.content_hash,
        chunks=len(cut),
    )
    return PendingDocument(new, cut, row is not None, entry.location)

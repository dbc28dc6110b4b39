"""Ingestion run: lists the source, yields jobs, records results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ragloom.components.source import file_age
from ragloom.components.source.base import STILL_WRITTEN, printable_path
from ragloom.components.vector_store.protocols import Index, Writer
from ragloom.components.vector_store.record_types import ManifestRow
from ragloom.core.records import Changing, DocumentWarning, Entry, Skipped, Unreadable
from ragloom.errors import DataError
from ragloom.ingestion.batches import ChunkBatch, PendingDocument
from ragloom.ingestion.document_diff import DocumentDiff
from ragloom.ingestion.document_stages import known_vectors, stored_documents
from ragloom.ingestion.failed_documents import RefusedDocuments
from ragloom.ingestion.parent_embedding import refusal
from ragloom.ingestion.read_stage import ChunkedDocument, Job, ReadCounts, ReadResult, Unchanged
from ragloom.ingestion.summary import IngestState, IngestSummary, Progress, Stage

if TYPE_CHECKING:
    from ragloom.components.chunking.base import SpanParser
    from ragloom.components.embedding.base import Embedding
    from ragloom.components.source.base import Source

TOUCHED_AT_ONCE = 1024
"""Unchanged documents whose new sizes and times are written together."""
INTERRUPTED = "it was interrupted; what it had read is committed, and the same command goes on from there"
SPENT = "what was completed is committed, and the same command goes on from there with as much again, or set more"


@dataclass(eq=False, repr=False)
class IngestRun:
    """The state of one ingest, wherever its stages run.

    Attributes:
        stop: called before each document; True ends the pass early.
        hiding: the first thing that could not be read and may hide documents.
        refusals: documents at which the embedding failed, now and before.
        verify: whether size and time are no proof that a document is unchanged.
        committed: opens the index as it was before this run; raises IndexMissing without a commit.
        touch: writes manifest rows of unchanged documents; an executor may replace it.
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
    committed: Callable[[], Index]
    hiding: Unreadable | None = field(default=None, init=False)
    touch: Callable[[list[ManifestRow]], None] = field(init=False)
    _state: IngestState = field(default_factory=IngestState, init=False)
    _reading: dict[str, ManifestRow | None] = field(default_factory=dict, init=False)
    _touched: list[ManifestRow] = field(default_factory=list, init=False)
    _youngest: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.touch = self.writer.touch

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
        """List the source completely, and count what has to be read.

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

    @property
    def has_work(self) -> bool:
        """Whether any document is new or may have changed."""
        return self._state.to_read > 0

    def passes(self) -> Iterator[Iterator[Job]]:
        """Yield the jobs of each pass.

        Recently changed documents are read last, after one common pause (`source.file_age`); those of the first pass
        that turn out to be changing are among them once `take` has their results.
        """
        yield self._jobs()
        if self._youngest is not None and self.summary.stopped is None:
            file_age.pause(self._youngest)
            yield self._postponed()

    def take(self, job: Job, result: ReadResult | ReadCounts) -> PendingDocument | None:
        """Record the result of a job; return a document to store.

        Args:
            job: of the document.
            result: counts where the document itself is elsewhere.

        Raises:
            DataError: `source.on_unreadable=stop` met an unreadable document.
        """
        entry = job.entry
        row = self._reading.pop(entry.id)
        if isinstance(result, Changing):
            self._postpone(entry, file_age.now_ns())
            return None
        self._state.read += 1
        self._state.bytes_read += entry.size
        if isinstance(result, ChunkedDocument) and self.refusals.knows(entry.id, result.bytes_hash):
            result.close()
            result = Unreadable(printable_path(entry.location), "", stage="embedding", refused=result.bytes_hash)
        document = None
        if isinstance(result, Unreadable):
            self._refused_or_unreadable(entry.id, result)
        elif isinstance(result, Unchanged):
            assert row is not None
            self.summary.unchanged += 1
            self._touch(replace(row, size=entry.size, mtime_ns=job.mtime_ns, bytes_hash=result.bytes_hash))
        else:
            self._count_cut(entry, result if isinstance(result, ReadCounts) else result.counts)
            document = pending_document(job, result) if isinstance(result, ChunkedDocument) else None
        self.tell()
        return document

    def _count_cut(self, entry: Entry, counts: ReadCounts) -> None:
        self.summary.oversized += counts.oversized
        self._state.chunks += counts.chunks
        for warning in counts.warnings:
            self.summary.warn(DocumentWarning(printable_path(entry.location), warning))

    def _touch(self, row: ManifestRow) -> None:
        self._touched.append(row)
        if len(self._touched) >= TOUCHED_AT_ONCE:
            self.flush_touched()

    def flush_touched(self) -> None:
        """Have new sizes and times of unchanged documents written."""
        if self._touched:
            rows, self._touched = self._touched, []
            self.touch(rows)

    def spent(self, error: object) -> None:
        """Record that the budget is spent."""
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
                # A time that proves nothing is not kept: the next ingest reads the document again.
                yield self._job(entry, row, is_racy=file_age.is_recent(entry.mtime_ns))

    def _job(self, entry: Entry, row: ManifestRow | None, *, is_racy: bool = False) -> Job:
        self._reading[entry.id] = row
        bytes_hash, content_hash = (row.bytes_hash, row.content_hash) if row else (None, None)
        return Job(entry, bytes_hash, content_hash, self.refusals.bytes_hash(entry.id), is_racy)

    def stored_vectors(self, batches: Sequence[ChunkBatch]) -> dict[str, np.ndarray]:
        """Look up vectors of the index, by hash of what was sent."""
        return known_vectors(batches, self.ledger.holding, self.writer)

    def failed(self, document: PendingDocument, reason: str) -> None:
        """Report a document at a text of which the embedding failed."""
        self.refused(document.row.id, document.location, document.row.bytes_hash, reason)

    def refused(self, id: str, location: str, bytes_hash: str, reason: str) -> None:
        """Report a document at a text of which the embedding failed."""
        item = Unreadable(printable_path(location), refusal(reason), stage="embedding", refused=bytes_hash)
        self._refused_or_unreadable(id, item)

    def stored(self, batches: Sequence[ChunkBatch]) -> None:
        """Count batches that are stored, with their complete documents."""
        documents = stored_documents(batches)
        self.wrote(sum(len(batch.chunks) for batch in batches), [(each.row, each.known) for each in documents])

    def wrote(self, chunks: int, documents: Sequence[tuple[ManifestRow, bool]]) -> None:
        """Count stored chunks and documents.

        Args:
            documents: row of each, and whether the index held another version of it.
        """
        self.summary.written += chunks
        self.ledger.wrote(row for row, _ in documents)
        changed = sum(known for _, known in documents)
        self.summary.changed += changed
        self.summary.added += len(documents) - changed

    def advanced(self, tokens: int, stopped: str | None) -> None:
        """Record what was embedded so far, and tell it."""
        if stopped is not None:
            self.spent(stopped)
        self.summary.embedded = self.summary.usage.cache.made
        self.summary.tokens = tokens + self.summary.usage.cache.made_tokens
        self.tell()

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


def pending_document(job: Job, cut: ChunkedDocument) -> PendingDocument:
    """Return a chunked document with its future manifest row."""
    new = ManifestRow(
        id=job.entry.id,
        size=job.entry.size,
        mtime_ns=job.mtime_ns,
        bytes_hash=cut.bytes_hash,
        text_hash=cut.text_hash,
        metadata_hash=cut.metadata_hash,
        content_hash=cut.content_hash,
        chunks=len(cut),
    )
    return PendingDocument(new, cut, job.bytes_hash is not None, job.entry.location)

"""Read stage: one document from bytes to spans, in a worker process.

A document crosses the process boundary as its text once, in UTF-8, and its chunks as numbers: LlamaIndex nodes of
the same chunks took 31 MB for each MB of text. A long text stays behind in a file.
"""

from __future__ import annotations

import os
import pickle
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.components.source.base import CannotRead, FileChanged, printable_path
from ragloom.core import file_backed_text
from ragloom.core.file_backed_text import FileBackedText
from ragloom.core.records import Changing, Chunk, Entry, Unreadable, canonical_json, chunk_id, document_hash, sha256
from ragloom.errors import DataError
from ragloom.ingestion.parent_embedding import TextRefused, embedding_callback, with_parent_embedding
from ragloom.ingestion.scale_model import Machine
from ragloom.process_pool.pool import ProcessPool
from ragloom.process_pool.results import TaskResult
from ragloom.process_pool.task_queue import PoolLimits

if TYPE_CHECKING:
    from llama_index.core.schema import Document

    from ragloom.components.chunking.base import SpanParser
    from ragloom.components.source.base import Source

_ITEMS_EACH = 64
"""Documents in flight for each worker."""
_NOTHING: dict[str, Any] = {}
"""What most chunks' metadata has beyond the document's; one for all of them."""


@dataclass(frozen=True, slots=True)
class Job:
    """A document that is to be read.

    Attributes:
        bytes_hash, content_hash: of the stored version; None without one.
        refused: hash of the bytes at a text of which the embedding failed before, and which are not tried again.
        is_racy: the document changed so recently that its modification time proves nothing.
    """

    entry: Entry
    bytes_hash: str | None = None
    content_hash: str | None = None
    refused: str | None = None
    is_racy: bool = False

    @property
    def mtime_ns(self) -> int | None:
        """Modification time to keep; None where it proves nothing."""
        return None if self.is_racy else self.entry.mtime_ns


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Unchanged document: same bytes, or same text and metadata."""

    bytes_hash: str


@dataclass(frozen=True, slots=True)
class ReadCounts:
    """Counts of a chunked document: chunks, oversized ones; its warnings."""

    chunks: int
    oversized: int
    warnings: list[str]


@dataclass(slots=True, eq=False)
class ChunkedDocument:
    """A document that was read and cut.

    Attributes:
        document: its id.
        bytes_hash, text_hash, metadata_hash, content_hash: as the manifest has them.
        metadata: the document's.
        spans: first character and the one after the last of each chunk, one after the other.
        located: what each chunk's metadata has beyond what it inherits; empty where none has any.
        inherits: whether chunks have the document's metadata.
        oversized: chunks over the chunking's size.
        warnings: what is doubtful or missing in the text; they shape no hash.
        content: the text, or its UTF-8 (half surrogate pairs included), or where it is in a file.
    """

    document: str
    bytes_hash: str
    text_hash: str
    metadata_hash: str
    content_hash: str
    metadata: dict[str, Any]
    spans: array[int]
    located: list[dict[str, Any]]
    inherits: bool
    oversized: int
    warnings: list[str]
    content: str | bytes | bytearray | FileBackedText

    @property
    def text(self) -> str | FileBackedText:
        """The normalised text."""
        if not isinstance(self.content, str | FileBackedText):
            self.content = str(self.content, "utf-8", "surrogatepass")
        return self.content

    @property
    def counts(self) -> ReadCounts:
        """What is counted of it."""
        return ReadCounts(len(self), self.oversized, self.warnings)

    def close(self) -> None:
        """Remove the text's file, if there is one."""
        if isinstance(self.content, FileBackedText):
            self.content.remove()

    def __len__(self) -> int:
        """Count the chunks."""
        return len(self.spans) // 2

    def chunks(self) -> Iterator[Chunk]:
        """Yield the chunks of the document, as the chunking makes them."""
        text, inherited = self.text, self.metadata if self.inherits else {}
        spans = zip(self.spans[::2], self.spans[1::2], strict=True)
        slices = text.slices(spans) if isinstance(text, FileBackedText) else (text[start:end] for start, end in spans)
        for at, part in enumerate(slices):
            start, end = self.spans[2 * at], self.spans[2 * at + 1]
            yield Chunk(
                id=chunk_id(self.document, self.content_hash, start, end),
                document=self.document,
                content_hash=self.content_hash,
                start=start,
                end=end,
                text=part,
                metadata={**inherited, **(self.located[at] if self.located else {})},
            )

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """Pickles with the text as a buffer, which is sent uncopied."""
        content = self.content.encode("utf-8", "surrogatepass") if isinstance(self.content, str) else self.content
        fields = (getattr(self, name) for name in self.__slots__[:-1])
        return ChunkedDocument, (
            *fields,
            content if isinstance(content, FileBackedText) else pickle.PickleBuffer(content),
        )


ReadResult = ChunkedDocument | Unchanged | Unreadable


class Reading:
    """Reader of one document: read, parse, cut.

    It is picklable: each worker has one.

    Args:
        source: whose documents these are.
        chunking: cuts them. An embedding that it needs stays in the process that runs the workers, with its cache,
            limits and budget, and is asked (`embedding_callback`); only a cheap one goes along.
        spool: folder for long texts, whose files are the caller's; None: they cross the boundary like others.
    """

    def __init__(self, source: Source, chunking: SpanParser, spool: Path | None = None) -> None:
        self._source = source
        self._spool = spool
        self.chunking = with_parent_embedding(chunking)

    def load(self) -> None:
        """Import and loads what reading needs, so that workers share it."""
        from ragloom.components.source.readers.file_types import load_readers

        load_readers()
        list(self.chunking.spans("Ready."))

    def __call__(self, job: Job) -> ReadResult:
        """Do it all, or says why the document cannot be read."""
        bytes_hash = None
        try:
            content = self._source.read(job.entry)
            bytes_hash = sha256(content)
            if bytes_hash == job.bytes_hash:
                return Unchanged(bytes_hash)
            if bytes_hash == job.refused:
                return Unreadable(printable_path(job.entry.location), "", stage="embedding", refused=bytes_hash)
            document = self._source.parse(job.entry, content)
            del content  # memory: from here on only the text is needed
            content_hash = document_hash(document.text, document.metadata)
            if content_hash == job.content_hash:
                return Unchanged(bytes_hash)
        except FileChanged as error:
            return Changing(printable_path(job.entry.location), error.reason)
        except CannotRead as error:
            return Unreadable(printable_path(job.entry.location), error.reason)
        try:
            return self._cut(document, bytes_hash, content_hash)
        except TextRefused as error:
            return Unreadable(printable_path(job.entry.location), error.reason, stage="embedding", refused=bytes_hash)
        except CannotRead as error:
            return Unreadable(printable_path(job.entry.location), error.reason, stage="chunking")

    def _cut(self, document: Document, bytes_hash: str, content_hash: str) -> ChunkedDocument:
        inherited = document.metadata if self.chunking.include_metadata else {}
        spans, located, before = array("q"), [], self.chunking.oversized
        for chunk in self.chunking.chunks(document):
            spans.extend((chunk.start, chunk.end))
            located.append({key: value for key, value in chunk.metadata.items() if key not in inherited} or _NOTHING)
        return ChunkedDocument(
            document=document.node_id,
            bytes_hash=bytes_hash,
            text_hash=sha256(document.text),
            metadata_hash=sha256(canonical_json(document.metadata)),
            content_hash=content_hash,
            metadata=dict(document.metadata),
            spans=spans,
            located=located if any(located) else [],
            inherits=self.chunking.include_metadata,
            oversized=self.chunking.oversized - before,
            warnings=list(getattr(document, "warnings", ())),  # a source of an extension yields plain documents
            content=self._content(document.text),
        )

    def _content(self, text: str) -> bytes | FileBackedText:
        if self._spool is None or len(text) < file_backed_text.LONG:
            return text.encode("utf-8", "surrogatepass")
        try:
            return file_backed_text.write_text(text, self._spool)
        except OSError as error:
            raise DataError(
                f"source: the folder of temporary files must have room for the text of each long document: {error}; "
                "make room, or set TMPDIR to another folder"
            ) from None


def bounds_of(settings: Mapping[str, Any]) -> PoolLimits:
    """Convert `workers` to pool limits; by default one process per core."""
    processes = settings["processes"]
    if processes is None:
        processes = _cores() if hasattr(os, "fork") else 0
    return PoolLimits(
        processes=processes,
        seconds=settings["seconds_per_file"],
        seconds_per_mb=settings["seconds_per_mb"],
        megabytes=settings["memory_mb"],
        items=_ITEMS_EACH * max(processes, 1),
        in_flight_mb=settings["in_flight_mb"],
    )


def machine_of(workers: PoolLimits, concurrency: int) -> Machine:
    """Describe where an ingest runs, for the cost model."""
    return Machine(_cores(), workers.processes, workers.in_flight_mb, concurrency)


def with_processes(limits: PoolLimits, processes: int) -> PoolLimits:
    """Return limits of a pool with another number of processes."""
    return replace(limits, processes=processes, items=_ITEMS_EACH * max(processes, 1))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Readers(ProcessPool[Job, ReadResult]):
    """Reads documents in worker processes. A context manager: leaving it ends them.

    Args:
        source, chunking, spool: as `Reading` has them.
        bounds: of each document and of all.
    """

    def __init__(self, source: Source, chunking: SpanParser, bounds: PoolLimits, spool: Path | None = None) -> None:
        reading = Reading(source, chunking, spool)
        super().__init__(
            reading,
            bounds,
            initializer=reading.load,
            size=lambda job: job.entry.size,
            callback=embedding_callback(getattr(chunking, "embedding", None)),
        )

    def read(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, ReadResult]]:
        """Yield each job with its result in order; starts on first use.

        A document that hangs, kills its process or needs too much memory is `Unreadable`, as one that is damaged.

        Raises:
            Exception: a bug, or what the embedding raised when the chunking asked it.
            ServiceError: the system starts no processes.
        """
        for outcome in self.run(jobs):
            if isinstance(outcome, TaskResult):
                yield outcome.item, outcome.value
            else:
                yield outcome.item, Unreadable(printable_path(outcome.item.entry.location), outcome.reason)

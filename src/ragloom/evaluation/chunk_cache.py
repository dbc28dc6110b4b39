"""Chunk cache: chunked documents, shared by indexes with the same chunking.

Three embeddings of one chunking are three indexes whose documents are chunked once. The cache key holds parsing and
chunking; an item is named by the document's id and the hash of its bytes, independent of the corpus name and place.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import fields
from typing import Any

from ragloom.assembly import Assembly
from ragloom.cache.stages.stage_cache import StageCache
from ragloom.cache.stages.stage_entries import CachedStage
from ragloom.components.source import file_age
from ragloom.components.source.base import CannotRead, Source
from ragloom.config.builder_keys import needs_of
from ragloom.core import file_backed_text
from ragloom.core.file_backed_text import FileBackedText, full_text
from ragloom.core.records import Changing, Entry, Unreadable, canonical_json, sha256
from ragloom.errors import ServiceError
from ragloom.ingestion.read_stage import ChunkedDocument, Job, Readers, ReadResult, Unchanged, bounds_of

CUT_CODE = 1
"""Increase it when the cached form of a document changes: cached documents become misses."""


def chunk_key(assembly: Assembly) -> dict[str, Any]:
    """Return the cache key of chunks, without the bytes of the document."""
    described = assembly.description
    asks = "embedding" in needs_of(assembly.config.builder("chunking"))
    return {
        "code": CUT_CODE,
        "source": described["source"],
        "chunking": described["chunking"],
        "embedding": {**described["embedding"], "server": assembly.config.tree["embedding"].get("base_url")}
        if asks
        else None,
    }


def cache_chunks(assembly: Assembly, stages: StageCache) -> tuple[CachedChunks, CachedStage]:
    """Chunk all uncached documents of a source, for several indexes.

    Other processes that need the same chunks wait. A chunking that needs an embedding chunks during the ingest, within
    its budget, and caches the chunks then.
    """
    key = chunk_key(assembly)
    with stages.open("chunks", key) as unit:
        chunks = CachedChunks(unit, assembly.source)
        if key["embedding"] is None:
            with Readers(assembly.source, assembly.chunking, bounds_of(assembly.config.tree["workers"])) as readers:
                for _, outcome in chunks.run(readers, chunks.jobs()):
                    if isinstance(outcome, Unreadable) and not isinstance(outcome, Changing):
                        chunks.unreadable.append(outcome)
                    elif isinstance(outcome, ChunkedDocument) and not len(outcome):
                        chunks.empty.append(outcome.document)
            chunks.counts = False  # chunks computed above are no cache hits of the ingest
    return chunks, unit


class CachedChunks:
    """Cached chunks of one source, as input of an ingest.

    Args:
        unit: of `chunk_key`; still readable and writable after it was left.
        source: of the documents.

    Attributes:
        counts: whether cached documents count as cache hits.
        unreadable: items that could not be listed, or not read while all documents were chunked.
        empty: ids of documents without chunks.
    """

    def __init__(self, unit: CachedStage, source: Source) -> None:
        self.counts = True
        self.unreadable: list[Unreadable] = []
        self.empty: list[str] = []
        self._unit = unit
        self._source = source

    def close(self) -> None:
        """Close the cache file."""
        self._unit.items.close()

    def jobs(self) -> Iterator[Job]:
        """Yield all documents of the source, after one pause for recent changes."""
        paused = False
        for item in self._source.entries():
            if isinstance(item, Entry):
                if not paused and file_age.is_recent(item.mtime_ns):
                    file_age.pause(file_age.now_ns())
                    paused = True
                yield Job(self._source.refresh(item) if paused else item)
            elif isinstance(item, Unreadable):
                self.unreadable.append(item)

    def text(self, entry: Entry) -> str | None:
        """Return the text of a document; None where it is unreadable."""
        if (name := self._name(Job(entry))) is None:
            return None
        if (value := self._unit.peek(name)) is not None:
            return str(value["content"])
        with suppress(CannotRead):  # too long for the cache
            return str(self._source.parse(entry, self._source.read(entry)).text)
        return None

    def run(self, readers: Readers, jobs: Iterable[Job]) -> Iterator[tuple[Job, ReadResult]]:
        """Yield each job with its outcome, in order; only misses are read."""
        waiting: deque[tuple[Job, str | None, bool]] = deque()

        def cache_misses() -> Iterator[Job]:
            for job in jobs:
                name = self._name(job)
                hit = name is not None and self._unit.peek(name) is not None
                waiting.append((job, name, hit))
                if not hit:
                    yield job

        for job, outcome in readers.read(cache_misses()):
            yield from self._hits(waiting)
            _, name, _ = waiting.popleft()
            if (
                isinstance(outcome, ChunkedDocument)
                and name == _name(outcome.document, outcome.bytes_hash)
                and not _is_long(outcome)
            ):
                self._unit.put(name, chunks_json(outcome))
            yield job, outcome
        yield from self._hits(waiting)

    def _hits(self, waiting: deque[tuple[Job, str | None, bool]]) -> Iterator[tuple[Job, ReadResult]]:
        """Yield the cache hits at the head of the queue."""
        while waiting and waiting[0][2]:
            job, name, _ = waiting.popleft()
            value = (self._unit.get if self.counts else self._unit.peek)(name or "")
            if value is None:
                raise ServiceError(
                    f"config: stages: the cached chunks of {job.entry.id} were removed during the run; run again"
                )
            cut = chunks_from(value)
            yield job, Unchanged(cut.bytes_hash) if cut.content_hash == job.content_hash else cut

    def _name(self, job: Job) -> str | None:
        """Return the cache name of a document; None when it needs none.

        Unreadable documents and those with a current stored version need none.
        """
        try:
            bytes_hash = sha256(self._source.read(job.entry))
        except CannotRead:
            return None  # the readers report it
        return None if bytes_hash == job.bytes_hash else _name(job.entry.id, bytes_hash)


def _name(document: str, bytes_hash: str) -> str:
    return sha256(canonical_json([document, bytes_hash]))


def _is_long(cut: ChunkedDocument) -> bool:
    """Return whether a text is too long for the cache.

    It is read and chunked again for each index.
    """
    return isinstance(cut.content, FileBackedText) or len(cut.content) >= file_backed_text.LONG


def chunks_json(cut: ChunkedDocument) -> dict[str, Any]:
    """Serialize a chunked document to plain values."""
    shown = {field.name: getattr(cut, field.name) for field in fields(cut)}
    return {**shown, "spans": list(cut.spans), "content": full_text(cut.text)}


def chunks_from(shown: dict[str, Any]) -> ChunkedDocument:
    """Deserialize the output of `chunks_json`."""
    older: dict[str, Any] = {"warnings": []}  # entries of older versions have none
    return ChunkedDocument(**older | shown | {"spans": array("q", shown["spans"])})

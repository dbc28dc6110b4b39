"""Brings an index in step with its source: read, parse, chunk, embed, write, verify, commit. Knows no option.

A document counts as ingested when its manifest row is written, after its chunks were counted in the store. An
unchanged document costs nothing, nor does one whose text is in the index already (moved, copied, other metadata), and
what vanished from the source is deleted, but only when the source was listed completely.
"""

from __future__ import annotations

import time
import unicodedata
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ragloom.cost import Usage, collect_usage
from ragloom.errors import DataError
from ragloom.records import FORMAT_KEY, Chunk, Entry, Skipped, Unreadable, canonical_json, document_hash, sha256
from ragloom.vector_store.interface import Database, IndexMissing, ManifestRow, Recovered, StoredDocumentRow, Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from llama_index.core.schema import Document

    from ragloom.chunking.parser import SpanParser
    from ragloom.embedding.base import Embedding, Vectors
    from ragloom.source.base import Source
    from ragloom.vector_store.interface import Index

MAX_PENDING = 1024
"""Chunks and documents that are collected before they are embedded and written together."""
_FORGOTTEN_AT_ONCE = 256  # documents whose vectors are looked up together, to be forgotten


class Progress(Protocol):
    """What is told how far an ingest is."""

    def __call__(self, documents: int, chunks: int, failures: int) -> None:
        """Is given the documents seen, the chunks written and the documents unreadable so far."""


@dataclass
class IngestSummary:
    """What an ingest did.

    Attributes:
        added, changed, unchanged, deleted: documents.
        unreadable: documents and folders that could not be read, with their reasons.
        skipped: files left out by rule.
        documents, chunks: in the index when the ingest ended.
        embedded: texts that were embedded; the others' vectors were in the index or in the cache already.
        tokens: of the embedded texts, by the embedding's own tokenizer.
        oversized: chunks over the chunking's size (only `recursive` makes any).
        recovered: what an interrupted ingest had left and this one removed.
        kept: why vanished documents were not deleted, if they were not.
        deleted_chunks: still counted in the store's BM25 statistics, as in `IndexInfo`.
        notes: of the store, as in `IndexInfo`.
        usage: what providers reported, and what the cache gave.
        seconds: from the first listing to the commit.
    """

    index: str
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    documents: int = 0
    chunks: int = 0
    embedded: int = 0
    tokens: int = 0
    oversized: int = 0
    recovered: Recovered = field(default_factory=Recovered)
    kept: str | None = None
    deleted_chunks: int = 0
    notes: list[str] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Everything that the source holds is in the index."""
        return not self.unreadable and self.kept is None


def ingest(
    source: Source,
    chunking: SpanParser,
    embedding: Embedding,
    database: Database,
    *,
    index_name: str,
    description: dict[str, Any],
    config: dict[str, Any],
    progress: Progress | None = None,
) -> IngestSummary:
    """Brings an index in step with its source.

    Args:
        source: what is listed, read and parsed.
        chunking: cuts documents into chunks.
        embedding: makes their vectors.
        database: holds the index.
        index_name: `<source.name>-<fingerprint>`.
        description: what shapes the index, in words; kept with it.
        config: the composed config without secrets; kept with the commit.
        progress: is told how far it is.

    Raises:
        DataError: the source cannot be listed, its name belongs to another root, a text is over the embedding's
            limit, or a document cannot be read and `source.on_unreadable=stop`. What was written before stays, is not
            seen by queries, and is gone on from by the next ingest.
        ServiceError: the store or the provider failed.
    """
    _check_root(source, database)
    began = time.perf_counter()
    with (
        collect_usage() as usage,
        database.writer(
            index_name, dimensions=embedding.dimensions, description=description, root=source.root
        ) as writer,
    ):
        summary = IngestSummary(index_name, recovered=writer.recover(), usage=usage)
        oversized_before = chunking.oversized
        run = _Run(source, chunking, embedding, writer, summary, progress)
        run.documents()
        run.vanished(lambda: database.open(index_name))
        summary.oversized = chunking.oversized - oversized_before
        info = writer.commit({"config": config, "oversized": summary.oversized})
    summary.documents, summary.chunks = info.documents, info.chunks
    summary.deleted_chunks, summary.notes = info.deleted_chunks, list(info.notes)
    summary.seconds = time.perf_counter() - began
    return summary


@dataclass(frozen=True)
class _Cut:
    """A document that was read and cut, and waits for its vectors."""

    stored: StoredDocumentRow
    chunks: list[Chunk]


class _Run:
    """One pass over a source."""

    def __init__(
        self,
        source: Source,
        chunking: SpanParser,
        embedding: Embedding,
        writer: Writer,
        summary: IngestSummary,
        progress: Progress | None,
    ) -> None:
        self.source, self.chunking, self.embedding = source, chunking, embedding
        self.writer, self.summary, self.progress = writer, summary, progress
        self.known = {row.id: row for row in writer.manifest()}
        self.seen: set[str] = set()
        self.unlisted: list[Unreadable] = []
        self.same_text = {row.text_hash: row.id for row in self.known.values()}
        self.pending: list[_Cut] = []
        self.waiting = 0
        self.touched: list[ManifestRow] = []
        self.written = 0

    def documents(self) -> None:
        """Takes in every document that is new or changed."""
        for listed in self.source.entries():
            if isinstance(listed, Unreadable):
                self.unlisted.append(listed)
                self._unreadable(listed)
            elif isinstance(listed, Skipped):
                self.summary.skipped.append(listed)
            else:
                self.seen.add(listed.id)
                self._entry(listed)
            self._report()
        self._flush()

    def vanished(self, committed: Callable[[], Index]) -> None:
        """Deletes what the source no longer has, if the source is known to have been listed completely.

        Args:
            committed: opens the index as it was before this run.
        """
        gone = sorted(name for name in set(self.known) - self.seen if not self._listed_unreadable(name))
        if not gone:
            return
        hiding = next((item for item in self.unlisted if item.hides), None)
        if hiding is not None:
            self.summary.kept = (
                f"{len(gone)} indexed documents were not found, but {hiding.location} could not be read and they "
                "may be there; mend it, or exclude it by source.exclude"
            )
        elif not self.seen:
            self.summary.kept = (
                f"the source is empty and the index has {len(gone)} documents; "
                "if that is meant, delete the index with indexes.py delete"
            )
        else:
            self._forget(gone, committed)
            self.writer.delete(gone)
            self.summary.deleted = len(gone)

    def _forget(self, gone: list[str], committed: Callable[[], Index]) -> None:
        """Removes from the cache what was embedded of deleted documents, unless another document has the same text.

        It comes before they are deleted: a run that is killed in between forgets them again.
        """
        cache = getattr(self.embedding, "cache", None)
        if cache is None:
            return
        from ragloom.cache.upkeep import forget

        staying = {row.text_hash for name, row in self.known.items() if name not in set(gone)}
        staying |= {text_hash for text_hash, name in self.same_text.items() if name not in set(gone)}
        leaving = [name for name in gone if self.known[name].text_hash not in staying]
        for first in range(0, len(leaving), _FORGOTTEN_AT_ONCE):
            some = leaving[first : first + _FORGOTTEN_AT_ONCE]
            sent = {text_hash for _, text_hash in self.writer.vectors_of(some)}
            forget(cache.cache, sent | self._asked(some, committed))

    def _asked(self, names: list[str], committed: Callable[[], Index]) -> set[str]:
        """Hashes the texts that were embedded to decide where documents are cut."""
        if getattr(self.chunking, "embedding", None) is None:
            return set()
        try:
            index = committed()
        except IndexMissing:
            return set()  # a first ingest was interrupted: the text of what it wrote is not known any more
        asked = set()
        for name in names:
            try:
                document = index.document(name)
            except DataError:
                continue  # as above
            for text in self.chunking.asked(document.text, document.metadata.get(FORMAT_KEY)):
                asked.add(sha256(self.embedding.document_text(text, {})))
        return asked

    def _listed_unreadable(self, name: str) -> bool:
        """Says whether a document was listed as unreadable itself: its old version stays."""
        locations = (unicodedata.normalize("NFC", item.location) for item in self.unlisted if not item.hides)
        return any(location == name or location.endswith(f"/{name}") for location in locations)

    def _entry(self, entry: Entry) -> None:
        from ragloom.source.base import CannotRead

        row = self.known.get(entry.id)
        trusted = None if self.source.verify or entry.mtime_ns is None else row
        if trusted is not None and (trusted.size, trusted.mtime_ns) == (entry.size, entry.mtime_ns):
            self.summary.unchanged += 1
            return
        try:
            content = self.source.read(entry)
            bytes_hash = sha256(content)
            if row is not None and row.bytes_hash == bytes_hash:
                self.summary.unchanged += 1
                self._touch(replace(row, size=entry.size, mtime_ns=entry.mtime_ns))
                return
            document = self.source.parse(entry, content)
        except CannotRead as error:
            self._unreadable(Unreadable(entry.location, error.reason))
            return
        self._cut(entry, row, document, bytes_hash)

    def _cut(self, entry: Entry, row: ManifestRow | None, document: Document, bytes_hash: str) -> None:
        text, metadata = document.text, dict(document.metadata)
        content_hash = document_hash(text, metadata)
        if row is not None and row.content_hash == content_hash:  # other bytes, same text: nothing to write
            self.summary.unchanged += 1
            self._touch(replace(row, size=entry.size, mtime_ns=entry.mtime_ns, bytes_hash=bytes_hash))
            return
        chunks = list(self.chunking.chunks(document))
        new = ManifestRow(
            id=entry.id,
            size=entry.size,
            mtime_ns=entry.mtime_ns,
            bytes_hash=bytes_hash,
            text_hash=sha256(text),
            metadata_hash=sha256(canonical_json(metadata)),
            content_hash=content_hash,
            chunks=len(chunks),
        )
        self.pending.append(_Cut(StoredDocumentRow(new, text, metadata), chunks))
        if row is None:
            self.summary.added += 1
        else:
            self.summary.changed += 1
        self.waiting += 1 + len(chunks)
        if self.waiting >= MAX_PENDING:
            self._flush()

    def _touch(self, row: ManifestRow) -> None:
        self.touched.append(row)
        if len(self.touched) >= MAX_PENDING:
            self._flush()

    def _flush(self) -> None:
        """Embeds and writes what is pending, then the new sizes and times of unchanged documents."""
        if self.pending:
            chunks = [chunk for cut in self.pending for chunk in cut.chunks]
            texts = [self.embedding.document_text(chunk.text, chunk.metadata) for chunk in chunks]
            hashes = [sha256(text) for text in texts]
            vectors = self._vectors(chunks, texts, hashes)
            self.writer.write([cut.stored for cut in self.pending], chunks, vectors, hashes)
            self.written += len(chunks)
            self.same_text.update((cut.stored.manifest.text_hash, cut.stored.manifest.id) for cut in self.pending)
            self.pending, self.waiting = [], 0
        if self.touched:
            self.writer.touch(self.touched)
            self.touched = []
        self._report()

    def _vectors(self, chunks: list[Chunk], texts: list[str], hashes: list[str]) -> Vectors:
        """Finds or makes the vectors of chunks: [n, dim] float32.

        Looked up are a changed document's own vectors, and those of an indexed document of equal text (a moved or
        copied file, changed metadata); what is left is embedded once for each distinct text of this batch.
        """
        own = {chunk.document for chunk in chunks} & self.known.keys()
        equal = {self.same_text.get(cut.stored.manifest.text_hash) for cut in self.pending} - {None}
        looked_up = sorted(own | {name for name in equal if name is not None})
        stored = self.writer.vectors_of(looked_up) if looked_up else {}
        vectors = {sent: vector for (_, sent), vector in stored.items()}
        new: dict[str, int] = {}
        for at, sent in enumerate(hashes):
            if sent not in vectors:
                new.setdefault(sent, at)
        if new:
            with collect_usage() as used:
                made = self.embedding.embed_chunks([chunks[at] for at in new.values()])
            vectors.update(zip(new, made, strict=True))
            self.summary.embedded += used.cache.made
            self.summary.tokens += used.cache.made_tokens
            if self.embedding.max_tokens is None:  # then embedding counts nothing
                tokens = sum(self.embedding.count_tokens([texts[at] for at in new.values()]))
                self.summary.tokens += tokens - used.cache.tokens
        if not chunks:
            return np.zeros((0, self.embedding.dimensions), dtype=np.float32)
        return np.stack([vectors[sent] for sent in hashes])

    def _unreadable(self, item: Unreadable) -> None:
        self.summary.unreadable.append(item)
        if self.source.on_unreadable == "stop":
            raise DataError(
                f"source: {item.location}: {item.reason}; mend or exclude it, or set source.on_unreadable=report"
            )

    def _report(self) -> None:
        if self.progress is not None:
            seen = len(self.seen) + len(self.summary.skipped)
            self.progress(documents=seen, chunks=self.written, failures=len(self.summary.unreadable))


def _check_root(source: Source, database: Database) -> None:
    """Holds that a corpus name stands for one place: an ingest would delete the other place's documents.

    Raises:
        DataError: an index of this name was filled from another root.
    """
    for info in database.indexes():
        if info.source == source.name and info.root != source.root:
            raise DataError(
                f"source: source.name={source.name} must stand for one place; index {info.name} was filled from "
                f"{info.root}, and this source is {source.root}. Set source.name to another name; or, if the documents "
                f"have moved, delete that index first: indexes.py delete {info.name}"
            )

"""Records of vector stores: index infos, manifest rows, stored documents."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ragloom.core.file_backed_text import FileBackedText
from ragloom.errors import DataError


class IndexMissing(DataError):
    """There is no committed index of that name."""


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """An index as its newest commit left it.

    Attributes:
        name: `<source>-<fingerprint>`.
        source: name of the corpus.
        root: identity of the place the corpus was read from.
        description: what shaped the index, group by group.
        documents, chunks: how many it holds; blank documents have no chunk.
        bytes: size of all its files, those of older versions and of uncommitted writes included.
        bytes_estimated: the store does not tell: `bytes` is reckoned from counts and dimensions.
        committed_at: when, with time zone UTC.
        version: number of the commit, from 1.
        code_version: of the store that wrote it.
        dimensions: of its vectors.
        summary: what the run that committed said about itself.
        deleted_chunks: deleted since the index was built and still counted in its BM25 statistics; `rebuild` ends that.
        notes: what a person should know about how it was committed, a sentence each.
        dense: how dense search is approximated and what was measured; None where the store does not say, or is exact.
    """

    name: str
    source: str
    root: str
    description: dict[str, Any]
    documents: int
    chunks: int
    bytes: int
    committed_at: datetime
    version: int
    code_version: int
    dimensions: int
    summary: dict[str, Any] = field(default_factory=dict)
    bytes_estimated: bool = False
    deleted_chunks: int = 0
    notes: tuple[str, ...] = ()
    dense: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """Manifest row of a document: everything but its text.

    Attributes:
        id: document id.
        size: bytes of the file or record.
        mtime_ns: modification time in nanoseconds; None if unknown.
        bytes_hash, text_hash, metadata_hash: of the bytes, of the parsed text, of the metadata.
        content_hash: `records.document_hash` of text and metadata, as the chunks carry it.
        chunks: how many the document was cut into.
    """

    id: str
    size: int
    mtime_ns: int | None
    bytes_hash: str
    text_hash: str
    metadata_hash: str
    content_hash: str
    chunks: int


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """Stored document; chunk offsets refer to its text."""

    id: str
    text: str
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StoredDocumentRow:
    """Document to write: manifest row, text (or its file) and metadata."""

    manifest: ManifestRow
    text: str | FileBackedText
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recovered:
    """Counts of rows that `Writer.recover` removed.

    Attributes:
        chunks: chunks without a manifest row of their document and content hash, or of an incomplete document.
        documents: manifest rows whose chunks were not all there; those documents have to be ingested again.
    """

    chunks: int = 0
    documents: int = 0

    def __bool__(self) -> bool:
        return bool(self.chunks or self.documents)

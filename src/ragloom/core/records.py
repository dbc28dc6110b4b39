"""Records that flow between stages: entries, chunks, hits, citations.

Nothing heavy is imported here. Where a stage's edge is a LlamaIndex interface the record is turned into LlamaIndex's
own (`Document`, `TextNode`, `NodeWithScore`) by that stage.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from json.encoder import encode_basestring
from typing import Any, Literal

FORMAT_KEY = "ragloom_format"
"""Document metadata key: how structure is read from the text (`text`, `markdown`, `html`, `docx`, `pdf`, `csv` ...)."""
HEADING_FORMATS = frozenset({"markdown", "html", "docx"})
"""Formats whose stored text marks headings as markdown does."""
PAGE_BREAK = "\f"
"""Stands between two pages in the stored text of a PDF, and nowhere else in it."""
HEADING_SEPARATOR = " > "
"""Stands between the headings of a heading path, outermost first."""

_CHUNK_NAMESPACE = uuid.UUID("6f2b8d1c-5f0e-5c1a-9d53-6b1d0f6a7c11").bytes
_HASHED_AT_ONCE = 1 << 20  # characters
_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)


def sha256(content: bytes | str) -> str:
    """Hashes bytes, or text as UTF-8, to 64 hexadecimal digits."""
    if not isinstance(content, str):
        return hashlib.sha256(content).hexdigest()
    digest = hashlib.sha256()
    for at in range(0, len(content), _HASHED_AT_ONCE):  # UTF-8 of all of a long text would be a copy of it
        digest.update(content[at : at + _HASHED_AT_ONCE].encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def canonical_json(value: Any) -> str:
    """Serialize to canonical JSON: sorted keys, no blanks, no NaN."""
    return _CANONICAL.encode(value)


def document_hash(text: str, metadata: Mapping[str, Any]) -> str:
    """Hash a document's text and metadata to 64 hex digits."""
    return sha256(f"{sha256(text)}:{sha256(canonical_json(dict(metadata)))}")


def chunk_id(document: str, content_hash: str, start: int, end: int) -> str:
    """Return the chunk id: UUIDv5 of document id, hash and span."""
    # What uuid.uuid5 gives for canonical_json([document, content_hash, start, end]) (a test holds it), in a fifth of
    # the time: it was a tenth of what chunking takes.
    name = f"[{encode_basestring(document)},{encode_basestring(content_hash)},{start},{end}]"
    digits = hashlib.sha1(_CHUNK_NAMESPACE + name.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A document that a source has listed, and not yet read.

    Attributes:
        id: document id; for files the path relative to the source's root, with `/`, in NFC.
        location: where a person finds it: a path, or `file.jsonl:17`.
        size: bytes.
        mtime_ns: modification time in nanoseconds; None if unknown, so that the content is always read.
        offset: first byte within `location`'s file (0 for whole files).
    """

    id: str
    location: str
    size: int
    mtime_ns: int | None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Unreadable document: reported by name, counted, and stopping nothing.

    Attributes:
        location: where a person finds it.
        reason: one plain sentence.
        hides: documents of unknown ids may be behind it (a folder, a line without a readable id), so that what is not
            listed is not known to have vanished.
        stage: that lost it. What the source cannot read is missing for every config; the rest for one config alone.
        refused: hash of its bytes, where it is the embedding that failed at a text of it; None otherwise.
    """

    location: str
    reason: str
    hides: bool = False
    stage: Literal["source", "chunking", "embedding"] = "source"
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class DocumentWarning:
    """Doubtful or missing content of a document that was read.

    Attributes:
        location: where a person finds the document.
        reason: one plain sentence.
    """

    location: str
    reason: str


@dataclass(frozen=True, slots=True)
class Changing(Unreadable):
    """Document that changed since it was listed; a later read may succeed."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """File skipped by rule (hidden, too large, no reader); not an error.

    Attributes:
        stays: a version of it that was taken in before is kept: it grew, and was not meant to go.
    """

    location: str
    reason: str
    stays: bool = False


@dataclass(frozen=True, slots=True)
class Chunk:
    """A character span of one document: `document.text[start:end] == text`.

    Attributes:
        id: `chunk_id(...)`.
        document: document id.
        content_hash: `document_hash(...)` of the document it was cut from.
        start, end: characters of the stored document text, end exclusive.
        metadata: the document's metadata, with `page` (int, from 1) or `heading` (path) where the text has them and
            the document's own metadata does not use these keys.
    """

    id: str
    document: str
    content_hash: str
    start: int
    end: int
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that one arm of a search found.

    Attributes:
        score: the arm's raw score, higher is better (cosine similarity, or BM25).
        vector: only where it was asked for.
    """

    chunk: Chunk
    score: float
    vector: list[float] | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A rank of a search: which chunk it is, and its score.

    Attributes:
        key: what the index that was searched calls the chunk; by it the chunk is loaded.
        score: the arm's raw score, higher is better.
        chunk: where it is loaded already.
    """

    key: Hashable
    score: float
    chunk: Chunk | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """A claim's source, checked against the stored document.

    Attributes:
        number: the number the answer cites, as `[number]`.
        document: document id; None when no source of that number was supplied.
        start, end: characters of the quote in the stored document; None when the quote is not there.
        verified: the number was supplied, the chunk's span still reads as the chunk, and the quote stands inside it.
    """

    number: int
    document: str | None
    start: int | None
    end: int | None
    quote: str
    verified: bool

"""Batches of chunks on their way to the store, cut across documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ragloom.components.vector_store.record_types import ManifestRow

if TYPE_CHECKING:
    from ragloom.core.records import Chunk
    from ragloom.ingestion.read_stage import ChunkedDocument

MOST_CHUNKS = 512
MOST_BYTES = 4_000_000
"""A block is closed when it has so many chunks, or so much text."""
_EACH = 1000
"""Bytes of a chunk in addition to its text and vector."""


@dataclass(slots=True, eq=False)
class PendingDocument:
    """A document that was read and cut, and is not stored yet.

    Attributes:
        row: its manifest row.
        known: whether the index holds another version of it.
        location: where a person finds it.
        failed: why it will not be stored.
    """

    row: ManifestRow
    cut: ChunkedDocument
    known: bool
    location: str
    failed: str | None = None


@dataclass(slots=True, eq=False)
class ChunkBatch:
    """Batch of consecutive chunks, across document borders.

    Attributes:
        chunks: of `owners`, one each.
        complete: documents whose last chunk is here, or that have none.
        texts, hashes: what is sent for each chunk, and its hash.
        vectors: `[len(chunks), dimensions] float32`; rows are filled in as they come.
        missing: how many of them are still to come.
        bytes: of memory, about.
    """

    chunks: list[Chunk] = field(default_factory=list)
    owners: list[PendingDocument] = field(default_factory=list)
    complete: list[PendingDocument] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    vectors: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    missing: int = 0
    bytes: int = 0


def chunk_batches(documents: Iterable[PendingDocument], dimensions: int) -> Iterator[ChunkBatch]:
    """Split a stream of documents into batches, making chunks on demand."""
    block = ChunkBatch()
    for document in documents:
        for chunk in document.cut.chunks():
            if len(block.chunks) >= MOST_CHUNKS or block.bytes >= MOST_BYTES:
                yield block
                block = ChunkBatch()
            block.chunks.append(chunk)
            block.owners.append(document)
            block.bytes += 2 * len(chunk.text) + 4 * dimensions + _EACH
        block.complete.append(document)
        block.bytes += document.row.size + _EACH
    if block.complete:
        yield block

"""Writer of a worker that collects Arrow tables for the driver.

LanceDB has one writer, where its folder is: the driver. A worker sends it the chunks, vectors and manifest rows of its
task, in tables of a fixed schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ragloom.components.vector_store.protocols import Writer
from ragloom.components.vector_store.record_types import ManifestRow, StoredDocumentRow
from ragloom.core import file_backed_text
from ragloom.core.file_backed_text import FileBackedText, full_text
from ragloom.core.records import Chunk, canonical_json

_ROW = [item.name for item in fields(ManifestRow)]
DOCUMENT_SCHEMA = pa.schema(
    [
        pa.field(name, pa.int64() if name in ("size", "mtime_ns", "chunks") else pa.large_binary(), name == "mtime_ns")
        for name in _ROW
    ]
    + [pa.field("text", pa.large_binary(), nullable=False), pa.field("metadata", pa.large_string(), nullable=False)]
)
"""Manifest rows with text and metadata; strings as UTF-8, in which lone surrogates are allowed."""


def chunk_schema(dimensions: int) -> pa.Schema:
    """Return the schema of chunks with their vectors."""
    texts = ("id", "document", "content_hash", "text", "metadata", "sent_hash")
    return pa.schema(
        [pa.field(name, pa.large_binary(), nullable=False) for name in texts]
        + [pa.field(name, pa.int64(), nullable=False) for name in ("start", "end")]
        + [pa.field("vector", pa.list_(pa.float32(), dimensions), nullable=False)]
    )


@dataclass(frozen=True, slots=True)
class TaskTables:
    """Tables of a task in order: chunks, then documents that they complete."""

    tables: list[pa.Table]


class TaskWriter:
    """`Writer` that collects what a task writes.

    Args:
        dimensions: of the vectors.
        vectors_of: reads stored vectors of the index.
    """

    def __init__(
        self,
        dimensions: int,
        vectors_of: Callable[[Sequence[str], Collection[str] | None], dict[tuple[str, str], np.ndarray]],
    ) -> None:
        self._schema = chunk_schema(dimensions)
        self._vectors_of = vectors_of
        self._tables: list[pa.Table] = []
        self._discarded: set[tuple[str, str]] = set()

    def vectors_of(
        self, document_ids: Sequence[str], sent: Collection[str] | None = None
    ) -> dict[tuple[str, str], np.ndarray]:
        """Return the stored vectors of documents by (document, sent_hash)."""
        return self._vectors_of(document_ids, sent)

    def append(self, chunks: Sequence[Chunk], vectors: np.ndarray, sent_hashes: Sequence[str]) -> None:
        """Collect chunks of unfinished documents."""
        values = pa.array(vectors.astype(np.float32, copy=False).ravel())
        columns = {
            "id": [_bytes(chunk.id) for chunk in chunks],
            "document": [_bytes(chunk.document) for chunk in chunks],
            "content_hash": [_bytes(chunk.content_hash) for chunk in chunks],
            "text": [_bytes(chunk.text) for chunk in chunks],
            "metadata": [_bytes(canonical_json(chunk.metadata)) for chunk in chunks],
            "sent_hash": [_bytes(sent) for sent in sent_hashes],
            "start": [chunk.start for chunk in chunks],
            "end": [chunk.end for chunk in chunks],
            "vector": pa.FixedSizeListArray.from_arrays(values, vectors.shape[1]),
        }
        self._tables.append(pa.table(columns, schema=self._schema))

    def finish(self, documents: Sequence[StoredDocumentRow]) -> None:
        """Collect manifest rows of complete documents."""
        if not documents:
            return
        rows = [astuple(document.manifest) for document in documents]
        columns: dict[str, list[Any]] = {
            name: [_bytes(value) if isinstance(value, str) else value for value in column]
            for name, column in zip(_ROW, zip(*rows, strict=True), strict=True)
        }
        columns["text"] = [_bytes(full_text(document.text)) for document in documents]
        columns["metadata"] = [canonical_json(document.metadata) for document in documents]
        self._tables.append(pa.table(columns, schema=DOCUMENT_SCHEMA))

    def discard(self, documents: Sequence[tuple[str, str]]) -> None:
        """Leave out appended chunks of abandoned documents."""
        self._discarded.update(documents)

    def begin_task(self, *, is_retry: bool) -> None:
        """Begin a task; what a dead worker collected was never stored."""
        self._tables, self._discarded = [], set()

    def take(self) -> TaskTables:
        """Return what was collected, and begin again."""
        tables, discarded = self._tables, self._discarded
        self._tables, self._discarded = [], set()
        return TaskTables([_without(table, discarded) for table in tables] if discarded else tables)

    def __enter__(self) -> TaskWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        return


def replay(tables: TaskTables, writer: Writer, spool: Path) -> None:
    """Write what a task collected.

    Args:
        spool: folder for long texts, which are removed once they are written.
    """
    unfinished: list[pa.Table] = []
    for table in tables.tables:
        if "vector" in table.column_names:
            unfinished.append(table)
            continue
        _append(unfinished, writer)
        unfinished = []
        documents = [_stored_document(row, spool) for row in table.to_pylist()]
        try:
            writer.finish(documents)
        finally:
            for document in documents:
                if isinstance(document.text, FileBackedText):
                    document.text.remove()
    # What is left belongs to documents that this task did not complete: they are read again.


def _append(tables: Sequence[pa.Table], writer: Writer) -> None:
    for table in tables:
        if table.num_rows:
            column = table["vector"].combine_chunks()
            vectors = column.flatten().to_numpy().reshape(table.num_rows, -1)
            rows = table.drop_columns(["vector"]).to_pylist()
            writer.append([_chunk(row) for row in rows], vectors, [_text(row["sent_hash"]) for row in rows])


def _chunk(row: dict[str, Any]) -> Chunk:
    id, document, content_hash, text = (_text(row[name]) for name in ("id", "document", "content_hash", "text"))
    return Chunk(id, document, content_hash, row["start"], row["end"], text, json.loads(row["metadata"]))


def _stored_document(row: dict[str, Any], spool: Path) -> StoredDocumentRow:
    values: dict[str, Any] = {name: _text(row[name]) if isinstance(row[name], bytes) else row[name] for name in _ROW}
    text = _text(row["text"])
    long = len(text) >= file_backed_text.LONG
    content = file_backed_text.write_text(text, spool) if long else text
    return StoredDocumentRow(ManifestRow(**values), content, json.loads(row["metadata"]))


def _without(table: pa.Table, discarded: set[tuple[str, str]]) -> pa.Table:
    names = ("document", "content_hash") if "vector" in table.column_names else ("id", "content_hash")
    keys = zip(*(table[name].to_pylist() for name in names), strict=True)
    return table.filter(pa.array([(_text(id), _text(content)) not in discarded for id, content in keys]))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")

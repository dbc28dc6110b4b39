"""Tables of an index: schemas, rows and every write to them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import FTS, BTree

from ragloom.components.vector_store import metadata_columns
from ragloom.components.vector_store.record_types import ManifestRow, StoredDocumentRow
from ragloom.components.vector_store.validation import check_unicode
from ragloom.core.records import Chunk
from ragloom.core.suggested_commands import program
from ragloom.errors import RagloomError, ServiceError

MANIFEST_COLUMNS = list(ManifestRow.__dataclass_fields__)
IDS_PER_STATEMENT = 1000
"""Ids named in one SQL condition; the engine takes 20,000 in .2 s, and longer ones only grow the parse."""
FOREVER = timedelta(days=36500)
"""`optimize()` removes versions older than 7 days by default (lancedb 0.40), even the committed one."""
_STABLE_AFTER = 5
TERMS_INDEX = "terms_idx"


DAMAGED = "the index is damaged: delete it ({indexes} delete NAME) and ingest again"
"""`engine` names the program."""
WRITING = f"check permissions and free space of the folder; if they are right {DAMAGED}"
READING = (
    "open the index again (a state is kept for vector_store.retention_minutes after it was replaced); if that fails as "
    f"well {DAMAGED}"
)


@contextmanager
def engine(path: Path, doing: str, remedy: str = WRITING) -> Iterator[None]:
    """Turn engine failures into a `ServiceError` with place, action and fix.

    LanceDB raises RuntimeError, ValueError, OSError and Arrow's errors for what goes wrong below it.
    """
    try:
        yield
    except RagloomError:
        raise
    except (RuntimeError, ValueError, OSError, pa.ArrowException) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        reason = re.sub(r", /\S+\.rs:\d+:\d+", "", reason)[:300]
        what_next = remedy.format(indexes=program("indexes"))
        raise ServiceError(f"vector_store: {doing} failed in {path} ({reason}); {what_next}") from error


def connect(path: Path) -> Any:
    """Connect to the folder of one index.

    A table that is kept open does not see what other processes write [32]; here nobody keeps one: readers open a
    table at a version, the LlamaIndex store opens it again each time, and a writer is alone.
    """
    with engine(path, "opening"):
        return lancedb.connect(path)


def open_table(connection: Any, name: str, version: int | None = None) -> Any:
    """Open a table, at a version or at its newest state."""
    table = connection.open_table(name)
    if version is not None:
        table.checkout(version)
    return table


def is_there(path: Path, name: str) -> bool:
    """Return whether a table was committed.

    A killed creation leaves a folder without any version.
    """
    return any((path / f"{name}.lance" / "_versions").glob("*.manifest"))


def create(connection: Any, name: str, schema: pa.Schema) -> None:
    """Create an empty table, over what a killed creation left."""
    path = Path(connection.uri)
    if not is_there(path, name):
        shutil.rmtree(path / f"{name}.lance", ignore_errors=True)
        connection.create_table(name, schema=schema)
    table = connection.open_table(name)
    names = {index.name for index in table.list_indices()}
    for column in ("id", "document"):
        if column in schema.names and f"{column}_idx" not in names:
            table.create_index(column, config=BTree(), replace=True)
    if "terms" in schema.names and TERMS_INDEX not in names:
        table.create_index("terms", config=terms_index(), replace=True)


def chunk_schema(dimensions: int) -> pa.Schema:
    """Return the schema of the chunk table, without metadata columns."""
    ids = [pa.field(name, pa.utf8()) for name in ("id", "document", "content_hash")]
    span = [pa.field("start_char", pa.int64()), pa.field("end_char", pa.int64())]
    text = [pa.field(name, pa.utf8()) for name in ("text", "terms", "sent_hash", "metadata", "node")]
    return pa.schema([*ids, *span, *text, pa.field("vector", pa.list_(pa.float32(), dimensions))])


def document_schema() -> pa.Schema:
    """Return the schema of the document table: manifest, text, metadata."""
    fields = [pa.field(name, _kind(name)) for name in MANIFEST_COLUMNS]
    return pa.schema([*fields, pa.field("text", pa.large_utf8()), pa.field("metadata", pa.utf8())])


def chunk_rows(
    chunks: Sequence[Chunk],
    terms: Sequence[str],
    vectors: np.ndarray,
    sent_hashes: Sequence[str],
    nodes: Sequence[str | None] | None = None,
) -> pa.Table:
    """Build rows of the chunk table, with a column per metadata key.

    Args:
        terms: search terms of each chunk, joined by blanks.
        vectors: `[n, dimensions] float32`.
        nodes: JSON of LlamaIndex nodes that a chunk alone does not tell.

    Raises:
        DataError: metadata that JSON cannot hold, or text that is not Unicode.
    """
    tokens = [metadata_columns.tokens(chunk.metadata) for chunk in chunks]
    columns: dict[str, Sequence[str | None]] = {
        **{name: [getattr(chunk, name) for chunk in chunks] for name in ("id", "document", "content_hash", "text")},
        "terms": terms,
        "sent_hash": sent_hashes,
        "metadata": [metadata_columns.to_json(chunk.metadata, chunk.document) for chunk in chunks],
        "node": nodes or [None] * len(chunks),
    }
    for name in sorted({name for row in tokens for name in row}):
        columns[name] = [row.get(name) for row in tokens]
    arrays = {name: _texts(values, chunks) for name, values in columns.items()}
    arrays["start_char"] = pa.array([chunk.start for chunk in chunks], pa.int64())
    arrays["end_char"] = pa.array([chunk.end for chunk in chunks], pa.int64())
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
    arrays["vector"] = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    return pa.table(arrays)


def document_rows(documents: Sequence[StoredDocumentRow]) -> pa.Table:
    """Build rows of the document table, without texts in files."""
    arrays = _manifest_arrays([document.manifest for document in documents])
    texts = [document.text if isinstance(document.text, str) else None for document in documents]
    arrays["text"] = _texts(texts, [document.manifest for document in documents], pa.large_utf8())
    arrays["metadata"] = pa.array([metadata_columns.to_json(d.metadata, d.manifest.id) for d in documents], pa.utf8())
    return pa.table(arrays)


def manifest_rows(rows: Sequence[ManifestRow]) -> pa.Table:
    """Build manifest rows for `merge_insert`: all columns but text and metadata."""
    return pa.table(_manifest_arrays(rows))


def add_missing_columns(table: Any, rows: pa.Table) -> None:
    """Add metadata columns that rows have and the table lacks."""
    known = set(table.schema.names)
    missing = [field for field in rows.schema if field.name not in known]
    if missing:
        table.add_columns(missing)


def replace(table: Any, condition: str, rows: pa.Table) -> None:
    """Replace rows of equal id and rows that meet the condition, atomically."""
    # A source without some of the table's columns would leave the old values of these in rows of equal id.
    for field in table.schema:
        if field.name not in rows.schema.names:
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    merge.when_not_matched_by_source_delete(condition).execute(rows.select(table.schema.names))


def maintain(table: Any, *, rebuild_terms: bool) -> None:
    """Compact the table and update all indexes; older versions stay.

    Args:
        rebuild_terms: rebuild the text index: after deletions `optimize()` leaves BM25 wrong [32].
    """
    if rebuild_terms and any(index.name == TERMS_INDEX for index in table.list_indices()):
        table.drop_index(TERMS_INDEX)
    settle(table)
    if rebuild_terms:
        table.create_index("terms", config=terms_index(), replace=True)
        settle(table)


def settle(table: Any) -> None:
    """Optimises until nothing changes, so that `clean` makes no further version.

    Raises:
        ServiceError: it does not end: `clean` would remove the version that is about to be committed.
    """
    for _ in range(_STABLE_AFTER):
        version = table.version
        table.optimize(cleanup_older_than=FOREVER)
        if table.version == version:
            return
    raise ServiceError(
        f"vector_store: maintenance of table {table.name} did not come to an end in {_STABLE_AFTER} rounds; nothing "
        "was committed: ingest again"
    )


def clean(table: Any, keep: timedelta) -> None:
    """Remove older versions and files of killed writers.

    The lock must be held: files of a running write would be taken for a killed one's.
    """
    # Zero makes lancedb print a warning; the newest version is safe from it as from one millisecond.
    table.optimize(cleanup_older_than=max(keep, timedelta(milliseconds=1)), delete_unverified=True)


def terms_index() -> FTS:
    """Return the settings of the text index: terms as they are.

    By default the engine lower-cases, stems, folds accents and drops stop words and terms over 40 characters.
    """
    return FTS(
        base_tokenizer="whitespace",
        with_position=False,
        max_token_length=None,
        lower_case=False,
        stem=False,
        remove_stop_words=False,
        ascii_folding=False,
    )


def batches(values: Sequence[str]) -> Iterator[list[str]]:
    """Cuts ids into lists that one SQL condition may name."""
    for start in range(0, len(values), IDS_PER_STATEMENT):
        yield list(values[start : start + IDS_PER_STATEMENT])


def _kind(name: str) -> pa.DataType:
    return pa.int64() if name in ("size", "mtime_ns", "chunks") else pa.utf8()


def _manifest_arrays(rows: Sequence[ManifestRow]) -> dict[str, pa.Array]:
    return {name: pa.array([getattr(row, name) for row in rows], _kind(name)) for name in MANIFEST_COLUMNS}


def _texts(values: Sequence[str | None], owners: Sequence[Any], kind: Any = None) -> pa.Array:
    try:
        return pa.array(values, kind or pa.utf8())
    except UnicodeEncodeError:
        for value, owner in zip(values, owners, strict=True):
            check_unicode(value or "", getattr(owner, "document", None) or owner.id)
        raise

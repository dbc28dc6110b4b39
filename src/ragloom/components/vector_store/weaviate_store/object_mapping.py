"""Conversion between chunks, documents and Weaviate objects."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from weaviate.classes.data import DataObject
from weaviate.collections.classes.internal import Object

from ragloom.components.vector_store import metadata_columns
from ragloom.components.vector_store.record_types import ManifestRow, StoredDocumentRow
from ragloom.components.vector_store.search_results import Row
from ragloom.components.vector_store.validation import check_unicode
from ragloom.components.vector_store.weaviate_store.filters import columns_of, wrapped
from ragloom.core.file_backed_text import full_text
from ragloom.core.records import Chunk, sha256

BUCKETS = 4096
"""Number of buckets of chunks, by a hash of their id: any set of chunks can be read in parts."""
ABOUT = "about"
"""Property with a chunk as JSON, without its text."""
READ = ["text", ABOUT]
"""Properties for reading a chunk."""
_NAMESPACE = uuid.UUID("3d0f9c1e-8c55-5b0e-a7c9-4b7b1a0de2f4")
STATE_ID = uuid.uuid5(_NAMESPACE, "state")
"""Id of the object with an index's state; never a document's id, since those are hashed with a prefix."""


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """Chunk with the hash of its embedded text.

    Attributes:
        row: without a score.
        sent_hash: of exactly the embedded text.
    """

    row: Row
    sent_hash: str


def chunk_uuid(id: str) -> uuid.UUID:
    """Return a chunk's object id: its own UUID, or a UUIDv5."""
    with contextlib.suppress(ValueError):
        if str(canonical := uuid.UUID(id)) == id:
            return canonical
    return uuid.uuid5(_NAMESPACE, f"chunk:{id}")


def document_uuid(id: str) -> uuid.UUID:
    """Return the id of a document's manifest object."""
    return uuid.uuid5(_NAMESPACE, f"document:{id}")


def chunk_object(
    chunk: Chunk, terms: Sequence[str], vector: np.ndarray, sent_hash: str, node: str | None
) -> DataObject[dict[str, Any], None]:
    """Build the object of a chunk.

    A vector of zeros has no direction and is left out, so that no search finds it.

    Raises:
        DataError: metadata that JSON cannot hold, or half a surrogate pair.
    """
    metadata_columns.to_json(chunk.metadata, chunk.document)
    about = [chunk.id, chunk.document, chunk.content_hash, chunk.start, chunk.end, chunk.metadata, sent_hash, node]
    properties = {
        **columns_of(chunk.metadata),
        "document": wrapped(chunk.document),
        "content_hash": wrapped(chunk.content_hash),
        "bucket": int(sha256(chunk.id)[:8], 16) % BUCKETS,
        "terms": " ".join(terms),
        "text": chunk.text,
        ABOUT: json.dumps(about),
    }
    _check(properties, chunk.document)
    return DataObject(
        properties=properties,
        uuid=chunk_uuid(chunk.id),
        vector=vector.tolist() if vector.any() else None,
    )


def stored_chunk(item: Object[Any, Any], *, score: float = 0.0, dimensions: int | None = None) -> StoredChunk:
    """Parse the object of a chunk.

    Args:
        item: with the properties `READ`.
        score: of the search.
        dimensions: of the index, if the object was read with its vector.
    """
    properties = item.properties
    id, document, content_hash, start, end, metadata, sent_hash, node = json.loads(str(properties[ABOUT]))
    text = properties.get("text") or ""
    chunk = Chunk(id, document, content_hash, start, end, str(text), metadata)
    vector = None if dimensions is None else vector_of(item, dimensions)
    return StoredChunk(Row(chunk, node, score, vector), sent_hash)


def copied_object(item: Object[Any, Any]) -> DataObject[dict[str, Any], None]:
    """Copy an object with all properties and its vector, without empty properties."""
    properties = {name: value for name, value in item.properties.items() if value is not None}
    vector: Any = item.vector.get("default")
    return DataObject(properties=properties, uuid=item.uuid, vector=vector or None)


def chunk_name(about: str) -> str:
    """Format the name of a chunk for messages from its property `about`."""
    _, document, _, start, end, *_ = json.loads(about)
    return f"chunk [{start}:{end}] of {document!r}"


def vector_of(item: Object[Any, Any], dimensions: int) -> list[float]:
    """Return an object's vector; zeros if it has none."""
    vector: Any = item.vector.get("default")
    return vector or [0.0] * dimensions


def document_object(document: StoredDocumentRow) -> DataObject[dict[str, Any], None]:
    """Build a document's manifest object; writing it commits the document."""
    metadata = metadata_columns.to_json(document.metadata, document.manifest.id)
    properties = {**_manifest_properties(document.manifest), "text": full_text(document.text), "metadata": metadata}
    _check(properties, document.manifest.id)
    return DataObject(properties=properties, uuid=document_uuid(document.manifest.id))


def touched_object(row: ManifestRow, stored: Object[Any, Any]) -> DataObject[dict[str, Any], None]:
    """Build the manifest object of a document with unchanged text."""
    unchanged = {name: stored.properties[name] for name in ("text", "metadata")}
    return DataObject(properties={**_manifest_properties(row), **unchanged}, uuid=document_uuid(row.id))


def manifest_row(item: Object[Any, Any] | DataObject[Any, Any]) -> ManifestRow:
    """Parse the row of a manifest object."""
    return ManifestRow(**json.loads(str(item.properties["row"])))


def _check(properties: dict[str, Any], document: str) -> None:
    for value in properties.values():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                check_unicode(text, document)


def _manifest_properties(row: ManifestRow) -> dict[str, Any]:
    return {"row": json.dumps(asdict(row)), "content_hash": row.content_hash}

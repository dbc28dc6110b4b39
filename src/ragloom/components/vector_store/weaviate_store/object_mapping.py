"""Chunks and documents as Weaviate objects, and back. Knows no connection."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from weaviate.classes.data import DataObject

from ragloom.components.vector_store import metadata_columns
from ragloom.components.vector_store.protocols import ManifestRow, StoredDocumentRow
from ragloom.components.vector_store.search_results import Row
from ragloom.components.vector_store.validation import check_unicode
from ragloom.components.vector_store.weaviate_store.filters import columns_of, wrapped
from ragloom.core.file_backed_text import full_text
from ragloom.core.records import Chunk, sha256

if TYPE_CHECKING:
    from weaviate.collections.classes.internal import Object

BUCKETS = 4096
"""Chunks are spread over so many buckets by a hash of their id, so that any set of them can be read in parts."""
ABOUT = "about"
"""The property that holds, as JSON, all of a chunk but its text."""
READ = ["text", ABOUT]
"""The properties that a chunk is read from."""
_NAMESPACE = uuid.UUID("3d0f9c1e-8c55-5b0e-a7c9-4b7b1a0de2f4")
STATE_ID = uuid.uuid5(_NAMESPACE, "state")
"""Of the object that holds an index's state; no document's id, since those are hashed with a prefix."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A chunk as it was stored.

    Attributes:
        row: without a score.
        sent_hash: of exactly the text that was embedded.
    """

    row: Row
    sent_hash: str


def chunk_uuid(id: str) -> uuid.UUID:
    """Returns a chunk's object id: its own where it is a UUID in canonical form, else a UUIDv5 of it."""
    try:
        found = uuid.UUID(id)
    except ValueError:
        found = None
    return found if found is not None and str(found) == id else uuid.uuid5(_NAMESPACE, f"chunk:{id}")


def document_uuid(id: str) -> uuid.UUID:
    """Returns the id of a document's manifest object."""
    return uuid.uuid5(_NAMESPACE, f"document:{id}")


def chunk_object(
    chunk: Chunk, terms: Sequence[str], vector: np.ndarray, sent_hash: str, node: str | None
) -> DataObject[dict[str, Any], None]:
    """Makes the object of a chunk; a vector of zeros has no direction and is left out, so that nothing finds it.

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
        "about": json.dumps(about),
    }
    _check(properties, chunk.document)
    return DataObject(
        properties=properties,
        uuid=chunk_uuid(chunk.id),
        vector=vector.tolist() if vector.any() else None,
    )


def stored_chunk(found: Object[Any, Any], *, score: float = 0.0, dimensions: int | None = None) -> Stored:
    """Reads the object of a chunk.

    Args:
        found: with the properties `READ`.
        score: of the search that found it.
        dimensions: the object was asked for with its vector.
    """
    properties = found.properties
    id, document, content_hash, start, end, kept, sent_hash, node = json.loads(str(properties["about"]))
    text = properties.get("text") or ""
    chunk = Chunk(id, document, content_hash, start, end, str(text), kept)
    vector = None if dimensions is None else vector_of(found, dimensions)
    return Stored(Row(chunk, node, score, vector), sent_hash)


def copied(found: Object[Any, Any]) -> DataObject[dict[str, Any], None]:
    """Copies an object that was read with all its properties and its vector; empty properties are left out."""
    properties = {name: value for name, value in found.properties.items() if value is not None}
    vector: Any = found.vector.get("default")
    return DataObject(properties=properties, uuid=found.uuid, vector=vector or None)


def named(about: str) -> str:
    """Names a chunk to a person by what its property `about` says."""
    _, document, _, start, end, *_ = json.loads(about)
    return f"chunk [{start}:{end}] of {document!r}"


def vector_of(found: Object[Any, Any], dimensions: int) -> list[float]:
    """Returns an object's vector; zeros where it was stored without one."""
    vector: Any = found.vector.get("default")
    return vector if vector else [0.0] * dimensions


def document_object(document: StoredDocumentRow) -> DataObject[dict[str, Any], None]:
    """Makes the manifest object of a document: writing it is what commits the document."""
    kept = metadata_columns.to_json(document.metadata, document.manifest.id)
    properties = {**_manifest_properties(document.manifest), "text": full_text(document.text), "metadata": kept}
    _check(properties, document.manifest.id)
    return DataObject(properties=properties, uuid=document_uuid(document.manifest.id))


def touched_object(row: ManifestRow, there: Object[Any, Any]) -> DataObject[dict[str, Any], None]:
    """Makes the manifest object of a document whose text stays as it is."""
    kept = {name: there.properties[name] for name in ("text", "metadata")}
    return DataObject(properties={**_manifest_properties(row), **kept}, uuid=document_uuid(row.id))


def manifest_row(found: Object[Any, Any]) -> ManifestRow:
    """Reads the row of a manifest object."""
    return ManifestRow(**json.loads(str(found.properties["row"])))


def _check(properties: dict[str, Any], document: str) -> None:
    for value in properties.values():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                check_unicode(text, document)


def _manifest_properties(row: ManifestRow) -> dict[str, Any]:
    return {"row": json.dumps(asdict(row)), "content_hash": row.content_hash}

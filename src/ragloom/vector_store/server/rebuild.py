"""Copies an index into new collections, so that its BM25 statistics count no deleted chunk. Knows databases and places.

The new generation becomes the index by its state, which is written last; a crash before that leaves the old one as it
was, and the next rebuild removes the half copy. Nothing is embedded: vectors are copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from weaviate.classes.data import DataObject

from ragloom.errors import ServiceError
from ragloom.vector_store.interface import IndexInfo
from ragloom.vector_store.server.objects import STATE_ID
from ragloom.vector_store.server.place import Place
from ragloom.vector_store.server.reporting import info_of
from ragloom.vector_store.server.schema import CHUNKS, DOCUMENTS
from ragloom.vector_store.server.state import State

if TYPE_CHECKING:
    from ragloom.vector_store.server.database import WeaviateDatabase

_AT_ONCE = {CHUNKS: 1_000, DOCUMENTS: 50}
"""Objects that are held in memory together; a document brings its whole text."""


def rebuild(database: WeaviateDatabase, place: Place, state: State) -> IndexInfo:
    """Copies a committed generation into the next one, moves aliases, and removes the old one.

    Raises:
        ServiceError: somebody writes the index, or an interrupted ingest has left it half done.
    """
    lease = database.lease(place)
    lease.acquire()
    try:
        current = place.state() or state
        if current.writing is not None:
            raise ServiceError(
                f"vector_store: index {place.label.index} was left half done by an interrupted ingest; ingest again, "
                "then rebuild"
            )
        target = database.next_generation(place)
        target.create()
        target.add_columns(place.metadata_columns())
        copied = {part: _copy(place, target, part) for part in (CHUNKS, DOCUMENTS)}
        if (copied[DOCUMENTS], copied[CHUNKS]) != (current.documents, current.chunks):
            target.drop()
            raise ServiceError(
                f"vector_store: index {place.label.index} should hold {current.documents} documents and "
                f"{current.chunks} chunks, and {copied[DOCUMENTS]} and {copied[CHUNKS]} could be read; ingest again, "
                "then rebuild"
            )
        lease.demand_held()
        rebuilt = replace(
            current, version=current.version + 1, deleted_chunks=0, committed_at=datetime.now(UTC).isoformat()
        )
        target.put_state(rebuilt)
        for alias, name in database.aliases().items():
            if name == place.label.index:
                database.point(alias, target)
        place.drop()
    finally:
        lease.release()
    return info_of(target, rebuilt)


def _copy(place: Place, target: Place, part: str) -> int:
    """Copies a collection's objects, the state aside; returns how many."""
    objects = (_again(found) for found in place.objects(part, _AT_ONCE[part]) if found.uuid != STATE_ID)
    return sum(_stored(target, part, batch) for batch in _batches(objects, _AT_ONCE[part]))


def _stored(target: Place, part: str, batch: list[DataObject[Any, Any]]) -> int:
    if part == CHUNKS:
        target.put_chunks(batch)
    else:
        target.put_documents(batch, {})
    return len(batch)


def _again(found: Any) -> DataObject[Any, Any]:
    """Makes the object that was read once more; properties that it does not have are left out."""
    properties = {name: value for name, value in found.properties.items() if value is not None}
    return DataObject(properties=properties, uuid=found.uuid, vector=found.vector.get("default") or None)


def _batches(objects: Iterator[DataObject[Any, Any]], size: int) -> Iterator[list[DataObject[Any, Any]]]:
    while batch := list(islice(objects, size)):
        yield batch

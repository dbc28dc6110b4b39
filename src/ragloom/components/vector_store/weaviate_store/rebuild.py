"""Copies an index into new collections, so that its BM25 statistics count no deleted chunk. Knows databases and places.

The new generation becomes the index by its state, which is written last; a crash before that leaves the old one as it
was, and the next rebuild removes the half copy. Nothing is embedded: vectors are copied.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from weaviate.classes.data import DataObject

from ragloom.components.vector_store.protocols import IndexInfo
from ragloom.components.vector_store.weaviate_store.collections import Place
from ragloom.components.vector_store.weaviate_store.errors import OutcomeUnknown
from ragloom.components.vector_store.weaviate_store.index_info import info_of
from ragloom.components.vector_store.weaviate_store.index_state import State
from ragloom.components.vector_store.weaviate_store.object_mapping import STATE_ID, copied
from ragloom.components.vector_store.weaviate_store.schema import CHUNKS, DOCUMENTS
from ragloom.components.vector_store.weaviate_store.write_repair import refuse
from ragloom.components.vector_store.weaviate_store.write_verification import Sample, confirm, wait_until_indexed
from ragloom.core.maintenance_steps import step
from ragloom.core.suggested_commands import command
from ragloom.errors import RagloomError, ServiceError

if TYPE_CHECKING:
    from ragloom.components.vector_store.weaviate_store.database import WeaviateDatabase

_AT_ONCE = {CHUNKS: 1_000, DOCUMENTS: 50}
"""Objects that are held in memory together; a document brings its whole text."""
_ATTEMPTS = 9
"""Copies that are made at most: the largest batch, 10,000 objects, has been halved to a few dozen then."""

_log = logging.getLogger(__name__)


def rebuild(database: WeaviateDatabase, place: Place, state: State) -> IndexInfo:
    """Copies a committed generation into the next one, moves aliases, and removes the old one.

    A copy of which a write has an unknown outcome is discarded, and made again with smaller batches: repairing it would
    leave deleted chunks in the statistics.

    Raises:
        LostToSearch: a chunk of the copy is stored and no search finds it; the old generation stays.
        ServiceError: somebody writes the index, an interrupted ingest has left it half done, or no copy was answered in
            time.
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
        target = _copied(database, place, current)
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


def _copied(database: WeaviateDatabase, place: Place, state: State) -> Place:
    """Makes the next generation; after a write with unknown outcome once more, with batches of half the size."""
    limits = place.options.limits
    for attempt in range(1, _ATTEMPTS + 1):
        target, size = database.next_generation(place), limits.pace.size
        try:
            _fill(place, target, state)
        except OutcomeUnknown as error:
            target.drop()
            if attempt == _ATTEMPTS or not limits.retry_seconds:
                raise ServiceError(
                    f"{error}; the copy was discarded and index {place.label.index} is as it was: lower "
                    f"vector_store.batch.objects={limits.objects} or raise vector_store.timeouts.insert, and rebuild "
                    "again"
                ) from None
            limits.pace.failed(max(2, size))
            _log.warning("%s; the copy is discarded and made again with %d objects a batch", error, limits.pace.size)
        except RagloomError:
            target.drop()
            raise
        else:
            return target
    raise AssertionError("the last attempt returns or raises")


def _fill(place: Place, target: Place, state: State) -> None:
    """Copies everything into a new generation, counts, and looks for a sample of the chunks."""
    step(f"copying {state.documents} documents and {state.chunks} chunks")
    target.create()
    target.add_columns(place.metadata_columns())
    sample = Sample(f"{place.label.index} {state.version}")
    copied = {part: _copy(place, target, part, sample) for part in (CHUNKS, DOCUMENTS)}
    if (copied[DOCUMENTS], copied[CHUNKS]) != (state.documents, state.chunks):
        raise ServiceError(
            f"vector_store: index {place.label.index} should hold {state.documents} documents and {state.chunks} "
            f"chunks, and {copied[DOCUMENTS]} and {copied[CHUNKS]} could be read; ingest again, then rebuild"
        )
    if not wait_until_indexed(target):
        confirm(target, sample.ids, f"run {command('indexes', ['rebuild', place.label.index])} again")


def _copy(place: Place, target: Place, part: str, sample: Sample) -> int:
    """Copies a collection's objects, the state aside; returns how many."""
    objects = (copied(found) for found in place.objects(part, _AT_ONCE[part]) if found.uuid != STATE_ID)
    count = 0
    for batch in _batches(objects, _AT_ONCE[part]):
        if part == CHUNKS:
            target.put_chunks(batch, refuse)
            sample.add((item.uuid, "", "") for item in batch)  # type: ignore[misc]
        else:
            target.put_documents(batch, {})
        count += len(batch)
    return count


def _batches(objects: Iterator[DataObject[Any, Any]], size: int) -> Iterator[list[DataObject[Any, Any]]]:
    while batch := list(islice(objects, size)):
        yield batch

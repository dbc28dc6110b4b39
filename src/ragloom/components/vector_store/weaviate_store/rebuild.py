"""Rebuild of an index, without deleted chunks in BM25 statistics.

The new generation becomes the index by its state, which is written last; a crash before that leaves the old one
unchanged, and the next rebuild removes the incomplete copy. Nothing is embedded: vectors are copied.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime

from ragloom.components.vector_store.record_types import IndexInfo
from ragloom.components.vector_store.weaviate_store.aliases import AliasTable
from ragloom.components.vector_store.weaviate_store.bulk_reads import batched
from ragloom.components.vector_store.weaviate_store.catalog import IndexCatalog
from ragloom.components.vector_store.weaviate_store.collection_pair import CollectionPair
from ragloom.components.vector_store.weaviate_store.errors import OutcomeUnknown
from ragloom.components.vector_store.weaviate_store.index_info import info_of
from ragloom.components.vector_store.weaviate_store.index_state import IndexState
from ragloom.components.vector_store.weaviate_store.mutable_settings import update_settings
from ragloom.components.vector_store.weaviate_store.object_mapping import STATE_ID, copied_object
from ragloom.components.vector_store.weaviate_store.recall_record import measured_width
from ragloom.components.vector_store.weaviate_store.schema import CHUNKS, DOCUMENTS
from ragloom.components.vector_store.weaviate_store.search_verification import ChunkSample, confirm, wait_until_indexed
from ragloom.components.vector_store.weaviate_store.uncertain_writes import no_repair
from ragloom.core.maintenance_steps import step
from ragloom.core.suggested_commands import command
from ragloom.errors import RagloomError, ServiceError

_BATCH_OBJECTS = {CHUNKS: 1_000, DOCUMENTS: 50}
"""Objects in memory at a time; a document has its whole text."""
_MAX_COPIES = 9
"""Attempts at a copy: by then the largest batch, 10,000 objects, has been halved to a few dozen."""

_log = logging.getLogger(__name__)


def rebuild(catalog: IndexCatalog, pair: CollectionPair, state: IndexState) -> IndexInfo:
    """Copy a committed generation, move its aliases, and remove it.

    A copy with a write of unknown outcome is discarded, and started again with smaller batches: a repair would leave
    deleted chunks in the statistics.

    Raises:
        LostToSearch: no search finds a stored chunk of the copy; the old generation stays.
        ServiceError: another process writes the index, an interrupted ingest left it incomplete, or no copy was
            answered in time.
    """
    with catalog.lease(pair.label) as lease:
        current = pair.state() or state
        if current.writing is not None:
            raise ServiceError(
                f"vector_store: index {pair.label.index} is incomplete after an interrupted ingest; ingest again, then "
                "rebuild"
            )
        copy = _copy(catalog, pair, current)
        lease.demand_held()
        rebuilt = replace(
            current, version=current.version + 1, deleted_chunks=0, committed_at=datetime.now(UTC).isoformat()
        )
        update_settings(copy, measured_width(rebuilt.dense, pair.options.tenant))
        copy.put_state(rebuilt)
        AliasTable(catalog).move(pair.label.index, copy)
        pair.drop()
    return info_of(copy, rebuilt)


def _copy(catalog: IndexCatalog, pair: CollectionPair, state: IndexState) -> CollectionPair:
    """Copy to the next generation; retry unknown outcomes in smaller batches."""
    limits = pair.options.limits
    for attempt in range(1, _MAX_COPIES + 1):
        target, size = catalog.next_generation(pair), limits.size
        try:
            _fill(pair, target, state)
        except OutcomeUnknown as error:
            target.drop()
            if attempt == _MAX_COPIES or not limits.retry_seconds:
                raise ServiceError(
                    f"{error}; the copy was discarded and index {pair.label.index} is unchanged: lower "
                    f"vector_store.batch.objects={limits.objects} or raise vector_store.timeouts.insert, and rebuild "
                    "again"
                ) from None
            limits.failed(max(2, size))
            _log.warning("%s; copying again with %d objects a batch", error, limits.size)
        except RagloomError:
            target.drop()
            raise
        else:
            return target
    raise AssertionError("the last attempt returns or raises")


def _fill(pair: CollectionPair, target: CollectionPair, state: IndexState) -> None:
    """Copy all objects into a new generation, count and verify them."""
    step(f"copying {state.documents} documents and {state.chunks} chunks")
    target.create()
    target.add_columns(pair.metadata_columns())
    sample = ChunkSample(f"{pair.label.index} {state.version}")
    copied = {part: _copy_part(pair, target, part, sample) for part in (CHUNKS, DOCUMENTS)}
    if (copied[DOCUMENTS], copied[CHUNKS]) != (state.documents, state.chunks):
        raise ServiceError(
            f"vector_store: index {pair.label.index} has {copied[DOCUMENTS]} readable documents and {copied[CHUNKS]} "
            f"chunks, and must have {state.documents} and {state.chunks}; ingest again, then rebuild"
        )
    if not wait_until_indexed(target):
        confirm(target, sample.ids, f"run {command('indexes', ['rebuild', pair.label.index])} again")


def _copy_part(pair: CollectionPair, target: CollectionPair, part: str, sample: ChunkSample) -> int:
    """Copy the objects of a collection, without the state; return their number."""
    objects = (copied_object(item) for item in pair.objects(part, _BATCH_OBJECTS[part]) if item.uuid != STATE_ID)
    count = 0
    for batch in batched(objects, _BATCH_OBJECTS[part]):
        if part == CHUNKS:
            target.put_chunks(batch, no_repair)
            sample.add((item.uuid, "", "") for item in batch)  # type: ignore[misc]
        else:
            target.put_documents(batch)
        count += len(batch)
    return count

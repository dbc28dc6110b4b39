"""Repair of writes with unknown outcome, before anything is sent again [45].

A write that a deadline cut off continues on the server for a while: it stores all its objects, and indexes none of
their vectors. The same object sent again is skipped as unchanged, and stays unsearchable. Only an object that is not
stored is both stored and indexed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import Any
from uuid import UUID

from weaviate.classes.data import DataObject
from weaviate.collections import Collection

from ragloom.components.vector_store.weaviate_store.bulk_reads import by_ids
from ragloom.components.vector_store.weaviate_store.connection import Connection
from ragloom.components.vector_store.weaviate_store.errors import OutcomeUnknown
from ragloom.errors import RagloomError, ServiceError

Objects = Sequence[DataObject[Any, Any]]
Repair = Callable[[Objects, RagloomError], Objects]
"""Repairs objects of unknown outcome; return the objects to send again."""
_POLL_SECONDS = 0.1
_EQUAL_READS = 4
"""Equal answers in a row after which a write that was cut off counts as over."""
_DELETE_THREADS = 4


def no_repair(objects: Objects, error: RagloomError) -> Objects:
    """Raise instead of repairing: the caller discards the collection.

    Raises:
        OutcomeUnknown: always.
    """
    raise OutcomeUnknown(str(error))


def stored_ids(connection: Connection, collection: Collection[Any, Any], ids: Sequence[UUID]) -> set[UUID]:
    """Return the stored ones of these ids."""
    objects = by_ids(connection, collection, "confirming what was stored", ids, properties=[])
    return {item.uuid for item in objects}


class ChunkRepair:
    """Repair of chunks: delete, confirm the deletion, insert as new ones. Thread-safe.

    Attributes:
        suspects: ids of all repaired objects; each has to be found by a search before it counts as stored.
        removed: number of deleted objects; BM25 statistics keep counting them [40].
    """

    def __init__(self, connection: Connection, collection: Collection[Any, Any]) -> None:
        self._connection = connection
        self._collection = collection
        self._lock = Lock()
        self.suspects: set[UUID] = set()
        self.removed = 0

    def __call__(self, objects: Objects, error: RagloomError) -> Objects:
        """Delete chunks; return all of them, to be inserted again."""
        ids: list[UUID] = [item.uuid for item in objects]  # type: ignore[misc]
        removed = remove(self._connection, self._collection, ids)
        with self._lock:
            self.suspects.update(ids)
            self.removed += removed
        return objects


def remove(connection: Connection, collection: Collection[Any, Any], ids: Sequence[UUID]) -> int:
    """Delete objects by id and confirm it, also while a write continues.

    All ids are deleted, not only those that a read finds: a killed server may hold an object without its id in the
    inverted index. No filter finds it then, and the same object sent again is skipped as unchanged.

    Returns:
        the number of objects that a read has found.

    Raises:
        ServiceError: the objects come back after each deletion.
    """
    removed, remaining = stable_ids(connection, collection, ids), list(ids)  # once the write is over
    for _ in range(_EQUAL_READS + 1):
        delete(connection, collection, remaining)
        remaining = sorted(stable_ids(connection, collection, ids))
        if not remaining:
            return len(removed)
        removed.update(remaining)
    raise ServiceError(
        f"vector_store: {connection.where} still holds {len(remaining)} of {len(ids)} deleted objects; run the same "
        "command again, and look at the server's log"
    )


def stable_ids(connection: Connection, collection: Collection[Any, Any], ids: Sequence[UUID]) -> set[UUID]:
    """Return the stored ones of these ids, once the answer is stable."""
    stored = stored_ids(connection, collection, ids)
    equal_reads = 1
    while equal_reads < _EQUAL_READS:
        time.sleep(_POLL_SECONDS)
        previous, stored = stored, stored_ids(connection, collection, ids)
        equal_reads = equal_reads + 1 if stored == previous else 1
        if len(stored) == len(ids):  # all: nothing more can come
            break
    return stored


def delete(connection: Connection, collection: Collection[Any, Any], ids: Sequence[UUID]) -> None:
    """Delete objects one by one, by their key.

    A deletion without an answer is repeated: no read tells whether an object stored in part is gone.
    """

    def delete_one(id: UUID) -> None:
        connection.ensure("deleting an object", partial(collection.data.delete_by_id, id), lambda: False)

    with ThreadPoolExecutor(_DELETE_THREADS, thread_name_prefix="weaviate-delete") as pool:
        list(pool.map(delete_one, ids))


def remove_partial(
    connection: Connection, collection: Collection[Any, Any], objects: Objects, *, may_delete: bool = True
) -> Objects:
    """Delete what was stored in part; return the objects to send again.

    These are the missing ones and those stored with other properties.

    Args:
        connection: to the server.
        collection: with tenant and consistency level.
        objects: as they must be stored.
        may_delete: False = an object that is not found stays, to be written over.
    """
    names = sorted({name for item in objects for name in item.properties or {}})
    ids: list[UUID] = [item.uuid for item in objects]  # type: ignore[misc]
    stored = {
        item.uuid: item.properties
        for item in by_ids(connection, collection, "reading what was written", ids, properties=names)
    }
    if may_delete:
        delete(connection, collection, [id for id in ids if id not in stored])
    return [item for item in objects if not _equal(item.properties or {}, stored.get(item.uuid))]


def _equal(expected: Any, stored: Any) -> bool:
    return stored is not None and all((stored.get(name) or "") == value for name, value in expected.items())

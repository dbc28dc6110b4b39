"""Settlement of writes with unknown outcome, before anything is sent again [45].

A write that a deadline cut off goes on at the server for a while: it stores all its objects, and indexes none of their
vectors. The same object sent again is skipped as unchanged, and stays unfindable. Only an object that is not there is
stored and indexed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

from ragloom.components.vector_store.weaviate_store.bulk_reads import by_ids
from ragloom.components.vector_store.weaviate_store.errors import OutcomeUnknown
from ragloom.errors import RagloomError, ServiceError

if TYPE_CHECKING:
    from uuid import UUID

    from weaviate.classes.data import DataObject
    from weaviate.collections import Collection

    from ragloom.components.vector_store.weaviate_store.connection import Connection

Objects = Sequence["DataObject[Any, Any]"]
Settle = Callable[[Objects, RagloomError], Objects]
"""Settles objects of unknown outcome; returns those to be sent again."""
_LOOK_SECONDS = 0.1
_STILL = 4
"""Answers in a row that must be the same, before a write that was cut off counts as over."""
_DELETIONS_AT_ONCE = 4


def refuse(objects: Objects, error: RagloomError) -> Objects:
    """Settles nothing: the collection as a whole is discarded.

    Raises:
        OutcomeUnknown: always.
    """
    raise OutcomeUnknown(str(error))


def present(connection: Connection, collection: Collection[Any, Any], ids: Sequence[UUID]) -> set[UUID]:
    """Returns which of these ids are stored."""
    found = by_ids(connection, collection, "confirming what was stored", ids, properties=[])
    return {item.uuid for item in found}


class Removal:
    """Settlement of chunks by several threads: deleted, confirmed gone, then inserted as new ones.

    Attributes:
        suspects: ids of all objects that were settled; each has to be found by a search before it counts as stored.
        removed: stored objects that were deleted; BM25 statistics keep counting them [40].
    """

    def __init__(self, connection: Connection, collection: Collection[Any, Any]) -> None:
        self._connection = connection
        self._collection = collection
        self._lock = Lock()
        self.suspects: set[UUID] = set()
        self.removed = 0

    def __call__(self, objects: Objects, error: RagloomError) -> Objects:
        """Settles chunks; all of them have to be inserted again."""
        ids: list[UUID] = [item.uuid for item in objects]  # type: ignore[misc]
        self.suspects.update(ids)
        gone = remove(self._connection, self._collection, ids)
        with self._lock:
            self.removed += gone
        return objects


def remove(connection: Connection, collection: Collection[Any, Any], ids: Sequence[UUID]) -> int:
    """Deletes objects by id and confirms it, also while a write goes on.

    Returns:
        how many were stored.

    Raises:
        ServiceError: they come back as often as they are deleted.
    """
    removed: set[UUID] = set()
    for _ in range(_STILL):
        there = settled(connection, collection, ids)
        if not there:
            return len(removed)
        removed |= there
        delete(connection, collection, sorted(there))
    there = settled(connection, collection, ids)
    if there:
        raise ServiceError(
            f"vector_store: {connection.where} still holds {len(there)} of {len(ids)} objects that were deleted; run "
            "the same command again, and look at the server's log"
        )
    return len(removed)


def settled(connection: Connection, collection: Collection[Any, Any], ids: Sequence[UUID]) -> set[UUID]:
    """Returns which ids are stored, once that has stopped changing."""
    found = present(connection, collection, ids)
    same = 1
    while same < _STILL:
        time.sleep(_LOOK_SECONDS)
        now = present(connection, collection, ids)
        same = same + 1 if now == found else 1
        found = now
        if len(found) == len(ids):  # all: nothing more can come
            break
    return found


def delete(connection: Connection, collection: Collection[Any, Any], ids: Sequence[UUID]) -> None:
    """Deletes objects one by one: partly stored ones are in no filter's index."""

    def one(id: UUID) -> None:
        call = partial(collection.data.delete_by_id, id)
        connection.ensure("deleting an object", call, lambda: not present(connection, collection, [id]))

    with ThreadPoolExecutor(_DELETIONS_AT_ONCE, thread_name_prefix="weaviate-delete") as pool:
        list(pool.map(one, ids))


def unequal(connection: Connection, collection: Collection[Any, Any], objects: Objects) -> Objects:
    """Returns those objects that are not stored as they should be."""
    names = sorted({name for item in objects for name in item.properties or {}})
    ids: list[UUID] = [item.uuid for item in objects]  # type: ignore[misc]
    stored = {
        item.uuid: item.properties
        for item in by_ids(connection, collection, "reading what was written", ids, properties=names)
    }
    return [item for item in objects if not _equal(item.properties or {}, stored.get(item.uuid))]


def _equal(wanted: Any, stored: Any) -> bool:
    return stored is not None and all((stored.get(name) or "") == value for name, value in wanted.items())

"""Stores objects so that none is lost without a word: bounded batches, every result checked, every id confirmed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragloom.errors import DataError, ServiceError
from ragloom.secrets import redact
from ragloom.vector_store.server.failures import WHEN_READ_ONLY, TooLarge, is_read_only, is_transient, one_line

if TYPE_CHECKING:
    from uuid import UUID

    from weaviate.classes.data import DataObject
    from weaviate.collections import Collection

    from ragloom.vector_store.server.connection import Connection

Describe = Callable[["DataObject[Any, Any]"], str]
_MOST_IDS = 10_000
"""Ids confirmed by one call: the server's own limit of results."""
_AT_ONCE = 2
"""Batches in flight: one is packed here while the server works on the other."""
_FIRST_PAUSE, _LAST_PAUSE = 0.2, 5.0  # seconds


@dataclass(frozen=True)
class Limits:
    """What one request may hold, and how long to keep on trying.

    Attributes:
        objects, bytes: of one batch; an object larger than `bytes` goes alone.
        retry_seconds: in total, for the objects of one batch.
    """

    objects: int
    bytes: int
    retry_seconds: float


def store(
    connection: Connection,
    collection: Collection[Any, Any],
    objects: Sequence[DataObject[Any, Any]],
    limits: Limits,
    describe: Describe,
) -> None:
    """Stores objects, replacing those of the same id, and confirms that every one is there.

    Args:
        connection: to the server.
        collection: with tenant and consistency level set.
        objects: with ids of their own, each once.
        limits: of a batch.
        describe: names an object to a person: document and span.

    Raises:
        DataError: the server refuses an object for good; names it with the server's reason.
        ServiceError: it could not be stored in time, or is not there afterwards.
    """
    batches = list(_packed(objects, limits))

    def one(batch: list[DataObject[Any, Any]]) -> None:
        _insert(connection, collection, batch, limits.retry_seconds, describe)
        _confirm(connection, collection, batch, limits.retry_seconds, describe)

    if len(batches) == 1:
        one(batches[0])
        return
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="weaviate-write") as pool:
        futures = [pool.submit(one, batch) for batch in batches]
        try:
            for future in futures:
                future.result()
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def present(connection: Connection, collection: Collection[Any, Any], ids: Sequence[UUID]) -> set[UUID]:
    """Returns which of these ids are stored."""
    found: set[UUID] = set()
    for start in range(0, len(ids), _MOST_IDS):
        some = ids[start : start + _MOST_IDS]

        def fetch(some: Sequence[UUID] = some) -> Any:
            return collection.query.fetch_objects_by_ids(some, limit=len(some), return_properties=[])

        found.update(item.uuid for item in connection.call("confirming what was stored", fetch).objects)
    return found


def _packed(objects: Sequence[DataObject[Any, Any]], limits: Limits) -> Iterator[list[DataObject[Any, Any]]]:
    batch: list[DataObject[Any, Any]] = []
    size = 0
    for item in objects:
        weight = _weight(item)
        if batch and (len(batch) >= limits.objects or size + weight > limits.bytes):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += weight
    if batch:
        yield batch


def _weight(item: DataObject[Any, Any]) -> int:
    """Estimates an object's bytes in a request, from above for text of any language."""
    properties = item.properties or {}
    texts = sum(_bytes(value) for value in properties.values())
    return 200 + texts + (4 * len(item.vector) if isinstance(item.vector, list) else 0)


def _bytes(value: Any) -> int:
    if isinstance(value, str):
        return len(value) if value.isascii() else 4 * len(value)
    return sum(map(_bytes, value)) if isinstance(value, list) else 8


def _insert(
    connection: Connection,
    collection: Collection[Any, Any],
    batch: list[DataObject[Any, Any]],
    retry_seconds: float,
    describe: Describe,
) -> None:
    """Inserts one batch; of the objects that the server did not take, those it may take later are sent again."""
    pending, pause, attempts = batch, _FIRST_PAUSE, 0
    until = time.monotonic() + retry_seconds
    while pending:
        attempts += 1
        refused = _refused(connection, collection, pending, describe)
        permanent = [at for at, reason in refused.items() if not is_transient(reason)]
        if permanent:
            item, reason = pending[permanent[0]], one_line(redact(refused[permanent[0]]))
            text = f"vector_store: {connection.where} refused {describe(item)}{_and_others(len(refused))}: {reason}"
            raise ServiceError(f"{text}; {WHEN_READ_ONLY}") if is_read_only(reason) else DataError(text)
        if refused and time.monotonic() + pause > until:
            at, reason = next(iter(refused.items()))
            raise ServiceError(
                f"vector_store: {connection.where} did not take {describe(pending[at])}{_and_others(len(refused))} "
                f"in {attempts} attempts over {retry_seconds:g} s: {one_line(redact(reason))}"
            )
        pending = [pending[at] for at in sorted(refused)]
        if pending:
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LAST_PAUSE)


def _refused(
    connection: Connection, collection: Collection[Any, Any], pending: list[DataObject[Any, Any]], describe: Describe
) -> dict[int, str]:
    """Sends objects, in halves where they are too large together; returns place -> reason of those not taken."""
    from weaviate.exceptions import WeaviateInsertManyAllFailedError

    def insert() -> dict[int, str]:
        try:
            answer = collection.data.insert_many(pending)
        except WeaviateInsertManyAllFailedError as error:
            return dict.fromkeys(range(len(pending)), str(error).rpartition("set of all errors: ")[2])
        return {at: error.message for at, error in answer.errors.items()}

    try:
        return connection.call(f"writing {len(pending)} objects", insert)
    except TooLarge as error:
        if len(pending) == 1:
            raise TooLarge(f"{error} ({describe(pending[0])})") from None
    half = len(pending) // 2
    first = _refused(connection, collection, pending[:half], describe)
    second = _refused(connection, collection, pending[half:], describe)
    return first | {half + at: reason for at, reason in second.items()}


def _confirm(
    connection: Connection,
    collection: Collection[Any, Any],
    batch: list[DataObject[Any, Any]],
    retry_seconds: float,
    describe: Describe,
) -> None:
    """Asks for the ids of what was stored; what is missing may be on its way to this replica, or is sent again."""
    missing, pause = batch, _FIRST_PAUSE
    until = time.monotonic() + retry_seconds
    while True:
        there = present(connection, collection, [item.uuid for item in missing])  # type: ignore[misc]
        missing = [item for item in missing if item.uuid not in there]
        if not missing:
            return
        if time.monotonic() + pause > until:
            raise ServiceError(
                f"vector_store: {connection.where} took {describe(missing[0])}{_and_others(len(missing))} and does not "
                "hold it; ingest again, and look at the server's log"
            )
        time.sleep(pause)
        pause = min(2 * pause, _LAST_PAUSE)
        _insert(connection, collection, missing, max(0.0, until - time.monotonic()), describe)


def _and_others(count: int) -> str:
    return f" (and {count - 1} others)" if count > 1 else ""

"""Stores objects so that none is lost without a word: bounded batches, every result checked, every id confirmed."""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from ragloom.components.vector_store.weaviate_store.batch_sizing import Pace
from ragloom.components.vector_store.weaviate_store.errors import (
    WHEN_READ_ONLY,
    OutcomeUnknown,
    TooLarge,
    is_read_only,
    is_transient,
    one_line,
)
from ragloom.components.vector_store.weaviate_store.write_repair import Settle, present
from ragloom.core.redaction import redact
from ragloom.errors import DataError, RagloomError, ServiceError

if TYPE_CHECKING:
    from weaviate.classes.data import DataObject
    from weaviate.collections import Collection

    from ragloom.components.vector_store.weaviate_store.connection import Connection

Describe = Callable[["DataObject[Any, Any]"], str]
Batch = list["DataObject[Any, Any]"]
_AT_ONCE = 2
"""Batches in flight: one is packed here while the server works on the other."""
_FIRST_PAUSE, _LAST_PAUSE = 0.2, 5.0  # seconds
_LOOKS = 3
"""How often a replica is asked for what was taken, before it counts as missing."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What one request may hold, and how long to keep on trying.

    Attributes:
        objects, bytes: of one batch; an object larger than `bytes` goes alone.
        retry_seconds: without any object stored, for the objects of one batch.
        pace: how many objects the server was seen to take in time.
    """

    objects: int
    bytes: int
    retry_seconds: float
    pace: Pace = field(compare=False)


def store(
    connection: Connection,
    collection: Collection[Any, Any],
    objects: Sequence[DataObject[Any, Any]],
    limits: Limits,
    describe: Describe,
    settle: Settle,
) -> None:
    """Stores objects, replacing those of the same id, and confirms that every one is there.

    Args:
        connection: to the server.
        collection: with tenant and consistency level set.
        objects: with ids of their own, each once.
        limits: of a batch.
        describe: names an object to a person: document and span.
        settle: is asked what has to be sent again, when it is not known what became of a write.

    Raises:
        DataError: the server refuses an object for good; names it with the server's reason.
        ServiceError: it could not be stored in time, or is not there afterwards.
    """
    source = _Source(objects, limits)
    sending = _Sending(connection, collection, limits, describe, settle)

    def work() -> None:
        while batch := source.take():
            try:
                sending.put(batch)
            except BaseException:
                source.clear()
                raise

    if len(objects) <= limits.pace.size:
        work()
        return
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="weaviate-write") as pool:
        for future in [pool.submit(work) for _ in range(_AT_ONCE)]:
            future.result()


class _Source:
    """Objects, taken batch by batch; each batch is as large as the pace allows when it is taken."""

    def __init__(self, objects: Sequence[DataObject[Any, Any]], limits: Limits) -> None:
        self._objects = deque(objects)
        self._limits = limits
        self._lock = Lock()

    def take(self) -> Batch:
        """Returns the next batch; an empty one at the end."""
        batch: Batch = []
        size = 0
        with self._lock:
            while self._objects and len(batch) < self._limits.pace.size:
                weight = _weight(self._objects[0])
                if batch and size + weight > self._limits.bytes:
                    break
                batch.append(self._objects.popleft())
                size += weight
        return batch

    def clear(self) -> None:
        """Has nothing more taken."""
        with self._lock:
            self._objects.clear()


class _Sending:
    """Sends batches; what has an unknown outcome is settled, and sent again in halves."""

    def __init__(
        self,
        connection: Connection,
        collection: Collection[Any, Any],
        limits: Limits,
        describe: Describe,
        settle: Settle,
    ) -> None:
        self._connection = connection
        self._collection = collection
        self._limits = limits
        self._describe = describe
        self._settle = settle

    def put(self, batch: Batch) -> None:
        """Stores a batch and confirms it.

        Raises:
            DataError: the server refuses an object for good.
            ServiceError: for `retry_seconds` none of the objects could be stored.
        """
        parts, pause, attempts = deque([batch]), _FIRST_PAUSE, 0
        until = time.monotonic() + self._limits.retry_seconds
        while parts:
            part = parts.popleft()
            attempts += 1
            unsure, reason = self._sent(part)
            if len(unsure) < len(part):
                until, pause = time.monotonic() + self._limits.retry_seconds, _FIRST_PAUSE
            if not unsure:
                continue
            if time.monotonic() + pause > until:
                raise self._gave_up(unsure, len(part), attempts, reason)
            _log.warning("%s; what it may have stored of %d objects is settled first", reason, len(unsure))
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LAST_PAUSE)
            again = list(self._settle(unsure, reason))
            half = max(1, len(part) // 2)
            parts.extendleft(reversed([again[start : start + half] for start in range(0, len(again), half)]))

    def _gave_up(self, unsure: Batch, size: int, attempts: int, reason: RagloomError) -> ServiceError:
        what = f"{self._describe(unsure[0])}{_and_others(len(unsure))}"
        tried = f"{attempts} attempt{'s' if attempts > 1 else ''}, the last with {size} object{'s' if size > 1 else ''}"
        return ServiceError(
            f"vector_store: {self._connection.where} did not store {what} in {tried} "
            f"(vector_store.timeouts.retry={self._limits.retry_seconds:g} s): "
            f"{str(reason).removeprefix('vector_store: ')}; lower vector_store.batch.objects={self._limits.objects}, "
            "or raise vector_store.timeouts.insert, and run the same command again"
        )

    def _sent(self, part: Batch) -> tuple[Batch, RagloomError]:
        """Sends objects once; returns those of which it is not known whether they are stored and indexed, and why."""
        began = time.monotonic()
        try:
            refused = self._refused(part)
        except OutcomeUnknown as error:
            self._limits.pace.failed(len(part))
            return part, error
        self._limits.pace.succeeded(len(part), time.monotonic() - began, self._connection.insert_seconds)
        for at, reason in refused.items():
            if not is_transient(reason):
                raise self._refusal(part[at], len(refused), reason)
        if refused:  # the server has stored an object, perhaps, and failed to index it
            return [part[at] for at in sorted(refused)], ServiceError(one_line(redact(next(iter(refused.values())))))
        return self._missing(part)

    def _missing(self, part: Batch) -> tuple[Batch, RagloomError]:
        """Asks for the ids of what was stored; what is missing may be on its way to this replica."""
        missing, pause = part, _FIRST_PAUSE
        for look in range(_LOOKS):
            there = present(self._connection, self._collection, [item.uuid for item in missing])  # type: ignore[misc]
            missing = [item for item in missing if item.uuid not in there]
            if not missing:
                break
            if look < _LOOKS - 1:
                time.sleep(pause)
                pause *= 2
        return missing, ServiceError("it took the objects and does not hold them; look at the server's log")

    def _refusal(self, item: DataObject[Any, Any], count: int, reason: str) -> RagloomError:
        said = one_line(redact(reason))
        text = f"vector_store: {self._connection.where} refused {self._describe(item)}{_and_others(count)}: {said}"
        return ServiceError(f"{text}; {WHEN_READ_ONLY}") if is_read_only(said) else DataError(text)

    def _refused(self, pending: Batch) -> dict[int, str]:
        """Sends objects, in halves where they are too large together; returns place -> reason of those not taken."""
        from weaviate.exceptions import WeaviateInsertManyAllFailedError

        def insert() -> dict[int, str]:
            try:
                answer = self._collection.data.insert_many(pending)
            except WeaviateInsertManyAllFailedError as error:
                return dict.fromkeys(range(len(pending)), str(error).rpartition("set of all errors: ")[2])
            return {at: error.message for at, error in answer.errors.items()}

        try:
            return self._connection.write(f"writing {len(pending)} objects", insert)
        except TooLarge as error:
            if len(pending) == 1:
                raise TooLarge(f"{error} ({self._describe(pending[0])})") from None
        half = len(pending) // 2
        first = self._refused(pending[:half])
        second = self._refused(pending[half:])
        return first | {half + at: reason for at, reason in second.items()}


def _weight(item: DataObject[Any, Any]) -> int:
    """Estimates an object's bytes in a request, from above for text of any language."""
    properties = item.properties or {}
    texts = sum(_bytes(value) for value in properties.values())
    return 200 + texts + (4 * len(item.vector) if isinstance(item.vector, list) else 0)


def _bytes(value: Any) -> int:
    if isinstance(value, str):
        return len(value) if value.isascii() else 4 * len(value)
    return sum(map(_bytes, value)) if isinstance(value, list) else 8


def _and_others(count: int) -> str:
    return f" (and {count - 1} others)" if count > 1 else ""

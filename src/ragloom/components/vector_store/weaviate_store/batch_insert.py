"""Complete inserts: bounded batches, every result checked, every id confirmed."""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any

from weaviate.classes.data import DataObject
from weaviate.collections import Collection
from weaviate.exceptions import WeaviateInsertManyAllFailedError

from ragloom.components.vector_store.weaviate_store import errors
from ragloom.components.vector_store.weaviate_store.batch_sizing import BatchLimits
from ragloom.components.vector_store.weaviate_store.connection import Connection
from ragloom.components.vector_store.weaviate_store.uncertain_writes import Repair, stored_ids
from ragloom.core.redaction import redact
from ragloom.errors import DataError, RagloomError, ServiceError

Describe = Callable[[DataObject[Any, Any]], str]
_Objects = list[DataObject[Any, Any]]
_WRITE_THREADS = 2
"""Batches in flight: one is packed here while the server works on the other."""
_FIRST_DELAY, _MAX_DELAY = 0.2, 5.0  # seconds
_CONFIRM_READS = 3
"""Reads of a replica before an accepted object counts as missing."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BatchInsert:
    """Insert in batches: repairs unknown outcomes, then sends halves again.

    Args:
        connection: to the server.
        collection: with tenant and consistency level.
        limits: of a batch.
        describe: names an object in messages: document and span.
        repair: repairs objects of a write with unknown outcome, and returns those to send again.
    """

    connection: Connection
    collection: Collection[Any, Any]
    limits: BatchLimits
    describe: Describe
    repair: Repair

    def insert(self, objects: Sequence[DataObject[Any, Any]]) -> None:
        """Insert objects, replacing those of the same id, and confirm each.

        Args:
            objects: with distinct ids.

        Raises:
            DataError: the server refuses an object permanently; names the object and the reason.
            ServiceError: no progress within `retry_seconds`.
        """
        batches, lock = self._batches(objects), Lock()

        def work() -> None:
            while True:
                with lock:
                    batch = next(batches, None)
                if batch is None:
                    return
                try:
                    self._insert_batch(batch)
                except BaseException:
                    with lock:
                        batches.close()
                    raise

        if len(objects) <= self.limits.size:
            work()
            return
        with ThreadPoolExecutor(_WRITE_THREADS, thread_name_prefix="weaviate-write") as pool:
            for future in [pool.submit(work) for _ in range(_WRITE_THREADS)]:
                future.result()

    def _batches(self, objects: Sequence[DataObject[Any, Any]]) -> Generator[_Objects, None, None]:
        """Yield batches of the current size."""
        batch: _Objects = []
        size = 0
        for item in objects:
            weight = _weight(item)
            if batch and (len(batch) >= self.limits.size or size + weight > self.limits.bytes):
                yield batch
                batch, size = [], 0
            batch.append(item)
            size += weight
        if batch:
            yield batch

    def _insert_batch(self, batch: _Objects) -> None:
        parts, delay, attempts = deque([batch]), _FIRST_DELAY, 0
        deadline = time.monotonic() + self.limits.retry_seconds
        while parts:
            part = parts.popleft()
            attempts += 1
            unsure, reason = self._attempt(part)
            if len(unsure) < len(part):
                deadline, delay = time.monotonic() + self.limits.retry_seconds, _FIRST_DELAY
            if not unsure:
                continue
            if time.monotonic() + delay > deadline:
                raise self._exhausted(unsure, len(part), attempts, reason)
            _log.warning("%s; repairing the write of %d objects first", reason, len(unsure))
            time.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(2 * delay, _MAX_DELAY)
            retry = list(self.repair(unsure, reason))
            half = max(1, len(part) // 2)
            parts.extendleft(reversed([retry[start : start + half] for start in range(0, len(retry), half)]))

    def _exhausted(self, unsure: _Objects, size: int, attempts: int, reason: RagloomError) -> ServiceError:
        name = f"{self.describe(unsure[0])}{_and_others(len(unsure))}"
        tried = f"{attempts} attempt{'s' if attempts > 1 else ''}, the last with {size} object{'s' if size > 1 else ''}"
        return ServiceError(
            f"vector_store: {self.connection.where} did not store {name} in {tried} "
            f"(vector_store.timeouts.retry={self.limits.retry_seconds:g} s): "
            f"{str(reason).removeprefix('vector_store: ')}; lower vector_store.batch.objects={self.limits.objects}, "
            "or raise vector_store.timeouts.insert, and run the same command again"
        )

    def _attempt(self, part: _Objects) -> tuple[_Objects, RagloomError]:
        """Send objects once; return those with unknown state, and the reason."""
        start = time.monotonic()
        try:
            refused = self._send(part)
        except errors.OutcomeUnknown as error:
            self.limits.failed(len(part))
            return part, error
        self.limits.succeeded(len(part), time.monotonic() - start, self.connection.settings.timeouts["insert"])
        for position, reason in refused.items():
            if not errors.is_transient(reason):
                raise self._refusal(part[position], len(refused), reason)
        if refused:  # the server has perhaps stored an object, and failed to index it
            reason = errors.one_line(redact(next(iter(refused.values()))))
            return [part[position] for position in sorted(refused)], ServiceError(reason)
        return self._missing(part)

    def _missing(self, part: _Objects) -> tuple[_Objects, RagloomError]:
        """Confirm stored ids; a replica may receive one later."""
        missing, delay = part, _FIRST_DELAY
        for read in range(1, _CONFIRM_READS + 1):
            stored = stored_ids(self.connection, self.collection, [item.uuid for item in missing])  # type: ignore[misc]
            missing = [item for item in missing if item.uuid not in stored]
            if not missing:
                break
            if read < _CONFIRM_READS:
                time.sleep(delay)
                delay *= 2
        return missing, ServiceError("it accepted the objects and does not hold them; look at the server's log")

    def _refusal(self, item: DataObject[Any, Any], count: int, reason: str) -> RagloomError:
        reason = errors.one_line(redact(reason))
        text = f"vector_store: {self.connection.where} refused {self.describe(item)}{_and_others(count)}: {reason}"
        return ServiceError(f"{text}; {errors.WHEN_READ_ONLY}") if errors.is_read_only(reason) else DataError(text)

    def _send(self, objects: _Objects) -> dict[int, str]:
        """Send objects, in halves if too large; return position -> refusal."""

        def insert_many() -> dict[int, str]:
            try:
                result = self.collection.data.insert_many(objects)
            except WeaviateInsertManyAllFailedError as error:
                return dict.fromkeys(range(len(objects)), str(error).rpartition("set of all errors: ")[2])
            return {position: error.message for position, error in result.errors.items()}

        try:
            return self.connection.write(f"writing {len(objects)} objects", insert_many)
        except errors.TooLarge as error:
            if len(objects) == 1:
                raise errors.TooLarge(f"{error} ({self.describe(objects[0])})") from None
        half = len(objects) // 2
        first = self._send(objects[:half])
        second = self._send(objects[half:])
        return first | {half + position: reason for position, reason in second.items()}


def _weight(item: DataObject[Any, Any]) -> int:
    """Estimate an object's bytes in a request, from above."""
    properties = item.properties or {}
    texts = sum(_bytes(value) for value in properties.values())
    return 200 + texts + (4 * len(item.vector) if isinstance(item.vector, list) else 0)


def _bytes(value: Any) -> int:
    if isinstance(value, str):
        return len(value) if value.isascii() else 4 * len(value)
    return sum(map(_bytes, value)) if isinstance(value, list) else 8


def _and_others(count: int) -> str:
    return f" (and {count - 1} others)" if count > 1 else ""

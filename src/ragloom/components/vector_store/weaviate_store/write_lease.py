"""Write lease of an index: one writer at a time, everywhere.

A lease is a collection: creating one goes through the cluster's consensus (Raft), which lets only one of several
writers create it. Its description names the holder, its one object is a counter, the heartbeat of the holder. When the
counter stands still (or the holder is a dead process of the same machine), a writer takes the next generation of the
lease, which again only one can; the old holder then finds its lease gone and stops before its next change.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import socket
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from weaviate.classes.data import DataObject

from ragloom.components.vector_store.weaviate_store.connection import Connection
from ragloom.components.vector_store.weaviate_store.errors import OutcomeUnknown
from ragloom.components.vector_store.weaviate_store.schema import CollectionLabel, label_of, lease_schema, read_label
from ragloom.errors import RagloomError, ServiceError

HEARTBEAT_SECONDS = 1.0
"""Period of the heartbeat."""
EXPIRY_SECONDS = 15.0
"""A holder without a heartbeat for so long has lost its lease."""
_POLL_SECONDS = 0.2
_HEARTBEAT_ID = UUID(int=1)


class WriteLease:
    """Right to write one index (of one tenant), from `acquire` to `release`.

    Args:
        connection: to the server.
        label: of the lease, without generation and holder.
        index: `vector_store.index`.
    """

    def __init__(self, connection: Connection, label: CollectionLabel, index: dict[str, Any]) -> None:
        self._connection = connection
        self._label = label
        self._index = index
        self.token = secrets.token_hex(8)
        self._stop = threading.Event()
        self._heartbeat: threading.Thread | None = None
        self._loss: str | None = None
        self._last_heartbeat = 0.0

    @classmethod
    def joined(cls, connection: Connection, label: CollectionLabel, index: dict[str, Any]) -> WriteLease:
        """Return a lease that another process holds.

        It can only be asked whether it is still held.

        Args:
            connection: to the server.
            label: of the held lease.
            index: `vector_store.index`.
        """
        lease = cls(connection, label, index)
        lease.token = str((label.holder or {})["token"])
        return lease

    @property
    def label(self) -> CollectionLabel:
        """Label of the lease, with generation and holder while it is held."""
        return self._label

    def __enter__(self) -> WriteLease:
        self.acquire()
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lease.

        Raises:
            ServiceError: another writer holds it; names process, machine and start.
        """
        current = self._current()
        if current is not None:
            self._demand_expired(current)
        generation = current.generation + 1 if current is not None else 1
        self._label = replace(self._label, generation=generation, holder=self._holder())
        try:
            self._create()
        except RagloomError:
            winner = self._current()
            if winner is None or winner.generation < generation:
                raise
            if winner.holder is None or winner.holder["token"] != self.token:
                raise ServiceError(_held(winner)) from None
        if current is not None:
            self._drop(current.collection)
        self._last_heartbeat = time.monotonic()
        with contextlib.suppress(OutcomeUnknown):  # the next heartbeat follows in a second, with another number
            self._write_heartbeat(0)
        self._heartbeat = threading.Thread(target=self._keep, name="weaviate-lease", daemon=True)
        self._heartbeat.start()

    def demand_held(self) -> None:
        """Ask the server whether the lease is still held.

        Raises:
            ServiceError: the lease is lost.
        """
        if self._loss is None and not self._is_ours():
            self._loss = "it was removed"
        following = replace(self._label, generation=self._label.generation + 1)
        if self._loss is None and self._read(following.collection) is not None:
            self._loss = "another writer took it over"
        if self._loss is not None:
            raise ServiceError(
                f"vector_store: the write lease on index {self._label.index} was lost ({self._loss}); committed "
                "documents stay: ingest again"
            )

    def release(self) -> None:
        """Stop the heartbeat and remove the lease, if it is still ours."""
        if self.abandon() and self._is_ours():
            self._drop(self._label.collection)

    def abandon(self) -> bool:
        """Stop the heartbeat without the server: the lease expires.

        Returns:
            whether there was a heartbeat.
        """
        self._stop.set()
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            heartbeat.join()
        return heartbeat is not None

    def _holder(self) -> dict[str, Any]:
        return {
            "token": self.token,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "started": _started(os.getpid()),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def _current(self) -> CollectionLabel | None:
        """Find the newest lease of this index and tenant."""
        leases = [label for label in read_labels(self._connection) if label.key == self._label.key]
        return max(leases, key=lambda label: label.generation, default=None)

    def _read(self, collection: str) -> CollectionLabel | None:
        read = partial(read_label, self._connection.client.collections, collection)
        return self._connection.call("checking the write lease", read)

    def _is_ours(self) -> bool:
        label = self._read(self._label.collection)
        return label is not None and label.holder is not None and label.holder["token"] == self.token

    def _create(self) -> None:
        schema = lease_schema(self._label, self._index)
        create = partial(self._connection.client.collections.create_from_dict, schema)
        self._connection.ensure("taking the write lease", create, self._is_ours)

    def _drop(self, name: str) -> None:
        delete = partial(self._connection.client.collections.delete, name)
        self._connection.ensure("releasing the write lease", delete, lambda: self._read(name) is None)

    def _demand_expired(self, current: CollectionLabel) -> None:
        """Refuse a lease with a heartbeat within its lifetime."""
        holder = current.holder or {}
        if holder.get("host") == socket.gethostname() and not _is_alive(holder):
            return
        before = self._counter(current)
        deadline = time.monotonic() + EXPIRY_SECONDS
        while time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            if self._counter(current) != before:
                raise ServiceError(_held(current))

    def _counter(self, lease: CollectionLabel) -> int | None:
        collection = self._connection.client.collections.get(lease.collection)
        read = partial(collection.query.fetch_object_by_id, _HEARTBEAT_ID, return_properties=["beat"])
        item = self._connection.call("reading the write lease", read)
        return None if item is None else int(str(item.properties["beat"]))

    def _write_heartbeat(self, number: int) -> None:
        collection = self._connection.client.collections.get(self._label.collection)
        item = DataObject(properties={"beat": str(number)}, uuid=_HEARTBEAT_ID)
        self._connection.call("renewing the write lease", partial(collection.data.insert_many, [item]), retry=False)
        self._last_heartbeat = time.monotonic()

    def _keep(self) -> None:
        """Advance the counter until the end.

        The next heartbeat makes up for a failed one. No number is sent twice: the first attempt may have been stored.
        """
        for number in itertools.count(1):
            if self._stop.wait(HEARTBEAT_SECONDS):
                return
            try:
                self._write_heartbeat(number)
            except RagloomError as error:
                if time.monotonic() - self._last_heartbeat > EXPIRY_SECONDS:
                    self._loss = f"it could not be renewed: {error}"
                    return


def read_labels(connection: Connection) -> list[CollectionLabel]:
    """Read the labels of all our collections."""
    configs = connection.call("listing collections", lambda: connection.client.collections.list_all(simple=True))
    return [label for config in configs.values() if (label := label_of(config.description)) is not None]


def _held(lease: CollectionLabel) -> str:
    holder = lease.holder or {}
    return (
        f"vector_store: index {lease.index} is being written by process {holder.get('process')} on "
        f"{holder.get('host')} since {holder.get('since')}; wait for it to end (after a crash: {EXPIRY_SECONDS:g} s)"
    )


def _is_alive(holder: dict[str, Any]) -> bool:
    """Check whether a process of this machine is still the holder."""
    process = int(holder["process"])
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    start = _started(process)
    return start is None or holder.get("started") is None or start == holder["started"]


def _started(process: int) -> str | None:
    """Read a process's start time in clock ticks; None if unknown."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return fields[19]

"""Lets one writer at a time change an index on a server, wherever the others run. Knows schema and connection.

A lease is a collection: creating one goes through the cluster's consensus (Raft), which lets only one of several create
it. Its description names the holder, its one object is a counter that the holder advances. Whoever finds a lease whose
counter stands still (or whose holder is a dead process of the same machine) takes the next generation, which again only
one can; the old holder then finds that its lease is gone and stops before its next change.
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
from ragloom.components.vector_store.weaviate_store.schema import Label, label_of, lease_schema, read_label
from ragloom.errors import RagloomError, ServiceError

BEAT_SECONDS = 1.0
"""How often a holder shows that it is alive."""
EXPIRY_SECONDS = 15.0
"""A holder that has not been heard of for so long has lost its lease."""
_LOOK_SECONDS = 0.2
_BEAT = UUID(int=1)


class Lease:
    """The right to write one index (of one tenant), from `acquire` to `release`."""

    def __init__(self, connection: Connection, label: Label, index: dict[str, Any]) -> None:
        self._connection = connection
        self._label = label
        self._index = index
        self.token = secrets.token_hex(8)
        self._stop = threading.Event()
        self._beating: threading.Thread | None = None
        self._lost: str | None = None
        self._heard = 0.0

    def acquire(self) -> None:
        """Takes the lease.

        Raises:
            ServiceError: somebody holds it; says who, where and since when.
        """
        standing = self._standing()
        if standing is not None:
            self._demand_dead(standing)
        generation = standing.generation + 1 if standing is not None else 1
        self._label = replace(self._label, generation=generation, holder=self._holder())
        try:
            self._create()
        except RagloomError:
            winner = self._standing()
            if winner is None or winner.generation < generation:
                raise
            if winner.holder is None or winner.holder["token"] != self.token:
                raise ServiceError(_held(winner)) from None
        if standing is not None:
            self._drop(standing.collection)
        self._heard = time.monotonic()
        with contextlib.suppress(OutcomeUnknown):  # the next beat comes in a second, with another number
            self._beat(0)
        self._beating = threading.Thread(target=self._keep, name="weaviate-lease", daemon=True)
        self._beating.start()

    def demand_held(self) -> None:
        """Refuses to go on when somebody else has taken the lease; asks the server.

        Raises:
            ServiceError: the lease is lost.
        """
        if self._lost is None and not self._is_ours(self._label.collection):
            self._lost = "its lease was removed"
        following = replace(self._label, generation=self._label.generation + 1)
        if self._lost is None and self._told(following.collection) is not None:
            self._lost = "another one took it over"
        if self._lost is not None:
            raise ServiceError(
                f"vector_store: this process has lost the right to write index {self._label.index} ({self._lost}); "
                "what it had committed stays; ingest again"
            )

    def release(self) -> None:
        """Lets go of the lease, if it is still this one's."""
        self._stop.set()
        if self._beating is not None:
            self._beating.join()
            self._beating = None
            if self._is_ours(self._label.collection):
                self._drop(self._label.collection)

    def abandon(self) -> None:
        """Stops the heartbeat without asking the server, which cannot be reached; the lease expires."""
        self._stop.set()
        if self._beating is not None:
            self._beating.join()
            self._beating = None

    def _holder(self) -> dict[str, Any]:
        return {
            "token": self.token,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "started": _started(os.getpid()),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def _standing(self) -> Label | None:
        """Returns the newest lease of this index and tenant."""
        found = [
            label
            for label in labels(self._connection)
            if (label.prefix, label.part, label.index, label.tenants, label.tenant)
            == (self._label.prefix, self._label.part, self._label.index, self._label.tenants, self._label.tenant)
        ]
        return max(found, key=lambda label: label.generation, default=None)

    def _told(self, collection: str) -> Label | None:
        """Returns what a collection says of itself; None when there is none."""
        read = partial(read_label, self._connection.client.collections, collection)
        return self._connection.call("checking the index's lease", read)

    def _is_ours(self, collection: str) -> bool:
        label = self._told(collection)
        return label is not None and label.holder is not None and label.holder["token"] == self.token

    def _create(self) -> None:
        made = lease_schema(self._label, self._index)
        self._connection.ensure(
            "taking the index's lease",
            lambda: self._connection.client.collections.create_from_dict(made),
            lambda: self._is_ours(self._label.collection),
        )

    def _drop(self, name: str) -> None:
        self._connection.ensure(
            "letting go of the index's lease",
            lambda: self._connection.client.collections.delete(name),
            lambda: self._told(name) is None,
        )

    def _demand_dead(self, standing: Label) -> None:
        """Waits until a holder that may be dead has been silent for as long as a lease lives."""
        holder = standing.holder or {}
        if holder.get("host") == socket.gethostname() and not _alive(holder):
            return
        before = self._counter(standing)
        until = time.monotonic() + EXPIRY_SECONDS
        while time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
            if self._counter(standing) != before:
                raise ServiceError(_held(standing))

    def _counter(self, standing: Label) -> int | None:
        collection = self._connection.client.collections.get(standing.collection)
        found = self._connection.call(
            "reading the index's lease", lambda: collection.query.fetch_object_by_id(_BEAT, return_properties=["beat"])
        )
        return None if found is None else int(str(found.properties["beat"]))

    def _beat(self, number: int) -> None:
        collection = self._connection.client.collections.get(self._label.collection)
        item = DataObject(properties={"beat": str(number)}, uuid=_BEAT)
        self._connection.call("keeping the index's lease", partial(collection.data.insert_many, [item]), retry=False)
        self._heard = time.monotonic()

    def _keep(self) -> None:
        """Advances the counter until the end; a beat that fails is made up for by the next, within the lease's life.

        No number is sent twice: the first attempt may have been stored.
        """
        for number in itertools.count(1):
            if self._stop.wait(BEAT_SECONDS):
                return
            try:
                self._beat(number)
            except RagloomError as error:
                if time.monotonic() - self._heard > EXPIRY_SECONDS:
                    self._lost = f"it could not be kept: {error}"
                    return


def labels(connection: Connection) -> list[Label]:
    """Lists what all collections of ours say of themselves."""
    found = connection.call("listing collections", lambda: connection.client.collections.list_all(simple=True))
    return [label for label in (label_of(config.description) for config in found.values()) if label is not None]


def _held(standing: Label) -> str:
    holder = standing.holder or {}
    return (
        f"vector_store: index {standing.index} is being written by process {holder.get('process')} on "
        f"{holder.get('host')} since {holder.get('since')}; wait for it to end (after a crash: {EXPIRY_SECONDS:g} s)"
    )


def _alive(holder: dict[str, Any]) -> bool:
    """Says whether a process of this machine is still the one that took the lease."""
    process = int(holder["process"])
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    started = _started(process)
    return started is None or holder.get("started") is None or started == holder["started"]


def _started(process: int) -> str | None:
    """Returns when a process was started, in the kernel's own words; None where that is not told."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return fields[19]

"""Indexes on a Weaviate server: found, opened, removed, rebuilt, promoted. Knows what the parts beside it do."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from ragloom.components.vector_store.index_identity import INGEST, Identity, outdated
from ragloom.components.vector_store.protocols import Analyzer, IndexInfo, IndexMissing
from ragloom.components.vector_store.validation import check_alias
from ragloom.components.vector_store.weaviate_store.batch_insert import Limits
from ragloom.components.vector_store.weaviate_store.batch_sizing import Pace
from ragloom.components.vector_store.weaviate_store.collections import Place
from ragloom.components.vector_store.weaviate_store.connection import Connection
from ragloom.components.vector_store.weaviate_store.index import WeaviateIndex
from ragloom.components.vector_store.weaviate_store.index_info import info_of
from ragloom.components.vector_store.weaviate_store.index_options import Options
from ragloom.components.vector_store.weaviate_store.index_state import State
from ragloom.components.vector_store.weaviate_store.schema import CHUNKS, DOCUMENTS, LEASE, Label
from ragloom.components.vector_store.weaviate_store.write_lease import Lease, labels
from ragloom.components.vector_store.weaviate_store.writer import WeaviateWriter
from ragloom.core.records import sha256
from ragloom.errors import DataError, ServiceError

_ALIASES_SINCE = (1, 32)


class WeaviateDatabase:
    """The `Database` of a Weaviate server; connects when it is first used.

    Args:
        connect: connects to the server, or says why that cannot be done.
        analyzer: turns chunk texts and questions into search terms.
        prefix: of all collections; others are never listed or touched.
        tenant: whose data is read and written, by Weaviate's multi-tenancy; None without.
        consistency_level: ONE, QUORUM or ALL.
        index: `vector_store.index`.
        batch_objects, batch_bytes: of one write request.
        retry_seconds: how long a batch is tried in total.
        indexing_seconds: how long a commit waits for the server's vector queue.
        code_version: of the builder.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        analyzer: Analyzer,
        *,
        prefix: str,
        tenant: str | None,
        consistency_level: str,
        index: dict[str, Any],
        batch_objects: int,
        batch_bytes: int,
        retry_seconds: float,
        indexing_seconds: float,
        code_version: int,
    ) -> None:
        self._connect = connect
        self.analyzer = analyzer
        self.options = Options(
            prefix,
            tenant,
            consistency_level,
            index,
            Limits(batch_objects, batch_bytes, retry_seconds, Pace(batch_objects)),
            indexing_seconds,
        )
        self.code_version = code_version

    @cached_property
    def connection(self) -> Connection:
        """The connection to the server."""
        return self._connect()

    def indexes(self) -> list[IndexInfo]:
        """Lists the committed indexes (of the tenant) by name."""
        names = sorted({label.index for label in self._labels() if label.kind == INGEST})
        found = (self._newest(name) for name in names)
        return [info_of(place, state) for place, state in filter(None, found)]

    def open(self, name: str) -> WeaviateIndex:
        """Opens an index; what is committed later is seen as well, document by document.

        Raises:
            IndexMissing: there is none.
            DataError: another version of the code wrote it.
        """
        asked = time.monotonic()
        newest = self._newest(name)
        if newest is None:
            raise IndexMissing(f"vector_store: there is no index {name} on {self._where()}; ingest first")
        place, state = newest
        if place.label.code_version != self.code_version:
            raise DataError(outdated(self._identity(place.label, state.root), self.code_version))
        return WeaviateIndex(place, self.analyzer, asked, state)

    def writer(self, name: str, *, dimensions: int, description: dict[str, Any], root: str) -> WeaviateWriter:
        """Returns the writer of an index, which is created when it is entered and missing."""
        first = self._label(name, INGEST, dimensions)
        return WeaviateWriter(
            lambda: self._to_write(first),
            lambda: self.lease(self._place(first)),
            self._identity(first, root),
            description,
            self.analyzer,
        )

    def delete(self, name: str) -> None:
        """Removes an index (of the tenant), also one that was never committed.

        Raises:
            IndexMissing: there is none.
            ServiceError: somebody writes it.
        """
        places = self._places(name)
        if not places:
            raise IndexMissing(f"vector_store: there is no index {name} on {self._where()}")
        lease = self.lease(places[0])
        lease.acquire()
        try:
            self._forget_aliases(name)
            for place in places:
                place.drop()
        finally:
            lease.release()

    def rebuild(self, name: str) -> IndexInfo:
        """Copies an index into new collections and drops the old ones: BM25 then counts no deleted chunk.

        Raises:
            IndexMissing: there is none.
            ServiceError: somebody writes it.
        """
        from ragloom.components.vector_store.weaviate_store.rebuild import rebuild

        newest = self._newest(name)
        if newest is None:
            raise IndexMissing(f"vector_store: there is no index {name} on {self._where()}; ingest first")
        return rebuild(self, *newest)

    def has(self, name: str) -> bool:
        """Tells whether anything of an index (of the tenant) is there, also if it was never committed."""
        return bool(self._places(name))

    def relocate(self, name: str, root: str) -> None:
        """Records that the documents of an index lie elsewhere now.

        Raises:
            IndexMissing: there is none.
            ServiceError: somebody writes it.
        """
        newest = self._newest(name)
        if newest is None:
            raise IndexMissing(f"vector_store: there is no index {name} on {self._where()}; ingest first")
        place, state = newest
        lease = self.lease(place)
        lease.acquire()
        try:
            place.put_state(replace(place.state() or state, root=root))
        finally:
            lease.release()

    def promote(self, name: str, alias: str) -> None:
        """Points an alias at an index, in one atomic step; the alias is created when missing.

        Raises:
            IndexMissing: there is no index of that name.
            DataError: the alias is no legal name, or names something that is not Ragloom's.
        """
        self._demand_aliases()
        check_alias(alias, [label.index for label in self._labels()])
        newest = self._newest(name)
        if newest is None:
            raise IndexMissing(f"vector_store: there is no index {name} on {self._where()}; ingest first")
        self.point(alias, newest[0])

    def point(self, alias: str, place: Place) -> None:
        """Points an alias at the chunks of a generation."""
        known, target = self.connection.client.alias, place.name(CHUNKS)
        full = self._alias(alias)
        moving = partial(known.update, alias_name=full, new_target_collection=target)
        creating = partial(known.create, alias_name=full, target_collection=target)

        def points() -> bool:
            return self._target(full) == target

        if self._target(full) is not None:
            self.connection.ensure("moving an alias", moving, points)
        else:
            self.connection.ensure("creating an alias", creating, points)

    def aliases(self) -> dict[str, str]:
        """Returns the index that each alias points at."""
        if self.connection.version < _ALIASES_SINCE:
            return {}
        found = self.connection.call("listing aliases", self.connection.client.alias.list_all)
        indexes = {label.collection: label.index for label in self._labels() if label.part == CHUNKS}
        start = self._alias("")
        return {
            _unescaped(name.removeprefix(start)): indexes[item.collection]
            for name, item in sorted(found.items())
            if name.startswith(start) and item.collection in indexes
        }

    def close(self) -> None:
        """Lets go of the connection, and of the server when it was started for this database."""
        if "connection" in self.__dict__:
            self.connection.close()
            del self.__dict__["connection"]

    def next_generation(self, place: Place) -> Place:
        """Returns the collections that will follow a generation; what an interrupted rebuild left there is removed."""
        taken = [
            label.generation for label in self._labels() if label.index == place.label.index and label.part != LEASE
        ]
        for generation in {number for number in taken if number > place.label.generation}:
            self._place(replace(place.label, generation=generation)).drop()
        return self._place(replace(place.label, generation=place.label.generation + 1))

    def lease(self, place: Place) -> Lease:
        """Returns the lease of an index (of the tenant), not yet taken."""
        asked = replace(place.label, part=LEASE, tenant=self.options.tenant)
        return Lease(self.connection, asked, self.options.index)

    def _newest(self, name: str) -> tuple[Place, State] | None:
        there = {(label.generation, label.part): label for label in self._labels() if label.index == name}
        for generation in sorted({number for number, _ in there}, reverse=True):
            if not {(generation, CHUNKS), (generation, DOCUMENTS)} <= set(there):
                continue
            place = self._place(there[generation, CHUNKS])
            if not place.has_tenant():
                continue
            state = place.state()
            if state is not None and state.version > 0:
                return place, state
        return None

    def _places(self, name: str) -> list[Place]:
        """Finds all generations of an index (of the tenant)."""
        found = [label for label in self._labels() if label.index == name and label.part in (CHUNKS, DOCUMENTS)]
        places = [self._place(label) for label in {label.generation: label for label in found}.values()]
        return [place for place in places if place.has_tenant()]

    def _to_write(self, first: Label) -> Place:
        """Finds the generation that a writer continues; the first one when nothing is committed yet."""
        newest = self._newest(first.index)
        if newest is not None:
            return newest[0]
        there = [label for label in self._labels() if label.index == first.index and label.part == CHUNKS]
        return self._place(min(there, key=lambda label: label.generation, default=first))

    def _labels(self) -> list[Label]:
        ours = (self.options.prefix, self.options.tenant is not None)
        return [label for label in labels(self.connection) if (label.prefix, label.tenants) == ours]

    def _label(self, name: str, kind: str, dimensions: int) -> Label:
        tenants = self.options.tenant is not None
        return Label(self.options.prefix, name, CHUNKS, 1, kind, dimensions, self.code_version, tenants)

    def _place(self, label: Label) -> Place:
        return Place(self.connection, self.options, label)

    def _identity(self, label: Label, root: str) -> Identity:
        source = label.index.rpartition("-")[0] or label.index
        return Identity(label.index, source, root, label.kind, label.dimensions, label.code_version)

    def _alias(self, alias: str) -> str:
        """Names an alias of this tenant on the server, which takes names that differ in case only for one."""
        tenant = self.options.tenant
        whose = "" if tenant is None else f"T{sha256(tenant)[:12]}"
        return f"{self.options.prefix}_Alias{whose}_{_escaped(alias)}"

    def _forget_aliases(self, name: str) -> None:
        for alias, target in self.aliases().items():
            if target == name:
                full = self._alias(alias)
                delete = partial(self.connection.client.alias.delete, alias_name=full)
                gone = partial(self._is_free, full)
                self.connection.ensure("removing an alias", delete, gone)

    def _target(self, full: str) -> str | None:
        """Returns the collection that an alias names on the server; None where there is no such alias."""
        found = self.connection.call("looking for an alias", partial(self.connection.client.alias.get, alias_name=full))
        return None if found is None else found.collection

    def _is_free(self, full: str) -> bool:
        return self._target(full) is None

    def _demand_aliases(self) -> None:
        if self.connection.version < _ALIASES_SINCE:
            raise ServiceError(
                f"vector_store: {self.connection.where} must be Weaviate 1.32 or newer for aliases; update the server"
            )

    def _where(self) -> str:
        tenant = self.options.tenant
        return self.connection.where + (f", tenant {tenant}" if tenant is not None else "")


def _escaped(alias: str) -> str:
    return re.sub(r"[^a-z0-9]", lambda found: f"_{ord(found[0]):x}_", alias)


def _unescaped(text: str) -> str:
    return re.sub(r"_([0-9a-f]+)_", lambda found: chr(int(found[1], 16)), text)

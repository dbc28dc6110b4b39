"""One generation of an index on a server: its two collections, and everything that is read from or put into them.

Knows objects and batches. Decides nothing: the writer says what is done in which order, the index what is searched.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from weaviate.classes.config import DataType, Property, Tokenization
from weaviate.classes.query import Filter
from weaviate.classes.tenants import Tenant

from ragloom.errors import DataError, ServiceError
from ragloom.vector_store.interface import ManifestRow, StoredDocument
from ragloom.vector_store.server import batches, schema
from ragloom.vector_store.server.connection import Connection
from ragloom.vector_store.server.failures import OutcomeUnknown, TooLarge, TooMany
from ragloom.vector_store.server.objects import (
    ABOUT,
    BUCKETS,
    READ,
    STATE_ID,
    Stored,
    chunk_uuid,
    document_uuid,
    manifest_row,
    named,
    stored_chunk,
)
from ragloom.vector_store.server.options import Options
from ragloom.vector_store.server.reading import PAGE, PAGE_WITH_VECTORS, by_ids
from ragloom.vector_store.server.repair import Settle, remove, unequal
from ragloom.vector_store.server.schema import CHUNKS, DOCUMENTS, Label
from ragloom.vector_store.server.state import State

if TYPE_CHECKING:
    from weaviate.classes.data import DataObject
    from weaviate.collections import Collection
    from weaviate.collections.classes.filters import _Filters
_PAUSE = 0.2  # seconds before a deletion goes on


class Place:
    """The collections of one generation of an index, for one tenant.

    Args:
        connection: to the server.
        options: of the store.
        label: of either collection.
    """

    def __init__(self, connection: Connection, options: Options, label: Label) -> None:
        self.connection = connection
        self.options = options
        self.label = label
        self._columns: set[str] | None = None

    @cached_property
    def chunks(self) -> Collection[Any, Any]:
        """The collection of chunks, with tenant and consistency level."""
        return self._collection(CHUNKS)

    @cached_property
    def documents(self) -> Collection[Any, Any]:
        """The collection of documents, with tenant and consistency level."""
        return self._collection(DOCUMENTS)

    def columns(self, *, anew: bool = False) -> set[str]:
        """Returns the names of the chunks' properties; asks the server once, and again when told to."""
        if self._columns is None or anew:
            told = self.connection.call("reading a schema", lambda: self.chunks.config.get(simple=True))
            self._columns = {item.name for item in told.properties}
        return self._columns

    def metadata_columns(self) -> dict[str, str]:
        """Returns the properties that metadata keys have: property -> `text` or `text[]`."""
        told = self.connection.call("reading a schema", lambda: self.chunks.config.get(simple=True))
        schema_own = {item["name"] for item in self._schemas()[CHUNKS]["properties"]}
        return {item.name: item.data_type.value for item in told.properties if item.name not in schema_own}

    def add_columns(self, wanted: dict[str, str]) -> None:
        """Creates the properties of metadata keys that are new, before a value arrives: nothing is left to guessing.

        Args:
            wanted: property -> `text` or `text[]`.

        Raises:
            DataError: there is a property of that name and another type, which somebody else must have made.
        """
        if set(wanted) <= self.columns():
            return
        there = self.metadata_columns()
        for name in sorted(set(wanted) - set(there)):
            made = Property(
                name=name,
                data_type=DataType(wanted[name]),
                tokenization=Tokenization.FIELD,
                index_filterable=True,
                index_searchable=False,
            )
            add = partial(self.chunks.config.add_property, made)
            self.connection.ensure(f"adding property {name}", add, partial(self._has_column, name))
        self.columns(anew=True)
        there = self.metadata_columns()
        for name, kind in wanted.items():
            if there.get(name, kind) != kind:
                raise DataError(
                    f"vector_store: property {name} of {self.name(CHUNKS)} is {there[name]} and must be {kind}; it was "
                    "not made by Ragloom: delete the index and ingest again"
                )

    def _has_column(self, name: str) -> bool:
        return name in self.metadata_columns()

    def create(self) -> None:
        """Creates the collections and the tenant where they are missing; others of that name must be the same.

        Raises:
            DataError: a collection is there with another schema.
        """
        collections = self.connection.client.collections
        for part, made in self._schemas().items():
            name = made["class"]
            exists = partial(self._exists, name)
            if not exists():
                create = partial(collections.create_from_dict, made)
                self.connection.ensure("creating a collection", create, exists)
            # Also where it was just created: an attempt that seemed to fail may have been another one's.
            there = self.connection.call("reading a schema", partial(collections.export_config, name))
            schema.demand_schema(self.label.index, made, there.to_dict())
            if self.options.tenant is not None:
                self._create_tenant(part)

    def update(self) -> list[str]:
        """Sets mutable settings to what the config says; returns what was changed, a sentence each."""
        from ragloom.vector_store.server.tuning import update

        return update(self)

    def has_tenant(self) -> bool:
        """Says whether the tenant (if there is one) is in both collections."""
        return self.options.tenant is None or all(self._tenant_in(part) for part in (CHUNKS, DOCUMENTS))

    def drop(self) -> None:
        """Removes the tenant's data, and the collections when no tenant is left; documents first, so that no manifest
        promises chunks that are gone."""
        collections = self.connection.client.collections
        tenant = self.options.tenant
        for part in (DOCUMENTS, CHUNKS):
            name = self.name(part)
            if not self._exists(name):
                continue
            plain = self._plain(part)
            if tenant is not None:
                remove_tenant = partial(plain.tenants.remove, [tenant])
                self.connection.ensure("removing a tenant", remove_tenant, partial(self._lacks_tenant, part))
                if self.connection.call("listing tenants", plain.tenants.get):
                    continue
            delete = partial(collections.delete, name)
            self.connection.ensure("removing a collection", delete, partial(self._lacks, name))

    def name(self, part: str) -> str:
        """The name of the chunks' or the documents' collection."""
        return replace(self.label, part=part).collection

    def state(self) -> State | None:
        """Reads the state; None before the first one is written."""
        found = self._read(STATE_ID, "reading the index's state")
        return None if found is None else State.from_json(found["row"])

    def put_state(self, state: State) -> None:
        """Writes the state, whole."""
        from weaviate.classes.data import DataObject

        item = DataObject(properties={"row": state.to_json()}, uuid=STATE_ID)
        self._put_rows([item], lambda _: f"the state of {self.label.index}")

    def manifest(self) -> Iterator[ManifestRow]:
        """Yields the manifest's rows, without texts."""
        for found in self._all(self.documents, ["row"]):
            if found.uuid != STATE_ID:
                yield manifest_row(found)

    def manifest_objects(self, ids: Sequence[str], properties: Sequence[str]) -> dict[str, Any]:
        """Fetches manifest objects by document id; those that are missing are left out."""
        by_uuid = {document_uuid(id): id for id in ids}
        found = by_ids(
            self.connection, self.documents, "reading manifest rows", list(by_uuid), properties=list(properties)
        )
        return {by_uuid[item.uuid]: item for item in found}

    def document(self, id: str) -> StoredDocument | None:
        """Reads a document; None where there is none."""
        found = self._read(document_uuid(id), "reading a document")
        return None if found is None else StoredDocument(id, found.get("text") or "", json.loads(found["metadata"]))

    def put_documents(self, objects: Sequence[DataObject[Any, Any]], names: dict[UUID, str]) -> None:
        """Writes manifest objects: each commits its document."""
        self._put_rows(objects, lambda item: f"document {names.get(item.uuid, item.uuid)!r}")  # type: ignore[arg-type]

    def put_chunks(self, objects: Sequence[DataObject[Any, Any]], settle: Settle) -> None:
        """Writes chunks, and confirms them.

        Args:
            objects: of chunks.
            settle: is asked what has to be sent again, when it is not known what became of a write.
        """

        def describe(item: DataObject[Any, Any]) -> str:
            return named(item.properties[ABOUT])

        batches.store(self.connection, self.chunks, objects, self.options.limits, describe, settle)

    def delete_documents(self, ids: Sequence[str]) -> int:
        """Removes manifest objects by document id; returns how many there were."""
        wanted = [document_uuid(id) for id in ids]
        return self._delete(self.documents, Filter.by_id().contains_any(wanted)) if wanted else 0

    def delete_chunks(self, where: _Filters) -> int:
        """Removes all chunks that pass a filter, however many; returns how many there were."""
        return self._delete(self.chunks, where)

    def delete_chunk_ids(self, ids: Sequence[str]) -> int:
        """Removes chunks by their own ids, one by one, and confirms it; returns how many there were."""
        return remove(self.connection, self.chunks, [chunk_uuid(id) for id in ids])

    def scan(self, where: _Filters | None, *, with_vectors: bool = False, with_texts: bool = True) -> Iterator[Stored]:
        """Yields all chunks that pass a filter, however many, in no order; without texts they are empty."""
        dimensions = self.label.dimensions if with_vectors else None
        properties = READ if with_texts else [ABOUT]
        if where is None:
            for found in self._all(self.chunks, properties, include_vector=with_vectors):
                yield stored_chunk(found, dimensions=dimensions)
            return
        page = PAGE_WITH_VECTORS if with_vectors else PAGE
        parts = [(0, BUCKETS)]
        while parts:
            low, high = parts.pop()
            bucket = Filter.by_property("bucket")
            within = where & bucket.greater_or_equal(low) & bucket.less_than(high) if high - low < BUCKETS else where
            middle, divisible = (low + high) // 2, high - low > 1
            most = self.connection.most_results
            limit = min(page, most) if divisible else most
            try:
                answer = self.connection.call(
                    "reading chunks",
                    partial(
                        self.chunks.query.fetch_objects,
                        filters=within,
                        limit=limit,
                        return_properties=properties,
                        include_vector=with_vectors,
                    ),
                )
            except TooMany:
                parts.append((low, high))
                continue
            except TooLarge:
                if not divisible:
                    raise
                parts += [(low, middle), (middle, high)]
                continue
            if divisible and len(answer.objects) == limit:
                parts += [(low, middle), (middle, high)]
                continue
            if len(answer.objects) == limit:
                raise ServiceError(
                    f"vector_store: {self.connection.where} gives {most} results of a search at most and more chunks "
                    "share a bucket; raise QUERY_MAXIMUM_RESULTS on the server"
                )
            for found in answer.objects:
                yield stored_chunk(found, dimensions=dimensions)

    def objects(self, part: str, page: int) -> Iterator[Any]:
        """Yields every object of a collection with all its properties and its vector, that many a request."""
        yield from self._all(self.chunks if part == CHUNKS else self.documents, None, include_vector=True, page=page)

    def neighbours(self, start: UUID | None, count: int) -> list[UUID]:
        """Returns the ids of that many chunks that follow an id, in the server's order; None = the first ones."""

        def fetch(limit: int) -> Any:
            return self.chunks.query.fetch_objects(limit=limit, after=start, return_properties=[])

        return [item.uuid for item in self.connection.limited("drawing chunks", count, fetch).objects]

    def count(self, part: str) -> int:
        """Counts the objects of a collection, the state aside."""
        collection = self.chunks if part == CHUNKS else self.documents
        answer = self.connection.call("counting", lambda: collection.aggregate.over_all(total_count=True))
        return int(answer.total_count or 0) - (1 if part == DOCUMENTS else 0)

    def queued(self) -> int:
        """Returns how many vectors the server has stored and not yet indexed (with asynchronous indexing)."""
        nodes = self.connection.call(
            "reading the vector queue",
            lambda: self.connection.client.cluster.nodes(collection=self.name(CHUNKS), output="verbose"),
        )
        shards = [shard for node in nodes for shard in node.shards or []]
        return sum(shard.vector_queue_length for shard in shards if self.options.tenant in (None, shard.name))

    def _read(self, id: UUID, doing: str) -> dict[str, Any] | None:
        """Reads an object of the documents' collection at the consistency level."""
        wanted = partial(
            self.connection.rest.properties,
            self.name(DOCUMENTS),
            id,
            tenant=self.options.tenant,
            consistency_level=self.options.consistency_level,
        )
        return self.connection.call(doing, wanted)

    def _schemas(self) -> dict[str, dict[str, Any]]:
        return {
            CHUNKS: schema.chunks_schema(replace(self.label, part=CHUNKS), self.options.index),
            DOCUMENTS: schema.documents_schema(replace(self.label, part=DOCUMENTS), self.options.index),
        }

    def _create_tenant(self, part: str) -> None:
        tenant = self.options.tenant
        plain = self._plain(part)
        if not self._tenant_in(part):
            create = partial(plain.tenants.create, [Tenant(name=str(tenant))])
            self.connection.ensure("creating a tenant", create, lambda: self._tenant_in(part))

    def _tenant_in(self, part: str) -> bool:
        look = partial(self._plain(part).tenants.get_by_name, str(self.options.tenant))
        return self.connection.call("looking for a tenant", look) is not None

    def _lacks_tenant(self, part: str) -> bool:
        return not self._tenant_in(part)

    def _lacks(self, name: str) -> bool:
        return not self._exists(name)

    def _exists(self, name: str) -> bool:
        look = partial(self.connection.client.collections.exists, name)
        return self.connection.call("looking for a collection", look)

    def _put_rows(self, objects: Sequence[DataObject[Any, Any]], describe: batches.Describe) -> None:
        def settle(rows: Sequence[DataObject[Any, Any]], _: object) -> Sequence[DataObject[Any, Any]]:
            return unequal(self.connection, self.documents, rows)

        batches.store(self.connection, self.documents, objects, self.options.limits, describe, settle)

    def _plain(self, part: str) -> Collection[Any, Any]:
        return self.connection.client.collections.get(self.name(part))

    def _collection(self, part: str) -> Collection[Any, Any]:
        from weaviate.classes.config import ConsistencyLevel

        collection = self._plain(part)
        if self.options.tenant is not None:
            collection = collection.with_tenant(self.options.tenant)
        return collection.with_consistency_level(ConsistencyLevel(self.options.consistency_level))

    def _delete(self, collection: Collection[Any, Any], where: _Filters) -> int:
        """Deletes until nothing is left: one call takes a limited number, and says nothing of the rest [2].

        What passes is counted first: of a deletion without an answer nobody knows how many it took.
        """
        counting = partial(collection.aggregate.over_all, filters=where, total_count=True)
        matches = int(self.connection.call("counting", counting).total_count or 0)
        until = time.monotonic() + self.options.limits.retry_seconds
        while True:
            try:
                answer = self.connection.write("deleting", lambda: collection.data.delete_many(where))
            except OutcomeUnknown:
                if time.monotonic() > until:
                    raise
                time.sleep(_PAUSE)
                continue  # what is deleted is gone whole, and what is left still passes the filter
            if answer.failed:
                raise ServiceError(
                    f"vector_store: {self.connection.where} could not delete {answer.failed} of {answer.matches} "
                    "objects; run the same command again, and look at the server's log"
                )
            if answer.matches == 0:
                return matches

    def _all(
        self,
        collection: Collection[Any, Any],
        properties: list[str] | None,
        *,
        include_vector: bool = False,
        page: int | None = None,
    ) -> Iterator[Any]:
        """Yields every object of a collection by the server's cursor; without `properties` with all of them."""
        after: UUID | None = None
        page = page or (PAGE_WITH_VECTORS if include_vector else PAGE)
        while True:
            page = min(page, self.connection.most_results)
            try:
                answer = self.connection.call(
                    "reading objects",
                    partial(
                        collection.query.fetch_objects,
                        limit=page,
                        after=after,
                        return_properties=properties,
                        include_vector=include_vector,
                    ),
                )
            except TooMany:
                continue
            except TooLarge:
                if page == 1:
                    raise
                page = max(1, page // 4)
                continue
            if not answer.objects:
                return
            yield from answer.objects
            after = answer.objects[-1].uuid

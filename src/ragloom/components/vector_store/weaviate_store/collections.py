"""One generation of an index on a server: its two collections, and everything that is read from or put into them.

Knows objects and batches. Decides nothing: the writer says what is done in which order, the index what is searched.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from weaviate.classes.query import Filter

from ragloom.components.vector_store.protocols import ManifestRow, StoredDocument
from ragloom.components.vector_store.weaviate_store import batch_insert
from ragloom.components.vector_store.weaviate_store.bulk_reads import PAGE, PAGE_WITH_VECTORS, by_ids
from ragloom.components.vector_store.weaviate_store.collection_setup import Layout
from ragloom.components.vector_store.weaviate_store.errors import OutcomeUnknown, TooLarge, TooMany
from ragloom.components.vector_store.weaviate_store.index_state import State
from ragloom.components.vector_store.weaviate_store.object_mapping import (
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
from ragloom.components.vector_store.weaviate_store.schema import CHUNKS, DOCUMENTS
from ragloom.components.vector_store.weaviate_store.write_repair import Settle, remove, unequal
from ragloom.errors import ServiceError

if TYPE_CHECKING:
    from weaviate.classes.data import DataObject
    from weaviate.collections import Collection
    from weaviate.collections.classes.filters import _Filters

_PAUSE = 0.2  # seconds before a deletion goes on


class Place(Layout):
    """The collections of one generation of an index, for one tenant, with what is in them."""

    def update(self) -> list[str]:
        """Sets mutable settings to what the config says; returns what was changed, a sentence each."""
        from ragloom.components.vector_store.weaviate_store.mutable_settings import update

        return update(self)

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

        batch_insert.store(self.connection, self.chunks, objects, self.options.limits, describe, settle)

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

    def _put_rows(self, objects: Sequence[DataObject[Any, Any]], describe: batch_insert.Describe) -> None:
        def settle(rows: Sequence[DataObject[Any, Any]], _: object) -> Sequence[DataObject[Any, Any]]:
            return unequal(self.connection, self.documents, rows)

        batch_insert.store(self.connection, self.documents, objects, self.options.limits, describe, settle)

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

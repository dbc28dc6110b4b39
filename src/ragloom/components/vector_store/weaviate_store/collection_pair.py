"""Access to an index's chunks and documents collections.

`writer` decides the order of writes, `search` the queries.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import numpy as np
from weaviate.classes.data import DataObject
from weaviate.classes.query import Filter
from weaviate.collections import Collection as ServerCollection
from weaviate.collections.classes.filters import _Filters

from ragloom.components.vector_store.record_types import ManifestRow, StoredDocument
from ragloom.components.vector_store.weaviate_store import bulk_reads, object_mapping
from ragloom.components.vector_store.weaviate_store.batch_insert import BatchInsert, Describe
from ragloom.components.vector_store.weaviate_store.bulk_reads import PAGE, PAGE_WITH_VECTORS
from ragloom.components.vector_store.weaviate_store.collection_setup import CollectionSetup
from ragloom.components.vector_store.weaviate_store.errors import OutcomeUnknown, TooLarge, TooMany
from ragloom.components.vector_store.weaviate_store.filters import one_of
from ragloom.components.vector_store.weaviate_store.index_state import IndexState
from ragloom.components.vector_store.weaviate_store.object_mapping import BUCKETS, STATE_ID, StoredChunk, document_uuid
from ragloom.components.vector_store.weaviate_store.rest_reads import read_properties
from ragloom.components.vector_store.weaviate_store.schema import CHUNKS, DOCUMENTS
from ragloom.components.vector_store.weaviate_store.uncertain_writes import Repair, remove, remove_partial
from ragloom.errors import ServiceError

FILTER_DOCUMENTS = 200
"""Documents in one filter."""
_DELETE_DELAY = 0.2  # seconds before a deletion without an answer is repeated


class CollectionPair(CollectionSetup):
    """Chunks and documents collections of one generation and tenant."""

    def state(self) -> IndexState | None:
        """Read the state; None before the first one is written."""
        properties = self._read(STATE_ID, "reading the index's state")
        return None if properties is None else IndexState.from_json(properties["row"])

    def put_state(self, state: IndexState) -> None:
        """Write the whole state."""
        item = DataObject(properties={"row": state.to_json()}, uuid=STATE_ID)
        # Stored in part is only the first state, with nothing else there yet. A later one may be missing on a replica.
        self._put_rows([item], lambda _: f"the state of {self.label.index}", may_delete=not state.version)

    def manifest(self) -> Iterator[ManifestRow]:
        """Yield the manifest's rows, without texts."""
        for item in self._all(self.documents, ["row"]):
            if item.uuid != STATE_ID:
                yield object_mapping.manifest_row(item)

    def manifest_objects(self, ids: Sequence[str], properties: Sequence[str]) -> dict[str, Any]:
        """Read the stored manifest objects by document id."""
        by_uuid = {document_uuid(id): id for id in ids}
        objects = bulk_reads.by_ids(
            self.connection, self.documents, "reading manifest rows", list(by_uuid), properties=list(properties)
        )
        return {by_uuid[item.uuid]: item for item in objects}

    def document(self, id: str) -> StoredDocument | None:
        """Read a document; None for a missing one."""
        row = self._read(document_uuid(id), "reading a document")
        return None if row is None else StoredDocument(id, row.get("text") or "", json.loads(row["metadata"]))

    def put_documents(self, objects: Sequence[DataObject[Any, Any]]) -> None:
        """Write manifest objects: each commits its document."""
        self._put_rows(objects, lambda item: f"document {object_mapping.manifest_row(item).id!r}")

    def put_chunks(self, objects: Sequence[DataObject[Any, Any]], repair: Repair) -> None:
        """Write chunks and confirm them.

        Args:
            objects: of chunks.
            repair: repairs chunks of a write with unknown outcome, and returns those to send again.
        """

        def describe(item: DataObject[Any, Any]) -> str:
            return object_mapping.chunk_name(item.properties[object_mapping.ABOUT])

        BatchInsert(self.connection, self.chunks, self.options.limits, describe, repair).insert(objects)

    def delete_documents(self, ids: Sequence[str]) -> int:
        """Remove manifest objects by document id; return their number."""
        uuids = [document_uuid(id) for id in ids]
        return self._delete(self.documents, Filter.by_id().contains_any(uuids)) if uuids else 0

    def delete_document_ids(self, ids: Sequence[str]) -> int:
        """Remove manifest objects one by one; return their number."""
        return remove(self.connection, self.documents, [document_uuid(id) for id in ids])

    def delete_chunks(self, where: _Filters) -> int:
        """Remove all chunks of a filter, however many; return their number."""
        return self._delete(self.chunks, where)

    def delete_chunk_ids(self, ids: Sequence[str]) -> int:
        """Remove chunks one by one and confirm it; return their number."""
        return remove(self.connection, self.chunks, [object_mapping.chunk_uuid(id) for id in ids])

    def scan(
        self, where: _Filters | None, *, with_vectors: bool = False, with_texts: bool = True
    ) -> Iterator[StoredChunk]:
        """Yield all chunks of a filter, in no order; `with_texts=False`: without texts."""
        dimensions = self.label.dimensions if with_vectors else None
        properties = object_mapping.READ if with_texts else [object_mapping.ABOUT]
        if where is None:
            objects = self._all(self.chunks, properties, include_vector=with_vectors)
        else:
            objects = self._filtered(where, properties, include_vector=with_vectors)
        for item in objects:
            yield object_mapping.stored_chunk(item, dimensions=dimensions)

    def vectors_of(
        self, document_ids: Sequence[str], sent: Collection[str] | None = None
    ) -> dict[tuple[str, str], np.ndarray]:
        """Return the stored vectors of documents by (document, sent_hash).

        Args:
            document_ids: no filter knows a hash, so all chunks of these documents are read.
            sent: only vectors of these hashes are kept; None = all.
        """
        vectors: dict[tuple[str, str], np.ndarray] = {}
        for batch in bulk_reads.batched(document_ids, FILTER_DOCUMENTS):
            for item in self.scan(one_of("document", batch), with_vectors=True):
                if sent is None or item.sent_hash in sent:
                    vectors[item.row.chunk.document, item.sent_hash] = np.array(item.row.vector, dtype=np.float32)
        return vectors

    def objects(self, part: str, page: int) -> Iterator[Any]:
        """Yield every object of a collection with all properties and its vector."""
        yield from self._all(self._of(part), None, include_vector=True, page=page)

    def vectors(self) -> Iterator[Any]:
        """Yield every chunk's object with its vector alone."""
        yield from self._all(self.chunks, [], include_vector=True)

    def neighbors(self, start: UUID | None, count: int) -> list[UUID]:
        """Return the next ids after a start, in the server's order.

        Args:
            start: None = the first ones.
            count: number of ids.
        """

        def fetch(limit: int) -> Any:
            return self.chunks.query.fetch_objects(limit=limit, after=start, return_properties=[])

        return [item.uuid for item in self.connection.limited("drawing chunks", count, fetch).objects]

    def count(self, part: str) -> int:
        """Count the objects of a collection, without the state."""
        return self._total(self._of(part)) - (1 if part == DOCUMENTS else 0)

    def indexed_chunks(self) -> int:
        """Count the chunks in the server's inverted index, stored or not."""
        return self._total(self.chunks, Filter.by_property("bucket").greater_or_equal(0))

    def queued(self) -> int:
        """Return the length of the server's vector queue (with asynchronous indexing)."""
        nodes = self.connection.call(
            "reading the vector queue",
            lambda: self.connection.client.cluster.nodes(collection=self.name(CHUNKS), output="verbose"),
        )
        shards = [shard for node in nodes for shard in node.shards or []]
        return sum(shard.vector_queue_length for shard in shards if self.options.tenant in (None, shard.name))

    def _total(self, collection: ServerCollection[Any, Any], where: _Filters | None = None) -> int:
        count = partial(collection.aggregate.over_all, filters=where, total_count=True)
        return int(self.connection.call("counting", count).total_count or 0)

    def _of(self, part: str) -> ServerCollection[Any, Any]:
        return self.chunks if part == CHUNKS else self.documents

    def _read(self, id: UUID, operation: str) -> dict[str, Any] | None:
        """Read an object of the documents collection at the consistency level."""
        read = partial(
            read_properties,
            self.connection.http,
            self.name(DOCUMENTS),
            id,
            tenant=self.options.tenant,
            consistency_level=self.options.consistency_level,
        )
        return self.connection.call(operation, read)

    def _put_rows(
        self, objects: Sequence[DataObject[Any, Any]], describe: Describe, *, may_delete: bool = True
    ) -> None:
        def repair(rows: Sequence[DataObject[Any, Any]], _: object) -> Sequence[DataObject[Any, Any]]:
            return remove_partial(self.connection, self.documents, rows, may_delete=may_delete)

        BatchInsert(self.connection, self.documents, self.options.limits, describe, repair).insert(objects)

    def _delete(self, collection: ServerCollection[Any, Any], where: _Filters) -> int:
        """Delete until no match is left: one call is limited [2].

        Matches are counted first, since a deletion without an answer reports no number.
        """
        matches = self._total(collection, where)
        deadline = time.monotonic() + self.options.limits.retry_seconds
        while True:
            try:
                result = self.connection.write("deleting", lambda: collection.data.delete_many(where))
            except OutcomeUnknown:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_DELETE_DELAY)
                continue  # a deleted object is gone as a whole, and the rest still passes the filter
            if result.failed:
                raise ServiceError(
                    f"vector_store: {self.connection.where} could not delete {result.failed} of {result.matches} "
                    "objects; run the same command again, and look at the server's log"
                )
            if result.matches == 0:
                return matches

    def _all(
        self,
        collection: ServerCollection[Any, Any],
        properties: list[str] | None,
        *,
        include_vector: bool = False,
        page: int | None = None,
    ) -> Iterator[Any]:
        """Yield every object of a collection by the server's cursor.

        Args:
            collection: with tenant and consistency level.
            properties: None = all.
            include_vector: objects come with their vectors.
            page: objects of one request; None = the default.
        """
        after: UUID | None = None
        page = page or (PAGE_WITH_VECTORS if include_vector else PAGE)
        fetch = partial(collection.query.fetch_objects, return_properties=properties, include_vector=include_vector)
        while True:
            objects, page = bulk_reads.fetch_page(self.connection, "reading objects", page, partial(fetch, after=after))
            if not objects:
                return
            yield from objects
            after = objects[-1].uuid

    def _filtered(self, where: _Filters, properties: list[str], *, include_vector: bool) -> Iterator[Any]:
        """Yield a filter's chunks by bucket ranges, halved to fit a page."""
        page = PAGE_WITH_VECTORS if include_vector else PAGE
        ranges = [(0, BUCKETS)]
        while ranges:
            low, high = ranges.pop()
            bucket = Filter.by_property("bucket")
            within = where & bucket.greater_or_equal(low) & bucket.less_than(high) if high - low < BUCKETS else where
            middle, divisible = (low + high) // 2, high - low > 1
            most = self.connection.most_results
            limit = min(page, most) if divisible else most
            fetch = partial(
                self.chunks.query.fetch_objects,
                filters=within,
                limit=limit,
                return_properties=properties,
                include_vector=include_vector,
            )
            try:
                objects = self.connection.call("reading chunks", fetch).objects
            except TooMany:
                ranges.append((low, high))
                continue
            except TooLarge:
                if not divisible:
                    raise
                ranges += [(low, middle), (middle, high)]
                continue
            if len(objects) < limit:
                yield from objects
            elif divisible:
                ranges += [(low, middle), (middle, high)]
            else:
                raise ServiceError(
                    f"vector_store: {self.connection.where} limits a search to {most} results and more chunks share a "
                    "bucket; raise QUERY_MAXIMUM_RESULTS on the server"
                )

"""LlamaIndex vector store on Weaviate: standalone, or read-only over an index.

Standalone it has no manifest and no lease: several processes may write at once, node by node, and a query may see part
of a call. A changed document's new nodes are stored before its old ones go. Ragloom's own ingest does not write through
it.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, Protocol

from llama_index.core.bridge.pydantic import PrivateAttr
from weaviate.classes.query import Filter

from ragloom.components.vector_store.filter_tree import NOTHING
from ragloom.components.vector_store.index_identity import STORE, demand_same
from ragloom.components.vector_store.llama_index_store import Batch, NodeStore
from ragloom.components.vector_store.protocols import Analyzer
from ragloom.components.vector_store.search_results import Scope
from ragloom.components.vector_store.weaviate_store import filters
from ragloom.components.vector_store.weaviate_store.bulk_reads import batched
from ragloom.components.vector_store.weaviate_store.collection_pair import CollectionPair
from ragloom.components.vector_store.weaviate_store.connection import Connection
from ragloom.components.vector_store.weaviate_store.index_settings import IndexOptions
from ragloom.components.vector_store.weaviate_store.object_mapping import chunk_object, chunk_uuid
from ragloom.components.vector_store.weaviate_store.run_verification import WriteAudit
from ragloom.components.vector_store.weaviate_store.schema import CHUNKS, CollectionLabel, read_label
from ragloom.components.vector_store.weaviate_store.search import WeaviateSearch
from ragloom.components.vector_store.weaviate_store.write_lease import read_labels
from ragloom.errors import RagloomError

_FILTER_IDS = 10_000

_log = logging.getLogger(__name__)


class StoreHost(Protocol):
    """Location of a store's nodes, such as a `WeaviateDatabase`."""

    @property
    def connection(self) -> Connection:
        """Connection to the server."""

    @property
    def options(self) -> IndexOptions:
        """Options of the collections."""

    @property
    def analyzer(self) -> Analyzer:
        """Analyzer of texts and questions."""


class WeaviateVectorStore(NodeStore):
    """Nodes on a Weaviate server: cosine search, BM25, filters, exact deletion.

    Similarities are raw: cosine for `DEFAULT`, BM25 for `TEXT_SEARCH` and `SPARSE`. A node that is added again replaces
    the old one; a node without a document counts as a document with the node's id. Deleted nodes keep counting in the
    server's BM25 statistics [40] until `clear`.

    Args:
        database: a `WeaviateDatabase`, such as `ragloom.components.vector_store.weaviate` builds.
        name: of the store in the database.
    """

    _host: StoreHost = PrivateAttr()

    def __init__(self, database: StoreHost, name: str) -> None:
        super().__init__(name=name)
        self._host = database
        self._analyzer = database.analyzer

    @classmethod
    def reading(cls, search: WeaviateSearch, name: str) -> WeaviateVectorStore:
        """Build the read-only store over an index's search."""
        store = cls(search, name)
        store._reader = search
        return store

    @property
    def client(self) -> Any:
        """The connected `WeaviateClient`."""
        return self._host.connection.client

    def collections(self) -> CollectionPair | None:
        """Find the collections of this name; None where there are none.

        Raises:
            DataError: an ingest created them.
        """
        first = self._label(0)
        own = self._read_label(first.collection)
        labels = (
            [own] if own is not None else [item for item in read_labels(self._host.connection) if item.key == first.key]
        )
        for label in labels:
            demand_same(label.identity(), self._label(label.dimensions).identity())
        pairs = [CollectionPair(self._host.connection, self._host.options, label) for label in labels]
        return next((pair for pair in pairs if pair.has_tenant()), None)

    def _newest(self) -> WeaviateSearch | None:
        pair = self.collections()
        return None if pair is None else WeaviateSearch(pair, self._analyzer, None)

    def _store(self, batch: Batch, document: str | None) -> None:
        objects = [
            chunk_object(chunk, terms, vector, "", node)
            for chunk, terms, vector, node in zip(batch.chunks, batch.terms, batch.vectors, batch.nodes, strict=True)
        ]
        pair = self._ensured(batch.vectors.shape[1])
        pair.add_columns(filters.kinds_of(item.properties for item in objects))
        audit = WriteAudit(pair, None, f"{self.name} {len(objects)}", lambda: None)
        audit.draw_older()
        rewritten = audit.store(objects, batch.chunks)
        rewritten_later, notes = audit.verify()
        if rewritten + rewritten_later:
            _log.warning(
                "vector_store: %d nodes of %s were stored a second time, after a write without an answer; BM25 "
                "statistics count them twice until clear()",
                rewritten + rewritten_later,
                self.name,
            )
        for note in notes:
            _log.warning("vector_store: %s", note)
        if document is not None:
            stored = {item.row.chunk.id for item in pair.scan(filters.one_of("document", [document]))}
            for ids in batched(sorted(stored - {chunk.id for chunk in batch.chunks}), _FILTER_IDS):
                pair.delete_chunks(Filter.by_id().contains_any([chunk_uuid(id) for id in ids]))

    def _remove(self, scope: Scope) -> None:
        parts = [None] if scope.ids is None else batched(scope.ids, _FILTER_IDS)
        for ids in parts:
            search = self._newest()
            where = search.condition(Scope(scope.filters, scope.documents, ids)) if search else None
            if search is not None and where is not None and where is not NOTHING:
                search.pair.delete_chunks(where)

    def _drop(self) -> None:
        """Remove the collections (of the tenant: its data)."""
        pair = self.collections()
        if pair is not None:
            pair.drop()

    def _read_label(self, collection: str) -> CollectionLabel | None:
        """Read the label of one collection, without listing all."""
        read = partial(read_label, self.client.collections, collection)
        return self._host.connection.call("looking for a collection", read)

    def _ensured(self, dimensions: int) -> CollectionPair:
        """Find the collections, or create them.

        Raises:
            DataError: they hold vectors of other dimensions, or an ingest created them.
        """
        label = self._label(dimensions)
        existing = self.collections()
        if existing is None:
            pair = CollectionPair(self._host.connection, self._host.options, label)
            try:
                pair.create()
                return pair
            except RagloomError:  # another process may have created them at the same time: then they exist now
                existing = self.collections()
                if existing is None:
                    raise
        demand_same(existing.label.identity(), label.identity())
        return existing

    def _label(self, dimensions: int) -> CollectionLabel:
        options = self._host.options
        tenants = options.tenant is not None
        return CollectionLabel(options.prefix, self.name, CHUNKS, 1, STORE, dimensions, options.code_version, tenants)

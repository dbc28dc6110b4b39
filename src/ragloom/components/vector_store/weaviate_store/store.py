"""A LlamaIndex vector store on Weaviate: on its own in any LlamaIndex program, or reading an index. Knows places.

On its own it has no manifest and no lease: several processes may write at once, node by node, and a query may see part
of a call. A changed document's new nodes are stored before its old ones go. Ragloom's own ingest does not write through
it. What LlamaIndex sees is `nodes`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from llama_index.core.bridge.pydantic import PrivateAttr
from weaviate.classes.query import Filter

from ragloom.components.vector_store.filter_tree import NOTHING
from ragloom.components.vector_store.index_identity import STORE, Identity, demand_same
from ragloom.components.vector_store.llama_index_store import Batch, NodeStore
from ragloom.components.vector_store.protocols import Analyzer
from ragloom.components.vector_store.search_results import Scope
from ragloom.components.vector_store.weaviate_store import filters
from ragloom.components.vector_store.weaviate_store.collections import Place
from ragloom.components.vector_store.weaviate_store.index_options import Options
from ragloom.components.vector_store.weaviate_store.object_mapping import chunk_object, chunk_uuid
from ragloom.components.vector_store.weaviate_store.schema import CHUNKS, Label, read_label
from ragloom.components.vector_store.weaviate_store.search import ChunkSearch
from ragloom.components.vector_store.weaviate_store.write_audit import Audit
from ragloom.components.vector_store.weaviate_store.write_lease import labels
from ragloom.errors import RagloomError

if TYPE_CHECKING:
    from ragloom.components.vector_store.weaviate_store.connection import Connection
    from ragloom.components.vector_store.weaviate_store.index import WeaviateIndex

_IDS_AT_ONCE = 10_000

_log = logging.getLogger(__name__)


class Server(Protocol):
    """Where a store's nodes live: `WeaviateDatabase` is one."""

    @property
    def connection(self) -> Connection:
        """To the server."""

    @property
    def options(self) -> Options:
        """How collections are kept."""

    @property
    def analyzer(self) -> Analyzer:
        """Turns texts and questions into search terms."""

    @property
    def code_version(self) -> int:
        """Of what is stored."""


class WeaviateVectorStore(NodeStore):
    """Nodes on a Weaviate server: cosine search, BM25, all metadata filters, deletion by exact document id.

    Similarities are raw: cosine for `DEFAULT`, BM25 for `TEXT_SEARCH` and `SPARSE`. A node that is added again replaces
    the old one; a node without a document counts as a document of its own id. Deleted nodes keep counting in the
    server's BM25 statistics [40] until `clear`.

    Args:
        database: a `WeaviateDatabase`, such as `ragloom.components.vector_store.weaviate` builds.
        name: the store's name in it.
    """

    _server: Server = PrivateAttr()
    _index: WeaviateIndex | None = PrivateAttr(default=None)

    def __init__(self, database: Server, name: str) -> None:
        super().__init__(name=name)
        self._server = database
        self._analyzer = database.analyzer

    @classmethod
    def reading(cls, index: WeaviateIndex) -> WeaviateVectorStore:
        """Returns the store that reads what an opened index reads, and refuses to write."""
        place = index.place
        given = _Given(place.connection, place.options, index.analyzer, place.label.code_version)
        store = cls(given, index.info.name)
        store._index, store._read_only = index, True
        return store

    @classmethod
    def class_name(cls) -> str:
        """Names the class for LlamaIndex's serialisation."""
        return "WeaviateVectorStore"

    @property
    def client(self) -> Any:
        """The connected `WeaviateClient`."""
        return self._server.connection.client

    def _search(self) -> ChunkSearch | None:
        if self._index is not None:
            return self._index.search
        place = self._there()
        return None if place is None else ChunkSearch(place, self._analyzer, None)

    def _store(self, batch: Batch, document: str | None) -> None:
        objects = [
            chunk_object(chunk, terms, vector, "", node)
            for chunk, terms, vector, node in zip(batch.chunks, batch.terms, batch.vectors, batch.nodes, strict=True)
        ]
        place = self._made(batch.vectors.shape[1])
        place.add_columns(filters.kinds_of(item.properties for item in objects))
        audit = Audit(place, None, f"{self.name} {len(objects)}", lambda: None)
        audit.look_back()
        rewritten = audit.store(objects, batch.chunks)
        again, notes = audit.verify()
        if rewritten + again:
            _log.warning(
                "vector_store: %d nodes of %s were stored a second time, after a write without an answer; BM25 "
                "statistics count them twice until clear()",
                rewritten + again,
                self.name,
            )
        for note in notes:
            _log.warning("vector_store: %s", note)
        if document is not None:
            stored = [found.row.chunk.id for found in place.scan(filters.one_of("document", [document]))]
            old = set(stored) - {chunk.id for chunk in batch.chunks}
            for some in _parts(sorted(old)):
                place.delete_chunks(Filter.by_id().contains_any([chunk_uuid(id) for id in some]))

    def _remove(self, scope: Scope) -> None:
        for part in [scope] if scope.ids is None else _scopes(scope, scope.ids):
            search = self._search()
            where = search.condition(part) if search else None
            if search is not None and where is not None and where is not NOTHING:
                search.place.delete_chunks(where)

    def _drop(self) -> None:
        """Removes the collections (of the tenant: its data)."""
        place = self._there()
        if place is not None:
            place.drop()

    def _there(self) -> Place | None:
        """Returns the collections of this name, unless an ingest made them; None where there are none."""
        first = self._label(0)
        own = self._told(first.collection)
        found = (
            [own] if own is not None else [label for label in labels(self._server.connection) if _same(label, first)]
        )
        for label in found:
            demand_same(_identity(label), _identity(self._label(label.dimensions)))
        places = [Place(self._server.connection, self._server.options, label) for label in found]
        return next((place for place in places if place.has_tenant()), None)

    def _told(self, collection: str) -> Label | None:
        """Returns what a collection says of itself; listing all of them takes the longer the more there are."""
        read = partial(read_label, self.client.collections, collection)
        return self._server.connection.call("looking for a collection", read)

    def _made(self, dimensions: int) -> Place:
        """Returns the collections, which are created when missing.

        Raises:
            DataError: they hold vectors of other dimensions, or an ingest made them.
        """
        there = self._there()
        label = self._label(dimensions)
        if there is not None:
            demand_same(_identity(there.label), _identity(label))
            return there
        place = Place(self._server.connection, self._server.options, label)
        try:
            place.create()
        except RagloomError:  # another one may have created them at the same time: then they are there now
            there = self._there()
            if there is None:
                raise
            demand_same(_identity(there.label), _identity(label))
            return there
        return place

    def _label(self, dimensions: int) -> Label:
        prefix, version = self._server.options.prefix, self._server.code_version
        tenants = self._server.options.tenant is not None
        return Label(prefix, self.name, CHUNKS, 1, STORE, dimensions, version, tenants)


@dataclass(frozen=True)
class _Given:
    """A `Server` of its parts."""

    connection: Connection
    options: Options
    analyzer: Analyzer
    code_version: int


def _same(label: Label, asked: Label) -> bool:
    """Says whether two labels are of the same name, whoever made it and however often it was rebuilt."""
    return (label.prefix, label.tenants, label.index, label.part) == (
        asked.prefix,
        asked.tenants,
        asked.index,
        asked.part,
    )


def _identity(label: Label) -> Identity:
    return Identity(label.index, label.index, "", label.kind, label.dimensions, label.code_version)


def _scopes(scope: Scope, ids: Sequence[str]) -> Iterator[Scope]:
    for some in _parts(ids):
        yield Scope(scope.filters, scope.documents, some)


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cuts ids into lists that one filter may hold."""
    for start in range(0, len(ids), _IDS_AT_ONCE):
        yield ids[start : start + _IDS_AT_ONCE]

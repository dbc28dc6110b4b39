"""Catalog of the indexes on a server: their collections, generations and leases."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ragloom.components.vector_store.record_types import IndexMissing
from ragloom.components.vector_store.weaviate_store.collection_pair import CollectionPair
from ragloom.components.vector_store.weaviate_store.connection import Connection
from ragloom.components.vector_store.weaviate_store.index_settings import IndexOptions
from ragloom.components.vector_store.weaviate_store.index_state import IndexState
from ragloom.components.vector_store.weaviate_store.schema import CHUNKS, DOCUMENTS, LEASE, CollectionLabel
from ragloom.components.vector_store.weaviate_store.write_lease import WriteLease, read_labels


@dataclass(frozen=True)
class IndexCatalog:
    """Catalog of the indexes with a database's prefix and tenant.

    Args:
        connection: to the server.
        options: of the database.
    """

    connection: Connection
    options: IndexOptions

    def labels(self) -> list[CollectionLabel]:
        """Read the labels of all collections, also of other tenants."""
        ours = (self.options.prefix, self.options.tenant is not None)
        return [label for label in read_labels(self.connection) if (label.prefix, label.tenants) == ours]

    def pair(self, label: CollectionLabel) -> CollectionPair:
        """Return the collections of a label."""
        return CollectionPair(self.connection, self.options, label)

    def generations(self, name: str) -> list[CollectionPair]:
        """Find all generations of an index, also uncommitted ones."""
        labels = [label for label in self.labels() if label.index == name and label.part in (CHUNKS, DOCUMENTS)]
        pairs = [self.pair(label) for label in {label.generation: label for label in labels}.values()]
        return [pair for pair in pairs if pair.has_tenant()]

    def newest(self, name: str) -> tuple[CollectionPair, IndexState] | None:
        """Find the newest committed generation of an index; None without a commit."""
        labels = {(label.generation, label.part): label for label in self.labels() if label.index == name}
        for generation in sorted({number for number, _ in labels}, reverse=True):
            if not {(generation, CHUNKS), (generation, DOCUMENTS)} <= labels.keys():
                continue
            pair = self.pair(labels[generation, CHUNKS])
            if not pair.has_tenant():
                continue
            state = pair.state()
            if state is not None and state.version > 0:
                return pair, state
        return None

    def committed(self, name: str) -> tuple[CollectionPair, IndexState]:
        """Find the newest committed generation of an index.

        Raises:
            IndexMissing: the index has no commit.
        """
        newest = self.newest(name)
        if newest is None:
            raise IndexMissing(f"vector_store: there is no index {name} on {self.where}; ingest first")
        return newest

    def writable(self, first: CollectionLabel) -> CollectionPair:
        """Find a writer's generation: the newest committed one, or the first."""
        newest = self.newest(first.index)
        if newest is not None:
            return newest[0]
        labels = [label for label in self.labels() if label.index == first.index and label.part == CHUNKS]
        return self.pair(min(labels, key=lambda label: label.generation, default=first))

    def next_generation(self, pair: CollectionPair) -> CollectionPair:
        """Return the next generation, without leftovers of an interrupted rebuild."""
        labels = [label for label in self.labels() if label.index == pair.label.index and label.part != LEASE]
        for generation in {label.generation for label in labels if label.generation > pair.label.generation}:
            self.pair(replace(pair.label, generation=generation)).drop()
        return self.pair(replace(pair.label, generation=pair.label.generation + 1))

    def lease(self, label: CollectionLabel) -> WriteLease:
        """Return the lease of an index (of the tenant), not yet acquired."""
        own = replace(label, part=LEASE, tenant=self.options.tenant)
        return WriteLease(self.connection, own, self.options.index)

    @property
    def where(self) -> str:
        """Name of server and tenant in messages."""
        tenant = self.options.tenant
        return self.connection.where + (f", tenant {tenant}" if tenant is not None else "")

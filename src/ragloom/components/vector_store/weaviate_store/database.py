"""Database of the indexes on a Weaviate server."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

from ragloom.components.vector_store.index_identity import INGEST, outdated
from ragloom.components.vector_store.protocols import Analyzer
from ragloom.components.vector_store.record_types import IndexInfo, IndexMissing
from ragloom.components.vector_store.validation import check_alias
from ragloom.components.vector_store.weaviate_store.aliases import AliasTable
from ragloom.components.vector_store.weaviate_store.catalog import IndexCatalog
from ragloom.components.vector_store.weaviate_store.connection import Connection
from ragloom.components.vector_store.weaviate_store.index_info import info_of
from ragloom.components.vector_store.weaviate_store.index_reader import WeaviateIndex
from ragloom.components.vector_store.weaviate_store.index_settings import IndexOptions
from ragloom.components.vector_store.weaviate_store.index_writer import WeaviateWriter
from ragloom.components.vector_store.weaviate_store.rebuild import rebuild
from ragloom.components.vector_store.weaviate_store.schema import CHUNKS, CollectionLabel
from ragloom.errors import DataError


class WeaviateDatabase:
    """`Database` of a Weaviate server; connects on first use.

    Args:
        connect: connects to the server, or raises.
        analyzer: turns chunk texts and questions into search terms.
        options: of all indexes.
    """

    def __init__(self, connect: Callable[[], Connection], analyzer: Analyzer, options: IndexOptions) -> None:
        self._connect = connect
        self.analyzer = analyzer
        self.options = options

    @cached_property
    def connection(self) -> Connection:
        """Connection to the server."""
        return self._connect()

    @property
    def catalog(self) -> IndexCatalog:
        """Catalog of the indexes."""
        return IndexCatalog(self.connection, self.options)

    def indexes(self) -> list[IndexInfo]:
        """List the committed indexes (of the tenant) by name."""
        names = sorted({label.index for label in self.catalog.labels() if label.kind == INGEST})
        newest = filter(None, map(self.catalog.newest, names))
        return [info_of(pair, state) for pair, state in newest]

    def open(self, name: str) -> WeaviateIndex:
        """Open an index; later commits are seen as well, document by document.

        Raises:
            IndexMissing: the index has no commit.
            DataError: another version of the code wrote it.
        """
        read_at = time.monotonic()
        pair, state = self.catalog.committed(name)
        if pair.label.code_version != self.options.code_version:
            raise DataError(outdated(pair.label.identity(state.root), self.options.code_version))
        return WeaviateIndex(pair, self.analyzer, read_at, state)

    def writer(self, name: str, *, dimensions: int, description: dict[str, Any], root: str) -> WeaviateWriter:
        """Return the writer of an index; entering it creates a missing index."""
        options = self.options
        tenants = options.tenant is not None
        first = CollectionLabel(options.prefix, name, CHUNKS, 1, INGEST, dimensions, options.code_version, tenants)
        return WeaviateWriter(lambda: self.catalog, first, first.identity(root), description, self.analyzer)

    def delete(self, name: str) -> None:
        """Remove an index (of the tenant), also one without a commit.

        Raises:
            IndexMissing: there is no such index.
            ServiceError: another process writes it.
        """
        generations = self.catalog.generations(name)
        if not generations:
            raise IndexMissing(f"vector_store: there is no index {name} on {self.catalog.where}")
        with self.catalog.lease(generations[0].label):
            AliasTable(self.catalog).remove(name)
            for pair in generations:
                pair.drop()

    def rebuild(self, name: str) -> IndexInfo:
        """Copy an index into new collections, without deleted chunks in BM25 statistics.

        Raises:
            IndexMissing: the index has no commit.
            ServiceError: another process writes it.
        """
        return rebuild(self.catalog, *self.catalog.committed(name))

    def has(self, name: str) -> bool:
        """Check whether an index (of the tenant) exists, committed or not."""
        return bool(self.catalog.generations(name))

    def relocate(self, name: str, root: str) -> None:
        """Record the new location of an index's documents.

        Raises:
            IndexMissing: the index has no commit.
            ServiceError: another process writes it.
        """
        pair, state = self.catalog.committed(name)
        with self.catalog.lease(pair.label):
            pair.put_state(replace(pair.state() or state, root=root))

    def promote(self, name: str, alias: str) -> None:
        """Point an alias at an index, atomically; create a missing alias.

        Raises:
            IndexMissing: the index has no commit.
            DataError: the alias is illegal, or the name of an index.
        """
        aliases = AliasTable(self.catalog)
        aliases.demand_supported()
        check_alias(alias, [label.index for label in self.catalog.labels()])
        aliases.point(alias, self.catalog.committed(name)[0])

    def aliases(self) -> dict[str, str]:
        """Return the index of each alias."""
        return AliasTable(self.catalog).read()

    def close(self) -> None:
        """Close the connection, and end an embedded server."""
        if "connection" in self.__dict__:
            self.connection.close()
            del self.__dict__["connection"]

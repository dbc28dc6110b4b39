"""LlamaIndex vector store on LanceDB.

On its own it reads the newest state at once. Its text index is brought up to date before the first text search after
a write (a rebuild: BM25 is wrong in between [32]), which takes seconds for 100,000s of nodes. Ragloom's own ingest does
not write through it. Knows tables; what LlamaIndex sees is `nodes`.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from llama_index.core.bridge.pydantic import PrivateAttr

from ragloom.components.vector_store.index_identity import STORE, Identity, demand_same
from ragloom.components.vector_store.lancedb_store import tables
from ragloom.components.vector_store.lancedb_store.commit_record import CHUNKS, CODE_VERSION
from ragloom.components.vector_store.lancedb_store.commits import Upkeep, publish
from ragloom.components.vector_store.lancedb_store.index_folder import IndexFolder
from ragloom.components.vector_store.lancedb_store.search import ChunkSearch
from ragloom.components.vector_store.lancedb_store.sql_filters import one_of, quoted
from ragloom.components.vector_store.llama_index_store import Batch, NodeStore
from ragloom.components.vector_store.protocols import Analyzer, Search
from ragloom.components.vector_store.search_results import Scope

_LOCK_SECONDS = 30.0
_RETENTION = timedelta(hours=1)


class LanceDBVectorStore(NodeStore):
    """LlamaIndex vector store in a LanceDB folder: cosine, BM25, all filters.

    Similarities are raw: cosine for `DEFAULT`, BM25 for `TEXT_SEARCH` and `SPARSE`. A node that is added again replaces
    the old one [33]; `replace` is one atomic step; a node without a document counts as its own document.

    Args:
        path: folder of the database; created by the first `add`.
        name: the store's name in it.
        analyzer: turns texts and questions into search terms.
    """

    path: str

    _folder: IndexFolder = PrivateAttr()
    _connection: Any = PrivateAttr(default=None)

    def __init__(self, path: str | Path, name: str, analyzer: Analyzer) -> None:
        base = Path(path).expanduser().absolute()
        super().__init__(path=str(base), name=name)  # type: ignore[call-arg]
        self._analyzer = analyzer
        self._folder = IndexFolder(base, name)

    @classmethod
    def reading(cls, folder: IndexFolder, search: ChunkSearch, analyzer: Analyzer) -> LanceDBVectorStore:
        """Return a read-only store on the state of an opened index."""
        store = cls(folder.base, folder.name, analyzer)
        store._reader = search
        return store

    @property
    def client(self) -> Any:
        """The LanceDB connection."""
        if self._connection is None:
            self._connection = tables.connect(self._folder.path)
        return self._connection

    def _newest(self) -> ChunkSearch | None:
        if self._own() is None or not tables.is_there(self._folder.path, CHUNKS):
            return None
        return self._reading()

    def _text_search(self) -> Search | None:
        """Return the newest state with an up-to-date text index.

        The index is built if necessary.
        """
        opened_or_newest = self._search()
        if self._reader is not None or opened_or_newest is None:
            return opened_or_newest
        commits = self._folder.commits()
        if not commits or commits[-1].versions[CHUNKS] != self._table().version:
            self._make_searchable()
            commits = self._folder.commits()
        return self._reading(commits[-1].versions[CHUNKS])

    def _store(self, batch: Batch, document: str | None) -> None:
        terms = [" ".join(some) for some in batch.terms]
        rows = tables.chunk_rows(batch.chunks, terms, batch.vectors, [""] * len(batch.chunks), batch.nodes)
        dimensions = batch.vectors.shape[1]
        with self._folder.lock(_LOCK_SECONDS):
            identity = self._identity(dimensions)
            stored = self._folder.identity()
            if stored is None:
                self._folder.create(identity)
            else:
                demand_same(stored, identity)
            with tables.engine(self._folder.path, "writing"):
                tables.create(self.client, CHUNKS, tables.chunk_schema(dimensions))
                table = self._table()
                tables.add_missing_columns(table, rows)
                if document is not None:
                    tables.replace(table, f"document = {quoted(document)}", rows)
                elif any(table.count_rows(one_of("id", some)) for some in tables.batches(rows["id"].to_pylist())):
                    tables.replace(table, "false", rows)
                else:
                    table.add(rows)

    def _remove(self, scope: Scope) -> None:
        with self._folder.lock(_LOCK_SECONDS):
            search = self._newest()
            condition = search.condition(scope) if search else None
            if condition is not None:
                with tables.engine(self._folder.path, "deleting"):
                    self._table().delete(condition)

    def _drop(self) -> None:
        """Remove the folder, old versions included."""
        with self._folder.lock(_LOCK_SECONDS):
            if self._own() is not None:
                self._folder.remove()
        self._connection = None

    def _make_searchable(self) -> None:
        with self._folder.lock(_LOCK_SECONDS):
            table = self._table()
            publish(
                self._folder,
                {CHUNKS: table},
                lambda: {CHUNKS: table.count_rows()},
                upkeep=Upkeep(rebuild_terms=True),
                retention=_RETENTION,
                record={"description": {}, "summary": {}},
            )

    def _reading(self, version: int | None = None) -> ChunkSearch:
        table = self._table(version)
        dimensions = table.schema.field("vector").type.list_size
        return ChunkSearch(table, dimensions, self._analyzer, self._folder.path)

    def _table(self, version: int | None = None) -> Any:
        with tables.engine(self._folder.path, "opening"):
            return tables.open_table(self.client, CHUNKS, version)

    def _own(self) -> Identity | None:
        """Return what there is of this name, unless an ingest made it."""
        identity = self._folder.identity()
        if identity is not None:
            demand_same(identity, self._identity(identity.dimensions))
        return identity

    def _identity(self, dimensions: int) -> Identity:
        return Identity(self.name, self.name, "", STORE, dimensions, CODE_VERSION)

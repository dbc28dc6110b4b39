"""Index of a LanceDB folder: one commit, its documents and vectors."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ragloom.components.vector_store.index_identity import Identity
from ragloom.components.vector_store.lancedb_store import bulk_reads, long_text_files, tables
from ragloom.components.vector_store.lancedb_store.ann_index import Approximation
from ragloom.components.vector_store.lancedb_store.commit_record import CHUNKS, DOCUMENTS, Commit
from ragloom.components.vector_store.lancedb_store.commits import info_of
from ragloom.components.vector_store.lancedb_store.index_folder import IndexFolder
from ragloom.components.vector_store.lancedb_store.search import ChunkSearch
from ragloom.components.vector_store.lancedb_store.sql_filters import quoted
from ragloom.components.vector_store.protocols import Analyzer, Index
from ragloom.components.vector_store.record_types import IndexInfo, ManifestRow, StoredDocument
from ragloom.errors import DataError, ServiceError

if TYPE_CHECKING:
    import numpy as np

    from ragloom.components.vector_store.lancedb_store.lancedb_vector_store import LanceDBVectorStore


class LanceIndex(Index):
    """Reader of one commit, isolated from later writes."""

    def __init__(self, folder: IndexFolder, identity: Identity, commit: Commit, analyzer: Analyzer) -> None:
        self.folder = folder
        self._identity = identity
        self._commit = commit
        self.analyzer = analyzer
        try:
            connection = tables.connect(folder.path)
            self.tables = {
                name: tables.open_table(connection, name, version) for name, version in commit.versions.items()
            }
        except (ServiceError, RuntimeError, ValueError, OSError) as error:
            raise folder.damaged(error) from error
        dense = None if commit.dense is None else Approximation.of(commit.dense)
        parameters = None if dense is None else dense.parameters
        self.search = ChunkSearch(self.tables[CHUNKS], identity.dimensions, analyzer, folder.path, parameters)

    @cached_property
    def info(self) -> IndexInfo:
        """The commit that this index reads."""
        return info_of(self._identity, self._commit, self.folder.size())

    @cached_property
    def store(self) -> LanceDBVectorStore:
        """The same committed state as a read-only LlamaIndex vector store."""
        from ragloom.components.vector_store.lancedb_store.lancedb_vector_store import LanceDBVectorStore

        return LanceDBVectorStore.reading(self.folder, self.search, self.analyzer)

    def document(self, id: str) -> StoredDocument:
        """Return a stored document.

        Raises:
            DataError: the index holds no such document.
        """
        with tables.engine(self.folder.path, "reading a document"):
            search = self.tables[DOCUMENTS].search().where(f"id = {quoted(id)}")
            rows = search.select(["id", "text", "text_hash", "metadata"]).to_arrow().to_pylist()
            if not rows:
                raise DataError(f"vector_store: index {self._identity.name} holds no document {id!r}; ingest it first")
            row = rows[0]
            text = long_text_files.read(self.folder.path, row["text_hash"]) if row["text"] is None else row["text"]
        return StoredDocument(row["id"], text, json.loads(row["metadata"]))

    def manifest(self) -> Iterator[ManifestRow]:
        """Yield a row for each document, in no order."""
        with tables.engine(self.folder.path, "reading the manifest"):
            yield from bulk_reads.manifest(self.tables[DOCUMENTS])

    def vectors_of(
        self, document_ids: Sequence[str], sent: Collection[str] | None = None
    ) -> dict[tuple[str, str], np.ndarray]:
        """Return the stored vectors of documents by (document, sent_hash).

        `sent` limits them to these hashes.
        """
        with tables.engine(self.folder.path, "reading vectors"):
            return bulk_reads.vectors_of(self.tables[CHUNKS], document_ids, sent)

"""Database of indexes in a LanceDB folder: list, open, delete, rebuild, promote."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.components.vector_store.index_identity import INGEST, Identity, outdated
from ragloom.components.vector_store.lancedb_store import bulk_reads, long_text_files, tables
from ragloom.components.vector_store.lancedb_store.aliases import Aliases
from ragloom.components.vector_store.lancedb_store.ann_index import Approximation, Wanted
from ragloom.components.vector_store.lancedb_store.commit_record import CHUNKS, CODE_VERSION, DOCUMENTS, Commit
from ragloom.components.vector_store.lancedb_store.commits import info_of
from ragloom.components.vector_store.lancedb_store.index_folder import IndexFolder, folders
from ragloom.components.vector_store.lancedb_store.index_writer import LanceWriter
from ragloom.components.vector_store.lancedb_store.search import ChunkSearch
from ragloom.components.vector_store.lancedb_store.sql_filters import quoted
from ragloom.components.vector_store.protocols import Analyzer
from ragloom.components.vector_store.record_types import IndexInfo, IndexMissing, ManifestRow, StoredDocument
from ragloom.components.vector_store.search_results import Row, Scope
from ragloom.components.vector_store.validation import check_alias
from ragloom.core.records import Chunk, Hit
from ragloom.errors import DataError, ServiceError

if TYPE_CHECKING:
    import numpy as np
    from llama_index.core.vector_stores.types import MetadataFilters

    from ragloom.components.vector_store.lancedb_store.lancedb_vector_store import LanceDBVectorStore


class LanceDatabase:
    """The `Database` of a LanceDB folder.

    Args:
        path: the folder; `~` is the home folder. It need not exist.
        analyzer: turns chunk texts and questions into search terms.
        retention_minutes: how long a replaced state stays readable before a commit removes it.
        ann_threshold: chunks from which dense search is approximate.
        min_ann_recall: that it must have been measured to have; otherwise it stays exact.
    """

    def __init__(
        self,
        path: str | Path,
        analyzer: Analyzer,
        *,
        retention_minutes: int,
        ann_threshold: int,
        min_ann_recall: float,
    ) -> None:
        self.path = Path(path).expanduser().absolute()
        self.analyzer = analyzer
        self._retention = timedelta(minutes=retention_minutes)
        self._dense = Wanted(ann_threshold, min_ann_recall)
        self._aliases = Aliases(self.path)

    def indexes(self) -> list[IndexInfo]:
        """List the committed indexes by name.

        Raises:
            ServiceError: the folder cannot be read.
            DataError: an index is damaged; the text names its folder.
        """
        infos = []
        for folder in folders(self.path):
            identity, commits = folder.identity(), folder.commits()
            if identity is not None and identity.kind == INGEST and commits:
                infos.append(info_of(identity, commits[-1], folder.size()))
        return infos

    def open(self, name: str) -> LanceIndex:
        """Open the newest commit of an index.

        Raises:
            IndexMissing: no such index exists.
            DataError: it is damaged, or another version of the code wrote it.
        """
        folder = IndexFolder(self.path, name)
        identity, commits = self._committed(folder)
        if identity.code_version != CODE_VERSION:
            raise DataError(outdated(identity, CODE_VERSION))
        return LanceIndex(folder, identity, commits[-1], self.analyzer)

    def writer(self, name: str, *, dimensions: int, description: dict[str, Any], root: str) -> LanceWriter:
        """Return the writer of an index.

        The index is created when the writer is entered and it does not exist.
        """
        identity = Identity(name, name.rpartition("-")[0] or name, root, INGEST, dimensions, CODE_VERSION)
        folder = IndexFolder(self.path, name)
        return LanceWriter(folder, identity, description, self.analyzer, self._retention, self._dense)

    def delete(self, name: str) -> None:
        """Delete an index with all its versions and aliases.

        It may be damaged or never committed.

        Raises:
            IndexMissing: no such index exists.
            ServiceError: somebody writes it, or its files cannot be removed.
        """
        folder = IndexFolder(self.path, name)
        if not folder.path.exists():
            raise IndexMissing(f"vector_store: there is no index {name} in {self.path}")
        with folder.lock(), self._aliases.changing() as aliases:
            for alias in [alias for alias, target in aliases.items() if target == name]:
                del aliases[alias]
            self._aliases.write(aliases)
            folder.remove()

    def rebuild(self, name: str) -> IndexInfo:
        """Compact an index and rebuild its text index, without embedding.

        Raises:
            IndexMissing: no such index exists.
            ServiceError: somebody writes it, or an interrupted ingest has left it half done.
        """
        folder = IndexFolder(self.path, name)
        identity, commits = self._committed(folder)
        description = commits[-1].description
        with self.writer(name, dimensions=identity.dimensions, description=description, root=identity.root) as writer:
            return writer.rebuild()

    def has(self, name: str) -> bool:
        """Return whether any file of an index exists, committed or not."""
        return IndexFolder(self.path, name).path.exists()

    def relocate(self, name: str, root: str) -> None:
        """Record that the documents of an index lie elsewhere now.

        Raises:
            IndexMissing: no such index exists.
            ServiceError: somebody writes it.
        """
        folder = IndexFolder(self.path, name)
        with folder.lock():
            identity, _ = self._committed(folder)
            folder.create(replace(identity, root=root))

    def promote(self, name: str, alias: str) -> None:
        """Point an alias at an index, atomically; create it when missing.

        Raises:
            IndexMissing: there is no index of that name.
            DataError: the alias is no legal name, or names an index.
        """
        self._committed(IndexFolder(self.path, name))
        with self._aliases.changing() as aliases:
            check_alias(alias, [folder.name for folder in folders(self.path)])
            self._committed(IndexFolder(self.path, name))  # it may have been deleted meanwhile
            self._aliases.write({**aliases, alias: name})

    def aliases(self) -> dict[str, str]:
        """Return the index that each alias points at."""
        return self._aliases.read()

    def close(self) -> None:
        """Do nothing: no connection outlives what it was opened for."""

    def _committed(self, folder: IndexFolder) -> tuple[Identity, list[Commit]]:
        """Read what an index is, and its commits.

        Raises:
            IndexMissing: no such index exists.
        """
        identity, commits = folder.identity(), folder.commits()
        if identity is None or identity.kind != INGEST or not commits:
            raise IndexMissing(f"vector_store: there is no index {folder.name} in {self.path}; ingest first")
        return identity, commits


class LanceIndex:
    """Reader of one commit, isolated from later writes."""

    def __init__(self, folder: IndexFolder, identity: Identity, commit: Commit, analyzer: Analyzer) -> None:
        self.folder = folder
        self._identity = identity
        self._commit = commit
        self.analyzer = analyzer
        try:
            connection = tables.connect(folder.path)
            self._tables = {
                name: tables.open_table(connection, name, version) for name, version in commit.versions.items()
            }
        except (ServiceError, RuntimeError, ValueError, OSError) as error:
            raise folder.damaged(error) from error
        dense = None if commit.dense is None else Approximation.of(commit.dense)
        self.search = ChunkSearch(
            self._tables[CHUNKS],
            identity.dimensions,
            analyzer,
            folder.path,
            parameters=None if dense is None else dense.parameters,
        )

    @cached_property
    def info(self) -> IndexInfo:
        """The commit that this index reads."""
        return info_of(self._identity, self._commit, self.folder.size())

    @cached_property
    def store(self) -> LanceDBVectorStore:
        """The same committed state as a read-only LlamaIndex vector store."""
        from ragloom.components.vector_store.lancedb_store.lancedb_vector_store import LanceDBVectorStore

        return LanceDBVectorStore.reading(self.folder, self.search, self.analyzer)

    def dense(
        self,
        vector: Sequence[float],
        k: int,
        filters: MetadataFilters | None = None,
        doc_ids: Sequence[str] | None = None,
        with_vectors: bool = False,
    ) -> list[Hit]:
        """Return the k chunks of highest cosine similarity.

        Ties are ordered by (document, start), complete at the cut.

        Exactly, or as the commit's `info.notes` say.

        Raises:
            DataError: the vector has other dimensions than the index, or is not finite.
        """
        return _hits(self.search.dense(vector, k, Scope(filters, doc_ids), with_vectors=with_vectors))

    def lexical(
        self,
        query: str,
        k: int,
        filters: MetadataFilters | None = None,
        doc_ids: Sequence[str] | None = None,
        with_vectors: bool = False,
    ) -> list[Hit]:
        """Return the k chunks of highest BM25 score.

        A query without terms has no results.
        """
        return _hits(self.search.lexical(query, k, Scope(filters, doc_ids), with_vectors=with_vectors))

    def document(self, id: str) -> StoredDocument:
        """Return a stored document.

        Raises:
            DataError: the index holds no such document.
        """
        with tables.engine(self.folder.path, "reading a document"):
            search = self._tables[DOCUMENTS].search().where(f"id = {quoted(id)}")
            rows = search.select(["id", "text", "text_hash", "metadata"]).to_arrow().to_pylist()
            if not rows:
                raise DataError(f"vector_store: index {self._identity.name} holds no document {id!r}; ingest it first")
            row = rows[0]
            text = long_text_files.read(self.folder.path, row["text_hash"]) if row["text"] is None else row["text"]
        return StoredDocument(row["id"], text, json.loads(row["metadata"]))

    def chunks_of(self, document_ids: Sequence[str]) -> list[Chunk]:
        """Return all chunks of documents, ordered by (document, start)."""
        return [row.chunk for row in self.search.rows(Scope(documents=document_ids))]

    def vectors(self, chunk_ids: Sequence[str]) -> dict[str, list[float]]:
        """Return the vectors of the given chunks, by chunk id."""
        return self.search.vectors(chunk_ids)

    def manifest(self) -> Iterator[ManifestRow]:
        """Yield a row for each document, in no order."""
        with tables.engine(self.folder.path, "reading the manifest"):
            yield from bulk_reads.manifest(self._tables[DOCUMENTS])

    def vectors_of(
        self, document_ids: Sequence[str], sent: Collection[str] | None = None
    ) -> dict[tuple[str, str], np.ndarray]:
        """Return the stored vectors of documents by (document, sent_hash).

        `sent` limits them to these hashes.
        """
        with tables.engine(self.folder.path, "reading vectors"):
            return bulk_reads.vectors_of(self._tables[CHUNKS], document_ids, sent)


def _hits(rows: list[Row]) -> list[Hit]:
    return [Hit(row.chunk, row.score, row.vector) for row in rows]

"""Interfaces of vector stores: databases, indexes, writers and their records.

A *database* is a place that holds indexes. A *writer* changes one index, an *index* is opened for reading. Every store
promises that a query sees each document in one committed version, never in two and never in none while it is replaced.
A store with snapshots (LanceDB) promises more: nothing that a writer does is seen until its `commit`, and an index
keeps the state it was opened at. On a server (Weaviate) each document is committed by its own manifest row.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ragloom.components.vector_store.record_types import (
    IndexInfo,
    ManifestRow,
    Recovered,
    StoredDocument,
    StoredDocumentRow,
)
from ragloom.components.vector_store.search_results import Row, Scope
from ragloom.core.records import Chunk, Hit, Match

if TYPE_CHECKING:
    import numpy as np
    from llama_index.core.vector_stores.types import BasePydanticVectorStore, MetadataFilters


class Analyzer(Protocol):
    """Converter of text to search terms, for index and query."""

    def terms(self, text: str) -> list[str]:
        """Return the terms of a text in order, with repetitions, without blanks."""


class Questions(Protocol):
    """Makes query-like vectors of what is stored."""

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Make a question of each chunk text, embedded as queries are.

        Returns:
            `[len(texts), dimensions] float32`; zeros where a text gives no question.
        """


class Search(Protocol):
    """Reader of one state of the chunks of a store."""

    def dense(self, vector: Sequence[float], k: int, scope: Scope, *, with_vectors: bool = False) -> list[Row]:
        """Return the k rows nearest to a vector.

        Ties are ordered by (document, start), complete at the cut.

        Raises:
            DataError: the vector has other dimensions than the index, or is not finite.
        """

    def lexical(self, query: str, k: int, scope: Scope, *, with_vectors: bool = False) -> list[Row]:
        """Return the k rows of highest BM25 score, none without terms."""

    def dense_matches(self, vector: Sequence[float], k: int, scope: Scope) -> list[Match]:
        """Rank as `dense`, and read no chunk."""

    def lexical_matches(self, query: str, k: int, scope: Scope) -> list[Match]:
        """Rank as `lexical`, and read no chunk."""

    def load(self, keys: Sequence[Hashable]) -> list[Chunk]:
        """Read the chunks of matches, in their order.

        Raises:
            OutdatedRanking: one of them was replaced since.
        """

    def rows(self, scope: Scope) -> list[Row]:
        """Return all rows in scope, ordered by (document, start)."""

    def vectors(self, ids: Sequence[str]) -> dict[str, list[float]]:
        """Return the vectors of those chunks that are there, by chunk id."""

    def count(self) -> int:
        """Count the rows."""


class Manifest(Protocol):
    """Read access to the documents and stored vectors of an index."""

    def manifest(self) -> Iterator[ManifestRow]:
        """Yield a row for each document, in no order.

        A writer yields uncommitted ones as well.
        """

    def vectors_of(
        self, document_ids: Sequence[str], sent: Collection[str] | None = None
    ) -> dict[tuple[str, str], np.ndarray]:
        """Return the stored vectors of documents by (document, sent_hash).

        Args:
            sent: only these hashes, those of a block for example: a document may have more vectors than memory has
                room for.
        """


class Index(Manifest, Protocol):
    """Read access to the newest commit at opening time; thread-safe.

    A class derived from it gives `search`, by which the chunks are read.
    """

    search: Search

    @property
    def info(self) -> IndexInfo:
        """The commit that this index reads."""

    @property
    def store(self) -> BasePydanticVectorStore:
        """The same committed state as a read-only LlamaIndex vector store."""

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

        Where the store searches approximately, `info.notes` say how, and what recall was measured.

        Args:
            vector: `[dimensions]`.
            k: length of the list; shorter only where fewer chunks pass.
            filters: applied before the search.
            doc_ids: only chunks of these documents, together with `filters`; None for all.
            with_vectors: hits carry their vectors.

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
        """Return the k chunks of highest BM25 score, ordered as `dense`.

        A query without terms has no results.
        """
        return _hits(self.search.lexical(query, k, Scope(filters, doc_ids), with_vectors=with_vectors))

    def dense_matches(self, vector: Sequence[float], k: int, filters: MetadataFilters | None = None) -> list[Match]:
        """Rank chunks as `dense`, and read none.

        For lists that are fused and cut.

        Raises:
            DataError: as `dense`.
        """
        return self.search.dense_matches(vector, k, Scope(filters))

    def lexical_matches(self, query: str, k: int, filters: MetadataFilters | None = None) -> list[Match]:
        """Rank chunks as `lexical`, and read none."""
        return self.search.lexical_matches(query, k, Scope(filters))

    def load(self, keys: Sequence[Hashable]) -> list[Chunk]:
        """Read the chunks of matches as they were ranked, in order.

        Raises:
            OutdatedRanking: one of them was replaced since; only where an index keeps no state.
        """
        return self.search.load(keys)

    def document(self, id: str) -> StoredDocument:
        """Return a stored document.

        Raises:
            DataError: the index holds no such document.
        """

    def chunks_of(self, document_ids: Sequence[str]) -> list[Chunk]:
        """Return all chunks of documents, ordered by (document, start)."""
        return [row.chunk for row in self.search.rows(Scope(documents=document_ids))]

    def vectors(self, chunk_ids: Sequence[str]) -> dict[str, list[float]]:
        """Return the vectors of the given chunks, by chunk id."""
        return self.search.vectors(chunk_ids)


class Writer(Manifest, Protocol):
    """Exclusive writer of an index.

    Queries see nothing of its writes before `commit`.
    """

    def __enter__(self) -> Writer: ...

    def __exit__(self, *exception: object) -> None: ...

    def recover(self) -> Recovered:
        """Remove unfinished documents of an interrupted run.

        Finished documents stay. Without any it is cheap.
        """

    def append(self, chunks: Sequence[Chunk], vectors: np.ndarray, sent_hashes: Sequence[str]) -> None:
        """Append chunks of unfinished documents.

        Queries keep seeing the old versions of the documents.

        Args:
            chunks: of any documents, a part of each or all.
            vectors: `[len(chunks), dimensions] float32`.
            sent_hashes: hash of exactly the text that was embedded, a chunk each.
        """

    def finish(self, documents: Sequence[StoredDocumentRow]) -> None:
        """Write manifest rows of complete documents, then remove old chunks.

        Args:
            documents: each at most once.

        Raises:
            ValueError: a document has not as many chunks appended as its row says.
        """

    def discard(self, documents: Sequence[tuple[str, str]]) -> None:
        """Remove appended chunks of abandoned documents; old versions stay.

        Args:
            documents: (id, content hash) of each.
        """

    def touch(self, rows: Sequence[ManifestRow]) -> None:
        """Update sizes, times and hashes of unchanged documents."""

    def delete(self, document_ids: Sequence[str]) -> int:
        """Remove exactly these documents and their chunks; return how many there were."""

    def commit(self, summary: dict[str, Any], questions: Questions | None = None) -> IndexInfo:
        """Commit everything written, in one atomic last step.

        Args:
            questions: asked where the store measures the recall of approximate search; None: it cannot.
        """


class Database(Protocol):
    """A place that holds indexes."""

    def indexes(self) -> list[IndexInfo]:
        """List the committed indexes by name."""

    def open(self, name: str) -> Index:
        """Open the newest commit of an index.

        Raises:
            IndexMissing: no such index exists.
        """

    def writer(self, name: str, *, dimensions: int, description: dict[str, Any], root: str) -> Writer:
        """Return the writer of an index, which is created when missing.

        Raises (here or when it is entered):
            ServiceError: somebody else writes it: who, and since when.
            DataError: it has other dimensions, or the same name with another root.
        """

    def delete(self, name: str) -> None:
        """Remove an index with all its versions.

        Raises:
            IndexMissing: no such index exists.
            ServiceError: somebody writes it.
        """

    def rebuild(self, name: str) -> IndexInfo:
        """Rebuild an index from its stored data, without embedding.

        Its answers are those of a fresh index.

        Raises:
            IndexMissing: no such index exists.
            ServiceError: somebody writes it.
        """

    def has(self, name: str) -> bool:
        """Return whether anything of an index exists, committed or not."""

    def relocate(self, name: str, root: str) -> None:
        """Record that the documents of an index lie elsewhere now.

        Raises:
            IndexMissing: no such index exists.
            ServiceError: somebody writes it.
        """

    def promote(self, name: str, alias: str) -> None:
        """Point an alias at an index, atomically; create it when missing.

        Raises:
            IndexMissing: there is no index of that name.
            DataError: the alias is no legal name, or names something that is not Ragloom's.
        """

    def aliases(self) -> dict[str, str]:
        """Return the index that each alias points at."""

    def close(self) -> None:
        """Close connections, and end a server started for this database."""


def _hits(rows: list[Row]) -> list[Hit]:
    return [Hit(row.chunk, row.score, row.vector) for row in rows]

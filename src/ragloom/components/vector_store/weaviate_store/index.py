"""The `Index` of a Weaviate server: its searches, documents and vectors. Knows places and their search."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ragloom.components.vector_store.protocols import Analyzer, ManifestRow, StoredDocument
from ragloom.components.vector_store.search_results import Row, Scope
from ragloom.components.vector_store.weaviate_store.bulk_reads import vectors_of
from ragloom.components.vector_store.weaviate_store.collections import Place
from ragloom.components.vector_store.weaviate_store.index_info import info_of
from ragloom.components.vector_store.weaviate_store.index_state import State
from ragloom.components.vector_store.weaviate_store.search import ChunkSearch
from ragloom.core.records import Chunk, Hit
from ragloom.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from llama_index.core.vector_stores.types import MetadataFilters

    from ragloom.components.vector_store.weaviate_store.store import WeaviateVectorStore


class WeaviateIndex:
    """The `Index` of a Weaviate server: of each document, the version that the manifest names.

    Args:
        place: the generation to read.
        analyzer: turns questions into terms.
        asked: when the state was asked for (`time.monotonic`).
        state: of the newest commit.
    """

    def __init__(self, place: Place, analyzer: Analyzer, asked: float, state: State) -> None:
        self.place = place
        self.analyzer = analyzer
        self.info = info_of(place, state)
        self.search = ChunkSearch(place, analyzer, (asked, state))

    @cached_property
    def store(self) -> WeaviateVectorStore:
        """The same index as a read-only LlamaIndex vector store."""
        from ragloom.components.vector_store.weaviate_store.store import WeaviateVectorStore

        return WeaviateVectorStore.reading(self)

    def dense(
        self,
        vector: Sequence[float],
        k: int,
        filters: MetadataFilters | None = None,
        doc_ids: Sequence[str] | None = None,
        with_vectors: bool = False,
    ) -> list[Hit]:
        """Returns the k nearest chunks; exact with a flat index, approximate with `hnsw`.

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
        """Returns the k chunks of highest BM25 score for the analysed query; none for a query without terms."""
        return _hits(self.search.lexical(query, k, Scope(filters, doc_ids), with_vectors=with_vectors))

    def document(self, id: str) -> StoredDocument:
        """Returns a stored document.

        Raises:
            DataError: the index holds no such document.
        """
        found = self.place.document(id)
        if found is None:
            raise DataError(f"vector_store: index {self.info.name} holds no document {id!r}; ingest it first")
        return found

    def chunks_of(self, document_ids: Sequence[str]) -> list[Chunk]:
        """Returns all chunks of documents, ordered by (document, start)."""
        return [row.chunk for row in self.search.rows(Scope(documents=document_ids))]

    def vectors(self, chunk_ids: Sequence[str]) -> dict[str, list[float]]:
        """Returns the vectors of those chunks that the index holds, by chunk id."""
        return self.search.vectors(chunk_ids)

    def manifest(self) -> Iterator[ManifestRow]:
        """Yields a row for each document, in no order."""
        yield from self.place.manifest()

    def vectors_of(
        self, document_ids: Sequence[str], sent: Collection[str] | None = None
    ) -> dict[tuple[str, str], np.ndarray]:
        """Returns the stored vectors of documents by (document, sent_hash); `sent`: only of these hashes."""
        return vectors_of(self.place, document_ids, sent)


def _hits(rows: list[Row]) -> list[Hit]:
    return [Hit(row.chunk, row.score, row.vector) for row in rows]

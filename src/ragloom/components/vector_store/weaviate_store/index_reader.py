"""Index on a Weaviate server: its searches, documents and vectors."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ragloom.components.vector_store.protocols import Analyzer
from ragloom.components.vector_store.record_types import ManifestRow, StoredDocument
from ragloom.components.vector_store.search_results import Row, Scope
from ragloom.components.vector_store.weaviate_store.collection_pair import CollectionPair
from ragloom.components.vector_store.weaviate_store.index_info import info_of
from ragloom.components.vector_store.weaviate_store.index_state import IndexState
from ragloom.components.vector_store.weaviate_store.search import WeaviateSearch
from ragloom.core.records import Chunk, Hit
from ragloom.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from llama_index.core.vector_stores.types import MetadataFilters

    from ragloom.components.vector_store.weaviate_store.weaviate_vector_store import WeaviateVectorStore


class WeaviateIndex:
    """`Index` of a Weaviate server, with committed versions of documents only.

    Args:
        pair: collections of the index.
        analyzer: turns questions into terms.
        read_at: time of the state's read (`time.monotonic`).
        state: of the newest commit.
    """

    def __init__(self, pair: CollectionPair, analyzer: Analyzer, read_at: float, state: IndexState) -> None:
        self.pair = pair
        self.info = info_of(pair, state)
        self.search = WeaviateSearch(pair, analyzer, (read_at, state))

    @cached_property
    def store(self) -> WeaviateVectorStore:
        """The same index as a read-only LlamaIndex vector store."""
        from ragloom.components.vector_store.weaviate_store.weaviate_vector_store import WeaviateVectorStore

        return WeaviateVectorStore.reading(self.search, self.info.name)

    def dense(
        self,
        vector: Sequence[float],
        k: int,
        filters: MetadataFilters | None = None,
        doc_ids: Sequence[str] | None = None,
        with_vectors: bool = False,
    ) -> list[Hit]:
        """Return the k nearest chunks; exact (`flat`) or approximate (`hnsw`).

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
        """Return the k chunks of highest BM25 score, none without terms."""
        return _hits(self.search.lexical(query, k, Scope(filters, doc_ids), with_vectors=with_vectors))

    def document(self, id: str) -> StoredDocument:
        """Return a stored document.

        Raises:
            DataError: the index holds no such document.
        """
        document = self.pair.document(id)
        if document is None:
            raise DataError(f"vector_store: index {self.info.name} holds no document {id!r}; ingest it first")
        return document

    def chunks_of(self, document_ids: Sequence[str]) -> list[Chunk]:
        """Return all chunks of documents, ordered by (document, start)."""
        return [row.chunk for row in self.search.rows(Scope(documents=document_ids))]

    def vectors(self, chunk_ids: Sequence[str]) -> dict[str, list[float]]:
        """Return the stored vectors by chunk id."""
        return self.search.vectors(chunk_ids)

    def manifest(self) -> Iterator[ManifestRow]:
        """Yield a row for each document, in no order."""
        yield from self.pair.manifest()

    def vectors_of(
        self, document_ids: Sequence[str], sent: Collection[str] | None = None
    ) -> dict[tuple[str, str], np.ndarray]:
        """Return stored vectors by (document, sent_hash); `sent`: only these hashes."""
        return self.pair.vectors_of(document_ids, sent)


def _hits(rows: list[Row]) -> list[Hit]:
    return [Hit(row.chunk, row.score, row.vector) for row in rows]

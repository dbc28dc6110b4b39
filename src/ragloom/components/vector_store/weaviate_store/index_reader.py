"""Index on a Weaviate server: its searches, documents and vectors."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ragloom.components.vector_store.protocols import Analyzer, Index
from ragloom.components.vector_store.record_types import IndexInfo, ManifestRow, StoredDocument
from ragloom.components.vector_store.weaviate_store.collection_pair import CollectionPair
from ragloom.components.vector_store.weaviate_store.index_info import info_of
from ragloom.components.vector_store.weaviate_store.index_state import IndexState
from ragloom.components.vector_store.weaviate_store.search import WeaviateSearch
from ragloom.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from ragloom.components.vector_store.weaviate_store.weaviate_vector_store import WeaviateVectorStore


class WeaviateIndex(Index):
    """`Index` of a Weaviate server, with committed versions of documents only.

    Args:
        pair: collections of the index.
        analyzer: turns questions into terms.
        read_at: time of the state's read (`time.monotonic`).
        state: of the newest commit.
    """

    def __init__(self, pair: CollectionPair, analyzer: Analyzer, read_at: float, state: IndexState) -> None:
        self.pair = pair
        self.search = WeaviateSearch(pair, analyzer, (read_at, state))
        self._info = info_of(pair, state)

    @property
    def info(self) -> IndexInfo:
        """The commit that this index was opened at."""
        return self._info

    @cached_property
    def store(self) -> WeaviateVectorStore:
        """The same index as a read-only LlamaIndex vector store."""
        from ragloom.components.vector_store.weaviate_store.weaviate_vector_store import WeaviateVectorStore

        return WeaviateVectorStore.reading(self.search, self.info.name)

    def document(self, id: str) -> StoredDocument:
        """Return a stored document.

        Raises:
            DataError: the index holds no such document.
        """
        document = self.pair.document(id)
        if document is None:
            raise DataError(f"vector_store: index {self.info.name} holds no document {id!r}; ingest it first")
        return document

    def manifest(self) -> Iterator[ManifestRow]:
        """Yield a row for each document, in no order."""
        yield from self.pair.manifest()

    def vectors_of(
        self, document_ids: Sequence[str], sent: Collection[str] | None = None
    ) -> dict[tuple[str, str], np.ndarray]:
        """Return stored vectors by (document, sent_hash); `sent`: only these hashes."""
        return self.pair.vectors_of(document_ids, sent)

"""Base of LlamaIndex vector stores: node conversion, modes, checks, async methods.

Each store's own class says how it searches, stores and removes; everything that LlamaIndex sees is here. Hybrid search
is the retriever's.
"""

from __future__ import annotations

import asyncio
import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode
from llama_index.core.storage.docstore.utils import doc_to_json, json_to_doc
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

from ragloom.components.vector_store import metadata_columns
from ragloom.components.vector_store.protocols import Analyzer, Search
from ragloom.components.vector_store.search_results import Row, Scope
from ragloom.components.vector_store.validation import check_chunks
from ragloom.core.nodes import to_chunk, to_node
from ragloom.core.records import Chunk
from ragloom.errors import ConfigError, DataError

_TEXT_MODES = (VectorStoreQueryMode.TEXT_SEARCH, VectorStoreQueryMode.SPARSE)


@dataclass(frozen=True)
class Batch:
    """Nodes as they are stored.

    Attributes:
        chunks: at least one.
        terms: the analyzer's, of each chunk.
        vectors: `[n, dimensions] float32`.
        nodes: JSON of each node that its chunk alone does not tell.
    """

    chunks: list[Chunk]
    terms: list[list[str]]
    vectors: np.ndarray
    nodes: list[str | None]


class NodeStore(BasePydanticVectorStore):
    """LlamaIndex vector store with cosine search, BM25 and all filters.

    Similarities are raw: cosine for `DEFAULT`, BM25 for `TEXT_SEARCH` and `SPARSE`. A node that is added again replaces
    the old one [33]; a node without a document counts as its own document.
    """

    stores_text: bool = True
    is_embedding_query: bool = True
    name: str

    _analyzer: Analyzer = PrivateAttr()
    _reader: Any = PrivateAttr(default=None)  # the search of an opened index: such a store is read-only

    @classmethod
    def class_name(cls) -> str:
        """Name the class for LlamaIndex's serialisation."""
        return cls.__name__

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Store nodes; those whose id is known replace the old ones.

        Returns:
            the ids.

        Raises:
            DataError: a node has no embedding [12], one of other dimensions, or an id that comes twice.
        """
        if nodes:
            self._demand_writable()
            self._store(self._batch(nodes), None)
        return [node.node_id for node in nodes]

    def replace(self, ref_doc_id: str, nodes: Sequence[BaseNode]) -> list[str]:
        """Put nodes in place of all nodes of a document.

        Raises:
            DataError: as `add`, or a node belongs to another document.
        """
        strangers = [node.node_id for node in nodes if to_chunk(node).document != ref_doc_id]
        if strangers:
            raise DataError(f"vector_store: node {strangers[0]} does not belong to document {ref_doc_id!r}")
        if not nodes:
            self.delete(ref_doc_id)
            return []
        self._demand_writable()
        self._store(self._batch(nodes), ref_doc_id)
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Remove all nodes of exactly this document, however many."""
        self._demand_writable()
        self._remove(Scope(documents=[ref_doc_id]))

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Remove the nodes of these ids that pass the filters.

        Raises:
            ConfigError: both arguments are missing; `clear` removes everything.
        """
        if node_ids is None and (filters is None or not filters.filters):
            raise ConfigError("vector_store: delete_nodes must be given node_ids or filters; clear() removes all nodes")
        self._demand_writable()
        self._remove(Scope(filters, ids=node_ids))

    def clear(self) -> None:
        """Remove everything; the next `add` may bring other dimensions."""
        self._demand_writable()
        self._drop()

    def count(self) -> int:
        """Count the nodes."""
        search = self._search()
        return search.count() if search else 0

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """Return nodes by ids and filters, ordered by (document, start).

        They come without embeddings.
        """
        search = self._search()
        return [_node(row) for row in search.rows(Scope(filters, ids=node_ids))] if search else []

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Search by cosine similarity (mode `DEFAULT`) or BM25 (`TEXT_SEARCH`, `SPARSE`).

        Filters, doc_ids and node_ids hold together and before the search. No doc_ids (`[]`) find nothing; no node_ids
        (`[]`) mean all.

        Raises:
            ConfigError: another mode, or one without its embedding or text.
        """
        # `VectorStoreIndex.as_retriever` sends `node_ids=[]` where it means all (llama-index-core 0.14.25).
        scope = Scope(query.filters, query.doc_ids, query.node_ids or None)
        if query.mode == VectorStoreQueryMode.DEFAULT:
            if query.query_embedding is None:
                raise ConfigError("vector_store: mode=default must come with query_embedding; give the query's vector")
            search = self._search()
            rows = search.dense(query.query_embedding, query.similarity_top_k, scope) if search else []
        elif query.mode in _TEXT_MODES:
            if query.query_str is None:
                raise ConfigError(f"vector_store: mode={query.mode.value} must come with query_str; give the question")
            search = self._text_search()
            rows = search.lexical(query.query_str, query.similarity_top_k, scope) if search else []
        else:
            raise ConfigError(
                f"vector_store: mode={query.mode.value} must be default, text_search or sparse; for hybrid search use "
                "retriever=hybrid, for mmr reranker=mmr"
            )
        return VectorStoreQueryResult(
            nodes=[_node(row) for row in rows],
            similarities=[row.score for row in rows],
            ids=[row.chunk.id for row in rows],
        )

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """As `add`, without blocking the event loop."""
        return await asyncio.to_thread(self.add, nodes, **kwargs)

    async def areplace(self, ref_doc_id: str, nodes: Sequence[BaseNode]) -> list[str]:
        """As `replace`, without blocking the event loop."""
        return await asyncio.to_thread(self.replace, ref_doc_id, nodes)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """As `delete`, without blocking the event loop."""
        await asyncio.to_thread(self.delete, ref_doc_id, **delete_kwargs)

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """As `delete_nodes`, without blocking the event loop."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters, **delete_kwargs)

    async def aclear(self) -> None:
        """As `clear`, without blocking the event loop."""
        await asyncio.to_thread(self.clear)

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """As `get_nodes`, without blocking the event loop."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """As `query`, without blocking the event loop."""
        return await asyncio.to_thread(self.query, query, **kwargs)

    def _search(self) -> Search | None:
        """Return the reader of the opened index, or of the newest state."""
        return self._reader or self._newest()

    @abstractmethod
    def _newest(self) -> Search | None:
        """Return what reads the newest state; None before the first `add`."""

    def _text_search(self) -> Search | None:
        """Return the newest BM25 reader; None before the first `add`."""
        return self._search()

    @abstractmethod
    def _store(self, batch: Batch, document: str | None) -> None:
        """Store a batch, replacing nodes of the same ids.

        Where a document is named, all its other nodes are replaced as well.
        """

    @abstractmethod
    def _remove(self, scope: Scope) -> None:
        """Remove the nodes in a scope, which limits something."""

    @abstractmethod
    def _drop(self) -> None:
        """Remove everything."""

    def _demand_writable(self) -> None:
        if self._reader is not None:
            raise ConfigError(
                f"vector_store: index {self.name} is read as it was ingested and cannot be written through LlamaIndex; "
                f"ingest into it, or make a {self.class_name()} of your own"
            )

    def _batch(self, nodes: Sequence[BaseNode]) -> Batch:
        """Convert nodes to rows, and refuse unsearchable ones."""
        chunks, vectors = [to_chunk(node) for node in nodes], _vectors(nodes)
        check_chunks(chunks, vectors, vectors.shape[1])
        return Batch(
            chunks,
            [self._analyzer.terms(chunk.text) for chunk in chunks],
            vectors,
            [_beyond(node, chunk) for node, chunk in zip(nodes, chunks, strict=True)],
        )


def _vectors(nodes: Sequence[BaseNode]) -> np.ndarray:
    """Collect embeddings `[n, dimensions] float32`; none is left out."""
    for node in nodes:
        if not node.embedding:
            raise DataError(
                f"vector_store: node {node.node_id} of {node.ref_doc_id!r} has no embedding and would never be found; "
                "embed all nodes first"
            )
        if len(node.embedding) != len(nodes[0].embedding or []):
            raise DataError(
                f"vector_store: node {node.node_id} of {node.ref_doc_id!r} has {len(node.embedding)} dimensions and "
                f"others have {len(nodes[0].embedding or [])}; embed all nodes by one model"
            )
    return np.array([node.embedding for node in nodes], dtype=np.float32)


def _beyond(node: BaseNode, chunk: Chunk) -> str | None:
    """Return the JSON of a node that carries more than its chunk.

    Templates, relationships and other classes do; None otherwise.
    """
    plain = to_node(chunk)
    if type(node) is type(plain) and node.model_dump(exclude={"embedding"}) == plain.model_dump(exclude={"embedding"}):
        return None
    fields = doc_to_json(node)
    fields["__data__"]["embedding"] = None
    try:
        return json.dumps(fields)
    except (TypeError, ValueError) as error:
        metadata_columns.to_json(chunk.metadata, chunk.document)  # names the key, where it is the metadata
        raise DataError(f"vector_store: node {node.node_id} cannot be kept as JSON ({error})") from None


def _node(row: Row) -> BaseNode:
    return to_node(row.chunk) if row.node is None else json_to_doc(json.loads(row.node))

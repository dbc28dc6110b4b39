"""Maximal marginal relevance: relevant chunks that differ from those ranked above."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import NodeWithScore, QueryBundle
from pydantic import Field, SkipValidation

from ragloom.components.reranker.base import Order, Reranker
from ragloom.errors import DataError

Matrix = npt.NDArray[np.float64]


class StoredVectors(Protocol):
    """Index interface of the MMR reranker."""

    def vectors(self, chunk_ids: Sequence[str]) -> Mapping[str, list[float]]:
        """Return chunk id -> stored vector."""


class Marginal(Reranker):
    """Reranker that balances relevance and novelty.

    It picks by `relevance_weight * cos(chunk, query) - (1 - it) * highest cos(chunk, a picked one)`.

    Carbonell and Goldstein: The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing Summaries,
    SIGIR 1998. Before anything is picked the highest cosine to it counts as -1, the lowest there is: it moves the first
    pick's score alone, and makes the scores never rise down the list. Equal values keep the retriever's order.

    Attributes:
        embedding: makes the query's vector, unless the query brings one.
        index: has the chunks' vectors.
    """

    relevance_weight: float = Field(ge=0, le=1, description="1: relevance alone, 0: difference alone.")
    embedding: SkipValidation[BaseEmbedding] = Field(exclude=True, repr=False)
    index: SkipValidation[StoredVectors] = Field(exclude=True, repr=False)

    @classmethod
    def class_name(cls) -> str:
        """Name the class in LlamaIndex's serialised form and events."""
        return "MaximalMarginalRelevance"

    def order(self, nodes: list[NodeWithScore], query: QueryBundle) -> Order:
        """Order by maximal marginal relevance."""
        vector = query.embedding
        if vector is None:
            vector = self.embedding.get_query_embedding(query.query_str)
        names = [node.node.node_id for node in nodes]
        stored = self.index.vectors(names)
        missing = [name for name in names if name not in stored]
        if missing:
            raise DataError(
                f"reranker: mmr needs the vectors of all {len(names)} chunks; the index lacks {len(missing)}, "
                f"such as {missing[0]}; was it ingested with another config?"
            )
        chunks = _unit(np.array([stored[name] for name in names], dtype=np.float64))
        return select(chunks @ _unit(np.array([vector], dtype=np.float64))[0], chunks @ chunks.T, self.relevance_weight)


def select(relevance: Matrix, likeness: Matrix, weight: float) -> Order:
    """Orders by maximal marginal relevance.

    Args:
        relevance: [n] cosine of each chunk to the query.
        likeness: [n, n] cosine of each chunk to each.
        weight: of relevance, 0 to 1.

    Returns:
        all n positions with the value each had when it was picked.
    """
    highest = np.full(len(relevance), -1.0)
    left = np.ones(len(relevance), dtype=bool)
    order: Order = []
    for _ in range(len(relevance)):
        values = np.where(left, weight * relevance - (1 - weight) * highest, -np.inf)
        best = int(np.argmax(values))  # the first of equals
        order.append((best, float(values[best])))
        left[best] = False
        highest = np.maximum(highest, likeness[best])
    return order


def _unit(rows: Matrix) -> Matrix:
    """Scale rows to length 1; zero rows stay zero."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Matrix = rows / np.where(lengths == 0, 1.0, lengths)
    return scaled

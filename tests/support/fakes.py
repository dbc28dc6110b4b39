"""Stand-ins whose results can be computed by hand: an index in memory, and an embedding that counts letters."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.vector_stores import FilterCondition, MetadataFilters
from llama_index.core.vector_stores.utils import build_metadata_filter_fn
from pydantic import PrivateAttr

from ragloom.components.analyzer.base import Analyzer
from ragloom.components.analyzer.multilingual_analyzer import Multilingual
from ragloom.core.records import Chunk, Hit, Match, chunk_id


def chunk(document: str, start: int, text: str, **metadata: Any) -> Chunk:
    """Makes a chunk of `text` at `start` of a document."""
    end = start + len(text)
    return Chunk(chunk_id(document, "hash", start, end), document, "hash", start, end, text, metadata)


class LetterEmbedding(BaseEmbedding):
    """Counts of the letters a to z, [26]; `queries` lists what was embedded as a query, in order."""

    _queries: list[str] = PrivateAttr(default_factory=list)

    @property
    def queries(self) -> list[str]:
        return self._queries

    def _get_text_embedding(self, text: str) -> list[float]:
        counts = Counter(text.lower())
        return [float(counts[letter]) for letter in "abcdefghijklmnopqrstuvwxyz"]

    def _get_query_embedding(self, query: str) -> list[float]:
        self._queries.append(query)
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


class FakeIndex:
    """An index by brute force: cosine similarity, and BM25 (k1 1.2, b .75; Robertson and Zaragoza 2009).

    Attributes:
        calls: (method, k, filters, thread) of every search, in order.
    """

    def __init__(
        self, chunks: Sequence[Chunk], embedding: BaseEmbedding | None = None, analyzer: Analyzer | None = None
    ) -> None:
        self.chunks = list(chunks)
        self.calls: list[tuple[str, int, MetadataFilters | None, str]] = []
        self.loaded: list[list[Hashable]] = []
        self._embedding = embedding or LetterEmbedding()
        self._analyzer = analyzer or Multilingual()
        self._vectors = {item.id: self._embedding.get_text_embedding(item.text) for item in self.chunks}
        self._terms = {item.id: Counter(self._analyzer.terms(item.text)) for item in self.chunks}

    def dense(
        self,
        vector: list[float],
        k: int,
        filters: MetadataFilters | None = None,
        doc_ids: Sequence[str] | None = None,
        with_vectors: bool = False,
    ) -> list[Hit]:
        self.calls.append(("dense", k, filters, threading.current_thread().name))
        scores = [(item, cosine(vector, self._vectors[item.id])) for item in self._passing(filters, doc_ids)]
        return self._best(scores, k, with_vectors)

    def lexical(
        self,
        query: str,
        k: int,
        filters: MetadataFilters | None = None,
        doc_ids: Sequence[str] | None = None,
        with_vectors: bool = False,
    ) -> list[Hit]:
        self.calls.append(("lexical", k, filters, threading.current_thread().name))
        terms = self._analyzer.terms(query)
        scores = [(item, self._bm25(terms, self._terms[item.id])) for item in self._passing(filters, doc_ids)]
        return self._best([(item, score) for item, score in scores if score > 0], k, with_vectors)

    def dense_matches(self, vector: list[float], k: int, filters: MetadataFilters | None = None) -> list[Match]:
        return [Match(hit.chunk.id, hit.score) for hit in self.dense(vector, k, filters)]

    def lexical_matches(self, query: str, k: int, filters: MetadataFilters | None = None) -> list[Match]:
        return [Match(hit.chunk.id, hit.score) for hit in self.lexical(query, k, filters)]

    def load(self, keys: Sequence[Hashable]) -> list[Chunk]:
        self.loaded.append(list(keys))
        chunks = {item.id: item for item in self.chunks}
        return [chunks[str(key)] for key in keys]

    def vectors(self, chunk_ids: Iterable[str]) -> dict[str, list[float]]:
        return {name: self._vectors[name] for name in chunk_ids if name in self._vectors}

    def _bm25(self, query: list[str], counts: Counter[str]) -> float:
        size = len(self.chunks)
        average = sum(sum(item.values()) for item in self._terms.values()) / size
        score = 0.0
        for term in query:
            having = sum(term in item for item in self._terms.values())
            idf = math.log(1 + (size - having + 0.5) / (having + 0.5))
            norm = 1.2 * (1 - 0.75 + 0.75 * sum(counts.values()) / average) if average else 1.2
            score += idf * counts[term] * 2.2 / (counts[term] + norm)
        return score

    def _passing(self, filters: MetadataFilters | None, doc_ids: Sequence[str] | None) -> list[Chunk]:
        return [
            item
            for item in self.chunks
            if passes(item.metadata, filters) and (doc_ids is None or item.document in doc_ids)
        ]

    def _best(self, scores: list[tuple[Chunk, float]], k: int, with_vectors: bool) -> list[Hit]:
        scores.sort(key=lambda pair: (-pair[1], pair[0].document, pair[0].start))
        return [Hit(item, score, list(self._vectors[item.id]) if with_vectors else None) for item, score in scores[:k]]


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Cosine similarity; 0 when either is zero."""
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.dot(one, other)) / lengths if lengths else 0.0


def passes(metadata: dict[str, Any], filters: MetadataFilters | None) -> bool:
    """Applies filters as LlamaIndex's reference does, which lacks nested groups."""
    if filters is None:
        return True
    found = []
    for item in filters.filters:
        if isinstance(item, MetadataFilters):
            found.append(passes(metadata, item))
        else:
            found.append(build_metadata_filter_fn(lambda _: metadata, MetadataFilters(filters=[item]))(""))
    if filters.condition == FilterCondition.OR:
        return any(found)
    return not any(found) if filters.condition == FilterCondition.NOT else all(found)

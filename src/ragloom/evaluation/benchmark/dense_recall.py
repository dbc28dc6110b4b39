"""Recall of dense search against exact search.

Exact search compares with every stored vector, in one pass over the index; a store's approximate search is not asked
to judge itself. A hit counts as found when it scores as much as the last one of the exact list: of chunks of equal
text any will do.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ragloom.assembly import Assembly
from ragloom.components.vector_store.protocols import Index
from ragloom.components.vector_store.recall_probes import ExactLists, Probes
from ragloom.config.builder_keys import needs_of

DEPTH = 10
"""Length of the lists that are compared."""
_DOCUMENTS_AT_ONCE = 512
_ROUNDING = 1e-6
"""Similarities that differ by less are equal: 32-bit sums decide which is the greater."""


def dense_recall(assembly: Assembly, index: Index, questions: Sequence[str]) -> dict[str, Any] | None:
    """Measure recall@10 of dense search.

    Args:
        assembly: of the config.
        index: opened.
        questions: at least one.

    Returns:
        depth, questions, recall; None where the config has no dense search by cosine similarity.
    """
    tree = assembly.config.tree
    distance = (tree["vector_store"].get("index") or {}).get("distance", "cosine")
    if "embedding" not in needs_of(assembly.config.builder("retriever")) or distance != "cosine":
        return None
    queries = np.array([assembly.embedding.get_query_embedding(text) for text in questions], dtype=np.float32)
    queries = queries[np.linalg.norm(queries, axis=1) > 0]
    if not len(queries):
        return None
    best = _exact(index, queries / np.linalg.norm(queries, axis=1, keepdims=True))
    hits = wanted = 0
    for vector, scores in zip(queries, best, strict=True):
        exact = scores[np.isfinite(scores)]
        least = exact[-1] - _ROUNDING
        hits += min(len(exact), sum(hit.score >= least for hit in index.dense(vector.tolist(), DEPTH)))
        wanted += len(exact)
    return {"depth": DEPTH, "questions": len(queries), "recall": hits / max(1, wanted)}


def _exact(index: Index, queries: np.ndarray) -> np.ndarray:
    """Return the highest similarities of each query, `[n, 10] float32`, best first.

    Chunks of equal text in one document count once: they have one stored vector.
    """
    lists = ExactLists(Probes([None] * len(queries), queries), DEPTH)
    for documents in _batches(row.id for row in index.manifest() if row.chunks):
        lists.add(np.array(list(index.vectors_of(documents).values()), dtype=np.float32), own=())
    return lists.best


def _batches(ids: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(itertools.islice(ids, _DOCUMENTS_AT_ONCE)):
        yield batch

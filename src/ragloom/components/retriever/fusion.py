"""Fusion of dense and lexical candidates into one list.

Both fusions add up weighted parts, `dense_weight * dense part + (1 - dense_weight) * BM25 part`, where an arm that has
not found a chunk gives it 0. They differ in what a part is. An arm of weight 0 takes no part: its candidates do not
appear, so that weights 0 and 1 are exactly the other arm, in order and number. Equal fused scores are ordered by
(document, start).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ragloom.core.records import Chunk, Hit


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk with how each arm found it.

    Attributes:
        score: what ordered it, higher is better.
        dense_rank, bm25_rank: place in the arm's list, from 1; None when the arm has not found it.
        dense_score, bm25_score: the arm's raw score (cosine similarity, BM25); None likewise.
    """

    chunk: Chunk
    score: float
    dense_rank: int | None = None
    dense_score: float | None = None
    bm25_rank: int | None = None
    bm25_score: float | None = None


def ordered(hits: Sequence[Hit], min_score: float | None = None) -> list[Hit]:
    """Order hits by score, then (document, start), without duplicate chunks.

    Args:
        hits: in any order.
        min_score: hits with a raw score below it are left out; None leaves none out.
    """
    unique: dict[str, Hit] = {}
    for hit in sorted(hits, key=lambda hit: (-hit.score, *_place(hit.chunk))):
        if min_score is None or hit.score >= min_score:
            unique.setdefault(hit.chunk.id, hit)
    return list(unique.values())


def reciprocal_rank(dense: Sequence[Hit], bm25: Sequence[Hit], *, dense_weight: float, k: int) -> list[Candidate]:
    """Fuses by rank: a part is `1 / (k + rank)`.

    Cormack, Clarke and Büttcher: Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods,
    SIGIR 2009 (k = 60 there, and no weights: `dense_weight` .5 gives its order).

    Args:
        dense, bm25: the arms' hits, in any order.
        dense_weight: 0 to 1.
        k: how flat the parts are; the larger, the less the first places count.
    """

    def parts(hits: list[Hit]) -> list[float]:
        return [1 / (k + rank) for rank in range(1, len(hits) + 1)]

    return _fuse(dense, bm25, dense_weight, parts)


def weighted_score(dense: Sequence[Hit], bm25: Sequence[Hit], *, dense_weight: float) -> list[Candidate]:
    """Fuse by score, normalized within each arm's list.

    A part is `(score - lowest) / (highest - lowest)`, 1 where all are equal.

    It is Weaviate's `relativeScoreFusion`; min-max normalisation and weighted sum as in Lee: Analyses of Multiple
    Evidence Combination, SIGIR 1997, and Bruch, Gai and Ingber: An Analysis of Fusion Functions for Hybrid Retrieval,
    ACM TOIS 2023.

    Args:
        dense, bm25: the arms' hits, in any order.
        dense_weight: 0 to 1.
    """

    def parts(hits: list[Hit]) -> list[float]:
        if not hits:
            return []
        highest, lowest = hits[0].score, hits[-1].score
        if highest == lowest:
            return [1.0] * len(hits)
        return [(hit.score - lowest) / (highest - lowest) for hit in hits]

    return _fuse(dense, bm25, dense_weight, parts)


def _fuse(
    dense: Sequence[Hit], bm25: Sequence[Hit], dense_weight: float, parts: Callable[[list[Hit]], list[float]]
) -> list[Candidate]:
    dense_hits = ordered(dense) if dense_weight > 0 else []
    bm25_hits = ordered(bm25) if dense_weight < 1 else []
    dense_places = _places(dense_hits, parts)
    bm25_places = _places(bm25_hits, parts)
    chunks = {hit.chunk.id: hit.chunk for hit in (*dense_hits, *bm25_hits)}
    fused = []
    for name, chunk in chunks.items():
        dense_rank, dense_score, dense_part = dense_places.get(name, (None, None, 0.0))
        bm25_rank, bm25_score, bm25_part = bm25_places.get(name, (None, None, 0.0))
        score = dense_weight * dense_part + (1 - dense_weight) * bm25_part
        fused.append(Candidate(chunk, score, dense_rank, dense_score, bm25_rank, bm25_score))
    if not (dense_hits and bm25_hits):
        return fused  # one arm: its own order, which rounding in its parts could only blur
    return sorted(fused, key=lambda candidate: (-candidate.score, *_place(candidate.chunk)))


def _places(hits: list[Hit], parts: Callable[[list[Hit]], list[float]]) -> dict[str, tuple[int, float, float]]:
    """Chunk id -> rank, raw score, part."""
    return {
        hit.chunk.id: (rank, hit.score, part)
        for rank, (hit, part) in enumerate(zip(hits, parts(hits), strict=True), start=1)
    }


def _place(chunk: Chunk) -> tuple[str, int, int, str]:
    return (chunk.document, chunk.start, chunk.end, chunk.id)

"""Fusion of dense and lexical matches into one list.

Both fusions add up weighted parts, `dense_weight * dense part + (1 - dense_weight) * BM25 part`, where an arm that has
not found a chunk gives it 0. They differ in what a part is. An arm of weight 0 takes no part: its matches do not
appear, so that weights 0 and 1 are exactly the other arm, in order and number. No chunk is read for that; equal fused
scores are ordered by (document, start) when the chunks are there (`placed`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from ragloom.core.records import Chunk, Hit, Match


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk with how each arm found it.

    Attributes:
        match: of the arm that found it; of the dense arm where both have.
        score: fused, or the arm's own; higher is better.
        order: places it in the list, the lowest first; of equal ones it is not known without their chunks.
        dense_rank, bm25_rank: place in the arm's list, from 1; None when the arm has not found it.
        dense_score, bm25_score: the arm's raw score (cosine similarity, BM25); None likewise.
    """

    match: Match
    score: float
    order: float
    dense_rank: int | None = None
    dense_score: float | None = None
    bm25_rank: int | None = None
    bm25_score: float | None = None


def ordered(hits: Sequence[Hit], min_score: float | None = None) -> list[Match]:
    """Order hits by score, then (document, start), without duplicate chunks.

    Args:
        hits: in any order.
        min_score: hits with a raw score below it are left out; None leaves none out.
    """
    unique: dict[str, Match] = {}
    for hit in sorted(hits, key=lambda hit: (-hit.score, *_place(hit.chunk))):
        if min_score is None or hit.score >= min_score:
            unique.setdefault(hit.chunk.id, Match(hit.chunk.id, hit.score, hit.chunk))
    return list(unique.values())


def leading(candidates: Sequence[Candidate], k: int) -> Sequence[Candidate]:
    """Cut a list after k, but never between equal ones."""
    if len(candidates) <= k:
        return candidates
    last = candidates[k - 1].order
    return list(takewhile(lambda candidate: candidate.order <= last, candidates))


def placed(candidates: Iterable[Candidate], chunks: Mapping[Hashable, Chunk]) -> list[tuple[Candidate, Chunk]]:
    """Put equal candidates in order, by (document, start).

    Args:
        chunks: by key, of all candidates.
    """
    pairs = [(candidate, chunks[candidate.match.key]) for candidate in candidates]
    return sorted(pairs, key=lambda pair: (pair[0].order, *_place(pair[1])))


def reciprocal_rank(dense: Sequence[Match], bm25: Sequence[Match], *, dense_weight: float, k: int) -> list[Candidate]:
    """Fuses by rank: a part is `1 / (k + rank)`.

    Cormack, Clarke and Büttcher: Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods,
    SIGIR 2009 (k = 60 there, and no weights: `dense_weight` .5 gives its order).

    Args:
        dense, bm25: the arms' matches, best first.
        dense_weight: 0 to 1.
        k: how flat the parts are; the larger, the less the first places count.
    """

    def parts(matches: Sequence[Match]) -> list[float]:
        return [1 / (k + rank) for rank in range(1, len(matches) + 1)]

    return _fuse(dense, bm25, dense_weight, parts)


def weighted_score(dense: Sequence[Match], bm25: Sequence[Match], *, dense_weight: float) -> list[Candidate]:
    """Fuse by score, normalized within each arm's list.

    A part is `(score - lowest) / (highest - lowest)`, 1 where all are equal.

    It is Weaviate's `relativeScoreFusion`; min-max normalisation and weighted sum as in Lee: Analyses of Multiple
    Evidence Combination, SIGIR 1997, and Bruch, Gai and Ingber: An Analysis of Fusion Functions for Hybrid Retrieval,
    ACM TOIS 2023.

    Args:
        dense, bm25: the arms' matches, best first.
        dense_weight: 0 to 1.
    """

    def parts(matches: Sequence[Match]) -> list[float]:
        if not matches:
            return []
        highest, lowest = matches[0].score, matches[-1].score
        if highest == lowest:
            return [1.0] * len(matches)
        return [(match.score - lowest) / (highest - lowest) for match in matches]

    return _fuse(dense, bm25, dense_weight, parts)


def _fuse(
    dense: Sequence[Match],
    bm25: Sequence[Match],
    dense_weight: float,
    parts: Callable[[Sequence[Match]], list[float]],
) -> list[Candidate]:
    dense_places = _places(dense if dense_weight > 0 else [], parts)
    bm25_places = _places(bm25 if dense_weight < 1 else [], parts)
    matches = {match.key: match for match in (*bm25, *dense)}
    one_arm = not (dense_places and bm25_places)  # its own order, which rounding in its parts could only blur
    fused: list[Candidate] = []
    for key in {**dense_places, **bm25_places}:
        dense_rank, dense_score, dense_part = dense_places.get(key, (None, None, 0.0))
        bm25_rank, bm25_score, bm25_part = bm25_places.get(key, (None, None, 0.0))
        score = dense_weight * dense_part + (1 - dense_weight) * bm25_part
        order = len(fused) if one_arm else -score
        fused.append(Candidate(matches[key], score, order, dense_rank, dense_score, bm25_rank, bm25_score))
    return sorted(fused, key=lambda candidate: candidate.order)


def _places(
    matches: Sequence[Match], parts: Callable[[Sequence[Match]], list[float]]
) -> dict[Hashable, tuple[int, float, float]]:
    """Key -> rank, raw score, part."""
    return {
        match.key: (rank, match.score, part)
        for rank, (match, part) in enumerate(zip(matches, parts(matches), strict=True), start=1)
    }


def _place(chunk: Chunk) -> tuple[str, int, int, str]:
    return (chunk.document, chunk.start, chunk.end, chunk.id)

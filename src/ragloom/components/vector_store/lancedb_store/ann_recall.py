"""Recall of an approximate index against exact search, by query-like vectors.

Recall on stored vectors flatters: what gave .997 on them gave .788 on questions [32]. So questions are made of single
sentences of stored chunks, embedded as queries are, and each one's own chunk counts neither for the exact nor for the
approximate list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from ragloom.components.vector_store.lancedb_store.nearest_neighbors import SPARE, Parameters, nearest
from ragloom.components.vector_store.protocols import Questions

DEPTHS = (10, 100)
"""Lengths of the lists whose recall is measured: what one reads, and `retriever.candidates`."""
QUESTIONS = 256
FEWEST = 200
"""Questions that are asked, and below which nothing is taken for measured."""
_ROWS_AT_ONCE = 8192
_ROUNDING = 1e-6
"""Similarities that differ by less are equal: 32-bit sums decide which is the greater."""


@dataclass(frozen=True)
class Probes:
    """Questions, each with the chunk that it was made of.

    Attributes:
        chunks: ids.
        vectors: `[n, dimensions] float32` of length 1.
    """

    chunks: list[str]
    vectors: np.ndarray


def probes(table: Any, questions: Questions) -> Probes:
    """Make questions of a sample of the stored chunks.

    Chunk ids are digests, so those below a bound are a random sample, and the same one as long as these chunks are
    there: the embedding cache knows most of the questions when an index is measured again.
    """
    wanted = 2 * QUESTIONS  # not every text gives a question
    share = wanted / max(1, table.count_rows())
    search = table.search().select(["id", "text"])
    if share < 1:
        search = search.where(f"id < '{int(share * 2**32):08x}'")
    rows = sorted(zip(*search.to_arrow().to_pydict().values(), strict=True))
    ids: list[str] = []
    vectors: list[np.ndarray] = []
    for start in range(0, len(rows), QUESTIONS):  # the second half only where the first one gives too few
        some = rows[start : start + QUESTIONS - len(ids)]
        for (id, _), vector in zip(some, questions([text for _, text in some]), strict=True):
            if (length := float(np.linalg.norm(vector))) > 0:
                ids.append(id)
                vectors.append(vector / length)
        if len(ids) >= FEWEST:
            break
    return Probes(ids, np.array(vectors, dtype=np.float32).reshape(len(ids), -1))


def exact(table: Any, queries: Probes, depth: int = max(DEPTHS)) -> np.ndarray:
    """Score every stored vector against every question, in one pass.

    Returns:
        `[n, depth] float32`: the highest cosine similarities, best first; minus infinity where there are fewer.
    """
    best = np.full((len(queries.chunks), depth), -np.inf, dtype=np.float32)
    own = pa.array(queries.chunks, pa.utf8())
    for batch in table.search().select(["id", "vector"]).to_batches(_ROWS_AT_ONCE):
        vectors = batch["vector"].flatten().to_numpy().reshape(batch.num_rows, -1)
        lengths = np.linalg.norm(vectors, axis=1)
        scores = queries.vectors @ vectors.T / np.where(lengths > 0, lengths, 1)
        scores[:, lengths == 0] = -np.inf  # no direction: it is not found
        places = pa.compute.index_in(batch["id"], own)
        for row in np.flatnonzero(places.is_valid().to_numpy(zero_copy_only=False)):
            scores[places[row].as_py(), row] = -np.inf
        both = np.concatenate([best, scores], axis=1)
        best = -np.partition(-both, depth - 1, axis=1)[:, :depth]
    return -np.sort(-best, axis=1)


def recall(
    table: Any, queries: Probes, best: np.ndarray, parameters: Parameters, least: float
) -> tuple[dict[int, float], bool]:
    """Measure the share of exact results that an approximate index finds.

    A row counts as found when it scores as much as the last one of the exact list: of rows of equal text any will do.

    Args:
        best: of `exact`.
        least: recall that is wanted; what can no longer reach it is not measured to the end.

    Returns:
        depth -> recall of the questions that were asked, and whether all of it reaches `least`.
    """
    expected = {depth: np.isfinite(best[:, :depth]).sum(axis=1) for depth in DEPTHS}
    most = {depth: (1 - least) * expected[depth].sum() + 1e-9 for depth in DEPTHS}
    missed, due = dict.fromkeys(DEPTHS, 0), dict.fromkeys(DEPTHS, 0)
    for at, (chunk, vector) in enumerate(zip(queries.chunks, queries.vectors, strict=True)):
        for depth in DEPTHS:
            rows = nearest(table, vector, depth + SPARE, parameters).select(["id", "_distance"]).to_arrow().to_pydict()
            scores = [1 - distance for id, distance in zip(*rows.values(), strict=True) if id != chunk][:depth]
            if wanted := int(expected[depth][at]):
                missed[depth] += wanted - int(sum(score >= best[at, wanted - 1] - _ROUNDING for score in scores))
                due[depth] += wanted
        if any(missed[depth] > most[depth] for depth in DEPTHS):
            return _shares(missed, due), False
    return _shares(missed, due), True


def _shares(missed: dict[int, int], due: dict[int, int]) -> dict[int, float]:
    return {depth: float(1 - missed[depth] / max(1, due[depth])) for depth in DEPTHS}

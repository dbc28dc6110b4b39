"""Recall of a table's approximate index, by the questions of `recall_probes`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from ragloom.components.vector_store.lancedb_store.nearest_neighbors import SPARE, Parameters, nearest
from ragloom.components.vector_store.protocols import Questions
from ragloom.components.vector_store.recall_probes import DEPTHS, QUESTIONS, ExactLists, Probes, probes_of, recall_of

_ROWS_AT_ONCE = 8192
_ROUNDING = 1e-6
"""Similarities that differ by less are equal: 32-bit sums decide which is the greater."""


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
    return probes_of(sorted(zip(*search.to_arrow().to_pydict().values(), strict=True)), questions, QUESTIONS)


def exact(table: Any, queries: Probes, depth: int = max(DEPTHS)) -> np.ndarray:
    """Score every stored vector against every question, in one pass.

    Returns:
        `[n, depth] float32`: the highest cosine similarities, best first; minus infinity where there are fewer.
    """
    lists = ExactLists(queries, depth)
    own = pa.array(queries.chunks, pa.utf8())
    for batch in table.search().select(["id", "vector"]).to_batches(_ROWS_AT_ONCE):
        vectors = batch["vector"].flatten().to_numpy().reshape(batch.num_rows, -1)
        places = pa.compute.index_in(batch["id"], own)
        rows = np.flatnonzero(places.is_valid().to_numpy(zero_copy_only=False))
        lists.add(vectors, [(places[row].as_py(), int(row)) for row in rows])
    return lists.best


def recall(
    table: Any, queries: Probes, best: np.ndarray, parameters: Parameters, least: float
) -> tuple[dict[int, float], bool]:
    """Measure the recall of parameters, as `recall_of`."""

    def search(vector: np.ndarray, depth: int) -> list[tuple[str, float]]:
        rows = nearest(table, vector, depth + SPARE, parameters).select(["id", "_distance"]).to_arrow().to_pydict()
        return [(id, 1 - distance) for id, distance in zip(*rows.values(), strict=True)]

    return recall_of(search, queries, best, least, _ROUNDING)

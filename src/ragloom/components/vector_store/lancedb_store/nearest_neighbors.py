"""Nearest-neighbor queries on a chunk table: exact or approximate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

SPARE = 16
"""Rows fetched beyond the cut at first, so that a tie there seldom costs a second search."""


@dataclass(frozen=True)
class Parameters:
    """How an approximate index is searched.

    Attributes:
        nprobes: of its partitions, how many are searched, those whose centres are nearest to the query.
        refine_factor: so many times the rows that are asked for are found by their quantised vectors; they are then
            scored by their stored ones, so that scores are those of exact search to the last bit.
    """

    nprobes: int
    refine_factor: int


def nearest(table: Any, query: np.ndarray, limit: int, parameters: Parameters | None) -> Any:
    """Begins a search for the rows of highest cosine similarity.

    Args:
        query: `[dimensions] float32`.
        limit: rows to find.
        parameters: of the approximate index; None compares with every vector.

    Returns:
        LanceDB's query builder; its `_distance` is 1 minus the similarity.
    """
    search = table.search(query, vector_column_name="vector", query_type="vector").distance_type("cosine").limit(limit)
    if parameters is None:
        return search.bypass_vector_index()
    return search.nprobes(parameters.nprobes).refine_factor(parameters.refine_factor)

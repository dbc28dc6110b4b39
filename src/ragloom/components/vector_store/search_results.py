"""Scope of a search, its rows, and their order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ragloom.core.records import Chunk
from ragloom.errors import DataError

if TYPE_CHECKING:
    from llama_index.core.vector_stores.types import MetadataFilters

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the chunk table as it was found.

    Attributes:
        node: JSON of the LlamaIndex node that the chunk alone does not tell; None for Ragloom's own chunks.
        score: of the search; 0 where there was none.
        vector: where it was asked for.
    """

    chunk: Chunk
    node: str | None
    score: float
    vector: list[float] | None


@dataclass(frozen=True, slots=True)
class Scope:
    """Limits of a search, applied before it; None limits nothing."""

    filters: MetadataFilters | None = None
    documents: Sequence[str] | None = None
    ids: Sequence[str] | None = None


def complete(
    fetch: Callable[[int], Sequence[Item]],
    k: int,
    raw: Callable[[Item], float],
    *,
    spare: int,
    most: float = math.inf,
) -> Sequence[Item]:
    """Fetch beyond the cut until every tie at it is complete.

    Args:
        fetch: returns that many items, or all there are, best first.
        k: where the list will be cut.
        raw: the engine's own score of an item.
        spare: items fetched beyond k at first; the more, the more seldom a tie at the cut costs a second search.
        most: items that are fetched for a tie; a longer one is cut in the engine's order.
    """
    if k < 1:
        raise ValueError(f"k={k} must be at least 1")
    limit = k + spare
    while True:
        items = fetch(limit)
        if len(items) < limit or raw(items[k - 1]) != raw(items[-1]):
            return items
        if limit + 4 * (limit - k) > most:
            return items
        limit += 4 * (limit - k)


def best(rows: Iterable[Row], k: int) -> list[Row]:
    """Orders by score, then (document, start), and cuts."""
    return sorted(rows, key=lambda row: (-row.score, row.chunk.document, row.chunk.start, row.chunk.id))[:k]


def checked_vector(vector: Sequence[float], dimensions: int) -> np.ndarray:
    """Return a query's vector as `[dimensions] float32`.

    Raises:
        DataError: it has other dimensions than the index, or is not finite.
    """
    query = np.asarray(vector, dtype=np.float32)
    if query.shape != (dimensions,):
        raise DataError(
            f"vector_store: the query's vector has {query.size} dimensions and the index {dimensions}; "
            "embed the query by the model that built the index"
        )
    if not np.isfinite(query).all():
        raise DataError("vector_store: the query's vector holds NaN or infinity; check the embedding")
    return query

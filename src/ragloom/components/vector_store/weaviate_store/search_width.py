"""Setting that decides how much a dense search finds.

`ef` of an hnsw graph is how many candidates a search keeps. The rescore limit of a flat index with quantised vectors is
how many of the nearest ones are compared again in full. By itself the server compares only as many as are asked for
(Weaviate 1.39, `vector/flat/index.go`): of 200,000 lexical vectors (`hashing`, 384 dimensions) that found .99 of the
exact ten with `rq` and .006 with `bq`; of a million with 1-bit codes .30.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

AUTOMATIC = -1
"""Value of `ef` with which the server decides."""


@dataclass(frozen=True)
class SearchWidth:
    """A setting and its values.

    Attributes:
        name: in notes.
        ladder: values that are tried, by cost; the first one is that of a new collection.
    """

    name: str
    ladder: tuple[int, ...]

    def wanted(self, index: Mapping[str, Any], measured: int | None) -> int:
        """Return the value that a collection is to have.

        Args:
            index: `vector_store.index`, which may set `ef`.
            measured: what searches were measured to need.
        """
        if self is EF and index["ef"] != AUTOMATIC:
            return int(index["ef"])
        return self.ladder[0] if measured is None else measured


EF = SearchWidth("ef", (AUTOMATIC, 256, 512, 1024, 2048, 4096))
"""Ten times the last is a search of every vector in most indexes."""
RESCORE_LIMIT = SearchWidth("rescore limit", (1000, 4000, 16_000))


def width_of(index: Mapping[str, Any]) -> SearchWidth | None:
    """Return the setting of a collection; None where search is exact.

    Args:
        index: `vector_store.index`.
    """
    if index["type"] != "flat":
        return EF
    return None if index["quantization"] == "none" else RESCORE_LIMIT

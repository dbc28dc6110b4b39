"""Record of what was measured of an hnsw graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ragloom.components.vector_store.recall_probes import recall_in_words

AUTOMATIC = -1
"""Value of `ef` with which the server decides."""


@dataclass(frozen=True)
class GraphRecall:
    """What was measured of an hnsw graph; stored with the state.

    Attributes:
        ef: width that searches have; -1: the server decides.
        recall: depth -> share of exact search's lists that was found with it; empty where it could not be measured.
        questions: how many it was measured with.
        chunks: of the index, then.
        wanted: recall that was demanded.
        reason: why nothing was measured; None where it was.
    """

    ef: int
    recall: dict[int, float]
    questions: int
    chunks: int
    wanted: float
    reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the record of the state."""
        return {**asdict(self), "recall": {str(depth): share for depth, share in self.recall.items()}}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> GraphRecall:
        """Read what `as_json` gave."""
        return cls(**{**record, "recall": {int(depth): share for depth, share in record["recall"].items()}})

    @property
    def is_enough(self) -> bool:
        """Whether the recall that was demanded was measured."""
        return bool(self.recall) and min(self.recall.values()) >= self.wanted

    @property
    def note(self) -> str:
        """Describe in one sentence what dense search finds."""
        if self.reason is not None:
            return f"recall of dense search was not measured: {self.reason}"
        width = "the server's own ef" if self.ef == AUTOMATIC else f"ef={self.ef}"
        measured = (
            f"dense search is approximate (hnsw, {width}): {recall_in_words(self.recall)} against exact search, "
            f"measured with {self.questions} questions at {self.chunks} chunks"
        )
        if self.is_enough:
            return measured
        return (
            f"{measured}; that is less than vector_store.min_ann_recall={self.wanted:g}: raise vector_store.index.ef, "
            "or rebuild with vector_store.index.type=flat, which is exact"
        )


def measured_ef(dense: Mapping[str, Any] | None, tenant: str | None) -> int | None:
    """Return the measured width of searches; None: the config decides.

    Args:
        dense: record in the index's state.
        tenant: all tenants of a collection share one width, which no measurement changes.
    """
    return None if dense is None or tenant is not None else GraphRecall.of(dense).ef

"""Record of what was measured of an approximate dense search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ragloom.components.vector_store.recall_probes import recall_in_words
from ragloom.components.vector_store.weaviate_store.search_width import AUTOMATIC, EF


@dataclass(frozen=True)
class SearchRecall:
    """What was measured of an approximate dense search; stored with the state.

    Attributes:
        kind: of the index, in words.
        setting: name of the `SearchWidth`.
        width: value of the setting that searches have.
        recall: depth -> share of exact search's lists that was found with it; empty where it could not be measured.
        questions: how many it was measured with.
        chunks: of the index, then.
        wanted: recall that was demanded.
        reason: why nothing was measured; None where it was.
    """

    kind: str
    setting: str
    width: int
    recall: dict[int, float]
    questions: int
    chunks: int
    wanted: float
    reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the record of the state."""
        return {**asdict(self), "recall": {str(depth): share for depth, share in self.recall.items()}}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> SearchRecall:
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
        width = "the server's own ef" if self.width == AUTOMATIC else f"{self.setting}={self.width}"
        measured = (
            f"dense search is approximate ({self.kind}, {width}): {recall_in_words(self.recall)} against exact search, "
            f"measured with {self.questions} questions at {self.chunks} chunks"
        )
        if self.is_enough:
            return measured
        higher = "raise vector_store.index.ef, or " if self.setting == EF.name else ""
        return (
            f"{measured}; that is less than vector_store.min_ann_recall={self.wanted:g}: {higher}choose another index: "
            "vector_store.index.type=flat without quantization is exact"
        )


def measured_width(dense: Mapping[str, Any] | None, tenant: str | None) -> int | None:
    """Return the measured width of searches; None: the config decides.

    Args:
        dense: record in the index's state.
        tenant: all tenants of a collection share one width, which no measurement changes.
    """
    return None if dense is None or tenant is not None else SearchRecall.of(dense).width

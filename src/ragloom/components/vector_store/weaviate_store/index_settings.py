"""Options of all indexes of a database, from the keys of `vector_store`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from ragloom.components.vector_store.weaviate_config import BatchSettings, TimeoutSettings
from ragloom.components.vector_store.weaviate_store.batch_sizing import BatchLimits


@dataclass(frozen=True)
class IndexOptions:
    """Options of all indexes of a database.

    Attributes:
        prefix: of all collections; others are never listed or changed.
        tenant: None without multi-tenancy.
        consistency_level: ONE, QUORUM or ALL: of writes, and of reads by id.
        index: `vector_store.index`.
        batch: `vector_store.batch`.
        timeouts: `vector_store.timeouts`.
        code_version: of the builder.
        ann_threshold: chunks from which the recall of approximate search is measured.
        min_ann_recall: that it must have.
        limits: of write requests, adapted by all writers together.
    """

    prefix: str
    tenant: str | None
    consistency_level: str
    index: dict[str, Any]
    batch: BatchSettings
    timeouts: TimeoutSettings
    code_version: int
    ann_threshold: int
    min_ann_recall: float
    limits: BatchLimits = field(init=False)

    def __reduce__(self) -> tuple[type[IndexOptions], tuple[Any, ...]]:
        return IndexOptions, tuple(getattr(self, item.name) for item in fields(self) if item.init)

    def __post_init__(self) -> None:
        megabytes, objects = self.batch["megabytes"], self.batch["objects"]
        object.__setattr__(self, "limits", BatchLimits(objects, int(megabytes * 1_000_000), self.timeouts["retry"]))

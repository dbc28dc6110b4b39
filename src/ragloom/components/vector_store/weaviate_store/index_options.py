"""Options of all indexes of a database, from the keys of `vector_store`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ragloom.components.vector_store.weaviate_store.batch_sizing import BatchLimits


@dataclass(frozen=True)
class IndexOptions:
    """Options of all indexes of a database.

    Attributes:
        prefix: of all collections; others are never listed or changed.
        tenant: None without multi-tenancy.
        consistency_level: ONE, QUORUM or ALL: of writes, and of reads by id.
        index: `vector_store.index`.
        limits: of write requests.
        indexing_seconds: limit of a commit's wait for the server's vector queue.
        code_version: of the builder.
    """

    prefix: str
    tenant: str | None
    consistency_level: str
    index: dict[str, Any]
    limits: BatchLimits
    indexing_seconds: float
    code_version: int

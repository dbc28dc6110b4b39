"""How an index is kept on a server: the keys of the option, as the parts beside this one use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ragloom.components.vector_store.weaviate_store.batch_insert import Limits


@dataclass(frozen=True)
class Options:
    """How an index is kept on a server: `vector_store`'s keys.

    Attributes:
        prefix: of all collections.
        tenant: None without multi-tenancy.
        consistency_level: ONE, QUORUM or ALL: of writes, and of reads by id.
        index: `vector_store.index`.
        limits: of batches.
        indexing_seconds: how long a commit waits for the server's vector queue.
    """

    prefix: str
    tenant: str | None
    consistency_level: str
    index: dict[str, Any]
    limits: Limits
    indexing_seconds: float

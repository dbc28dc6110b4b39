"""Limits of an ingest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragloom.ingestion.deletions import Deletions

if TYPE_CHECKING:
    from ragloom.core.budget import Budget
    from ragloom.process_pool.task_queue import PoolLimits


@dataclass(frozen=True)
class Limits:
    """Limits of an ingest: use, spending, deletions.

    Attributes:
        workers: processes that read, and what a document may take there; their `in_flight_mb` also limits text and
            vectors between reading and the store, about: one block may go over it.
        deletions: how many vanished documents may be deleted.
        budget: what the run may cost; None = it is not limited.
        retry_failed: documents at which the embedding failed before are tried again, also unchanged ones.
    """

    workers: PoolLimits
    deletions: Deletions
    budget: Budget | None = None
    retry_failed: bool = False

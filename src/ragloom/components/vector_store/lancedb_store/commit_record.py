"""Record of a commit: the versions of the tables that queries read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ragloom.components import vector_store

CODE_VERSION: int = vector_store.lancedb.code_version  # type: ignore[attr-defined]
CHUNKS, DOCUMENTS = "chunks", "documents"
"""The tables of an index."""


@dataclass(frozen=True)
class Commit:
    """A state that queries may read.

    Attributes:
        number: from 1.
        versions: table -> the engine's version of it.
        since: table -> a time (seconds) not after that version was made; what is older may be cleaned away.
        rows: table -> how many rows that version has.
        committed_at: ISO 8601, UTC.
        description, summary: as in `IndexInfo`.
        dense: what `Approximation` keeps of how dense search is made; None: exactly, there being few rows.
    """

    number: int
    versions: dict[str, int]
    since: dict[str, float]
    rows: dict[str, int]
    committed_at: str
    description: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    dense: dict[str, Any] | None = None

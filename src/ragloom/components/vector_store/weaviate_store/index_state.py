"""State of an index as a whole: one object, written last.

While a writer works (or after one was killed) the state names its lease, and only then a query has to read the
committed version of each document.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ragloom.core.records import canonical_json

FRESH_SECONDS = 0.5
"""How long a reader trusts the state after reading it.

A writer announces itself and waits as long before its first change, so that a reader with an older state cannot have
seen any of it.
"""


@dataclass(frozen=True)
class IndexState:
    """State of an index (of a tenant).

    Attributes:
        version: of the newest commit; 0 before the first.
        writing: token of the lease of a running or killed writer; None when everything is committed.
        root: identity of the corpus's location.
        documents, chunks: counts of the newest commit.
        deleted_chunks: since the collections were created.
        committed_at: ISO 8601, UTC; empty before the first commit.
        description, summary: as in `IndexInfo`.
        bytes: estimated at the newest commit.
        dense: record of `SearchRecall`; None where nothing was measured.
    """

    version: int = 0
    writing: str | None = None
    root: str = ""
    documents: int = 0
    chunks: int = 0
    deleted_chunks: int = 0
    committed_at: str = ""
    description: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    bytes: int = 0
    dense: dict[str, Any] | None = None

    def plus(self, *, documents: int = 0, chunks: int = 0, deleted_chunks: int = 0) -> IndexState:
        """Return the state with changed counts."""
        return replace(
            self,
            documents=self.documents + documents,
            chunks=self.chunks + chunks,
            deleted_chunks=self.deleted_chunks + deleted_chunks,
        )

    def to_json(self) -> str:
        """Serialize the state."""
        return canonical_json(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> IndexState:
        """Parse the text of `to_json`."""
        return cls(**json.loads(text))

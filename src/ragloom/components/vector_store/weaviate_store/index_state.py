"""What an index's documents collection knows of the index as a whole: one object, written last. Knows objects.

While a writer is at work (or was killed at it) the state says so, and only then a query has to ask which version of
each document is committed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from ragloom.core.records import canonical_json

FRESH_SECONDS = 0.5
"""How long a reader trusts the state it has read. A writer announces itself and waits as long before it changes
anything, so that a reader that has not heard of it cannot have seen anything of it."""


@dataclass(frozen=True)
class State:
    """The state of an index (of a tenant).

    Attributes:
        version: of the newest commit; 0 before the first.
        writing: the lease under which somebody writes, or was killed while writing; None when everything is committed.
        root: identity of the place the corpus was read from.
        documents, chunks: as the newest commit counted them.
        deleted_chunks: since the collections were made.
        committed_at: ISO 8601, UTC; empty before the first commit.
        description, summary: as in `IndexInfo`.
        bytes: estimated at the newest commit.
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

    def to_json(self) -> str:
        """Serialises the state."""
        return canonical_json(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> State:
        """Reads what `to_json` wrote."""
        return cls(**json.loads(text))

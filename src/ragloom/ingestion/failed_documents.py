"""Documents with rejected texts, recorded so that they are not retried unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ragloom.components.vector_store.protocols import Database

KEY = "refused"
"""Under which a commit's summary has them."""


def remembered(database: Database, index_name: str) -> Mapping[str, Mapping[str, str]]:
    """Read the refusals of the last commit: document id -> `bytes_hash`, `reason`."""
    refusals = next((info.summary.get(KEY) for info in database.indexes() if info.name == index_name), None)
    return refusals or {}


class RefusedDocuments:
    """Refusals recorded before and in this ingest.

    Args:
        before: as `remembered` reads it.
        retry: everything is tried again.
    """

    def __init__(self, before: Mapping[str, Mapping[str, str]], retry: bool) -> None:
        self._before, self._retry = before, retry
        self._now: dict[str, Mapping[str, str]] = {}
        self._asked: set[str] = set()

    def bytes_hash(self, id: str) -> str | None:
        """Return the hash of refused bytes; record that the document was read."""
        if id not in self._before:
            return None
        self._asked.add(id)
        return None if self._retry else self._before[id]["bytes_hash"]

    def knows(self, id: str, bytes_hash: str) -> bool:
        """Return whether a document is still refused unchanged."""
        return not self._retry and id in self._before and self._before[id]["bytes_hash"] == bytes_hash

    def add(self, id: str, bytes_hash: str, reason: str) -> None:
        """Take in a document at which the embedding has failed."""
        self._now[id] = {"bytes_hash": bytes_hash, "reason": reason}

    def again(self, id: str) -> str:
        """Keep a document that was not tried again; return why."""
        self._now[id] = self._before[id]
        return f"{self._before[id]['reason']}; it has not changed since: retry_failed=true tries it again"

    def to_keep(self, *, complete: bool) -> dict[str, Any]:
        """Return the refusals for the summary of the commit; empty without any.

        Args:
            complete: a document that was not read has vanished, or has been stored since.
        """
        unread = {} if complete else {id: refusals for id, refusals in self._before.items() if id not in self._asked}
        refusals = {**unread, **self._now}
        return {KEY: {id: dict(refusals[id]) for id in sorted(refusals)}} if refusals else {}

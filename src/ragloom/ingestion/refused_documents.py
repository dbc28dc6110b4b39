"""Documents at a text of which the embedding fails: remembered with the index, and not tried again unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ragloom.components.vector_store.protocols import Database

KEY = "refused"
"""Under which a commit's summary has them."""


def remembered(database: Database, index_name: str) -> Mapping[str, Mapping[str, str]]:
    """Read what the last commit of an index remembers: document id -> `bytes_hash` and `reason`."""
    found = next((info.summary.get(KEY) for info in database.indexes() if info.name == index_name), None)
    return found or {}


class Refusals:
    """What is remembered and what is found in one ingest.

    Args:
        before: as `remembered` reads it.
        retry: everything is tried again.
    """

    def __init__(self, before: Mapping[str, Mapping[str, str]], *, retry: bool = False) -> None:
        self._before, self._retry = before, retry
        self._now: dict[str, Mapping[str, str]] = {}
        self._asked: set[str] = set()

    def bytes_hash(self, id: str) -> str | None:
        """Return the hash of the bytes that are not tried again; notes that the document is read."""
        if id not in self._before:
            return None
        self._asked.add(id)
        return None if self._retry else self._before[id]["bytes_hash"]

    def knows(self, id: str, bytes_hash: str) -> bool:
        """Says whether a document is not tried again as it is."""
        return not self._retry and id in self._before and self._before[id]["bytes_hash"] == bytes_hash

    def add(self, id: str, bytes_hash: str, reason: str) -> None:
        """Take in a document at which the embedding has failed."""
        self._now[id] = {"bytes_hash": bytes_hash, "reason": reason}

    def again(self, id: str) -> str:
        """Keep a document that was not tried again; returns why."""
        self._now[id] = self._before[id]
        return f"{self._before[id]['reason']}; it has not changed since: retry_failed=true tries it again"

    def to_keep(self, *, complete: bool) -> dict[str, Any]:
        """Return what the commit's summary is to hold; nothing where there is nothing.

        Args:
            complete: a document that was not read has vanished, or has been stored since.
        """
        unread = {} if complete else {id: kept for id, kept in self._before.items() if id not in self._asked}
        kept = {**unread, **self._now}
        return {KEY: {id: dict(kept[id]) for id in sorted(kept)}} if kept else {}

"""Items of one cached stage."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragloom.core.records import sha256
from ragloom.core.sqlite_connections import connect_shared, failures_as
from ragloom.errors import ServiceError

_TABLE = "CREATE TABLE IF NOT EXISTS items (name TEXT PRIMARY KEY, value TEXT, digest TEXT) WITHOUT ROWID"


@dataclass
class StageCounts:
    """Cache hits, computed items and damaged items of a stage."""

    hits: int = 0
    computed: int = 0
    damaged: int = 0


class StageItems:
    """Values by name in a file.

    Safe for several threads and several processes. Each write is a transaction: a killed process loses none. A power
    cut may lose the last ones.

    Args:
        path: the file, opened when it is used; None stores in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path or Path(":memory:")
        self._using = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def __len__(self) -> int:
        return int(self._rows("SELECT count(*) FROM items")[0][0])

    def read(self, name: str) -> tuple[Any | None, bool]:
        """Return value (None if missing or damaged) and whether it is damaged."""
        rows = self._rows("SELECT value, digest FROM items WHERE name = ?", name)
        if not rows:
            return None, False
        ((value, digest),) = rows
        if sha256(f"{name}:{value}") != digest:
            return None, True
        return json.loads(value), False

    def write(self, name: str, value: Any) -> None:
        """Store a value of plain values, in place of an earlier one."""
        text = json.dumps(value, separators=(",", ":"))
        self._rows("INSERT OR REPLACE INTO items VALUES (?, ?, ?)", name, text, sha256(f"{name}:{text}"))

    def close(self) -> None:
        """Close the file; a later use opens it again."""
        with self._using:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _rows(self, statement: str, *values: str) -> list[Any]:
        problem = f"config: the stage results {self._path} cannot be read or written"
        with self._using, failures_as(ServiceError, problem, "remove its folder: its items are computed again"):
            if self._connection is None:
                self._connection = connect_shared(self._path)
                self._connection.execute(_TABLE)
            return self._connection.execute(statement, values).fetchall()


@dataclass
class _ItemLock:
    """Lock of an item, and the threads that use it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    callers: int = 0


@dataclass
class CachedStage:
    """All items of one key, open in this process alone.

    Safe for several threads.

    Attributes:
        kind: of stage.
        key: what decides the values.
        items: the stored values.
        existed: whether items were stored before.
        differences: on a miss, the keys in which the nearest stage differs (this one / that one).
        seconds: for which it was open; time in a stage that was opened inside it counts for both.
    """

    kind: str
    key: Mapping[str, Any]
    items: StageItems
    existed: bool = False
    differences: Sequence[str] = ()
    counts: StageCounts = field(default_factory=StageCounts)
    seconds: float = 0.0
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _locks: dict[str, _ItemLock] = field(default_factory=dict)

    @contextmanager
    def timed(self) -> Iterator[CachedStage]:
        """Measure `seconds` while the block runs."""
        began = time.perf_counter()
        try:
            yield self
        finally:
            self.seconds = time.perf_counter() - began

    def get_or_compute(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return an item's value, computed and stored if it is missing.

        After an error nothing is stored. Of several threads that need the same item one computes it and the
        others wait; if it fails, the next one tries.

        Args:
            name: what the item is, such as the digest of a question.
            compute: returns its value, of plain values.
        """
        return self.update(name, lambda value: compute() if value is None else None)

    def update(self, name: str, change: Callable[[Any | None], Any | None]) -> Any:
        """Return an item's value after `change`; counts and locks as `get_or_compute`.

        Args:
            name: of the item.
            change: maps the value, None if it is missing, to the new one; None leaves it as it is.
        """
        with self._locked(name):
            before = self.peek(name)
            after = change(before)
            if after is None:
                with self._counting:
                    self.counts.hits += 1
                return before
            value = json.loads(json.dumps(after))  # as a later read returns it
            self.put(name, value)
            return value

    def peek(self, name: str) -> Any | None:
        """Return an item's value, None if missing or damaged; counts no hit."""
        value, damaged = self.items.read(name)
        if damaged:
            with self._counting:
                self.counts.damaged += 1
        return value

    def get(self, name: str) -> Any | None:
        """Return an item's value, None if missing or damaged; counts a hit."""
        value = self.peek(name)
        if value is not None:
            with self._counting:
                self.counts.hits += 1
        return value

    def put(self, name: str, value: Any) -> None:
        """Store a computed value, in place of an earlier one."""
        self.items.write(name, value)
        with self._counting:
            self.counts.computed += 1

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Hold an item's lock, and drop it when no thread uses it."""
        with self._counting:
            item = self._locks.setdefault(name, _ItemLock())
            item.callers += 1
        try:
            with item.lock:
                yield
        finally:
            with self._counting:
                item.callers -= 1
                if not item.callers:
                    del self._locks[name]

    @property
    def hit(self) -> bool:
        """Whether nothing had to be computed."""
        return self.existed and not self.counts.computed

    @property
    def explanation(self) -> str:
        """Cached or not; on a miss, in what the nearest differs."""
        if self.existed:
            added = f", but for {self.counts.computed} of its items" if self.counts.computed else ""
            return f"{self.kind}: cached{added}"
        if not self.differences:
            return f"{self.kind}: new, and the first of its kind"
        return f"{self.kind}: new; the nearest differs in " + "; ".join(self.differences)

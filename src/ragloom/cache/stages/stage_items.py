"""The items of one key: found or made, counted, kept one by one. Knows no stage and no folder."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragloom.core.records import sha256
from ragloom.core.sqlite import connect_shared, failures_as
from ragloom.errors import ServiceError

_TABLE = "CREATE TABLE IF NOT EXISTS items (name TEXT PRIMARY KEY, value TEXT, digest TEXT) WITHOUT ROWID"


@dataclass
class Counts:
    """What a unit gave.

    Attributes:
        hits: items that were there.
        made: items that were made.
        damaged: items that could not be believed.
    """

    hits: int = 0
    made: int = 0
    damaged: int = 0


class Items:
    """Values by name in a file; safe to be used by several threads, and by several processes.

    Each write is a transaction of its own: a process that is killed loses none that was written. (A power cut may
    lose the last ones, since everything can be made anew.)

    Args:
        path: the file, opened when it is used; None keeps nothing but in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._using = threading.Lock()
        self._memory: dict[str, Any] = {}
        self._opened: sqlite3.Connection | None = None

    def __len__(self) -> int:
        if self._path is None:
            return len(self._memory)
        return int(self._rows("SELECT count(*) FROM items")[0][0])

    def read(self, name: str) -> tuple[Any | None, bool]:
        """Returns a value, or None where there is none; and whether there was one that is damaged."""
        if self._path is None:
            return self._memory.get(name), False
        rows = self._rows("SELECT value, digest FROM items WHERE name = ?", name)
        if not rows:
            return None, False
        ((value, digest),) = rows
        if sha256(f"{name}:{value}") != digest:
            return None, True
        return json.loads(value), False

    def write(self, name: str, value: Any) -> None:
        """Keeps a value of plain values; it takes the place of one that is there."""
        if self._path is None:
            self._memory[name] = value
            return
        text = json.dumps(value, separators=(",", ":"))
        self._rows("INSERT OR REPLACE INTO items VALUES (?, ?, ?)", name, text, sha256(f"{name}:{text}"))

    def close(self) -> None:
        """Lets go of the file; a later use opens it anew."""
        with self._using:
            if self._opened is not None:
                self._opened.close()
            self._opened = None

    def _rows(self, statement: str, *values: str) -> list[Any]:
        assert self._path is not None
        problem = f"config: the stage results {self._path} cannot be read or written"
        with self._using, failures_as(ServiceError, problem, "remove its folder: what it held is computed again"):
            if self._opened is None:
                self._opened = connect_shared(self._path)
                self._opened.execute(_TABLE)
            return self._opened.execute(statement, values).fetchall()


@dataclass
class _Making:
    """Who makes an item, and how many hold it or wait for it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    callers: int = 0


@dataclass
class Unit:
    """All items of one key, held by this process alone while it is entered. Safe to be used by several threads.

    Attributes:
        kind: of stage.
        key: what decides the values.
        items: what is there.
        known: whether something was there before.
        differs: on a miss, the keys in which the nearest unit differs (this one / that one); empty where there is none.
        seconds: that it was entered for; of one that was entered within it, too.
    """

    kind: str
    key: Mapping[str, Any]
    items: Items
    known: bool = False
    differs: Sequence[str] = ()
    counts: Counts = field(default_factory=Counts)
    seconds: float = 0.0
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _making: dict[str, _Making] = field(default_factory=dict)

    def item(self, name: str, make: Callable[[], Any]) -> Any:
        """Gives an item's value, which is made where it is not there; what raises is not kept.

        Of threads that ask at the same time one makes it, and the others wait for it; where it fails, the next tries.

        Args:
            name: what the item is, such as the digest of a question.
            make: makes its value, of plain values.
        """
        return self.grown(name, lambda value: make() if value is None else None)

    def grown(self, name: str, grow: Callable[[Any | None], Any | None]) -> Any:
        """Gives an item's value after `grow`; counts and locks as `item`.

        Args:
            name: of the item.
            grow: is given the value, None where it is not there; returns what takes its place, None to keep it.
        """
        with self._alone(name):
            before = self.there(name)
            after = grow(before)
            if after is None:
                with self._counting:
                    self.counts.hits += 1
                return before
            value = json.loads(json.dumps(after))  # as it will be read again
            self.put(name, value)
            return value

    def there(self, name: str) -> Any | None:
        """Gives an item's value without counting it as found; None when it is not there, or damaged."""
        value, damaged = self.items.read(name)
        if damaged:
            with self._counting:
                self.counts.damaged += 1
        return value

    def found(self, name: str) -> Any | None:
        """Gives an item's value and counts it as found; None when it is not there, or damaged."""
        value = self.there(name)
        if value is not None:
            with self._counting:
                self.counts.hits += 1
        return value

    def put(self, name: str, value: Any) -> None:
        """Keeps a value that was made; it takes the place of one that is there."""
        self.items.write(name, value)
        with self._counting:
            self.counts.made += 1

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Holds an item against other threads; nothing stays of one that nobody asks for any more."""
        with self._counting:
            making = self._making.setdefault(name, _Making())
            making.callers += 1
        try:
            with making.lock:
                yield
        finally:
            with self._counting:
                making.callers -= 1
                if not making.callers:
                    del self._making[name]

    @property
    def hit(self) -> bool:
        """Whether nothing had to be made."""
        return self.known and not self.counts.made

    @property
    def explained(self) -> str:
        """Says in one line whether it was there, and on a miss in what the nearest differs."""
        if self.known:
            added = f", but for {self.counts.made} of its items" if self.counts.made else ""
            return f"{self.kind}: there already{added}"
        if not self.differs:
            return f"{self.kind}: new, and the first of its kind"
        return f"{self.kind}: new; the nearest differs in " + "; ".join(self.differs)

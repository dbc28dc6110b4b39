"""What stages have yielded, on disk, for all experiments: found again by a complete key. Knows no stage.

    <cache.path>/stages/<kind>/<digest>/key.json      the whole key in words
    <cache.path>/stages/<kind>/<digest>/items.jsonl   one line an item: its checksum, its name, its value
    <cache.path>/stages/<kind>/<digest>/lock          held by the process that makes items

A *unit* is all items of one key: the rankings of one index by one retriever and reranker, an item a question. The key
holds everything that decides an item's value but what the item itself is: inputs, parameters, model revision, code
versions. Items are appended one by one, so that a process that is killed loses the one it was at; a line that is torn
or damaged is made anew, never believed.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from ragloom.errors import ConfigError
from ragloom.fingerprint import difference
from ragloom.records import canonical_json, sha256

_CHECK = 16  # hexadecimal digits of an item's checksum
_NAMED = 32  # hexadecimal digits of a unit's folder
_READ_AT_MOST = 256  # entries that are compared to name the nearest: explaining a miss must not read a whole disk


@dataclass
class Counts:
    """What a unit gave.

    Attributes:
        hits: items that were there.
        made: items that were made.
        damaged: lines that could not be believed.
    """

    hits: int = 0
    made: int = 0
    damaged: int = 0


@dataclass
class Unit:
    """All items of one key, held by this process alone while it is entered. Safe to be used by several threads.

    Attributes:
        kind: of stage.
        key: what decides the values.
        known: whether the unit was there before.
        differs: on a miss, the keys in which the nearest unit differs (this one / that one); empty where there is none.
        waited: whether another process was making it.
    """

    kind: str
    key: Mapping[str, Any]
    known: bool = False
    differs: list[str] = field(default_factory=list)
    waited: bool = False
    counts: Counts = field(default_factory=Counts)
    _items: dict[str, Any] = field(default_factory=dict)
    _file: BinaryIO | None = None
    _changing: threading.Lock = field(default_factory=threading.Lock)

    def item(self, name: str, make: Callable[[], Any]) -> tuple[Any, bool]:
        """Gives an item's value, and whether it was there; what raises is not kept.

        Args:
            name: what the item is, such as the digest of a question.
            make: makes its value, of plain values.
        """
        with self._changing:
            if name in self._items:
                self.counts.hits += 1
                return self._items[name], True
        value = json.loads(json.dumps(make()))  # as it will be read again
        self.put(name, value)
        return value, False

    def there(self, name: str) -> Any | None:
        """Gives an item's value without counting it; None when it is not there."""
        return self._items.get(name)

    def put(self, name: str, value: Any) -> None:
        """Keeps a value that was made; it takes the place of one that is there."""
        with self._changing:
            self.counts.made += 1
            self._items[name] = value
            if self._file is not None:
                self._file.write(_line(name, value))
                self._file.flush()

    @property
    def explained(self) -> str:
        """Says in one line whether it was there, and on a miss in what the nearest differs."""
        if self.known:
            return f"{self.kind}: there already"
        if not self.differs:
            return f"{self.kind}: new, and the first of its kind"
        return f"{self.kind}: new; the nearest differs in " + "; ".join(self.differs)


class Stages:
    """The folder of all units.

    Args:
        folder: made when something is kept; None keeps nothing.
        waiting: is told when another process is making what is wanted.
    """

    def __init__(self, folder: Path | None, waiting: Callable[[str], None] = lambda text: None) -> None:
        self._folder = folder
        self._waiting = waiting

    @contextmanager
    def unit(self, kind: str, key: Mapping[str, Any]) -> Iterator[Unit]:
        """Enters a unit; if another process has entered it, waits until that has made what it makes.

        Raises:
            ConfigError: the folder cannot be written.
        """
        key = json.loads(canonical_json(dict(key)))
        if self._folder is None:
            yield Unit(kind, key)
            return
        folder = self._folder / kind / sha256(canonical_json(key))[:_NAMED]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"config: cache.path must be a folder that can be written ({error.strerror}: {self._folder}); "
                "set another, or cache.enabled=false"
            ) from None
        with self._locked(folder, kind) as waited:
            unit = Unit(kind, key, waited=waited)
            self._read(folder, unit)
            with (folder / "items.jsonl").open("ab") as file:
                if file.tell() and not _ends_a_line(folder / "items.jsonl"):
                    file.write(b"\n")
                unit._file = file
                try:
                    yield unit
                finally:
                    unit._file = None

    @contextmanager
    def _locked(self, folder: Path, kind: str) -> Iterator[bool]:
        lock = FileLock(folder / "lock")
        waited = False
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waited = True
            self._waiting(f"another process is making the same {kind}; waiting for it")
            lock.acquire()
        try:
            yield waited
        finally:
            lock.release()

    def _read(self, folder: Path, unit: Unit) -> None:
        items = folder / "items.jsonl"
        unit.known = (folder / "key.json").is_file() and items.is_file() and items.stat().st_size > 0
        if not unit.known:
            unit.differs = self._nearest(folder, unit)
            (folder / "key.json").write_text(json.dumps(unit.key, ensure_ascii=False, indent=1) + "\n", "utf-8")
        if items.is_file():
            with items.open("rb") as file:
                for line in file:
                    if line.strip():
                        self._believe(line, unit)

    @staticmethod
    def _believe(line: bytes, unit: Unit) -> None:
        check, _, content = line.rstrip(b"\n").partition(b" ")
        if sha256(content)[:_CHECK].encode() != check:
            unit.counts.damaged += 1
            return
        name, value = json.loads(content)
        unit._items[name] = value

    def _nearest(self, folder: Path, unit: Unit) -> list[str]:
        """Lists in what the nearest unit of the kind differs."""
        best: list[str] = []
        others = [path for path in folder.parent.glob("*/key.json") if path.parent != folder]
        for path in sorted(others, key=lambda path: path.stat().st_mtime_ns, reverse=True)[:_READ_AT_MOST]:
            try:
                other = json.loads(path.read_text("utf-8"))
            except ValueError:  # torn by a kill: it is no neighbour, and is written anew when it is asked for
                continue
            lines = difference(dict(unit.key), other)
            if lines and (not best or len(lines) < len(best)):
                best = lines
        return best


def _line(name: str, value: Any) -> bytes:
    content = json.dumps([name, value], ensure_ascii=True, separators=(",", ":")).encode()
    return sha256(content)[:_CHECK].encode() + b" " + content + b"\n"


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"

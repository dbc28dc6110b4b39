"""What stages have yielded, on disk, for all experiments: found again by a complete key. Knows no stage.

    <stages>/<kind>/<digest>/key.json        the whole key in words
    <stages>/<kind>/<digest>/items.sqlite    name -> value, each with its checksum
    <stages>/<kind>/<digest>/lock            held by the process that makes items

A *unit* is all items of one key: the rankings of one index by one retriever and reranker, an item a question. The key
holds everything that decides an item's value but what the item itself is: inputs, parameters, model revision, code
versions. Each item is kept as soon as it is made, so that a process that is killed loses those it was at; one that is
damaged is made anew, never believed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ragloom.cache.stages.stage_items import Items, Unit
from ragloom.config.fingerprint import difference
from ragloom.core.records import canonical_json, sha256
from ragloom.errors import ConfigError

__all__ = ["Stages", "Unit"]

_NAMED = 32  # hexadecimal digits of a unit's folder
_COMPARED = 256  # newest units that are compared to name the nearest: explaining a miss must not read a whole disk


@contextmanager
def _timed(unit: Unit) -> Iterator[Unit]:
    began = time.perf_counter()
    try:
        yield unit
    finally:
        unit.seconds = time.perf_counter() - began


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
            with _timed(Unit(kind, key, Items(None))) as unit:
                yield unit
            return
        folder = self._place(kind, key)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"config: stages={self._folder} must be a folder that can be written ({error.strerror}); set another, "
                "or stages=null to keep nothing"
            ) from None
        with self._locked(folder, kind):
            known = (folder / "key.json").is_file() and (folder / "items.sqlite").is_file()
            differs = [] if known else self._nearest(folder, key)
            if not known:
                (folder / "key.json").write_text(json.dumps(key, ensure_ascii=False, indent=1) + "\n", "utf-8")
            items = Items(folder / "items.sqlite")
            try:
                with _timed(Unit(kind, key, items, known=known and len(items) > 0, differs=differs)) as unit:
                    yield unit
            finally:
                items.close()

    def count(self, kind: str, key: Mapping[str, Any]) -> int:
        """Counts the items of a unit without entering it."""
        with self._kept(kind, key) as items:
            return 0 if items is None else len(items)

    def values(self, kind: str, key: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
        """Reads the items of a unit that are there, without entering it: name -> value."""
        with self._kept(kind, key) as items:
            found = {} if items is None else {name: items.read(name)[0] for name in names}
        return {name: value for name, value in found.items() if value is not None}

    @contextmanager
    def _kept(self, kind: str, key: Mapping[str, Any]) -> Iterator[Items | None]:
        """Opens what is kept of a unit; None where there is nothing."""
        path = (
            None if self._folder is None else self._place(kind, json.loads(canonical_json(dict(key)))) / "items.sqlite"
        )
        if path is None or not path.is_file():
            yield None
            return
        items = Items(path)
        try:
            yield items
        finally:
            items.close()

    def _place(self, kind: str, key: Mapping[str, Any]) -> Path:
        assert self._folder is not None
        return self._folder / kind / sha256(canonical_json(dict(key)))[:_NAMED]

    @contextmanager
    def _locked(self, folder: Path, kind: str) -> Iterator[None]:
        lock = FileLock(folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            self._waiting(f"another process is making the same {kind}; waiting for it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @staticmethod
    def _nearest(folder: Path, key: Mapping[str, Any]) -> list[str]:
        """Lists in what the nearest unit of the kind differs."""
        best: list[str] = []
        others = [path for path in folder.parent.glob("*/key.json") if path.parent != folder]
        for path in sorted(others, key=lambda path: path.stat().st_mtime_ns, reverse=True)[:_COMPARED]:
            try:
                other = json.loads(path.read_text("utf-8"))
            except ValueError:  # torn by a kill: it is no neighbour, and is written anew when it is asked for
                continue
            lines = difference(dict(key), other)
            if lines and (not best or len(lines) < len(best)):
                best = lines
        return best

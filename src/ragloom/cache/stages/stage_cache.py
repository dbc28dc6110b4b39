"""On-disk cache of stage results, shared by all experiments.

    <stages>/<kind>/<digest>/key.json        the whole key in words
    <stages>/<kind>/<digest>/items.sqlite    name -> value, each with its checksum
    <stages>/<kind>/<digest>/lock            held by the process that computes items

A cached stage holds all items of one key: the rankings of one index by one retriever and reranker, an item for each
question. The key holds everything that decides an item's value except what the item itself is: inputs, parameters,
model revision, code versions. Each item is stored as soon as it is computed, so a killed process loses only unfinished
ones; a damaged item is a miss and is computed again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ragloom.cache.stages.stage_entries import CachedStage, StageItems
from ragloom.config.fingerprint import difference
from ragloom.core.records import canonical_json, sha256
from ragloom.errors import ConfigError

_DIGITS = 32  # hexadecimal, in the name of a stage's folder
_COMPARED = 256  # newest stages among which the nearest is looked for: explaining a miss must not read a whole disk


class StageCache:
    """Folder of all cached stages.

    Args:
        folder: created when the first item is stored; None caches in memory, for as long as a stage is open.
        on_wait: receives a message if another process computes the same stage.
    """

    def __init__(self, folder: Path | None, on_wait: Callable[[str], None] = lambda text: None) -> None:
        self._folder = folder
        self._on_wait = on_wait

    @contextmanager
    def open(self, kind: str, key: Mapping[str, Any]) -> Iterator[CachedStage]:
        """Open a stage for this process alone, after other processes closed it.

        Raises:
            ConfigError: the folder cannot be written.
        """
        plain_key = _plain(key)
        folder = self._place(kind, plain_key)
        if folder is None:
            with closing(StageItems(None)) as items, CachedStage(kind, plain_key, items).timed() as stage:
                yield stage
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"config: stages={self._folder} cannot be written: {error.strerror}; set another folder, or "
                "stages=null to cache nothing"
            ) from None
        with self._locked(folder, kind), closing(StageItems(folder / "items.sqlite")) as items:
            existed = (folder / "key.json").is_file() and (folder / "items.sqlite").is_file()
            differences = [] if existed else self._nearest(folder, plain_key)
            if not existed:
                (folder / "key.json").write_text(json.dumps(plain_key, ensure_ascii=False, indent=1) + "\n", "utf-8")
            stage = CachedStage(kind, plain_key, items, existed=existed and len(items) > 0, differences=differences)
            with stage.timed():
                yield stage

    def count(self, kind: str, key: Mapping[str, Any]) -> int:
        """Count the items of a stage without opening it."""
        with self._read(kind, key) as items:
            return 0 if items is None else len(items)

    def values(self, kind: str, key: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
        """Read stored items without opening the stage: name -> value."""
        with self._read(kind, key) as items:
            values = {} if items is None else {name: items.read(name)[0] for name in names}
        return {name: value for name, value in values.items() if value is not None}

    @contextmanager
    def _read(self, kind: str, key: Mapping[str, Any]) -> Iterator[StageItems | None]:
        """Yield the items of a stage; None if it has no file."""
        folder = self._place(kind, _plain(key))
        if folder is None or not (folder / "items.sqlite").is_file():
            yield None
            return
        with closing(StageItems(folder / "items.sqlite")) as items:
            yield items

    def _place(self, kind: str, plain_key: dict[str, Any]) -> Path | None:
        return None if self._folder is None else self._folder / kind / sha256(canonical_json(plain_key))[:_DIGITS]

    def _locked(self, folder: Path, kind: str) -> AbstractContextManager[object]:
        """Acquire the lock of a stage; leaving the context releases it."""
        lock = FileLock(folder / "lock")
        try:
            return lock.acquire(timeout=0)
        except Timeout:
            self._on_wait(f"another process computes the same {kind}; waiting for it")
            return lock.acquire()

    @staticmethod
    def _nearest(folder: Path, key: Mapping[str, Any]) -> list[str]:
        """List the keys in which the nearest stage differs."""
        best: list[str] = []
        others = [path for path in folder.parent.glob("*/key.json") if path.parent != folder]
        for path in sorted(others, key=lambda path: path.stat().st_mtime_ns, reverse=True)[:_COMPARED]:
            try:
                other = json.loads(path.read_text("utf-8"))
            except ValueError:  # torn by a kill: it is written again when its stage is opened
                continue
            lines = difference(dict(key), other)
            if lines and (not best or len(lines) < len(best)):
                best = lines
        return best


def _plain(key: Mapping[str, Any]) -> dict[str, Any]:
    """Return a key as it is read from its file."""
    plain: dict[str, Any] = json.loads(canonical_json(dict(key)))
    return plain

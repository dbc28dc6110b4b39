"""Takes back what a damaged file still holds. Knows that any statement on it may fail."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ragloom.cache import tables as stored
from ragloom.cache.file import DAMAGED_NAME
from ragloom.cache.tables import Model
from ragloom.cache.vectors import VectorCache
from ragloom.core.sqlite import FAILURES

_MOST_PACKS = 10_000_000  # 640 GB: a damaged number is not counted up to
_SLICE = 64  # packs read at once; where that fails, one at a time


@dataclass(frozen=True)
class _Rows:
    model: Model
    keys: list[bytes]
    vectors: npt.NDArray[np.float32]


def taken_back(cache: VectorCache) -> tuple[int, int]:
    """Copies every row that proves itself out of a file that was set aside, and deletes that file.

    Returns:
        rows copied; rows that are damaged, each pack that cannot be read counting as one.

    Raises:
        Damaged, Unavailable: by the cache's own file; the one that was set aside is still there.
    """
    aside = cache.file.folder / DAMAGED_NAME
    if not aside.exists():
        return 0, 0
    copied = lost = 0
    with closing(sqlite3.connect(aside, isolation_level=None)) as damaged:
        models = _models(damaged)
        for content in _contents(damaged):
            rows, wrong = _rows(models, content)
            lost += wrong
            if rows is not None:
                with cache.file.transaction(write=True) as tables:
                    copied += stored.add(
                        tables,
                        rows.model.layout,
                        rows.keys,
                        rows.vectors,
                        name=rows.model.name,
                        described=rows.model.described,
                    )
                    stored.make_room(tables, cache.max_bytes)
    for path in (aside, Path(f"{aside}-wal"), Path(f"{aside}-shm")):
        path.unlink(missing_ok=True)
    return copied, lost


def _models(damaged: sqlite3.Connection) -> list[Model]:
    try:
        return stored.models(damaged)
    except FAILURES:
        return []  # then no row can be proven, and each pack counts as lost


def _contents(damaged: sqlite3.Connection) -> Iterator[object]:
    """Yields the content of each pack, None for one that cannot be read."""
    for numbers in stored.batched(range(1, _last(damaged) + 1), _SLICE):
        try:
            yield from _read(damaged, numbers)
        except FAILURES:
            for number in numbers:
                try:
                    yield from _read(damaged, [number])
                except FAILURES:
                    yield None


def _read(damaged: sqlite3.Connection, numbers: Sequence[int]) -> list[object]:
    found = damaged.execute(
        "SELECT content FROM contents WHERE rowid BETWEEN ? AND ?", (numbers[0], numbers[-1])
    ).fetchall()
    return [content for (content,) in found]


def _last(damaged: sqlite3.Connection) -> int:
    """The number of the last pack; 0 when no table says it."""
    for table in ("contents", "packs"):
        try:
            (last,) = damaged.execute(f"SELECT CAST(max(rowid) AS INTEGER) FROM {table}").fetchone()
        except FAILURES:
            continue  # the other table may say it
        if last is not None:
            return min(int(last), _MOST_PACKS)
    return 0


def _rows(models: Sequence[Model], content: object) -> tuple[_Rows | None, int]:
    """Finds the model whose rows a pack holds; returns its rows that are proven, and the number of damaged ones."""
    for model in models:
        told = list(model.layout.keys(content))
        rows = [(key, model.layout.row(content, place, key)) for place, key in told]
        proven = [(key, vector) for key, vector in rows if vector is not None]
        if proven:
            vectors = np.stack([vector for _, vector in proven])
            return _Rows(model, [key for key, _ in proven], vectors), len(told) - len(proven)
    return None, 1

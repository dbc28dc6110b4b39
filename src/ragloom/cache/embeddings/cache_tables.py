"""Queries on the cache's tables, each inside a transaction of the caller.

Numbers are cast when they are read: a damaged page can hold anything in any column.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy.typing as npt

from ragloom.cache.embeddings.row_format import RowFormat, Vector

Item = TypeVar("Item")

_KEYS_AT_ONCE = 500  # some builds of SQLite take no more than 999 values in a statement
_PACKS_AT_ONCE = 64  # 4 MB
_USE_INTERVAL = 3600  # seconds after which a use is recorded again: most hits write nothing
_SPARE = 0.02  # of the size limit is freed at once, so that not every write has to remove something


@dataclass(frozen=True)
class CachedModel:
    """A model as recorded in the tables.

    Attributes:
        number: in the tables.
        rows: the layout of its rows.
        name: for people.
        described: what decides the vectors, as JSON.
        hits: counted so far.
    """

    number: int
    rows: RowFormat
    name: str
    described: str
    hits: int


def models(tables: sqlite3.Connection) -> list[CachedModel]:
    """Read the models; a damaged one is left out."""
    records = tables.execute(
        "SELECT id, identity, CAST(dimensions AS INTEGER), CAST(name AS TEXT), CAST(described AS TEXT), "
        "CAST(hits AS INTEGER) FROM models WHERE typeof(identity) = 'blob' AND length(identity) = 32 ORDER BY id"
    )
    return [
        CachedModel(number, RowFormat(identity, dimensions), name, described, hits or 0)
        for number, identity, dimensions, name, described, hits in records
        if (dimensions or 0) > 0
    ]


def model_number(tables: sqlite3.Connection, rows: RowFormat) -> int | None:
    """Return a model's number; None if nothing of it is stored."""
    record = tables.execute("SELECT id FROM models WHERE identity = ?", (rows.identity,)).fetchone()
    return record[0] if record is not None and isinstance(record[0], int) else None


def entries(tables: sqlite3.Connection, rows: RowFormat, keys: Iterable[bytes]) -> list[tuple[bytes, Any, Any]]:
    """List (key, pack, place) of the keys that have an entry."""
    model = model_number(tables, rows)
    listed: list[tuple[bytes, Any, Any]] = []
    for some in batched(keys if model is not None else (), _KEYS_AT_ONCE):
        wanted = set(some)
        records = tables.execute(
            f"SELECT text, pack, place FROM entries WHERE model = ? AND text IN ({_marks(some)})", (model, *some)
        )
        listed += [record for record in records if record[0] in wanted]  # a damaged tree may return other keys
    return listed


def look_up(
    tables: sqlite3.Connection, rows: RowFormat, keys: Iterable[bytes]
) -> tuple[dict[bytes, Vector], list[bytes], list[int]]:
    """Read the vectors of keys.

    Returns:
        vectors by key; keys whose entry leads to no sound row; packs whose use is to be recorded.
    """
    by_pack: dict[Any, list[tuple[bytes, Any]]] = {}
    for key, pack, place in entries(tables, rows, keys):
        by_pack.setdefault(pack, []).append((key, place))
    vectors: dict[bytes, Vector] = {}
    stale = []
    before = int(time.time()) - _USE_INTERVAL
    for some in batched(by_pack, _PACKS_AT_ONCE):
        for pack, used, content in tables.execute(
            "SELECT id, CAST(used AS INTEGER), content FROM packs JOIN contents USING (id) "
            f"WHERE id IN ({_marks(some)})",
            some,
        ):
            for key, place in by_pack.get(pack, ()):
                if (vector := rows.vector(content, place, key)) is not None:
                    vectors[key] = vector
            if (used or 0) < before:
                stale.append(pack)
    return vectors, [key for pack in by_pack.values() for key, _ in pack if key not in vectors], stale


def record_use(tables: sqlite3.Connection, packs: Iterable[int], hits: Counter[bytes]) -> None:
    """Write the use of packs and the hits of models.

    Args:
        packs: used now.
        hits: by model identity; cleared.
    """
    now = int(time.time())
    tables.executemany("UPDATE packs SET used = ? WHERE id = ?", [(now, pack) for pack in packs])
    counts = [(count, identity) for identity, count in hits.items()]
    tables.executemany("UPDATE models SET hits = hits + ? WHERE identity = ?", counts)
    hits.clear()


def add(
    tables: sqlite3.Connection,
    model: tuple[RowFormat, str, str],
    keys: Sequence[bytes],
    vectors: npt.NDArray[Any],
) -> int:
    """Add the rows that have no entry yet; return how many.

    Args:
        model: the layout of its rows, its name and its description.
        vectors: `[n, dimensions] float32`.
    """
    rows, name, described = model
    tables.execute(
        "INSERT OR IGNORE INTO models (identity, dimensions, name, described) VALUES (?, ?, ?, ?)",
        (rows.identity, rows.dimensions, name, described),
    )
    number = model_number(tables, rows)
    if number is None:
        raise sqlite3.IntegrityError("the record of a new model cannot be found")
    stored = {key for key, _, _ in entries(tables, rows, keys)}
    new = [at for at, key in enumerate(keys) if key not in stored]
    now = int(time.time())
    for pack_keys, content in rows.packs([keys[at] for at in new], vectors[new]):
        pack = tables.execute(
            "INSERT INTO packs (model, used, bytes) VALUES (?, ?, ?)", (number, now, len(content))
        ).lastrowid
        tables.execute("INSERT INTO contents (id, content) VALUES (?, ?)", (pack, content))
        tables.executemany(
            "INSERT INTO entries (model, text, pack, place) VALUES (?, ?, ?, ?)",
            [(number, key, pack, place) for place, key in enumerate(pack_keys)],
        )
    return len(new)


def forget(tables: sqlite3.Connection, rows: RowFormat, keys: Sequence[bytes]) -> int:
    """Remove entries of one model and overwrite their rows; return the count."""
    model = model_number(tables, rows)
    packs = {pack for _, pack, _ in entries(tables, rows, keys)}
    removed = 0 if model is None else remove_entries(tables, model, keys)
    for pack in packs:
        for (content,) in tables.execute("SELECT content FROM contents WHERE id = ?", (pack,)).fetchall():
            remaining = rows.without(content, set(keys))
            if any(remaining):
                tables.execute("UPDATE contents SET content = ? WHERE id = ?", (remaining, pack))
            else:
                remove_packs(tables, [pack])
    return removed


def remove_packs(tables: sqlite3.Connection, packs: Iterable[int]) -> int:
    """Remove packs with their entries; return the count of entries."""
    removed = 0
    formats = {model.number: model.rows for model in models(tables)}
    for pack in packs:
        for number, content in tables.execute(
            "SELECT model, content FROM packs JOIN contents USING (id) WHERE id = ?", (pack,)
        ).fetchall():
            if number in formats:
                keys = [key for _, key in formats[number].keys(content)]
                removed += remove_entries(tables, number, keys, pack=pack)
        tables.execute("DELETE FROM packs WHERE id = ?", (pack,))
        tables.execute("DELETE FROM contents WHERE id = ?", (pack,))
    return removed


def remove_entries(tables: sqlite3.Connection, model: int, keys: Iterable[bytes], *, pack: int | None = None) -> int:
    """Remove entries of a model and return the count.

    Args:
        pack: remove only entries that lead to it; None = all.
    """
    return tables.executemany(
        "DELETE FROM entries WHERE model = ?1 AND text = ?2 AND (?3 IS NULL OR pack = ?3)",
        [(model, key, pack) for key in keys],
    ).rowcount


def make_room(tables: sqlite3.Connection, max_bytes: int) -> None:
    """Remove the least recently used packs above the size limit."""
    excess = bytes_in_use(tables) - max_bytes
    if excess > 0:
        remove_packs(tables, least_used(tables, excess + int(_SPARE * max_bytes)))


def least_used(tables: sqlite3.Connection, size: int) -> list[int]:
    """List the least recently used packs that hold `size` bytes."""
    packs = []
    page = _pragma(tables, "page_size")
    for pack, held in tables.execute("SELECT id, CAST(bytes AS INTEGER) FROM packs ORDER BY used, id"):
        if size <= 0:
            break
        packs.append(pack)
        size -= max(page, held or 0)
    return packs


def bytes_in_use(tables: sqlite3.Connection) -> int:
    """Return the bytes of all pages that are not free."""
    return _pragma(tables, "page_size") * (_pragma(tables, "page_count") - _pragma(tables, "freelist_count"))


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield items in lists of at most `size`."""
    remaining = iter(items)
    while some := list(islice(remaining, size)):
        yield some


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _pragma(tables: sqlite3.Connection, name: str) -> int:
    (value,) = tables.execute(f"PRAGMA {name}").fetchone()
    return int(value)

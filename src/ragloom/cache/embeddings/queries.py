"""What is read from and written to the tables, each inside a transaction of the caller's. Knows no policy of failure.

Numbers are cast when they are read: a damaged page can hold anything in any column.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy.typing as npt

from ragloom.cache.embeddings.row_format import Layout, Vector

Item = TypeVar("Item")

_ASKED = 500  # keys in one statement: some builds of SQLite take no more than 999
_PACKS = 64  # packs read at once: 4 MB
_REFRESHED = 3600  # seconds after which a use is noted anew: most hits write nothing
_SPARE = 0.02  # of the largest size is made free at once, so that not every write has to remove something


@dataclass(frozen=True)
class Model:
    """A model as the tables have it.

    Attributes:
        number: in the tables.
        name, described: for people; what made the vectors, as JSON.
        hits: counted so far.
    """

    number: int
    layout: Layout
    name: str
    described: str
    hits: int


def models(tables: sqlite3.Connection) -> list[Model]:
    """Reads the models; a damaged one is left out."""
    found = tables.execute(
        "SELECT id, identity, CAST(dimensions AS INTEGER), CAST(name AS TEXT), CAST(described AS TEXT), "
        "CAST(hits AS INTEGER) FROM models WHERE typeof(identity) = 'blob' AND length(identity) = 32 ORDER BY id"
    )
    return [
        Model(number, Layout(identity, dimensions), name, described, hits or 0)
        for number, identity, dimensions, name, described, hits in found
        if (dimensions or 0) > 0
    ]


def number_of(tables: sqlite3.Connection, layout: Layout) -> int | None:
    """Finds a model's number; None when nothing of it is there."""
    row = tables.execute("SELECT id FROM models WHERE identity = ?", (layout.identity,)).fetchone()
    return row[0] if row is not None and isinstance(row[0], int) else None


def places(tables: sqlite3.Connection, model: int, keys: Iterable[bytes]) -> list[tuple[bytes, Any, Any]]:
    """Lists (key, pack, place) of the keys that are there."""
    found: list[tuple[bytes, Any, Any]] = []
    for some in batched(keys, _ASKED):
        asked = set(some)
        rows = tables.execute(
            f"SELECT text, pack, place FROM entries WHERE model = ? AND text IN ({_marks(some)})", (model, *some)
        )
        found += [row for row in rows if row[0] in asked]  # a damaged tree can hand out what was not asked for
    return found


def read(
    tables: sqlite3.Connection, layout: Layout, at: Sequence[tuple[bytes, Any, Any]]
) -> tuple[dict[bytes, Vector], list[int]]:
    """Reads rows by (key, pack, place).

    Returns:
        vectors of the rows that are proven, by key; the packs whose use is to be noted.
    """
    by_pack: dict[Any, list[tuple[bytes, Any]]] = {}
    for key, pack, place in at:
        by_pack.setdefault(pack, []).append((key, place))
    proven: dict[bytes, Vector] = {}
    stale = []
    before = int(time.time()) - _REFRESHED
    for some in batched(by_pack, _PACKS):
        for pack, used, content in tables.execute(
            "SELECT id, CAST(used AS INTEGER), content FROM packs JOIN contents USING (id) "
            f"WHERE id IN ({_marks(some)})",
            some,
        ):
            for key, place in by_pack.get(pack, ()):
                if (vector := layout.row(content, place, key)) is not None:
                    proven[key] = vector
            if (used or 0) < before:
                stale.append(pack)
    return proven, stale


def note_use(tables: sqlite3.Connection, packs: Iterable[int]) -> None:
    """Writes that packs were used now."""
    now = int(time.time())
    tables.executemany("UPDATE packs SET used = ? WHERE id = ?", [(now, pack) for pack in packs])


def note_hits(tables: sqlite3.Connection, hits: Mapping[bytes, int]) -> None:
    """Adds hits to those of their models, by identity."""
    tables.executemany(
        "UPDATE models SET hits = hits + ? WHERE identity = ?", [(count, name) for name, count in hits.items()]
    )


def add(
    tables: sqlite3.Connection,
    layout: Layout,
    keys: Sequence[bytes],
    vectors: npt.NDArray[Any],
    *,
    name: str,
    described: str,
    used: int | None = None,
) -> int:
    """Adds the rows that are not there yet; returns how many.

    Args:
        vectors: `[n, dimensions] float32`.
        used: when, in seconds since 1970; None = now.
    """
    tables.execute(
        "INSERT OR IGNORE INTO models (identity, dimensions, name, described) VALUES (?, ?, ?, ?)",
        (layout.identity, layout.dimensions, name, described),
    )
    model = number_of(tables, layout)
    if model is None:
        raise sqlite3.IntegrityError("a model that was just written is not there")
    there = {key for key, _, _ in places(tables, model, keys)}
    new = [at for at, key in enumerate(keys) if key not in there]
    used = int(time.time()) if used is None else used
    for pack_keys, content in layout.packs([keys[at] for at in new], vectors[new]):
        pack = tables.execute(
            "INSERT INTO packs (model, used, bytes) VALUES (?, ?, ?)", (model, used, len(content))
        ).lastrowid
        tables.execute("INSERT INTO contents (id, content) VALUES (?, ?)", (pack, content))
        tables.executemany(
            "INSERT INTO entries (model, text, pack, place) VALUES (?, ?, ?, ?)",
            [(model, key, pack, place) for place, key in enumerate(pack_keys)],
        )
    return len(new)


def forget(tables: sqlite3.Connection, keys: Sequence[bytes]) -> int:
    """Removes the entries of keys, of all models, and overwrites their rows; returns the entries removed."""
    return sum(forget_of(tables, model.number, model.layout, keys) for model in models(tables))


def forget_of(tables: sqlite3.Connection, model: int, layout: Layout, keys: Sequence[bytes]) -> int:
    """Removes the entries of keys, of one model, and overwrites their rows; returns the entries removed."""
    at: dict[Any, list[Any]] = {}
    for _, pack, place in places(tables, model, keys):
        at.setdefault(pack, []).append(place)
    removed = remove_entries(tables, model, keys)
    for pack, here in at.items():
        for (content,) in tables.execute("SELECT content FROM contents WHERE id = ?", (pack,)).fetchall():
            left = layout.without(content, here, set(keys))
            if any(layout.keys(left)):
                tables.execute("UPDATE contents SET content = ? WHERE id = ?", (left, pack))
            else:
                remove_packs(tables, [pack])
    return removed


def remove_packs(tables: sqlite3.Connection, packs: Iterable[int]) -> int:
    """Removes packs with their entries; returns the entries removed."""
    removed = 0
    layouts = {model.number: model.layout for model in models(tables)}
    for pack in packs:
        for number, content in tables.execute(
            "SELECT model, content FROM packs JOIN contents USING (id) WHERE id = ?", (pack,)
        ).fetchall():
            if number in layouts:
                keys = [key for _, key in layouts[number].keys(content)]
                removed += remove_entries(tables, number, keys, pack=pack)
        tables.execute("DELETE FROM packs WHERE id = ?", (pack,))
        tables.execute("DELETE FROM contents WHERE id = ?", (pack,))
    return removed


def remove_entries(tables: sqlite3.Connection, model: int, keys: Iterable[bytes], *, pack: int | None = None) -> int:
    """Removes entries of a model, only those that lead to `pack` where it is given; returns how many."""
    here, last = ("", ()) if pack is None else (" AND pack = ?", (pack,))
    return tables.executemany(
        f"DELETE FROM entries WHERE model = ? AND text = ?{here}", [(model, key, *last) for key in keys]
    ).rowcount


def make_room(tables: sqlite3.Connection, max_bytes: int) -> None:
    """Removes the least recently used packs when more than `max_bytes` are in use, and some more for what comes."""
    excess = bytes_in_use(tables) - max_bytes
    if excess > 0:
        remove_packs(tables, least_used(tables, excess + int(_SPARE * max_bytes)))


def least_used(tables: sqlite3.Connection, size: int) -> list[int]:
    """Lists the least recently used packs that together hold `size` bytes; all where there are no more."""
    found = []
    page = _pragma(tables, "page_size")
    for pack, held in tables.execute("SELECT id, CAST(bytes AS INTEGER) FROM packs ORDER BY used, id"):
        if size <= 0:
            break
        found.append(pack)
        size -= max(page, held or 0)
    return found


def bytes_in_use(tables: sqlite3.Connection) -> int:
    """Counts the bytes of all pages that are not free."""
    return _pragma(tables, "page_size") * (_pragma(tables, "page_count") - _pragma(tables, "freelist_count"))


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yields items in lists of `size` at most."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _pragma(tables: sqlite3.Connection, name: str) -> int:
    (value,) = tables.execute(f"PRAGMA {name}").fetchone()
    return int(value)

"""Recovery of entries from a damaged file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from ragloom.cache.embeddings import cache_tables
from ragloom.cache.embeddings.cache_file import DAMAGED_NAME
from ragloom.cache.embeddings.cache_tables import CachedModel
from ragloom.cache.embeddings.embedding_cache import EmbeddingCache
from ragloom.core.sqlite_connections import FAILURES, connect_damaged

_MOST_PACKS = 10_000_000  # 640 GB: a damaged number is not counted up to


def recover(cache: EmbeddingCache) -> tuple[int, int]:
    """Copy all sound rows from the file set aside, and delete it.

    Returns:
        rows copied; rows that are damaged, each unreadable pack counting as one.

    Raises:
        CacheDamaged, CacheUnavailable: the cache's own file failed; the one that was set aside is still there.
    """
    aside = cache.database.folder / DAMAGED_NAME
    if not aside.exists():
        return 0, 0
    copied = lost = 0
    with closing(connect_damaged(aside)) as damaged:
        models: list[CachedModel] = []
        with suppress(*FAILURES):  # without a model no row can be checked, and each pack counts as lost
            models = cache_tables.models(damaged)
        for number in range(1, _last_pack(damaged) + 1):
            try:
                contents = damaged.execute("SELECT content FROM contents WHERE id = ?", (number,)).fetchall()
            except FAILURES:
                contents = [(None,)]
            for (content,) in contents:
                added, wrong = _copy(cache, models, content)
                copied, lost = copied + added, lost + wrong
    for path in (aside, Path(f"{aside}-wal"), Path(f"{aside}-shm")):
        path.unlink(missing_ok=True)
    return copied, lost


def _last_pack(damaged: sqlite3.Connection) -> int:
    """Return the last pack's number; 0 if no table can be read."""
    for table in ("contents", "packs"):
        with suppress(*FAILURES):  # the other table may say it
            (last,) = damaged.execute(f"SELECT CAST(max(rowid) AS INTEGER) FROM {table}").fetchone()
            if last is not None:
                return min(int(last), _MOST_PACKS)
    return 0


def _copy(cache: EmbeddingCache, models: Sequence[CachedModel], content: object) -> tuple[int, int]:
    """Add a pack's sound rows to their model; return added, damaged."""
    for model in models:
        rows = [(key, vector) for _, key, vector in model.rows.rows(content)]
        sound = {key: vector for key, vector in rows if vector is not None}
        if sound:
            with cache.database.transaction(write=True) as tables:
                named = (model.rows, model.name, model.described)
                added = cache_tables.add(tables, named, list(sound), np.stack(list(sound.values())))
                cache_tables.make_room(tables, cache.max_bytes)
            return added, len(rows) - len(sound)
    return 0, 1

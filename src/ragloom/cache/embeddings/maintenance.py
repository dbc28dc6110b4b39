"""Maintenance of a cache: report, verify, prune, and forget texts."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from ragloom.cache.embeddings import cache_tables
from ragloom.cache.embeddings.cache_file import DAMAGED_NAME, CacheDamaged, CacheUnavailable
from ragloom.cache.embeddings.cache_tables import CachedModel
from ragloom.cache.embeddings.embedding_cache import EmbeddingCache
from ragloom.cache.embeddings.recovery import recover
from ragloom.core.suggested_commands import program
from ragloom.errors import DataError, ServiceError, nearest

_SLICE = 512  # packs, or keys, handled in one transaction: others wait for a moment only
_LATEST = 1 << 37  # seconds since 1970: beyond it a time is damaged
_FREED = 4096  # free pages given back to the file system at once


@dataclass(frozen=True)
class ModelReport:
    """Contents of one model's part.

    Attributes:
        id: the first 12 hexadecimal digits of its identity.
        name: as the embedding names it.
        made_by: all that decides its vectors.
        bytes: of its vectors, with their keys and checksums.
        hits: vectors that were not computed again, since the file was begun.
        last_used: to the hour; None = never.
    """

    id: str
    name: str
    made_by: dict[str, Any]
    dimensions: int
    entries: int
    bytes: int
    hits: int
    last_used: datetime | None


@dataclass(frozen=True)
class CacheReport:
    """Contents of a cache.

    Attributes:
        bytes: of the file and its log.
        set_aside_bytes: of a damaged file from which `verify` can recover entries; 0 without one.
    """

    path: str
    bytes: int = 0
    max_bytes: int = 0
    set_aside_bytes: int = 0
    models: list[ModelReport] = field(default_factory=list)

    @property
    def entries(self) -> int:
        """The cached vectors."""
        return sum(model.entries for model in self.models)

    @property
    def hits(self) -> int:
        """Vectors that were not computed again."""
        return sum(model.hits for model in self.models)


@dataclass(frozen=True)
class CacheVerification:
    """Result of a verification.

    Attributes:
        entries: that are right, recovered ones included.
        damaged: that were removed; a part of the file that cannot be read counts as one.
        taken_back: recovered from a damaged file that was set aside.
    """

    entries: int = 0
    damaged: int = 0
    taken_back: int = 0


@dataclass(frozen=True)
class PruneResult:
    """Entries removed, and bytes by which the file became smaller."""

    entries: int
    bytes: int


def report(cache: EmbeddingCache) -> CacheReport:
    """Count the entries, by model.

    Raises:
        ServiceError: the file cannot be read now, or is damaged.
    """
    with _explained(cache), cache.database.transaction(write=False) as tables:
        models = [_model_report(tables, model) for model in cache_tables.models(tables)]
    return CacheReport(
        path=str(cache.database.folder),
        bytes=_size(cache.database.path),
        max_bytes=cache.max_bytes,
        set_aside_bytes=_size(cache.database.folder / DAMAGED_NAME),
        models=[model for model in models if model.entries],
    )


def verify(cache: EmbeddingCache) -> CacheVerification:
    """Check every entry, remove damaged ones, and recover others.

    Entries are recovered from a damaged file: an earlier one that was set aside, or this one.

    Raises:
        ServiceError: the file cannot be read or written now.
    """
    with _explained(cache):
        try:
            with cache.database.connection() as tables:
                if tables.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
                    raise sqlite3.DatabaseError("the file's structure")  # by which it is set aside
            entries, damaged = _check_entries(cache)
        except CacheDamaged:
            entries = damaged = 0
        recovered, lost = recover(cache)
    cache.database.was_set_aside()  # reported here, so no later look-up counts it
    return CacheVerification(entries + recovered, damaged + lost, recovered)


def prune(
    cache: EmbeddingCache,
    *,
    max_bytes: int | None = None,
    unused_seconds: float | None = None,
    model: str | None = None,
) -> PruneResult:
    """Remove entries and give their space back to the file system.

    Args:
        max_bytes: size to leave, removing the least recently used entries first; 0 removes all.
        unused_seconds: remove entries that were not used for as long.
        model: remove one model's entries, by id, beginning of an id, or name; with `unused_seconds` only unused ones.

    Raises:
        DataError: no model has this id or name.
        ServiceError: the file cannot be written now, or is damaged.
    """
    removed, before = 0, _size(cache.database.path)
    with _explained(cache):
        if model is not None or unused_seconds is not None:
            with cache.database.transaction(write=False) as tables:
                packs = _selected(tables, model, unused_seconds)
            for some in cache_tables.batched(packs, _SLICE):
                with cache.database.transaction(write=True) as tables:
                    removed += cache_tables.remove_packs(tables, some)
        while max_bytes is not None:
            with cache.database.transaction(write=True) as tables:
                packs = cache_tables.least_used(tables, cache_tables.bytes_in_use(tables) - max_bytes)[:_SLICE]
                removed += cache_tables.remove_packs(tables, packs)
            if not packs:
                break
        _shrink_file(cache)
    return PruneResult(removed, max(0, before - _size(cache.database.path)))


def forget(cache: EmbeddingCache, texts: Iterable[str]) -> int:
    """Remove the vectors of texts and overwrite them on disk.

    Args:
        texts: SHA-256 of each text as it was sent, 64 hexadecimal digits: as a store keeps it with each chunk.

    Returns:
        the vectors removed.

    Raises:
        ServiceError: the file cannot be written now; some of the texts are still there.
    """
    removed = 0
    with _explained(cache):
        recover(cache)  # what was set aside is not searched
        for keys in cache_tables.batched((bytes.fromhex(text) for text in texts), _SLICE):
            with cache.database.transaction(write=True) as tables:
                removed += sum(cache_tables.forget(tables, model.rows, keys) for model in cache_tables.models(tables))
        if removed:
            _empty_log(cache)  # it holds older states of what was overwritten
    return removed


def _model_report(tables: sqlite3.Connection, model: CachedModel) -> ModelReport:
    (entries,) = tables.execute("SELECT count(*) FROM entries WHERE model = ?", (model.number,)).fetchone()
    (used,) = tables.execute("SELECT max(CAST(used AS INTEGER)) FROM packs WHERE model = ?", (model.number,)).fetchone()
    return ModelReport(
        id=_id(model),
        name=model.name,
        made_by=_description(model),
        dimensions=model.rows.dimensions,
        entries=entries,
        bytes=entries * model.rows.size,
        hits=model.hits,
        last_used=datetime.fromtimestamp(used, UTC) if used and 0 < used < _LATEST else None,
    )


def _description(model: CachedModel) -> dict[str, Any]:
    try:
        described = json.loads(model.described)
    except ValueError:
        described = None  # it is for people only: the identity, which is not damaged, decides
    return described if isinstance(described, dict) else {"damaged": model.described}


def _id(model: CachedModel) -> str:
    return model.rows.identity.hex()[:12]


def _check_entries(cache: EmbeddingCache) -> tuple[int, int]:
    """Remove the entries without a sound row; return sound, removed."""
    with cache.database.transaction(write=False) as tables:
        models = {model.number: model.rows for model in cache_tables.models(tables)}
        tables.execute("CREATE TEMP TABLE sound (model, text, PRIMARY KEY (model, text)) WITHOUT ROWID")
        for number, pack, content in tables.execute("SELECT model, id, content FROM packs JOIN contents USING (id)"):
            rows = models[number].rows(content) if number in models else ()
            tables.executemany(
                "INSERT INTO sound SELECT model, text FROM entries WHERE (model, text, pack, place) = (?, ?, ?, ?)",
                [(number, key, pack, place) for place, key, vector in rows if vector is not None],
            )
        (entries,) = tables.execute("SELECT count(*) FROM sound").fetchone()
        wrong = tables.execute("SELECT model, text FROM entries EXCEPT SELECT model, text FROM sound").fetchall()
        tables.execute("DROP TABLE sound")
    damaged = 0
    for number, group in groupby(wrong, key=lambda record: record[0]):
        for keys in cache_tables.batched((text for _, text in group), _SLICE):
            with cache.database.transaction(write=True) as tables:
                damaged += (
                    cache_tables.forget(tables, models[number], keys)
                    if number in models
                    else cache_tables.remove_entries(tables, number, keys)
                )
    return entries, damaged


def _selected(tables: sqlite3.Connection, model: str | None, unused_seconds: float | None) -> list[int]:
    """List the packs to be removed."""
    models = cache_tables.models(tables)
    chosen = {item.number for item in models if model == item.name or (model and _id(item).startswith(model))}
    if model is not None and not chosen:
        known = [name for item in models for name in (_id(item), item.name)]
        raise DataError(f"cache: --model={model} must be the id or name of a model in the cache{nearest(model, known)}")
    before = math.inf if unused_seconds is None else time.time() - unused_seconds
    packs = tables.execute(
        "SELECT id, model FROM packs WHERE coalesce(CAST(used AS INTEGER), 0) < ? ORDER BY id", (before,)
    )
    return [pack for pack, number in packs if model is None or number in chosen]


def _shrink_file(cache: EmbeddingCache) -> None:
    with cache.database.connection() as tables:
        free, before = 1, 0
        while free and free != before:
            before = free
            tables.execute(f"PRAGMA incremental_vacuum({_FREED})").fetchall()
            (free,) = tables.execute("PRAGMA freelist_count").fetchone()
    _empty_log(cache)


def _empty_log(cache: EmbeddingCache) -> None:
    with cache.database.connection() as tables:
        tables.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _size(path: Path) -> int:
    """Return the bytes of a database's files; 0 if they are missing."""
    return sum(file.stat().st_size for file in (path, Path(f"{path}-wal")) if file.exists())


@contextmanager
def _explained(cache: EmbeddingCache) -> Iterator[None]:
    try:
        yield
    except CacheDamaged as error:
        raise ServiceError(
            f"cache: {cache.database.path} was damaged ({error}) and set aside; run {program('cache')} verify, which "
            "recovers what can be read"
        ) from None
    except CacheUnavailable as error:
        raise ServiceError(
            f"cache: {cache.database.path} cannot be read or written now ({error}); see which program holds it and "
            "whether the disk is full, then try again"
        ) from None

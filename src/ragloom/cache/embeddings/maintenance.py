"""What a person does with a cache: look at it, verify it, prune it, have texts forgotten. Knows no embedding."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ragloom.cache.embeddings import queries as stored
from ragloom.cache.embeddings.database import DAMAGED_NAME, Damaged, Unavailable
from ragloom.cache.embeddings.embedding_cache import VectorCache
from ragloom.cache.embeddings.queries import Model
from ragloom.cache.embeddings.recovery import taken_back
from ragloom.core.suggested_commands import program
from ragloom.errors import DataError, ServiceError, nearest

_SLICE = 512  # packs, or keys, handled in one transaction: others wait for a moment only
_LATEST = 1 << 37  # seconds since 1970: beyond it a time is damaged
_FREED = 4096  # free pages given back to the file system at once


@dataclass(frozen=True)
class ModelReport:
    """What is kept of one model.

    Attributes:
        id: the first 12 hexadecimal digits of its identity.
        name: as the embedding names it.
        made_by: all that decides its vectors.
        bytes: of its vectors, with their keys and checksums.
        hits: vectors that were not made again, since the file was begun.
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
class Report:
    """What a cache holds.

    Attributes:
        bytes: of the file and its log.
        set_aside_bytes: of a damaged file from which `verify` takes back what it can; 0 = there is none.
    """

    path: str
    bytes: int = 0
    max_bytes: int = 0
    set_aside_bytes: int = 0
    models: list[ModelReport] = field(default_factory=list)

    @property
    def entries(self) -> int:
        """The vectors kept."""
        return sum(model.entries for model in self.models)

    @property
    def hits(self) -> int:
        """Vectors that were not made again."""
        return sum(model.hits for model in self.models)


@dataclass
class Verified:
    """What a verification found.

    Attributes:
        entries: that are right, those that were taken back included.
        damaged: that were not, and were removed (a part of the file that cannot be read at all counts as one).
        taken_back: from a damaged file that was set aside.
    """

    entries: int = 0
    damaged: int = 0
    taken_back: int = 0


@dataclass(frozen=True)
class Pruned:
    """What was removed, and the bytes by which the file became smaller."""

    entries: int
    bytes: int


def report(cache: VectorCache) -> Report:
    """Counts what is there, by model.

    Raises:
        ServiceError: the file cannot be read now, or is damaged.
    """
    with _explained(cache), cache.file.transaction(write=False) as tables:
        models = [_model_report(tables, model) for model in stored.models(tables)]
    return Report(
        path=str(cache.file.folder),
        bytes=_size(cache.file.path),
        max_bytes=cache.max_bytes,
        set_aside_bytes=_size(cache.file.folder / DAMAGED_NAME),
        models=[model for model in models if model.entries],
    )


def verify(cache: VectorCache) -> Verified:
    """Checks every entry, removes those that are damaged, and takes back what a damaged file still holds.

    Raises:
        ServiceError: the file cannot be read or written now.
    """
    result = Verified()
    with _explained(cache):
        try:
            with cache.file.plain() as tables:
                if tables.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
                    raise sqlite3.DatabaseError("the file's structure")  # by which it is set aside
            _check_packs(cache, result)
            _check_entries(cache, result)
        except Damaged:
            result = Verified()
        back, lost = taken_back(cache)
    cache.file.lost()  # it is told here
    return Verified(result.entries + back, result.damaged + lost, back)


def prune(
    cache: VectorCache,
    *,
    max_bytes: int | None = None,
    unused_seconds: float | None = None,
    model: str | None = None,
) -> Pruned:
    """Removes vectors and gives their room back to the file system.

    Args:
        max_bytes: leave at most as much, removing the least recently used first; 0 = nothing.
        unused_seconds: remove what was not used for as long.
        model: remove one model's, by id, beginning of an id, or name; with `unused_seconds` only its unused ones.

    Raises:
        DataError: there is no such model.
        ServiceError: the file cannot be written now, or is damaged.
    """
    removed, before = 0, _size(cache.file.path)
    with _explained(cache):
        if model is not None or unused_seconds is not None:
            with cache.file.transaction(write=False) as tables:
                packs = _selected(tables, model, unused_seconds)
            for some in stored.batched(packs, _SLICE):
                with cache.file.transaction(write=True) as tables:
                    removed += stored.remove_packs(tables, some)
        while max_bytes is not None:
            with cache.file.transaction(write=True) as tables:
                packs = stored.least_used(tables, stored.bytes_in_use(tables) - max_bytes)[:_SLICE]
                removed += stored.remove_packs(tables, packs)
            if not packs:
                break
        _give_back(cache)
    return Pruned(removed, max(0, before - _size(cache.file.path)))


def forget(cache: VectorCache, texts: Iterable[str]) -> int:
    """Removes the vectors of texts, whichever model made them, and overwrites them in the file.

    Args:
        texts: SHA-256 of each text as it was sent, 64 hexadecimal digits: what a store keeps beside its chunks.

    Returns:
        the vectors removed.

    Raises:
        ServiceError: the file cannot be written now; texts that were not forgotten are still there.
    """
    keys = [bytes.fromhex(text) for text in texts]
    removed = 0
    with _explained(cache):
        taken_back(cache)  # what was set aside is not searched
        for some in stored.batched(keys, _SLICE):
            with cache.file.transaction(write=True) as tables:
                removed += stored.forget(tables, some)
        if removed:
            _empty_log(cache)  # it holds older states of what was overwritten
    return removed


def _model_report(tables: sqlite3.Connection, model: Model) -> ModelReport:
    (entries,) = tables.execute("SELECT count(*) FROM entries WHERE model = ?", (model.number,)).fetchone()
    (used,) = tables.execute("SELECT max(CAST(used AS INTEGER)) FROM packs WHERE model = ?", (model.number,)).fetchone()
    return ModelReport(
        id=_id(model),
        name=model.name,
        made_by=_made_by(model),
        dimensions=model.layout.dimensions,
        entries=entries,
        bytes=entries * model.layout.size,
        hits=model.hits,
        last_used=datetime.fromtimestamp(used, UTC) if used and 0 < used < _LATEST else None,
    )


def _made_by(model: Model) -> dict[str, Any]:
    try:
        told = json.loads(model.described)
    except ValueError:
        told = None  # it is for people only: the identity, which is not damaged, decides
    return told if isinstance(told, dict) else {"damaged": model.described}


def _id(model: Model) -> str:
    return model.layout.identity.hex()[:12]


def _check_packs(cache: VectorCache, result: Verified) -> None:
    """Checks every row of every pack that an entry names."""
    last = -1
    while True:
        with cache.file.transaction(write=False) as tables:
            packs = tables.execute(
                "SELECT id, model, content FROM packs JOIN contents USING (id) WHERE id > ? ORDER BY id LIMIT 64",
                (last,),
            ).fetchall()
            models = {model.number: model for model in stored.models(tables)}
            wrong: dict[int, list[bytes]] = {}
            for pack, number, content in packs:
                if number in models:
                    layout = models[number].layout
                    keys = [key for _, key in layout.keys(content)]
                    here = [place for place in stored.places(tables, number, keys) if place[1] == pack]
                    bad = [key for key, _, place in here if layout.row(content, place, key) is None]
                    result.entries += len(here) - len(bad)
                    wrong.setdefault(number, []).extend(bad)
        if not packs:
            return
        last = packs[-1][0]
        with cache.file.transaction(write=True) as tables:
            for number, keys in wrong.items():
                result.damaged += stored.forget_of(tables, number, models[number].layout, keys)


def _check_entries(cache: VectorCache, result: Verified) -> None:
    """Removes entries that lead to no row of theirs; looks for them only when there are more entries than rows."""
    with cache.file.transaction(write=False) as tables:
        (there,) = tables.execute("SELECT count(*) FROM entries").fetchone()
        if there <= result.entries:
            return
        models = {model.number: model for model in stored.models(tables)}
        wrong: dict[Any, list[bytes]] = {}
        for some in stored.batched(tables.execute("SELECT model, text, pack, place FROM entries"), _SLICE):
            by_model: dict[Any, list[tuple[bytes, Any, Any]]] = {}
            for number, key, pack, place in some:
                by_model.setdefault(number, []).append((key, pack, place))
            for number, here in by_model.items():
                proven = stored.read(tables, models[number].layout, here)[0] if number in models else {}
                wrong.setdefault(number, []).extend(key for key, _, _ in here if key not in proven)
    with cache.file.transaction(write=True) as tables:
        for number, keys in wrong.items():
            result.damaged += stored.remove_entries(tables, number, keys)


def _selected(tables: sqlite3.Connection, model: str | None, unused_seconds: float | None) -> list[int]:
    """Lists the packs that are to be removed."""
    chosen = None
    if model is not None:
        models = stored.models(tables)
        chosen = [item.number for item in models if model == item.name or (model and _id(item).startswith(model))]
        if not chosen:
            known = [name for item in models for name in (_id(item), item.name)]
            raise DataError(
                f"cache: --model={model} must be the id or name of a model in the cache{nearest(model, known)}"
            )
    before = time.time() - (unused_seconds or 0)
    rows = tables.execute("SELECT id, model, CAST(used AS INTEGER) FROM packs ORDER BY id")
    return [
        pack
        for pack, number, used in rows
        if (chosen is None or number in chosen) and (unused_seconds is None or (used or 0) < before)
    ]


def _give_back(cache: VectorCache) -> None:
    """Makes the file as small as what it holds."""
    with cache.file.plain() as tables:
        free, before = 1, 0
        while free and free != before:
            before = free
            tables.execute(f"PRAGMA incremental_vacuum({_FREED})").fetchall()
            (free,) = tables.execute("PRAGMA freelist_count").fetchone()
    _empty_log(cache)


def _empty_log(cache: VectorCache) -> None:
    with cache.file.plain() as tables:
        tables.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _size(path: Path) -> int:
    """Bytes of a database's files; 0 when there is none."""
    return sum(file.stat().st_size for file in (path, Path(f"{path}-wal")) if file.exists())


@contextmanager
def _explained(cache: VectorCache) -> Iterator[None]:
    try:
        yield
    except Damaged as error:
        raise ServiceError(
            f"cache: {cache.file.path} must be a sound SQLite file ({error}); it was set aside: run "
            f"{program('cache')} verify, which takes back what can be read"
        ) from None
    except Unavailable as error:
        raise ServiceError(
            f"cache: {cache.file.path} must be free to be read and written ({error}); see which program holds it and "
            "whether the disk is full, then try again"
        ) from None

"""Finds vectors that were made before and keeps new ones. A failure of the file is never an error, always a count."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ragloom.cache.embeddings.database import CacheFile, Damaged, Unavailable
from ragloom.cache.embeddings.queries import add, forget_of, make_room, note_hits, note_use, number_of, places, read
from ragloom.cache.embeddings.row_format import Layout, Vector, key_of
from ragloom.core.records import canonical_json, sha256


@dataclass
class Found:
    """What a look-up gave.

    Attributes:
        vectors: by text.
        damaged: texts whose entry, or whose whole file, was damaged.
        unavailable: times that the file could not be read or written.
    """

    vectors: dict[str, Vector] = field(default_factory=dict)
    damaged: int = 0
    unavailable: int = 0


class VectorCache:
    """A folder of vectors, shared by all experiments and by several processes.

    Args:
        folder: made when it is not there.
        max_bytes: of the file; beyond it the least recently used vectors are removed.

    Raises:
        ConfigError: the folder cannot be written.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.file = CacheFile(folder)
        self.max_bytes = max_bytes
        self.hits = _Hits()
        weakref.finalize(self, _close, self.file, self.hits)

    def __reduce__(self) -> tuple[Callable[..., VectorCache], tuple[Path, int]]:
        return _opened, (self.file.folder, self.max_bytes)

    def of(self, made_by: Mapping[str, Any], *, dimensions: int, name: str) -> ModelCache:
        """Gives the part of one model.

        Args:
            made_by: all that decides the vector of a text; equal mappings share their vectors.
            dimensions: of each vector.
            name: for people.
        """
        return ModelCache(self, canonical_json(dict(made_by)), dimensions, name)

    def close(self) -> None:
        """Lets go of the file; a later call opens it again."""
        _close(self.file, self.hits)


class ModelCache:
    """The vectors of one model. Safe to be used by several threads; can be sent to another process.

    Attributes:
        made_by: what decides the vectors, as canonical JSON; with the dimensions it is their identity.
    """

    def __init__(self, cache: VectorCache, made_by: str, dimensions: int, name: str) -> None:
        self.cache = cache
        self.made_by, self.name = made_by, name
        self.layout = Layout(bytes.fromhex(sha256(f"{dimensions}:{made_by}")), dimensions)

    def __reduce__(self) -> tuple[type[ModelCache], tuple[VectorCache, str, int, str]]:
        return ModelCache, (self.cache, self.made_by, self.layout.dimensions, self.name)

    def known(self, texts: Sequence[str]) -> list[bool]:
        """Says of each text whether it has an entry; reads no vector and counts nothing."""
        keys = [key_of(text) for text in texts]
        there: set[bytes] = set()
        try:
            with self.cache.file.transaction(write=False) as tables:
                model = number_of(tables, self.layout)
                if model is not None:
                    there = {key for key, _, _ in places(tables, model, keys)}
        except (Damaged, Unavailable):
            there = set()  # the look-up that follows counts it
        return [key in there for key in keys]

    def find(self, texts: Sequence[str]) -> Found:
        """Looks up the vectors of distinct texts: `[dimensions] float32` each, bit by bit as they were kept."""
        found = Found()
        wanted = {key_of(text): text for text in texts}
        try:
            with self.cache.file.transaction(write=False) as tables:
                model = number_of(tables, self.layout)
                at = [] if model is None else places(tables, model, wanted)
                proven, stale = read(tables, self.layout, at)
            found.vectors = {wanted[key]: vector for key, vector in proven.items()}
            wrong = [key for key, _, _ in at if key not in proven]
            found.damaged = len(wrong)
            if proven:
                self.cache.hits.add(self.layout.identity, len(proven))
            if wrong or stale:
                with self.cache.file.transaction(write=True) as tables:
                    if model is not None:
                        forget_of(tables, model, self.layout, wrong)
                    note_use(tables, stale)
                    note_hits(tables, self.cache.hits.taken())
        except Damaged:
            pass  # counted below
        except Unavailable:
            found.unavailable = 1
        if self.cache.file.lost():
            found.damaged = len(texts) - len(found.vectors)
        return found

    def peek(self, texts: Sequence[str]) -> dict[str, Vector]:
        """As `find`, for whoever only wants to know: it counts nothing and notes no use."""
        wanted = {key_of(text): text for text in texts}
        try:
            with self.cache.file.transaction(write=False) as tables:
                model = number_of(tables, self.layout)
                proven, _ = read(tables, self.layout, [] if model is None else places(tables, model, wanted))
        except (Damaged, Unavailable):
            return {}  # the ingest that follows counts it
        return {wanted[key]: vector for key, vector in proven.items()}

    def keep(self, texts: Sequence[str], vectors: npt.NDArray[Any]) -> bool:
        """Keeps the vectors of distinct texts: `[n, dimensions] float32`. They are there when this returns.

        Returns:
            whether they were kept; not when the file could not be written.
        """
        keys = [key_of(text) for text in texts]
        for _ in range(2):  # a damaged file is set aside, and a new one begun
            try:
                with self.cache.file.transaction(write=True) as tables:
                    add(tables, self.layout, keys, vectors, name=self.name, described=self.made_by)
                    note_hits(tables, self.cache.hits.taken())
                    make_room(tables, self.cache.max_bytes)
                return True
            except Damaged:
                continue
            except Unavailable:
                break
        return False


class _Hits:
    """Hits by identity that are not written yet: they are, with the next write or at the end."""

    def __init__(self) -> None:
        self._counts: dict[bytes, int] = {}
        self._changing = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, identity: bytes, count: int) -> None:
        with self._changing:
            self._counts[identity] = self._counts.get(identity, 0) + count

    def taken(self) -> dict[bytes, int]:
        with self._changing:
            counts, self._counts = self._counts, {}
            return counts


def _opened(folder: Path, max_bytes: int) -> VectorCache:
    return VectorCache(folder, max_bytes=max_bytes)


def _close(file: CacheFile, hits: _Hits) -> None:
    if hits and file.is_open():
        try:
            with file.transaction(write=True) as tables:
                note_hits(tables, hits.taken())
        except (Damaged, Unavailable):
            pass  # statistics only; the next look-up counts what is wrong with the file
    file.close()

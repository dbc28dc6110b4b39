"""On-disk cache of embedding vectors; failures are counted, not raised."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ragloom.cache.embeddings import cache_tables
from ragloom.cache.embeddings.cache_file import CacheDamaged, CacheDatabase, CacheUnavailable
from ragloom.cache.embeddings.row_format import RowFormat, Vector, key_of
from ragloom.core.file_systems import network_file_system
from ragloom.core.records import canonical_json, sha256
from ragloom.errors import ConfigError


@dataclass
class CacheLookup:
    """Result of a look-up.

    Attributes:
        vectors: by text.
        damaged: texts whose entry, or whose whole file, was damaged.
        unavailable: times that the file could not be read or written.
    """

    vectors: dict[str, Vector] = field(default_factory=dict)
    damaged: int = 0
    unavailable: int = 0


class EmbeddingCache:
    """Folder of cached vectors, shared by all experiments.

    Safe for several threads and processes; picklable.

    Args:
        folder: created if missing.
        max_bytes: of the file; beyond it the least recently used vectors are removed.

    Attributes:
        hits: by model identity; those that are not written yet, which happens with the next write or at the end.

    Raises:
        ConfigError: the folder cannot be written.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.database = CacheDatabase(folder)
        self.max_bytes = max_bytes
        self.hits: Counter[bytes] = Counter()
        weakref.finalize(self, _close, self.database, self.hits)

    def __reduce__(self) -> tuple[Callable[..., EmbeddingCache], tuple[Path]]:
        return partial(EmbeddingCache, max_bytes=self.max_bytes), (self.database.folder,)

    def for_model(self, described: Mapping[str, Any], *, dimensions: int, name: str) -> ModelCache:
        """Return the part of one model.

        Args:
            described: all that decides the vector of a text; equal mappings share their vectors.
            dimensions: of each vector.
            name: for people.
        """
        return ModelCache(self, canonical_json(dict(described)), dimensions, name)

    def demand_local(self) -> None:
        """Raise ConfigError when the folder is on a network file system.

        SQLite's write-ahead log needs memory that all its processes share: on such a system it damages the file.
        """
        kind = network_file_system(self.database.folder)
        if kind is not None:
            raise ConfigError(
                f"cache: cache.path={self.database.folder} must be on a local disk of the machine that runs this, and "
                f"is on a network file system ({kind}), where SQLite is unsafe; set cache.path to another folder"
            )

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        _close(self.database, self.hits)


class ModelCache:
    """Cached vectors of one model. Safe for several threads; picklable.

    Attributes:
        described: what decides the vectors, as canonical JSON; with the dimensions it is their identity.
    """

    def __init__(self, cache: EmbeddingCache, described: str, dimensions: int, name: str) -> None:
        self.cache = cache
        self.described, self.name = described, name
        self.rows = RowFormat(bytes.fromhex(sha256(f"{dimensions}:{described}")), dimensions)

    def __reduce__(self) -> tuple[type[ModelCache], tuple[EmbeddingCache, str, int, str]]:
        return ModelCache, (self.cache, self.described, self.rows.dimensions, self.name)

    def contains(self, texts: Sequence[str]) -> list[bool]:
        """Return whether each text has an entry, without counting hits."""
        keys = [key_of(text) for text in texts]
        stored: set[bytes] = set()
        with suppress(CacheDamaged, CacheUnavailable), self.cache.database.transaction(write=False) as tables:
            stored = {key for key, _, _ in cache_tables.entries(tables, self.rows, keys)}
        return [key in stored for key in keys]

    def peek(self, texts: Sequence[str]) -> dict[str, Vector]:
        """Return the vectors as `look_up` does, without counting or recording a use."""
        wanted = {key_of(text): text for text in texts}
        vectors: dict[bytes, Vector] = {}
        with suppress(CacheDamaged, CacheUnavailable), self.cache.database.transaction(write=False) as tables:
            vectors, _, _ = cache_tables.look_up(tables, self.rows, wanted)
        return {wanted[key]: vector for key, vector in vectors.items()}

    def look_up(self, texts: Sequence[str]) -> CacheLookup:
        """Look up distinct texts; a vector is `[dimensions] float32`, as stored."""
        database, hits = self.cache.database, self.cache.hits
        result = CacheLookup()
        wanted = {key_of(text): text for text in texts}
        try:
            with database.transaction(write=False) as tables:
                vectors, damaged, stale = cache_tables.look_up(tables, self.rows, wanted)
                hits[self.rows.identity] += len(vectors)
            result.vectors = {wanted[key]: vector for key, vector in vectors.items()}
            result.damaged = len(damaged)
            if damaged or stale:
                with database.transaction(write=True) as tables:
                    cache_tables.forget(tables, self.rows, damaged)
                    cache_tables.record_use(tables, stale, hits)
        except CacheDamaged:
            pass  # counted below
        except CacheUnavailable:
            result.unavailable = 1
        if database.was_set_aside():
            result.damaged = len(texts) - len(result.vectors)
        return result

    def store(self, texts: Sequence[str], vectors: npt.NDArray[Any]) -> bool:
        """Store `[n, dimensions] float32` vectors of distinct texts.

        A kill after the return does not lose them.

        Returns:
            whether they were stored; not when the file could not be written.
        """
        model = (self.rows, self.name, self.described)
        keys = [key_of(text) for text in texts]
        for _ in range(2):  # a damaged file is set aside, and a new one begun
            try:
                with self.cache.database.transaction(write=True) as tables:
                    cache_tables.add(tables, model, keys, vectors)
                    cache_tables.record_use(tables, (), self.cache.hits)
                    cache_tables.make_room(tables, self.cache.max_bytes)
                return True
            except CacheDamaged:
                continue
            except CacheUnavailable:
                break
        return False


def _close(database: CacheDatabase, hits: Counter[bytes]) -> None:
    if hits.total() and database.is_open():
        # Statistics only: the next look-up counts what is wrong with the file.
        with suppress(CacheDamaged, CacheUnavailable), database.transaction(write=True) as tables:
            cache_tables.record_use(tables, (), hits)
    database.close()

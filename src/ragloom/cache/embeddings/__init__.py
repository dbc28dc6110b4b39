"""Vectors that were made before, on disk, for all experiments. Knows no embedding: only who made a vector of what text.

    <path>/vectors.sqlite           the entries; SQLite, so that several processes read and write at once
    <path>/vectors.damaged.sqlite   a file that was damaged and set aside; `cache verify` takes back what it still holds
    <path>/vectors.lock             held while the file is opened or set aside

An entry's key is the whole identity of what made the vector (see `Embedding.use_cache`) and the SHA-256 of exactly
the text that was sent; the text itself is not stored. Each entry carries a checksum over all of it: what is damaged
is a counted miss, never a wrong vector.
"""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "vectors.sqlite"

_bypassed: contextvars.ContextVar[bool] = contextvars.ContextVar("ragloom_cache_bypassed", default=False)


@contextmanager
def bypassed() -> Iterator[None]:
    """Makes every vector anew inside the block and stores none, so that a latency is the model's own.

    It belongs to the context (thread or task) that opened it and to what that context starts.
    """
    token = _bypassed.set(True)
    try:
        yield
    finally:
        _bypassed.reset(token)


def is_bypassed() -> bool:
    """Says whether this context makes every vector anew."""
    return _bypassed.get()


def is_begun(folder: Path) -> bool:
    """Says whether a folder holds a cache; asking makes none."""
    return (folder / NAME).is_file()

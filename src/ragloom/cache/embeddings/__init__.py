"""On-disk cache of embedding vectors, shared by all experiments.

    <path>/vectors.sqlite           the entries; SQLite, so that several processes read and write at once
    <path>/vectors.damaged.sqlite   a damaged file that was set aside; `cache verify` recovers what it still holds
    <path>/vectors.lock             held while the file is opened or set aside

An entry's key is the whole identity of what computed the vector (see `Embedding.use_cache`) and the SHA-256 of exactly
the text that was sent; the text itself is not stored. Each entry carries a checksum over all of it: a damaged entry is
a counted miss, never a wrong vector.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from ragloom.core.run_context import changed, current

NAME = "vectors.sqlite"


def bypassed() -> AbstractContextManager[None]:
    """Bypass the cache inside the block, to measure latencies of the model."""
    return changed(bypass_cache=True)


def is_bypassed() -> bool:
    """Return whether this context computes every vector."""
    return current().bypass_cache


def has_cache(folder: Path) -> bool:
    """Return whether a folder holds a cache; creates nothing."""
    return (folder / NAME).is_file()

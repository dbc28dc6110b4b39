"""Caches whose vectors can be computed by hand, and a child process that fills one: python cache_tools.py FOLDER ..."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from loopback import vector_of
from ragloom.cache.embeddings.embedding_cache import ModelCache, VectorCache

DIMENSIONS = 8
BATCH = 20


def model(folder: Path, made_by: str = "a model", *, max_bytes: int = 1 << 30) -> ModelCache:
    """Opens the vectors of one model."""
    return VectorCache(folder, max_bytes=max_bytes).of({"model": made_by}, dimensions=DIMENSIONS, name=made_by)


def vectors(texts: Sequence[str]) -> np.ndarray:
    """The vectors that every test keeps for these texts."""
    return np.stack([vector_of(text, DIMENSIONS) for text in texts])


def names(first: int, count: int = BATCH) -> list[str]:
    """Numbered texts."""
    return [f"text {number}" for number in range(first, first + count)]


def wrong(found: dict[str, np.ndarray]) -> list[str]:
    """The texts whose vector is not theirs, bit by bit."""
    return [text for text, vector in found.items() if vector.tobytes() != vector_of(text, DIMENSIONS).tobytes()]


def fill(folder: str, begin: int, batches: int) -> None:
    """Looks up and keeps batch after batch, and prints each that is kept."""
    cache = model(Path(folder))
    for number in range(begin, begin + batches):
        texts = names(number * BATCH)
        found = cache.find(texts).vectors
        assert wrong(found) == []
        missing = [text for text in texts if text not in found]
        if not missing or cache.keep(missing, vectors(missing)):
            print(number, flush=True)


if __name__ == "__main__":
    fill(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

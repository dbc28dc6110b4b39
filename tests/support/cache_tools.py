"""Caches whose vectors can be computed by hand, and a child process that fills one: python cache_tools.py FOLDER ..."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from loopback import vector_of
from ragloom.cache.embeddings.embedding_cache import EmbeddingCache, ModelCache

DIMENSIONS = 8
BATCH = 20


def open_cache(folder: Path, model: str = "a model", *, max_bytes: int = 1 << 30) -> ModelCache:
    """Open the part of one model."""
    return EmbeddingCache(folder, max_bytes=max_bytes).for_model({"model": model}, dimensions=DIMENSIONS, name=model)


def vectors(texts: Sequence[str]) -> np.ndarray:
    """Return the vectors that every test stores for these texts."""
    return np.stack([vector_of(text, DIMENSIONS) for text in texts])


def names(first: int, count: int = BATCH) -> list[str]:
    """Return numbered texts."""
    return [f"text {number}" for number in range(first, first + count)]


def wrong(cached: dict[str, np.ndarray]) -> list[str]:
    """List the texts whose vector is not theirs, bit by bit."""
    return [text for text, vector in cached.items() if vector.tobytes() != vector_of(text, DIMENSIONS).tobytes()]


def fill(folder: str, begin: int, batches: int) -> None:
    """Look up and store batch after batch, and print each that is stored."""
    cache = open_cache(Path(folder))
    for number in range(begin, begin + batches):
        texts = names(number * BATCH)
        cached = cache.look_up(texts).vectors
        assert wrong(cached) == []
        missing = [text for text in texts if text not in cached]
        if not missing or cache.store(missing, vectors(missing)):
            print(number, flush=True)


if __name__ == "__main__":
    fill(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

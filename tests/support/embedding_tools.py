"""Embedding of chunks by the calls that an ingest makes."""

from collections.abc import Sequence

import numpy as np

from ragloom.components.embedding.base import Embedding, Vectors
from ragloom.core.records import Chunk


def embed_chunks(embedding: Embedding, chunks: Sequence[Chunk]) -> Vectors:
    """Prepare chunks, look their texts up, and embed the others in batches."""
    texts, counts = embedding.prepare(chunks)
    tokens = dict(zip(texts, counts or [0] * len(texts), strict=True))
    vectors = embedding.look_up(list(tokens), counts and list(tokens.values()))
    new = [text for text in tokens if text not in vectors]
    for places in embedding.batches(new, counts and [tokens[text] for text in new]):
        batch = [new[place] for place in places]
        result = embedding.embed_batch_tolerant(batch, counts and [tokens[text] for text in batch])
        vectors |= dict(zip(batch, result.vectors, strict=True))
    rows = [vectors[text] for text in texts]
    return np.array(rows, dtype=np.float32).reshape(len(texts), embedding.dimensions)

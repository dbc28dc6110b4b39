"""Queries for measuring recall: sentences of stored chunks, embedded as queries.

They stand for what users will ask where approximate search is measured: real questions find less than stored vectors
find of their neighbours [32]. What they cost is counted with the ingest, and the embedding cache knows them the next
time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ragloom.core.records import sha256

if TYPE_CHECKING:
    from ragloom.components.embedding.base import Embedding
    from ragloom.components.vector_store.protocols import Questions

_LOOKED_AT = 4000
"""Characters of a chunk; sentencex's time grows with the square of a paragraph's length."""
_SHORTEST, _LONGEST = 12, 200
"""Characters of a question: a heading says too little, and what is longer nobody asks."""


def questions_of(embedding: Embedding) -> Questions:
    """Return a function that makes and embeds a query for each text."""

    def ask(texts: Sequence[str]) -> np.ndarray:
        sentences = [sentence(text) for text in texts]
        queries = {text: embedding.query_prefix + text for text in sentences if text}
        if embedding.max_tokens is not None and queries:
            counts = embedding.count_tokens(list(queries.values()))
            fits = [tokens <= embedding.max_tokens for tokens in counts]
            queries = {text: sent for (text, sent), fit in zip(queries.items(), fits, strict=True) if fit}
        results = embedding.query_embedding.embed_tolerant(list(queries.values()))
        vectors = dict(zip(queries, results.vectors, strict=True))
        none = np.zeros(embedding.dimensions, dtype=np.float32)
        return np.array([vectors.get(text, none) for text in sentences], dtype=np.float32).reshape(len(texts), -1)

    return ask


def sentence(text: str) -> str:
    """Pick one sentence of a text, always the same.

    The beginning of a long one; empty without any.
    """
    from sentencex import segment

    sentences = [" ".join(part.split()) for part in segment("en", text[:_LOOKED_AT])]
    sentences = [part for part in sentences if sum(map(str.isalnum, part)) >= _SHORTEST]
    if not sentences:
        return ""
    picked = sentences[int(sha256(text)[:8], 16) % len(sentences)]
    return picked if len(picked) <= _LONGEST else re.sub(r"\s\S*$", "", picked[:_LONGEST])

"""Sentences of stored chunks as questions, embedded by the query path. Knows no store.

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
    """Return what makes a question of each text and embeds it as a query."""

    def ask(texts: Sequence[str]) -> np.ndarray:
        found = [sentence(text) for text in texts]
        asked = {text: embedding.query_prefix + text for text in found if text}
        if embedding.max_tokens is not None and asked:
            counts = embedding.count_tokens(list(asked.values()))
            fits = [tokens <= embedding.max_tokens for tokens in counts]
            asked = {text: sent for (text, sent), fit in zip(asked.items(), fits, strict=True) if fit}
        made = embedding.asker.embed_apart(list(asked.values()))  # a sentence may be bad where its chunk is not
        vectors = dict(zip(asked, made.vectors, strict=True))
        none = np.zeros(embedding.dimensions, dtype=np.float32)
        return np.array([vectors.get(text, none) for text in found], dtype=np.float32).reshape(len(texts), -1)

    return ask


def sentence(text: str) -> str:
    """Pick one sentence of a text, always the same, or the beginning of a long one; empty where there is none."""
    from sentencex import segment

    sentences = [" ".join(part.split()) for part in segment("en", text[:_LOOKED_AT])]
    sentences = [part for part in sentences if sum(map(str.isalnum, part)) >= _SHORTEST]
    if not sentences:
        return ""
    picked = sentences[int(sha256(text)[:8], 16) % len(sentences)]
    return picked if len(picked) <= _LONGEST else re.sub(r"\s\S*$", "", picked[:_LONGEST])

"""Fake embedding for dry runs: counts texts, tokens and requests.

It stands in an ingest for the real one, whose composing, tokenizer and packing it uses. What was made before is looked
up without a trace; a text that it was asked for counts as made from then on, as it would be.
"""

from __future__ import annotations

import math
import re
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ragloom.components.embedding.batch_bisection import PartialBatch
from ragloom.core.records import sha256
from ragloom.core.sqlite_connections import ScratchTables
from ragloom.providers.rate_limiter import Limiter, Rates

if TYPE_CHECKING:
    from ragloom.components.chunking.base import SpanParser
    from ragloom.components.embedding.base import Embedding

_WORD = re.compile(r"\w+")
_STAND_IN = 256


@dataclass
class TextCounts:
    """Counts for texts of one kind.

    Attributes:
        hits, hit_tokens: found in the cache, or made earlier in the same run.
        texts, tokens: to be embedded.
        requests: in which they are, as they are packed.
    """

    hits: int = 0
    hit_tokens: int = 0
    texts: int = 0
    tokens: int = 0
    requests: int = 0


class CountingEmbedding:
    """Fake embedding of a dry run.

    Safe for several threads.

    Attributes:
        cache: none: nothing of it is to be forgotten.
        chunks, sentences: what was asked for, by chunks and by cutting.
        guessed: texts of sentences whose place among the others was guessed, as a vector was not known.
    """

    cache = None

    def __init__(self, embedding: Embedding, keeps: bool) -> None:
        self._embedding, self._keeps = embedding, keeps
        schema = "CREATE TABLE sent (text BLOB PRIMARY KEY) WITHOUT ROWID"
        self._sent = ScratchTables(schema, "hashes of the texts to be embedded, about 90 MB per million")
        self.close = self._sent.close
        self._changing = threading.Lock()
        rates = (getattr(embedding, f"{what}_per_minute", None) for what in ("requests", "tokens"))
        self._rates = Rates(*rates)
        self._limiter = Limiter(self._rates, lambda: 0.0)
        self._last = 0.0
        self.chunks, self.sentences, self.guessed = TextCounts(), TextCounts(), 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedding, name)

    @property
    def seconds(self) -> float | None:
        """When the last request may be sent, under the limits per minute."""
        return None if self._rates == Rates() else self._last

    def in_place_of_its_embedding(self, chunking: SpanParser) -> SpanParser:
        """Return the chunking with this embedding, unless its own is free."""
        if getattr(chunking, "embedding", None) is None or self._embedding.cheap:
            return chunking
        return chunking.model_copy(update={"embedding": self})

    def look_up(self, texts: list[str], counts: list[int] | None) -> dict[str, np.ndarray]:
        """Return which distinct chunk texts have or will have a vector."""
        known = self._known(texts)
        tokens = self._tokens(known)
        with self._changing:
            self.chunks.hits += len(known)
            self.chunks.hit_tokens += tokens
        return dict.fromkeys(known, np.zeros(self._embedding.dimensions, dtype=np.float32))

    def embed_batch_tolerant(self, texts: list[str], counts: list[int] | None, most: float = math.inf) -> PartialBatch:
        """Count a request of chunks."""
        self._count(self.chunks, texts, self._tokens(texts) if counts is None else sum(counts))
        return PartialBatch(np.zeros((len(texts), self._embedding.dimensions), dtype=np.float32))

    def embed_documents(self, texts: Sequence[str]) -> PartialBatch:
        """Return cached vectors if all are known, else vectors of words."""
        whole = [self._embedding.document_text(text, {}) for text in texts]
        cache = self._embedding.cache
        vectors = {} if cache is None else cache.peek(whole)
        self._ask_for_sentences([text for text in whole if text not in vectors], whole)
        if len(vectors) == len(whole):
            return PartialBatch(np.stack([vectors[text] for text in whole]))
        with self._changing:
            self.guessed += len(whole)
        return PartialBatch(_stand_ins(texts))

    def _ask_for_sentences(self, new: list[str], whole: list[str]) -> None:
        sent_before = self._sent_before(new)
        new = [text for text in new if text not in sent_before]
        missing = set(new)
        hits = self._tokens([text for text in whole if text not in missing])
        if new:
            counts = self._embedding.count_tokens(new)
            for at in self._embedding.batches(new, counts):
                self._count(self.sentences, [new[one] for one in at], sum(counts[one] for one in at))
        with self._changing:
            self.sentences.hits += len(whole) - len(new)
            self.sentences.hit_tokens += hits

    def _known(self, texts: list[str]) -> list[str]:
        cache, sent = self._embedding.cache, self._sent_before(texts)
        cached = [False] * len(texts) if cache is None else cache.contains(texts)
        return [text for text, hit in zip(texts, cached, strict=True) if hit or text in sent]

    def _count(self, counts: TextCounts, texts: list[str], tokens: int) -> None:
        with self._changing:
            counts.requests += 1
            counts.texts += len(texts)
            counts.tokens += tokens
            self._last = max(self._last, self._limiter.reserve(tokens))
        self._sent.insert("INSERT OR IGNORE INTO sent VALUES (?)", ((sha256(text),) for text in texts))

    def _sent_before(self, texts: list[str]) -> set[str]:
        query = "SELECT 1 FROM sent WHERE text = ?"
        return {text for text in texts if self._keeps and self._sent.rows(query, (sha256(text),))}

    def _tokens(self, texts: list[str]) -> int:
        return sum(self._embedding.count_tokens(texts)) if texts else 0


def _stand_ins(texts: Sequence[str]) -> np.ndarray:
    """Make hashed word vectors: `[n, 256] float32`.

    Texts that share words are near each other.
    """
    vectors = np.zeros((len(texts), _STAND_IN), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in _WORD.findall(text.lower()):
            vectors[row, zlib.crc32(word.encode("utf-8", "surrogatepass")) % _STAND_IN] += 1
    return vectors

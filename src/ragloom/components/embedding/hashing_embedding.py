"""Vectors by feature hashing of words and character n-grams, without a model.

Each feature adds its weight to one of `dimensions` buckets, with a sign from its hash (Weinberger et al., "Feature
Hashing for Large Scale Multitask Learning", ICML 2009). Buckets are then damped by a signed square root, as burst
counts mislead cosine (power normalisation: Perronnin et al., ECCV 2010), and scaled to length 1.

Weights and sizes were chosen on 300 questions each of KorQuAD and the Chroma set, by the share whose gold span was in
the top 5 (windows of 400 and 900 characters; mean of four hash seeds). With 2,048 dimensions .94 and .84; with 1,024
.92 and .81; without n-grams .94 and .83; with short words weighing as others .94 and .81; without damping .88 and .76.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import PrivateAttr

from ragloom.components.embedding.base import Embedding, Vectors

Numbers = npt.NDArray[np.int64]
Sums = npt.NDArray[np.float64]

_WORD = re.compile(r"[^\W_]+")
# Scripts written without blanks, and Hangul, whose words end in particles: they are compared by syllable and bigram.
_DENSE = re.compile(
    "([\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
    "\U00020000-\U0003ffff]+)"
)
_GRAM = 4  # characters of an n-gram inside a word, its edges marked by < and >
_SHORT = 3  # letters up to which a word is mostly grammar ("the", "of"): it weighs less and has no n-grams
# Whole numbers, so that sums are exact and do not depend on the order of words.
_WORD_WEIGHT, _SHORT_WEIGHT, _GRAM_WEIGHT = 10, 3, 2
_SYLLABLE_WEIGHT, _BIGRAM_WEIGHT = 3, 10
MEMO_FEATURES = 4_000_000  # remembered at most: 64 MB; then it starts empty again
_ROWS = 256  # texts whose vectors are summed at once, which bounds the memory in use


class HashingEmbedding(Embedding):
    """Lexical vectors: near for texts with common words, n-grams or syllable pairs."""

    cheap = True

    _features: _Features = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Begin with an empty memory of words."""
        super().model_post_init(context)
        self._features = _Features(self.dimensions)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count words."""
        return [len(_WORD.findall(_normal(text))) for text in texts]

    def compute_vectors(self, texts: list[str], counts: list[int] | None) -> Vectors:
        """Sum hashed features, damp and scale them."""
        parts = [self._features.sums(texts[at : at + _ROWS]) for at in range(0, len(texts), _ROWS)]
        damped = [np.sign(sums) * np.sqrt(np.abs(sums)) for sums in parts]
        scaled = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in damped]
        return np.concatenate(scaled).astype(np.float32)


class _Features:
    """Sums of hashed features, with a memo of words' buckets and weights."""

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._numbers: dict[str, int] = {}
        # Number 0 is no word, so that a word's number is never false.
        self._starts, self._lengths, self._filled = [0], [0], 0
        self._buckets: Numbers = np.zeros(1 << 16, np.int64)
        self._weights: Sums = np.zeros(1 << 16, np.float64)

    def sums(self, texts: Sequence[str]) -> Sums:
        """Sum each text's features by bucket: `[n, dimensions]`, no row all zero."""
        with self._lock:
            if self._filled > MEMO_FEATURES:
                self._forget()
            rows, words, times = self._words(texts)
            starts, lengths = np.array(self._starts)[words], np.array(self._lengths)[words]
            ends = np.cumsum(lengths)
            each = np.arange(ends[-1]) + np.repeat(starts - (ends - lengths), lengths)
            buckets, weights = self._buckets[each], self._weights[each]
        cells = np.repeat(rows * self._dimensions, lengths) + buckets
        weights = weights * np.repeat(times, lengths)
        sums = self._summed(cells, weights, len(texts))
        if not (filled := sums.any(axis=1)).all():
            # A few features can cancel each other in one bucket: such a text is summed without signs.
            sums[~filled] = self._summed(cells, np.abs(weights), len(texts))[~filled]
        return sums

    def _summed(self, cells: Numbers, weights: Sums, rows: int) -> Sums:
        sums = np.bincount(cells, weights, minlength=rows * self._dimensions)
        return np.asarray(sums, dtype=np.float64).reshape(rows, self._dimensions)

    def _words(self, texts: Sequence[str]) -> tuple[Numbers, Numbers, Numbers]:
        """List (row, word number, times) for each distinct word of each text."""
        rows: list[int] = []
        words: list[int] = []
        times: list[int] = []
        for row, text in enumerate(texts):
            features = Counter(_WORD.findall(_normal(text))) or Counter(_marks(text))
            words += [self._numbers.get(word) or self._learn(word) for word in features]
            times += features.values()
            rows += [row] * len(features)
        return np.array(rows, np.int64), np.array(words, np.int64), np.array(times, np.int64)

    def _learn(self, word: str) -> int:
        features = list(features_of(word))
        hashes = [blake2b(name.encode(), digest_size=8).digest() for name, _ in features]
        numbers = np.frombuffer(b"".join(hashes), dtype="<u8")
        end = self._filled + len(features)
        if end > len(self._buckets):
            room = max(end, 2 * len(self._buckets))
            self._buckets, self._weights = np.resize(self._buckets, room), np.resize(self._weights, room)
        # The highest bit gives the sign; the bucket comes from the others.
        signs = np.where(numbers >> np.uint64(63), 1, -1)
        self._buckets[self._filled : end] = (numbers & np.uint64(2**63 - 1)) % np.uint64(self._dimensions)
        self._weights[self._filled : end] = signs * np.array([weight for _, weight in features])
        self._starts.append(self._filled)
        self._lengths.append(len(features))
        self._filled = end
        self._numbers[word] = len(self._starts) - 1
        return len(self._starts) - 1


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _marks(text: str) -> Iterable[str]:
    """Return a wordless text's characters, each marked by a leading blank."""
    return [f" {mark}" for mark in _normal(text) if not mark.isspace()] or [f" {mark}" for mark in text]


def features_of(word: str) -> Iterator[tuple[str, int]]:
    """Yield a word's features, the first letter being the kind, and weights."""
    if word.startswith(" "):
        yield f"m{word[1:]}", _WORD_WEIGHT
        return
    for part in filter(None, _DENSE.split(word)):
        if _DENSE.match(part):
            alone = _BIGRAM_WEIGHT if len(part) == 1 else _SYLLABLE_WEIGHT
            yield from ((f"s{syllable}", alone) for syllable in part)
            yield from ((f"b{part[at : at + 2]}", _BIGRAM_WEIGHT) for at in range(len(part) - 1))
        else:
            short = len(part) <= _SHORT and part.isalpha()
            yield f"w{part}", _SHORT_WEIGHT if short else _WORD_WEIGHT
            if len(part) > _SHORT:
                edged = f"<{part}>"
                yield from ((f"g{edged[at : at + _GRAM]}", _GRAM_WEIGHT) for at in range(len(edged) - _GRAM + 1))

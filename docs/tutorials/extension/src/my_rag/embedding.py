"""Embedding by hashed character n-grams: no model, no download, any language.

Each n-gram of a word adds 1 to one of `dimensions` numbers, chosen by a hash (Weinberger et al., "Feature Hashing for
Large Scale Multitask Learning", ICML 2009). Texts with common parts of words get near vectors.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar
from zlib import crc32

import numpy as np

from ragloom.components.embedding.base import Embedding, Vectors
from ragloom.config.builder_keys import Name, Positive, code_version
from ragloom.config.key_rules import checked_by


class NgramEmbedding(Embedding):
    """Counts of n-grams of `shortest` to `longest` characters, scaled to length 1."""

    cheap: ClassVar[bool] = True  # faster than reading a cache: vectors are not cached
    shortest: int
    longest: int

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count words: this embedding has no tokenizer, and no limit."""
        return [len(text.split()) for text in texts]

    def compute_vectors(self, texts: list[str], counts: list[int] | None) -> Vectors:
        """Embed texts: `[n, dimensions] float32`."""
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for ngram, count in Counter(self._ngrams(text)).items():
                row[crc32(ngram.encode()) % self.dimensions] += np.log1p(count)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def _ngrams(self, text: str) -> Iterator[str]:
        """Yield the n-grams of each word, whose edges are marked, and the word."""
        for word in text.casefold().split():
            marked = f"<{word}>"
            yield marked
            for size in range(self.shortest, self.longest + 1):
                yield from (marked[at : at + size] for at in range(len(marked) - size + 1))


def _size_rule(values: Mapping[str, Any]) -> Iterable[str]:
    """Require shortest <= longest: a problem is one line with the value, the limit and the fix."""
    shortest, longest = values["shortest"], values["longest"]
    if shortest > longest:
        yield (
            f"embedding: embedding.shortest={shortest} must be at most embedding.longest={longest}; "
            f"set embedding.shortest={longest} or less"
        )


@code_version(1)
@checked_by(_size_rule)
def ngrams(
    *, dimensions: Positive, shortest: Positive, longest: Positive, embedded_metadata: list[Name]
) -> NgramEmbedding:
    """Build the embedding of character n-grams."""
    return NgramEmbedding(
        model_name="ngrams",
        dimensions=dimensions,
        shortest=shortest,
        longest=longest,
        embedded_metadata=embedded_metadata,
    )

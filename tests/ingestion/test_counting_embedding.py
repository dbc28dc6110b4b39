"""What the embedding of a dry run counts: hits are texts with a vector, and texts asked for earlier in the run."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import astuple
from typing import Any, cast

import numpy as np
import pytest

from ragloom.components.embedding.base import Embedding
from ragloom.ingestion.counting_embedding import CountingEmbedding, TextCounts


class Cached:
    """A cache that holds one text."""

    def contains(self, texts: Sequence[str]) -> list[bool]:
        return [text == "aa" for text in texts]

    def peek(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        return {text: np.ones(2, np.float32) for text in texts if text == "aa"}


class Paid:
    """An embedding whose tokens are characters, with a request for each text."""

    dimensions, cache, requests_per_minute, tokens_per_minute = 2, Cached(), None, None

    def document_text(self, text: str, metadata: dict[str, Any]) -> str:
        return text

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text) for text in texts]

    def batches(self, texts: Sequence[str], counts: Sequence[int]) -> list[list[int]]:
        return [[at] for at in range(len(texts))]


@pytest.mark.parametrize(("keeps", "hits", "hit_tokens"), [(True, 3, 7), (False, 2, 4)], ids=["kept", "not kept"])
def test_hits_of_chunks_are_cached_texts_and_with_a_cache_those_of_earlier_requests(
    keeps: bool, hits: int, hit_tokens: int
) -> None:
    with closing(CountingEmbedding(cast(Embedding, Paid()), keeps)) as counting:
        assert list(counting.look_up(["aa", "bbb"], None)) == ["aa"]
        counting.embed_batch_tolerant(["bbb"], None)
        assert ("bbb" in counting.look_up(["aa", "bbb"], None)) is keeps
        counting.embed_batch_tolerant(["cccc", "ddddd"], [40, 50])
        assert counting.chunks == TextCounts(hits, hit_tokens, texts=3, tokens=93, requests=2)


def test_hits_of_sentences_are_cached_texts_and_those_of_earlier_documents() -> None:
    with closing(CountingEmbedding(cast(Embedding, Paid()), True)) as counting:
        assert counting.embed_documents(["aa"]).vectors.tolist() == [[1, 1]]
        assert counting.guessed == 0
        counting.embed_documents(["aa", "bbb"])
        counting.embed_documents(["bbb", "cccc", "ddddd"])
        assert astuple(counting.sentences) == (3, 7, 3, 12, 3)
        assert counting.guessed == 5

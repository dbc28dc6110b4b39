"""Proxy embedding of worker processes: calls the embedding of the parent process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding

from ragloom.components.source.base import CannotRead
from ragloom.core.native_threads import finished_before_exit
from ragloom.process_pool.parent_callbacks import call_parent

if TYPE_CHECKING:
    from ragloom.components.chunking.base import SpanParser

_ASKED_AT_ONCE = 2048
"""Texts: LlamaIndex's own limit, so that the embedding makes its batches and not this one."""


class TextRefused(CannotRead):
    """The embedding failed at a text that cutting asked for."""


def refusal(says: str) -> str:
    """Format the reason for a document with a rejected text."""
    return f"the embedding's server refuses a text of it ({says})"


class ParentEmbedding(BaseEmbedding):
    """Proxy in a worker for the embedding of the parent process."""

    max_tokens: int | None
    document_prefix: str

    def count_tokens(self, texts: list[str]) -> list[int]:
        """Count each text's tokens, as the embedding does."""
        counts: list[int] = call_parent(("count", texts))
        return counts

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        answer = call_parent(("embed", texts))
        if isinstance(answer, str):
            raise TextRefused(refusal(answer))
        vectors: list[list[float]] = answer.tolist()
        return vectors

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        raise RuntimeError("a worker embeds no query")

    async def _aget_query_embedding(self, query: str) -> list[float]:
        raise RuntimeError("a worker embeds no query")


def embedding_callback(embedding: BaseEmbedding | None) -> Callable[[Any], Any] | None:
    """Return the parent's handler for `ParentEmbedding`."""
    if embedding is None:
        return None

    def answer(request: tuple[str, list[str]]) -> Any:
        what, texts = request
        if what == "count":
            return embedding.count_tokens(texts)  # type: ignore[attr-defined]
        if hasattr(embedding, "embed_documents"):  # ours: it tells a text that is refused by itself from a failure
            result = embedding.embed_documents(texts)
            refusals: list[str] = list(result.refused.values())
            return refusals[0] if refusals else result.vectors.astype(np.float64)
        with finished_before_exit():  # nobody knows whether it is native code
            return np.asarray(embedding.get_text_embedding_batch(texts), dtype=np.float64)

    return answer


def with_parent_embedding(chunking: SpanParser) -> SpanParser:
    """Return the chunking with a proxy embedding, unless its own is cheap."""
    embedding = getattr(chunking, "embedding", None)
    if embedding is None or getattr(embedding, "cheap", False):
        return chunking
    proxy = ParentEmbedding(
        model_name=embedding.model_name,
        embed_batch_size=_ASKED_AT_ONCE,
        max_tokens=embedding.max_tokens if hasattr(embedding, "count_tokens") else None,
        document_prefix=getattr(embedding, "document_prefix", ""),
    )
    return chunking.model_copy(update={"embedding": proxy})

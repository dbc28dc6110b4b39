"""Vectors from a server that speaks OpenAI's protocol.

The `openai` client checks neither count nor index of what comes back [22]: that is done here. Texts are sent as they
are, line ends included.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, PrivateAttr

from ragloom.cache.embeddings.embedding_cache import EmbeddingCache
from ragloom.components.embedding.base import MAX_GROUP, Embedding, Vectors
from ragloom.core.tokenizer_names import TIKTOKEN_NAMES
from ragloom.core.tokenizers import load
from ragloom.errors import ServiceError
from ragloom.providers.batch_errors import BatchFailed
from ragloom.providers.provider_settings import ProviderSettings
from ragloom.providers.rate_limiter import Rates

if TYPE_CHECKING:
    from openai.types import CreateEmbeddingResponse

_SPECIAL_TOKENS = 2  # that a Hugging Face model adds to a text at most: its begin and end


class OpenAIEmbedding(Embedding, ProviderSettings):
    """Embedding by `/embeddings` of OpenAI or a server with its protocol.

    Further fields are those of `ProviderSettings`.

    Attributes:
        tokenizer: by which texts are counted, as `ragloom.core.tokenizers.load` takes it.
        batch_size, batch_tokens: texts and tokens sent in one request, at most.
        send_dimensions: whether the server is asked to shorten its vectors to `dimensions`.
        encoding_format: how the server is asked to write vectors; None = not asked. Whichever it uses is read.
        query_model: embeds questions, where the provider has a separate model for them; None = the same model.
        requests_per_minute, tokens_per_minute: see `ragloom.providers.rate_limiter.Rates`.
    """

    paid = True

    tokenizer: str
    batch_size: int = Field(gt=0)
    batch_tokens: int = Field(gt=0)
    send_dimensions: bool
    encoding_format: Literal["base64", "float"] | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    query_model: str | None = None
    _query_embedding: OpenAIEmbedding | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any, /) -> None:
        """Make the provider; the first request reads the key."""
        super().model_post_init(context)
        # LlamaIndex's groups are as large as they may be, so that requests are full also where some texts are known.
        self.embed_batch_size = MAX_GROUP
        self.connect("embedding", self.model_name, Rates(self.requests_per_minute, self.tokens_per_minute))
        if self.query_model is not None:
            same = {name: getattr(self, name) for name in type(self).model_fields if name != "cache"}
            self._query_embedding = type(self)(**same | {"model_name": self.query_model, "query_model": None})

    @property
    def query_embedding(self) -> OpenAIEmbedding:
        """The embedding of queries: this, or the provider's separate model."""
        return self._query_embedding or self

    def use_cache(self, cache: EmbeddingCache, description: Mapping[str, Any]) -> None:
        """Look vectors up in a cache, those of queries by model."""
        super().use_cache(cache, description)
        if self._query_embedding is not None:
            self._query_embedding.use_cache(cache, {**description, "model": self.query_model})

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count each text's tokens, with special tokens of models not from OpenAI."""
        special = 0 if self.tokenizer in TIKTOKEN_NAMES else _SPECIAL_TOKENS
        return [tokens + special for tokens in load(self.tokenizer).counts(texts)]

    def compute_vectors(self, texts: list[str], counts: list[int] | None) -> Vectors:
        """Send one request."""
        return self._read(self._provider.embeddings(**self._request(texts, counts)), len(texts))

    async def acompute_vectors(self, texts: list[str], counts: list[int] | None) -> Vectors:
        """Send one request without blocking the event loop."""
        return self._read(await self._provider.aembeddings(**self._request(texts, counts)), len(texts))

    @property
    def window(self) -> int:
        """The texts of one request."""
        return self.batch_size

    def is_full(self, texts: int, tokens: int) -> bool:
        """Return whether a request need not wait for more texts."""
        return texts >= self.batch_size or tokens >= self.batch_tokens

    def batches(self, texts: list[str], counts: list[int] | None) -> Iterator[Sequence[int]]:
        """Pack texts, in order, into requests within both limits of the server."""
        begin = filled = 0
        for at, tokens in enumerate(counts or [0] * len(texts)):
            if at > begin and (at - begin == self.batch_size or filled + tokens > self.batch_tokens):
                yield range(begin, at)
                begin, filled = at, 0
            filled += tokens
        if begin < len(texts):
            yield range(begin, len(texts))

    def origin(self) -> dict[str, str]:
        """Return the server: another one may use the name for another model."""
        return {"server": self._provider.link.place}

    def _request(self, batch: list[str], counts: list[int] | None) -> dict[str, Any]:
        request: dict[str, Any] = {"model": self.model_name, "input": batch, "tokens": sum(counts or ())}
        request |= {"encoding_format": self.encoding_format} if self.encoding_format else {}
        request |= {"extra_body": self.extra_body} if self.extra_body else {}
        return request | ({"dimensions": self.dimensions} if self.send_dimensions else {})

    def _read(self, answer: CreateEmbeddingResponse, expected: int) -> Vectors:
        """Put an answer's vectors in the order of the texts, by index.

        Raises:
            ServiceError: vectors are missing, doubled or of another length, or are no numbers.
        """
        raw = [getattr(item, "index", None) for item in answer.data]
        place = self._provider.link.place
        indices = _places(raw)
        if len(raw) != expected or indices is None:
            raise ServiceError(
                f"embedding: {place} must return one vector for each of {expected} texts, but returned "
                f"{len(raw)} with the indices {_shown(raw)}; nothing of this request is used"
            )
        vectors = np.empty((expected, self.dimensions), dtype=np.float32)
        for index, item in zip(indices, answer.data, strict=True):
            value = getattr(item, "embedding", None)
            vector = _decoded(value)
            if value is None or value == []:  # what some servers write for a text that gives NaN
                nothing = f"embedding: {place} returned something that is no list of numbers ({value}) for a text"
                raise BatchFailed(nothing, says="it returns no vector for it", billed=True)
            if vector is None or vector.shape != (self.dimensions,):
                got = "something that is no list of numbers" if vector is None else f"{vector.size} numbers"
                raise ServiceError(
                    f"embedding: {place} returned {got} for model={self.model_name!r}; "
                    f"embedding.dimensions={self.dimensions} must be the length of its vectors"
                )
            vectors[index] = vector
        return vectors


def _places(raw: Sequence[object]) -> list[int] | None:
    """Read the places of vectors; None if they are no permutation.

    Without any index, they are in order. Only the first may be missing: writers of protobuf as JSON drop zeros.
    """
    if all(index is None for index in raw):
        return list(range(len(raw)))
    places = [_whole(index) for index in (0 if raw[0] is None else raw[0], *raw[1:])]
    whole = [place for place in places if place is not None]
    return whole if sorted(whole) == list(range(len(raw))) else None


def _whole(index: object) -> int | None:
    """Read an index: an integer, also written as a float or digits."""
    if type(index) is float and index.is_integer():
        return int(index)
    if isinstance(index, str) and index.isascii() and index.isdigit():
        return int(index)
    return index if type(index) is int else None


def _decoded(value: object) -> Vectors | None:
    """Read a vector from numbers or base64 of little-endian float32; else None."""
    try:
        if isinstance(value, str):
            return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4").astype(np.float32)
        vector = np.asarray(value, dtype=np.float32)
    except (ValueError, TypeError, binascii.Error):
        return None
    return vector if vector.ndim == 1 else None


def _shown(indices: Sequence[object]) -> str:
    return ", ".join(map(repr, indices[:8])) + (", ..." if len(indices) > 8 else "")

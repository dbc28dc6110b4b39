"""Vectors from an OpenAI-speaking server: what fits into a request, and whether the answer is complete. Knows no
retries (they are the provider's).

The `openai` client checks neither count nor index of what comes back [22]: that is done here. Texts are sent as they
are, line ends included.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, PrivateAttr

from ragloom.embedding.base import MAX_GROUP, Embedding, Vectors
from ragloom.errors import ServiceError
from ragloom.provider import Provider, Usage
from ragloom.provider.limits import Rates
from ragloom.provider.retry import Link
from ragloom.tokenizer import TIKTOKEN_NAMES, load

if TYPE_CHECKING:
    from openai.types import CreateEmbeddingResponse

_SPECIAL_TOKENS = 2  # that a Hugging Face model adds to a text at most: its begin and end


class OpenAIEmbedding(Embedding):
    """Embeds through `/embeddings` of OpenAI, or of a server that speaks its protocol.

    Attributes:
        tokenizer: by which texts are counted, as `ragloom.tokenizer.load` takes it.
        batch_size, batch_tokens: texts and tokens sent in one request, at most.
        send_dimensions: whether the server is asked to shorten its vectors to `dimensions`.
        encoding_format: how the server is asked to write vectors; whichever it uses is read.
        base_url, api_key_env, timeout, attempts, deadline: see `ragloom.provider.retry.Link`.
        requests_per_minute, tokens_per_minute: see `ragloom.provider.limits.Rates`.
    """

    paid = True

    tokenizer: str
    batch_size: int = Field(gt=0)
    batch_tokens: int = Field(gt=0)
    send_dimensions: bool
    encoding_format: Literal["base64", "float"]
    base_url: str | None
    api_key_env: str | None
    timeout: float
    attempts: int
    deadline: float
    requests_per_minute: int | None
    tokens_per_minute: int | None
    _provider: Provider = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Makes the provider; it reads the key when the first request is made."""
        super().model_post_init(context)
        # LlamaIndex's groups are as large as they may be, so that requests are full also where some texts are known.
        self.embed_batch_size = MAX_GROUP
        self._provider = Provider(
            Link(
                kind="embedding",
                model=self.model_name,
                base_url=self.base_url,
                api_key_env=self.api_key_env,
                timeout=self.timeout,
                attempts=self.attempts,
                deadline=self.deadline,
                rates=Rates(self.requests_per_minute, self.tokens_per_minute),
            )
        )

    @property
    def provider(self) -> Provider:
        """What sends the requests."""
        return self._provider

    @property
    def usage(self) -> Usage:
        """Requests sent and tokens reported since this embedding was built."""
        return self._provider.usage

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Counts each text's tokens, with room for the special tokens of models that are not OpenAI's."""
        special = 0 if self.tokenizer in TIKTOKEN_NAMES else _SPECIAL_TOKENS
        return [tokens + special for tokens in load(self.tokenizer).counts(texts)]

    def _vectors(self, texts: list[str], counts: list[int] | None) -> Vectors:
        return self._read(self._provider.embeddings(**self._request(texts, counts)), len(texts))

    async def _avectors(self, texts: list[str], counts: list[int] | None) -> Vectors:
        return self._read(await self._provider.aembeddings(**self._request(texts, counts)), len(texts))

    @property
    def window(self) -> int:
        """The texts of one request."""
        return self.batch_size

    def is_full(self, texts: int, tokens: int) -> bool:
        """Says whether a request need not wait for more texts."""
        return texts >= self.batch_size or tokens >= self.batch_tokens

    def batches(self, texts: list[str], counts: list[int] | None) -> Iterator[Sequence[int]]:
        """Packs texts, in order, into requests that keep within both limits of the server."""
        begin = filled = 0
        for at, tokens in enumerate(counts or [0] * len(texts)):
            if at > begin and (at - begin == self.batch_size or filled + tokens > self.batch_tokens):
                yield range(begin, at)
                begin, filled = at, 0
            filled += tokens
        if begin < len(texts):
            yield range(begin, len(texts))

    def origin(self) -> dict[str, str]:
        """Says which server answers: another one may know another model by the same name."""
        return {"server": self._provider.link.place}

    def _request(self, batch: list[str], counts: list[int] | None) -> dict[str, Any]:
        request: dict[str, Any] = {"model": self.model_name, "input": batch, "encoding_format": self.encoding_format}
        request["tokens"] = sum(counts or ())
        return request | ({"dimensions": self.dimensions} if self.send_dimensions else {})

    def _read(self, answer: CreateEmbeddingResponse, expected: int) -> Vectors:
        """Puts the vectors of an answer in the order of the texts, by the index that each carries.

        Raises:
            ServiceError: vectors are missing, doubled or of another length, or are no numbers.
        """
        indices = [getattr(item, "index", None) for item in answer.data]
        place = self._provider.link.place
        # None and true would be taken for all places at once: NumPy's indices are more than numbers.
        numbers = sorted(index for index in indices if type(index) is int)
        if len(indices) != expected or numbers != list(range(expected)):
            raise ServiceError(
                f"embedding: {place} must return one vector for each of {expected} texts, but returned "
                f"{len(indices)} with the indices {_shown(indices)}; nothing of this request is used"
            )
        vectors = np.empty((expected, self.dimensions), dtype=np.float32)
        for index, item in zip(indices, answer.data, strict=True):
            vector = _decoded(getattr(item, "embedding", None))
            if vector is None or vector.shape != (self.dimensions,):
                got = "something that is no list of numbers" if vector is None else f"{vector.size} numbers"
                raise ServiceError(
                    f"embedding: {place} returned {got} for model={self.model_name!r}; "
                    f"embedding.dimensions={self.dimensions} must be the length of its vectors"
                )
            vectors[index] = vector
        return vectors


def _decoded(value: object) -> Vectors | None:
    """Reads a vector, written as numbers or as base64 of little-endian float32; None when it is neither."""
    try:
        if isinstance(value, str):
            return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4").astype(np.float32)
        vector = np.asarray(value, dtype=np.float32)
    except (ValueError, TypeError, binascii.Error):
        return None
    return vector if vector.ndim == 1 else None


def _shown(indices: Sequence[object]) -> str:
    return ", ".join(map(str, indices[:8])) + (", ..." if len(indices) > 8 else "")

"""Base class of the embeddings: batches, cache, budget, checks of vectors.

A subclass defines `compute_vectors` and `count_tokens`. The texts and their limits are those of `document_text`.
"""

from __future__ import annotations

import asyncio
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from llama_index.core.schema import BaseNode
from pydantic import BaseModel, Field, PrivateAttr

from ragloom.cache.embeddings import is_bypassed
from ragloom.cache.embeddings.embedding_cache import EmbeddingCache, ModelCache
from ragloom.cache.embeddings.row_format import Vector
from ragloom.components.embedding.batch_bisection import PartialBatch, isolate_rejected
from ragloom.components.embedding.cached_batch import EmbeddingCall
from ragloom.components.embedding.document_text import TextEmbedding
from ragloom.components.embedding.events import with_events
from ragloom.components.embedding.query_vector_memo import QueryCache
from ragloom.components.embedding.validation import demand_vectors
from ragloom.core.budget import charge, has_budget, refund
from ragloom.core.native_threads import finished_before_exit
from ragloom.core.usage import record_lookups
from ragloom.errors import ConfigError
from ragloom.process_pool.parent_callbacks import raise_if_cancelled
from ragloom.providers.batch_errors import BatchFailed
from ragloom.providers.request_context import RequestCancelled
from ragloom.providers.request_slots import enter_slot, leave_slot

Vectors = npt.NDArray[np.float32]

MAX_GROUP = 2048
"""Texts per embedding event, at most: LlamaIndex's own limit of `embed_batch_size`."""
_IN_THE_TEXT = {"embedded_metadata", "document_prefix", "query_prefix"}
"""Keys that only decide what text is sent: the text itself is the key of a cache entry."""
_HARMLESS = "text"  # no server refuses it


class Embedding(TextEmbedding):
    """A LlamaIndex embedding that checks every text and every vector.

    Attributes:
        concurrency: batches at once, at most.
        tokens_in_flight: of all batches at once, at most; None = no limit.
        max_refused: share of an ingest's texts at which the server may fail; some always may.
        cache: of vectors; None = no cache.
    """

    concurrency: int = Field(default=1, gt=0)
    tokens_in_flight: int | None = None
    max_refused: float = Field(default=0.01, ge=0, le=1)
    cache: ModelCache | None = Field(default=None, exclude=True, repr=False)

    zero_possible: ClassVar[bool] = False
    """Whether an all-zero vector can be a true result."""
    cheap: ClassVar[bool] = False
    """Whether a vector costs no money and well under a millisecond: then it is not cached."""
    paid: ClassVar[bool] = False
    """Whether each token costs money."""
    _recent: QueryCache = PrivateAttr(default_factory=QueryCache)
    _compute: Callable[[list[str], list[int] | None], Vectors] | None = PrivateAttr(default=None)

    @classmethod
    def class_name(cls) -> str:
        """Name the class in LlamaIndex's events and dumps."""
        return cls.__name__

    @property
    def query_embedding(self) -> Embedding:
        """The embedding of queries: this, unless there is a separate model."""
        return self

    @abstractmethod
    def compute_vectors(self, texts: list[str], counts: list[int] | None) -> Vectors:
        """Embed one batch of texts within the limit, or to be truncated.

        Args:
            texts: distinct, none blank.
            counts: tokens of each; None without a limit.

        Returns:
            `[n, dimensions] float32`, in the order of the texts.
        """

    async def acompute_vectors(self, texts: list[str], counts: list[int] | None) -> Vectors:
        """As `compute_vectors`, by default in a thread."""
        return await asyncio.to_thread(self.compute_vectors, texts, counts)

    def compute_by(self, compute: Callable[[list[str], list[int] | None], Vectors], concurrency: int) -> None:
        """Have batches of texts embedded elsewhere, in place of `compute_vectors`.

        Args:
            compute: as `compute_vectors`.
            concurrency: batches that it embeds at once.
        """
        self._compute, self.concurrency = compute, concurrency

    @property
    def window(self) -> int:
        """Texts to collect before batches are formed, so that sorting saves work."""
        return MAX_GROUP

    def batches(self, texts: list[str], counts: list[int] | None) -> Iterator[Sequence[int]]:
        """Yield each batch's places; a batch is cached before the next."""
        for first in range(0, len(texts), MAX_GROUP):
            yield range(first, min(first + MAX_GROUP, len(texts)))

    def is_full(self, texts: int, tokens: int) -> bool:
        """Return whether a batch of this size need not wait."""
        return texts >= MAX_GROUP

    def origin(self) -> dict[str, str]:
        """Return what decides the vectors outside the config: server, model revision."""
        return {}

    def use_cache(self, cache: EmbeddingCache, description: Mapping[str, Any]) -> None:
        """Look vectors up in a cache before they are computed.

        Args:
            cache: shared by all experiments.
            description: of this embedding, by `ragloom.config.fingerprint.describe`. All of it decides the vectors,
                but for the keys that only decide what text is sent; nothing in it is a secret.
        """
        model = {key: value for key, value in description.items() if key not in _IN_THE_TEXT} | self.origin()
        self.cache = cache.for_model(model, dimensions=self.dimensions, name=self.model_name)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed exactly these texts, without prefix or metadata.

        Returns:
            `[n, dimensions] float32`, finite, in the order of the texts.

        Raises:
            DataError: a text is blank or over the limit; nothing was embedded.
            ServiceError: the model or server failed, or returned what cannot be right.
        """
        whole, counts = self._prepare_texts(texts)
        if not whole:
            return self._no_vectors()
        call = self._look_up(whole, counts)
        for at in self.batches(call.texts, call.counts):
            call.take(at, self._embed_batch(*call.part(at)))
        return call.vectors()

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        """As `embed`, without blocking the event loop."""
        whole, counts = await asyncio.to_thread(self._prepare_texts, texts)
        if not whole:
            return self._no_vectors()
        call = await asyncio.to_thread(self._look_up, whole, counts)
        for at in self.batches(call.texts, call.counts):
            part, tokens = call.part(at)
            with self._charged(part, tokens):
                vectors = await self.acompute_vectors(part, tokens)
            await asyncio.to_thread(self._store, part, tokens, vectors)
            call.take(at, vectors)
        return call.vectors()

    def look_up(self, texts: list[str], counts: list[int] | None) -> dict[str, Vector]:
        """Find cached vectors of distinct texts, and count hits and misses."""
        lookup = self._look_up(texts, counts).lookup
        return {} if lookup is None else lookup.vectors

    def embed_batch(self, texts: list[str], counts: list[int] | None) -> Vectors:
        """Embed one batch of `batches` without look-up; check and cache it.

        It fires LlamaIndex's events.

        Returns:
            `[n, dimensions] float32`, in the order of the texts.

        Raises:
            ServiceError: the model or server failed, or returned what cannot be right.
        """
        return with_events(texts, self.to_payload, lambda: self._embed_batch(texts, counts))

    def embed_batch_tolerant(self, texts: list[str], counts: list[int] | None, most: float = math.inf) -> PartialBatch:
        """As `embed_batch`, but without the texts at which the server fails.

        Args:
            most: texts that may be bad.

        Raises:
            BatchFailed: the server fails at everything.
            TooManyRefused: more texts than `most` are bad.
            ServiceError: as `embed_batch`.
        """
        text = self.document_text(_HARMLESS, {})
        tokens = None if counts is None else self.count_tokens([text])
        harmless = lambda: self.embed_batch([text], tokens)  # noqa: E731
        return isolate_rejected(
            self.embed_batch, texts, counts, most=most, dimensions=self.dimensions, harmless=harmless
        )

    def embed_documents(self, texts: Sequence[str]) -> PartialBatch:
        """As `get_text_embedding_batch`, but without the texts at which the server fails.

        Raises:
            DataError: a text is blank or over the limit; nothing was embedded.
            ServiceError: as `embed_batch_tolerant`.
        """
        return self.embed_tolerant([self.document_prefix + text for text in texts])

    def embed_tolerant(self, texts: Sequence[str]) -> PartialBatch:
        """As `embed`, with zeros for bad texts; raise as `embed_documents`."""
        whole, counts = self._prepare_texts(texts)
        if not whole:
            return PartialBatch(self._no_vectors())
        call, refused = self._look_up(whole, counts), dict[str, str]()
        for at in self.batches(call.texts, call.counts):
            raise_if_cancelled()
            with nullcontext() if self.paid else finished_before_exit():
                batch = self.embed_batch_tolerant(*call.part(at))
            call.take(at, batch.vectors)
            refused |= {call.texts[at[place]]: reason for place, reason in batch.refused.items()}
        return PartialBatch(call.vectors(), {at: refused[text] for at, text in enumerate(whole) if text in refused})

    @contextmanager
    def _charged(self, texts: list[str], counts: list[int] | None) -> Iterator[None]:
        """Charge an open budget for a call, and refund a rejected one.

        Raises:
            BudgetSpent: the call must not be made.
        """
        tokens = sum(self.count_tokens(texts) if counts is None and has_budget() else counts or ())
        charge(tokens)
        try:
            yield
        except RequestCancelled:
            refund(tokens)
            raise
        except BatchFailed as error:
            if not error.billed:
                refund(tokens)
            raise

    def _embed_batch(self, texts: list[str], counts: list[int] | None) -> Vectors:
        enter_slot()
        with self._charged(texts, counts):
            vectors = (self._compute or self.compute_vectors)(texts, counts)
        leave_slot()
        self._store(texts, counts, vectors)
        return vectors

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """Set each node's `embedding`, from the text of `prepare` [36]."""
        vectors = self.get_text_embedding_batch(self._prepare_nodes(nodes), **kwargs)
        for node, vector in zip(nodes, vectors, strict=True):
            node.embedding = vector
        return nodes

    async def acall(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """As `__call__`, without blocking the event loop."""
        texts = await asyncio.to_thread(self._prepare_nodes, nodes)
        vectors = await self.aget_text_embedding_batch(texts, **kwargs)
        for node, vector in zip(nodes, vectors, strict=True):
            node.embedding = vector
        return nodes

    def _look_up(self, texts: list[str], counts: list[int] | None) -> EmbeddingCall:
        """Look texts up in the cache, and record hits and misses."""
        call = EmbeddingCall(texts, counts, self.cache)
        if call.lookup is not None:
            reused = list(call.reused)
            saved = self.count_tokens(reused) if counts is None else [counts[place] for place in call.reused.values()]
            record_lookups(
                self.model_name if self.paid else None,
                hits=len(reused),
                misses=len(call.texts),
                damaged=call.lookup.damaged,
                tokens=sum(saved),
                unavailable=call.lookup.unavailable,
            )
        return call

    def _store(self, texts: list[str], counts: list[int] | None, vectors: Vectors) -> None:
        """Check vectors, and add them to the cache."""
        demand_vectors(
            vectors, texts, dimensions=self.dimensions, zero_possible=self.zero_possible, model=self.model_name
        )
        record_lookups(made=len(texts), made_tokens=sum(counts or ()))
        if self.cache is not None and not is_bypassed():
            record_lookups(unavailable=not self.cache.store(texts, vectors))

    def demand_dimensions(self, width: int) -> None:
        """Raise ConfigError unless a loaded model's vectors have `dimensions`."""
        if width != self.dimensions:
            raise ConfigError(
                f"embedding: dimensions={self.dimensions} must be {width}, the length of {self.model_name}'s vectors; "
                f"set embedding.dimensions={width}"
            )

    def _no_vectors(self) -> Vectors:
        return np.zeros((0, self.dimensions), dtype=np.float32)

    # LlamaIndex's own methods: they fire its events and call these.

    def _get_query_embedding(self, query: str) -> list[float]:
        text = self.query_prefix + query
        return self._recent.known(text) or self._recent.remember(text, self.query_embedding.embed([text])[0].tolist())

    async def _aget_query_embedding(self, query: str) -> list[float]:
        text = self.query_prefix + query
        if (known := self._recent.known(text)) is not None:
            return known
        return self._recent.remember(text, (await self.query_embedding.aembed([text]))[0].tolist())

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._aget_text_embeddings([text]))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self.embed([self.document_prefix + text for text in texts]).tolist()  # type: ignore[no-any-return]

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return (await self.aembed([self.document_prefix + text for text in texts])).tolist()  # type: ignore[no-any-return]

    def __getstate__(self) -> dict[str, Any]:
        # Fields only: clients, sessions and memos are rebuilt, and no key can be in what is pickled.
        state = BaseModel.__getstate__(self)
        return {**state, "__pydantic_private__": None}

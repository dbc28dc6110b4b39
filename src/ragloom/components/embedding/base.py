"""What every embedding promises: what is sent, what is refused, what is checked. Knows no model and no provider.

A subclass turns texts into vectors; composing a text (prefix, embedded metadata), limits in its own tokens, and the
checks of what came back are here, so that no option can forget one.
"""

from __future__ import annotations

import asyncio
import math
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import BaseNode, MetadataMode
from pydantic import BaseModel, Field, PrivateAttr

from ragloom.cache.embeddings import is_bypassed
from ragloom.cache.embeddings.embedding_cache import EmbeddingCache, ModelCache
from ragloom.cache.embeddings.row_format import Vector
from ragloom.components.embedding.batch import Call
from ragloom.components.embedding.events import told
from ragloom.components.embedding.query_cache import MOST, Recent
from ragloom.components.embedding.rejected_inputs import Apart, make_apart
from ragloom.components.embedding.validation import demand_texts, demand_vectors, name_of, unbroken
from ragloom.core.native_threads import finished_before_exit
from ragloom.core.records import Chunk
from ragloom.core.usage import charge, has_budget, record_lookups, record_made, record_unavailable, refund
from ragloom.process_pool.parent_callbacks import raise_if_cancelled
from ragloom.providers.openai_client import Usage
from ragloom.providers.retry import BatchFailed

Vectors = npt.NDArray[np.float32]

MAX_GROUP = 2048
"""Texts per embedding event, at most: LlamaIndex's own limit of `embed_batch_size`."""
_IN_THE_TEXT = {"embedded_metadata", "document_prefix", "query_prefix"}
"""Keys that decide what text is sent, and nothing beside: an entry of the cache is found by that text."""
_HARMLESS = "text"  # no server refuses it
_tally = threading.Lock()


class Embedding(BaseEmbedding):
    """A LlamaIndex embedding that never cuts a text silently and never hands on an unchecked vector.

    Attributes:
        dimensions: of every vector.
        max_tokens: of one text as sent, special tokens included; None = no limit.
        embedded_metadata: metadata keys whose values are sent ahead of a document's text, in this order.
        document_prefix, query_prefix: put before what is sent, as the model was trained.
        overlong: what happens to a text over `max_tokens`.
        concurrency: batches that may be made at once.
        tokens_in_flight: of all batches that are being made, at most; None = no limit.
        max_refused: share of an ingest's texts at which the server may fail; some always may.
        cache: where vectors are looked up before they are made, and kept; None = nowhere.
    """

    dimensions: int = Field(gt=0)
    max_tokens: int | None
    embedded_metadata: list[str]
    document_prefix: str = ""
    query_prefix: str = ""
    overlong: Literal["error", "truncate"] = "error"
    concurrency: int = Field(default=1, gt=0)
    tokens_in_flight: int | None = None
    max_refused: float = Field(default=0.01, ge=0, le=1)
    cache: ModelCache | None = Field(default=None, exclude=True, repr=False)

    truncation_offered: ClassVar[bool] = False
    """Whether the option has a key `overlong`."""
    zero_possible: ClassVar[bool] = False
    """Return whether an all-zero vector can be a true result."""
    cheap: ClassVar[bool] = False
    """Return whether a vector costs no money and well under a millisecond: then none is kept."""
    paid: ClassVar[bool] = False
    """Whether each token costs money."""
    remembered: ClassVar[int] = MOST
    """Questions whose vectors are there without a cache, the last ones."""
    _truncated: int = PrivateAttr(default=0)
    _recent: Recent = PrivateAttr(default_factory=Recent)
    _counted: dict[str, int] = PrivateAttr(default_factory=dict)

    @classmethod
    def class_name(cls) -> str:
        """Name the class in LlamaIndex's events and dumps."""
        return cls.__name__

    @property
    def usage(self) -> Usage:
        """What was asked of a provider; nothing for a local model."""
        return Usage()

    @property
    def asker(self) -> Embedding:
        """What embeds questions: this, unless there is a model for them."""
        return self

    @property
    def truncated(self) -> int:
        """Texts cut at `max_tokens` so far; always 0 with `overlong: error`."""
        return self._truncated

    @abstractmethod
    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count each text's tokens with the model's own tokenizer, special tokens included."""

    @abstractmethod
    def _vectors(self, texts: list[str], counts: list[int] | None) -> Vectors:
        """Embed one batch of texts that are within the limit, or to be truncated.

        Args:
            texts: none is blank, none is there twice.
            counts: tokens of each; None where there is no limit.

        Returns:
            `[n, dimensions] float32`, in the order of the texts.
        """

    async def _avectors(self, texts: list[str], counts: list[int] | None) -> Vectors:
        """As `_vectors`. Computing it is left to a thread, so that the event loop goes on."""
        return await asyncio.to_thread(self._vectors, texts, counts)

    @property
    def window(self) -> int:
        """How many texts are gathered before batches are made of them: more, where sorting them saves work."""
        return MAX_GROUP

    def batches(self, texts: list[str], counts: list[int] | None) -> Iterator[Sequence[int]]:
        """Yield the places of texts that are embedded together; what was made is kept before the next ones are."""
        for first in range(0, len(texts), MAX_GROUP):
            yield range(first, min(first + MAX_GROUP, len(texts)))

    def is_full(self, texts: int, tokens: int) -> bool:
        """Return whether a batch of so many texts and tokens need not wait for more."""
        return texts >= MAX_GROUP

    def origin(self) -> dict[str, str]:
        """Return what decides the vectors and is in no config key: the server's address, a model's exact revision."""
        return {}

    def use_cache(self, cache: EmbeddingCache, description: Mapping[str, Any]) -> None:
        """Has vectors looked up before they are made.

        Args:
            cache: shared by all experiments.
            description: of this embedding, by `ragloom.config.fingerprint.describe`. All of it decides the vectors,
                but for the keys that only decide what text is sent; nothing in it is a secret.
        """
        told = {key: value for key, value in description.items() if key not in _IN_THE_TEXT}
        self.cache = cache.for_model({**told, **self.origin()}, dimensions=self.dimensions, name=self.model_name)

    def document_text(self, text: str, metadata: Mapping[str, Any]) -> str:
        """Compose what is sent for a document or chunk: prefix, embedded metadata, an empty line, the text."""
        return unbroken(self.document_prefix + self._with_metadata(text, metadata))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed exactly these texts, without prefix or metadata.

        Returns:
            `[n, dimensions] float32`, finite, in the order of the texts.

        Raises:
            DataError: a text is blank or over the limit; nothing was embedded.
            ServiceError: the model or server failed, or returned what cannot be right.
        """
        whole = [unbroken(text) for text in texts]
        counts = self._checked(whole, lambda at: f"text {at + 1} of {len(whole)}, which begins {whole[at][:40]!r}")
        return self._embedded(whole, counts)

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        """As `embed`, without blocking the event loop."""
        whole = [unbroken(text) for text in texts]
        name = lambda at: f"text {at + 1} of {len(whole)}, which begins {whole[at][:40]!r}"  # noqa: E731
        counts = await asyncio.to_thread(self._checked, whole, name)
        if not whole:
            return self._none()
        call = await asyncio.to_thread(self._begun, whole, counts)
        for at in self.batches(call.texts, call.counts):
            texts, counts = call.part(at)
            with self._charged(texts, counts):
                vectors = await self._avectors(texts, counts)
            await asyncio.to_thread(self._kept, texts, counts, vectors)
            call.take(at, vectors)
        return call.vectors()

    def embed_chunks(self, chunks: Sequence[Chunk]) -> Vectors:
        """Embed chunks as documents: prefix, embedded metadata, text. All limits are checked before the first one.

        Returns:
            `[n, dimensions] float32`, in the order of the chunks.

        Raises:
            DataError: chunks are over the limit; each is named by document and span.
            ServiceError: the model or server failed, or returned what cannot be right.
        """
        texts, counts = self.prepared(chunks)
        return self._told(texts, lambda: self._embedded(texts, counts))

    def prepared(self, chunks: Sequence[Chunk]) -> tuple[list[str], list[int] | None]:
        """Compose what is sent for chunks: prefix, embedded metadata, text.

        Returns:
            the texts, and the tokens of each (None where there is no limit).

        Raises:
            DataError: chunks are over the limit; each is named by document and span.
        """
        texts = [self.document_text(chunk.text, chunk.metadata) for chunk in chunks]
        name = lambda at: f"{chunks[at].document}, characters {chunks[at].start} to {chunks[at].end}"  # noqa: E731
        return texts, self._checked(texts, name)

    def look_up(self, texts: list[str], counts: list[int] | None) -> dict[str, Vector]:
        """Find the vectors of distinct texts that were made before, and count hits and misses."""
        call = self._begun(texts, counts)
        return {} if call.found is None else call.found.vectors

    def make(self, texts: list[str], counts: list[int] | None) -> Vectors:
        """Embed one batch, as `batches` gives it: anew, verified, and kept before this returns.

        It fires LlamaIndex's events.

        Returns:
            `[n, dimensions] float32`, in the order of the texts.

        Raises:
            ServiceError: the model or server failed, or returned what cannot be right.
        """
        return self._told(texts, lambda: self._made(texts, counts))

    def make_apart(self, texts: list[str], counts: list[int] | None, most: float = math.inf) -> Apart:
        """As `make`; texts at which the server fails do not keep the others from being made.

        Args:
            most: texts that may be bad.

        Raises:
            BatchFailed: the server fails at everything.
            TooManyRefused: more texts than `most` are bad.
            ServiceError: as `make`.
        """
        text = self.document_text(_HARMLESS, {})
        tokens = None if counts is None else self.count_tokens([text])
        harmless = lambda: self.make([text], tokens)  # noqa: E731
        return make_apart(self.make, texts, counts, most=most, dimensions=self.dimensions, harmless=harmless)

    def embed_documents(self, texts: Sequence[str]) -> Apart:
        """Embed texts as `get_text_embedding_batch` does; those at which the server fails are told.

        Raises:
            DataError: a text is blank or over the limit; nothing was embedded.
            ServiceError: as `make_apart`.
        """
        return self.embed_apart([self.document_prefix + text for text in texts])

    def embed_apart(self, texts: Sequence[str]) -> Apart:
        """As `embed`; those at which the server fails are told, and have zeros. Raises as `embed_documents`."""
        whole = [unbroken(text) for text in texts]
        counts = self._checked(whole, lambda at: f"text {at + 1} of {len(whole)}, which begins {whole[at][:40]!r}")
        if not whole:
            return Apart(self._none())
        call, refused = self._begun(whole, counts), dict[str, str]()
        for at in self.batches(call.texts, call.counts):
            raise_if_cancelled()
            with nullcontext() if self.paid else finished_before_exit():
                made = self.make_apart(*call.part(at))
            call.take(at, made.vectors)
            refused |= {call.texts[at[place]]: reason for place, reason in made.refused.items()}
        return Apart(call.vectors(), {at: refused[text] for at, text in enumerate(whole) if text in refused})

    @contextmanager
    def _charged(self, texts: list[str], counts: list[int] | None) -> Iterator[None]:
        """Charge an open budget before a call, and gives back what a refused one was charged.

        Raises:
            BudgetSpent: the call must not be made.
        """
        tokens = sum(self.count_tokens(texts) if counts is None and has_budget() else counts or ())
        charge(tokens)
        try:
            yield
        except BatchFailed as error:
            if not error.billed:
                refund(tokens)
            raise

    def _made(self, texts: list[str], counts: list[int] | None) -> Vectors:
        with self._charged(texts, counts):
            vectors = self._vectors(texts, counts)
        self._kept(texts, counts, vectors)
        return vectors

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """Set each node's `embedding`, from the same text that `embed_chunks` sends for the chunk [36]."""
        found = self.get_text_embedding_batch(self._texts_of(nodes), **kwargs)
        for node, vector in zip(nodes, found, strict=True):
            node.embedding = vector
        return nodes

    async def acall(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """As `__call__`, without blocking the event loop."""
        texts = await asyncio.to_thread(self._texts_of, nodes)
        found = await self.aget_text_embedding_batch(texts, **kwargs)
        for node, vector in zip(nodes, found, strict=True):
            node.embedding = vector
        return nodes

    def _told(self, texts: list[str], make: Callable[[], Vectors]) -> Vectors:
        """Fire LlamaIndex's events around the embedding of texts."""
        return told(texts, self.to_payload, make)

    def _embedded(self, texts: list[str], counts: list[int] | None) -> Vectors:
        if not texts:
            return self._none()
        call = self._begun(texts, counts)
        for at in self.batches(call.texts, call.counts):
            call.take(at, self._made(*call.part(at)))
        return call.vectors()

    def _texts_of(self, nodes: Sequence[BaseNode]) -> list[str]:
        texts = [self._with_metadata(node.get_content(MetadataMode.NONE), node.metadata) for node in nodes]
        self._check_documents(texts, lambda at: name_of(nodes[at]))
        return texts

    def _with_metadata(self, text: str, metadata: Mapping[str, Any]) -> str:
        values = (str(metadata[key]) for key in self.embedded_metadata if metadata.get(key) is not None)
        head = "\n".join(values).strip()
        # Stripped as LlamaIndex's TextNode.get_content does it, so that both send the same text for our nodes.
        return f"{head}\n\n{text}".strip() if head else text

    def _check_documents(self, texts: list[str], name: Callable[[int], str]) -> None:
        whole = [unbroken(self.document_prefix + text) for text in texts]
        counts = self._checked(whole, name, count_truncated=False)
        self._counted = {} if counts is None else dict(zip(whole, counts, strict=True))

    def _count(self, texts: list[str]) -> list[int]:
        """Count tokens; those that were counted while documents were checked are not counted again."""
        counts = [self._counted.pop(text, -1) for text in texts]
        left = [at for at, tokens in enumerate(counts) if tokens < 0]
        for at, tokens in zip(left, self.count_tokens([texts[at] for at in left]) if left else (), strict=True):
            counts[at] = tokens
        return counts

    def _checked(self, texts: list[str], name: Callable[[int], str], count_truncated: bool = True) -> list[int] | None:
        """Count tokens and reject what is blank or too long; return the counts, None where there is no limit."""
        counts = None if self.max_tokens is None else self._count(texts)
        over = [(at, tokens) for at, tokens in enumerate(counts or []) if tokens > (self.max_tokens or 0)]
        or_cut = ", or set embedding.overlong=truncate" if self.truncation_offered else ""
        too_long = f"tokens of {self.model_name} must be at most {self.max_tokens}; lower chunking.chunk_size{or_cut}"
        refused = [(at, f"{tokens} {too_long}") for at, tokens in over] if self.overlong == "error" else []
        demand_texts(texts, refused, name)
        if over and count_truncated:
            with _tally:
                self._truncated += len(over)
        return counts

    def _begun(self, texts: list[str], counts: list[int] | None) -> Call:
        """Look the texts up, and count what that gave."""
        call = Call(texts, counts, self.cache)
        if call.found is not None:
            reused = list(call.reused)
            saved = self.count_tokens(reused) if counts is None else [counts[place] for place in call.reused.values()]
            record_lookups(
                self.model_name if self.paid else None,
                hits=len(reused),
                misses=len(call.texts),
                damaged=call.found.damaged,
                tokens=sum(saved),
            )
            record_unavailable(call.found.unavailable)
        return call

    def _kept(self, texts: list[str], counts: list[int] | None, vectors: Vectors) -> None:
        """Check what was made before it is kept."""
        demand_vectors(
            vectors, texts, dimensions=self.dimensions, zero_possible=self.zero_possible, model=self.model_name
        )
        record_made(len(texts), sum(counts or ()))
        if self.cache is not None and not is_bypassed():
            record_unavailable(not self.cache.store(texts, vectors))

    def _none(self) -> Vectors:
        return np.zeros((0, self.dimensions), dtype=np.float32)

    # LlamaIndex's own methods: they fire its events and call these.

    def _get_query_embedding(self, query: str) -> list[float]:
        text = self.query_prefix + query
        return self._recent.known(text) or self._recent.remember(text, self.asker.embed([text])[0].tolist())

    async def _aget_query_embedding(self, query: str) -> list[float]:
        text = self.query_prefix + query
        return self._recent.known(text) or self._recent.remember(text, (await self.asker.aembed([text]))[0].tolist())

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._aget_text_embeddings([text]))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self.embed([self.document_prefix + text for text in texts]).tolist()  # type: ignore[no-any-return]

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return (await self.aembed([self.document_prefix + text for text in texts])).tolist()  # type: ignore[no-any-return]

    def __getstate__(self) -> dict[str, Any]:
        # Fields only: clients, sessions and memos are made anew, and no key can be in what is pickled.
        state = BaseModel.__getstate__(self)
        return {**state, "__pydantic_private__": None}

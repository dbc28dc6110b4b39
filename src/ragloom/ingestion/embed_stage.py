"""Embedding stage: look up vectors, pack misses into batches, embed concurrently.

All but `_made` runs in one thread; batches are made in others, which answer by putting a `BatchResult` into the queue.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from ragloom.core.budget import BudgetSpent
from ragloom.core.records import sha256
from ragloom.errors import ServiceError
from ragloom.ingestion.batches import ChunkBatch, PendingDocument
from ragloom.providers.batch_errors import TooManyRefused
from ragloom.providers.request_context import RequestCancelled, cancelled_by
from ragloom.providers.request_slots import RequestSlot, RequestSlots

if TYPE_CHECKING:
    from ragloom.components.embedding.base import Embedding, Vectors
    from ragloom.core.records import Chunk

ALWAYS_REFUSED = 10
"""Texts at which the server may fail in any ingest, however small their share."""
READY = 8
"""Batches beyond those in flight: their requests are ready to be sent, or their answers are read."""
Slot = tuple[ChunkBatch, int]
"""A chunk that waits for its vector."""


@dataclass(slots=True, eq=False)
class BatchResult:
    """Result of a batch.

    Attributes:
        hashes: of its texts.
        vectors: `[n, dimensions] float32`; None where it failed.
        refused: the provider's reason by the place of each text that was refused by itself.
    """

    hashes: list[str]
    tokens: int
    vectors: Vectors | None = None
    error: BaseException | None = None
    refused: dict[int, str] = field(default_factory=dict)


class EmbedStage:
    """Fills in the vectors of blocks.

    Args:
        embedding: makes them.
        stored: gives the vectors that the index holds of documents, by hash of what was sent.
        events: receives a `BatchResult` for each batch.

    Attributes:
        running: batches that are being made.
        tokens: counted here, where embedding counts nothing.
        stopped: why nothing is embedded any more: the budget is spent.
        taken: texts that came.
        refused: texts that the server refuses, by the hash of what was sent -> reason.
    """

    def __init__(
        self,
        embedding: Embedding,
        stored: Callable[[Sequence[ChunkBatch]], dict[str, np.ndarray]],
        events: SimpleQueue[Any],
    ) -> None:
        self._embedding, self._stored, self._events = embedding, stored, events
        self._waiting: dict[str, list[Slot]] = {}
        self._pending: list[tuple[str, str, int]] = []  # hash, text, tokens
        self._pending_tokens = 0
        self._pool = ThreadPoolExecutor(embedding.concurrency + READY, thread_name_prefix="ragloom-embedding")
        self._slots = RequestSlots(embedding.concurrency, embedding.tokens_in_flight)
        self._end = threading.Event()
        self.running = 0
        self.tokens = 0
        self.stopped: str | None = None
        self.taken = 0
        self.refused: dict[str, str] = {}
        self._refused_before = 0

    def go_on_from(self, taken: int, refused: int) -> None:
        """Count the texts of other stages of the run."""
        self.taken, self._refused_before = taken, refused

    @property
    def _refused_count(self) -> int:
        return self._refused_before + len(self.refused)

    @property
    def busy(self) -> bool:
        """Whether enough batches are waiting."""
        return self.running > 2 * self._embedding.concurrency

    def close(self) -> None:
        """Start no further batch or request, without waiting for those in flight."""
        self._end.set()
        self._slots.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def take(self, block: ChunkBatch) -> None:
        """Look up a block's vectors and has the others made.

        Raises:
            DataError: chunks are over the embedding's limit.
        """
        embedding = self._embedding
        block.texts, counts = embedding.prepare(block.chunks)
        block.hashes = [sha256(text) for text in block.texts]
        block.vectors = np.empty((len(block.chunks), embedding.dimensions), dtype=np.float32)
        block.missing = len(block.chunks)
        self.taken += len(block.chunks)
        known = {} if embedding.cheap else self._stored([block])
        new: dict[str, int] = {}
        for at, sent in enumerate(block.hashes):
            if sent in known:
                _fill(block, at, known[sent])
            elif block.owners[at].failed is not None:
                block.missing -= 1
            elif sent in self._waiting:
                self._waiting[sent].append((block, at))
            elif sent in self.refused:
                self._waiting[sent] = [(block, at)]
                self._answer_refused(sent)
            else:
                self._waiting[sent] = [(block, at)]
                new[sent] = at
        if not new:
            return
        texts = [block.texts[at] for at in new.values()]
        tokens = [counts[at] for at in new.values()] if counts is not None else None
        vectors = {} if embedding.cheap else embedding.look_up(texts, tokens)
        if tokens is None:  # then embedding counts nothing
            tokens = embedding.count_tokens(texts)
            self.tokens += sum(count for text, count in zip(texts, tokens, strict=True) if text not in vectors)
        for sent, text, count in zip(new, texts, tokens, strict=True):
            if text in vectors:
                self._fill_all(sent, vectors[text])
            elif self.stopped is not None:
                self._give_up([sent], self.stopped)
            else:
                self._pending.append((sent, text, count))
                self._pending_tokens += count
        self._pack(flush=False)

    def flush(self) -> None:
        """Has made what waits for a batch to be full."""
        self._pack(flush=True)

    def took(self, batch: BatchResult) -> list[tuple[PendingDocument, str]]:
        """Store the result of a batch.

        Returns:
            documents that will not be stored, each once, with the reason and the place of the text.

        Raises:
            Exception: what making it raised.
        """
        self.running -= 1
        if isinstance(batch.error, BudgetSpent):
            self._spent(batch.error, batch.hashes)
            return []
        if batch.error is not None:
            raise batch.error
        assert batch.vectors is not None
        self.refuse({batch.hashes[at]: reason for at, reason in batch.refused.items()})
        failed = []
        for at, (sent, vector) in enumerate(zip(batch.hashes, batch.vectors, strict=True)):
            if at in batch.refused:
                reason = batch.refused[at]
                failed += [
                    (document, f"{reason}; characters {chunk.start} to {chunk.end}")
                    for document, chunk in self._give_up([sent], reason)
                ]
            else:
                self._fill_all(sent, vector)
        return failed

    def refuse(self, reasons: dict[str, str]) -> None:
        """Record texts that the server rejects: hash or name -> reason.

        Raises:
            ServiceError: there are too many.
        """
        self.refused |= reasons
        if reasons and self._refused_count > self._most():
            raise self._too_many(self._refused_count, list(reasons.values())[-1])

    def _answer_refused(self, sent: str) -> None:
        """Answer a repeated text with the result of its first request."""
        self.running += 1
        nothing = np.zeros((1, self._embedding.dimensions), dtype=np.float32)
        self._events.put(BatchResult([sent], 0, nothing, refused={0: self.refused[sent]}))

    def _most(self) -> float:
        return most_refused(self.taken, self._embedding.max_refused)

    def _too_many(self, refused: int, reason: str) -> ServiceError:
        return too_many_refused(refused, self.taken, self._embedding.max_refused, reason)

    def _spent(self, error: BudgetSpent, hashes: list[str]) -> None:
        """Cancel pending texts; their documents are left to the next ingest."""
        self.stopped = str(error)
        self._give_up([*hashes, *(sent for sent, _, _ in self._pending)], self.stopped)
        self._pending, self._pending_tokens = [], 0

    def _give_up(self, hashes: list[str], reason: str) -> list[tuple[PendingDocument, Chunk]]:
        """Stop waiting for vectors; return newly failed documents and the chunk."""
        failed = []
        for sent in hashes:
            for block, at in self._waiting.pop(sent):
                block.missing -= 1
                if block.owners[at].failed is None:
                    block.owners[at].failed = reason
                    failed.append((block.owners[at], block.chunks[at]))
        return failed

    def _fill_all(self, sent: str, vector: np.ndarray) -> None:
        for block, at in self._waiting.pop(sent):
            _fill(block, at, vector)

    def _pack(self, *, flush: bool) -> None:
        full = len(self._pending) >= self._embedding.window
        if not (flush or full or self._embedding.is_full(len(self._pending), self._pending_tokens)):
            return
        pending, self._pending, self._pending_tokens = self._pending, [], 0
        if not pending:
            return
        counts = [tokens for _, _, tokens in pending]
        groups = list(self._embedding.batches([text for _, text, _ in pending], counts))
        for number, group in enumerate(groups):
            batch = [pending[at] for at in group]
            tokens = sum(count for _, _, count in batch)
            if flush or number < len(groups) - 1 or self._embedding.is_full(len(batch), tokens):
                self._begin(batch, tokens)
            else:
                self._pending, self._pending_tokens = batch, tokens

    def _begin(self, batch: list[tuple[str, str, int]], tokens: int) -> None:
        self.running += 1
        slot = self._slots.announce(tokens)
        self._pool.submit(contextvars.copy_context().run, self._made, batch, tokens, slot)

    def _made(self, batch: list[tuple[str, str, int]], tokens: int, slot: RequestSlot) -> None:
        result = BatchResult([sent for sent, _, _ in batch], tokens)
        counts = None if self._embedding.max_tokens is None else [count for _, _, count in batch]
        with cancelled_by(self._end), slot.used():
            try:
                left = self._most() - self._refused_count
                apart = self._embedding.embed_batch_tolerant([text for _, text, _ in batch], counts, left)
                result.vectors, result.refused = apart.vectors, apart.refused
            except RequestCancelled:
                return  # nobody waits for it any more
            except TooManyRefused as error:
                result.error = self._too_many(self._refused_count + error.refused, error.says)
                self._slots.close()
            except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits for it
                result.error = error
                if not isinstance(error, BudgetSpent):
                    self._slots.close()  # before another batch is begun that would be paid for in vain
        self._events.put(result)


def most_refused(taken: int, share: float) -> float:
    """Return how many texts of an ingest may be refused."""
    return max(ALWAYS_REFUSED, share * taken) if share else 0


def too_many_refused(refused: int, taken: int, share: float, reason: str) -> ServiceError:
    """Return the error of a server that refuses too many texts."""
    return ServiceError(
        f"embedding: the server fails at {refused} of {taken} texts, the last time with: {reason}; "
        f"embedding.max_refused={share:g} allows {most_refused(taken, share):.0f}; look at the server and the model, "
        "or raise embedding.max_refused"
    )


def _fill(block: ChunkBatch, at: int, vector: np.ndarray) -> None:
    block.vectors[at] = vector
    block.missing -= 1

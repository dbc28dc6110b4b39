"""Embed and write stages, from read to stored documents."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ragloom.components.vector_store.protocols import Manifest, Writer
from ragloom.components.vector_store.record_types import ManifestRow
from ragloom.core.records import Unreadable
from ragloom.ingestion.batches import ChunkBatch, PendingDocument, chunk_batches
from ragloom.ingestion.embed_stage import BatchResult, EmbedStage
from ragloom.ingestion.read_stage import ReadResult
from ragloom.ingestion.write_stage import StoredRows, WriteStage

if TYPE_CHECKING:
    from ragloom.components.embedding.base import Embedding


class StageListener(Protocol):
    """Receiver of results, in the thread that adds documents."""

    def failed(self, document: PendingDocument, reason: str) -> None:
        """Take a document with a text that the embedding rejects."""

    def stored(self, batches: Sequence[ChunkBatch]) -> None:
        """Take batches that are stored, with the documents that are complete."""

    def advanced(self, tokens: int, stopped: str | None) -> None:
        """Take the progress.

        Args:
            tokens: counted by the embed stage so far.
            stopped: why nothing is embedded any more; None: it goes on.
        """


class DocumentStages:
    """Embeds and writes documents; a context for one pass, closed by `close`.

    Args:
        embedding: makes the vectors.
        writer: entered and recovered.
        stored_vectors: looks vectors up in the index, by hash of what was sent.
        listener: receives what becomes of the documents.
        in_flight_mb: text and vectors between reading and the store, about.
    """

    def __init__(
        self,
        embedding: Embedding,
        writer: Writer,
        stored_vectors: Callable[[Sequence[ChunkBatch]], dict[str, np.ndarray]],
        listener: StageListener,
        in_flight_mb: float,
    ) -> None:
        self._dimensions = embedding.dimensions
        self._listener = listener
        self._most_bytes = in_flight_mb * 1e6
        self._events: SimpleQueue[BatchResult | StoredRows | BaseException] = SimpleQueue()
        self._batches: deque[ChunkBatch] = deque()
        self._in_flight = 0
        self._writing = WriteStage(writer, self._events)
        self.embedding = EmbedStage(embedding, stored_vectors, self._events)

    @property
    def stopped(self) -> str | None:
        """Why nothing is embedded any more; None while it goes on."""
        return self.embedding.stopped

    def close(self) -> None:
        """Start no further request; wait for the writer."""
        self.embedding.close()
        self._writing.close()

    def process(self, documents: Iterable[PendingDocument]) -> None:
        """Process documents until the last one is on its way.

        Raises:
            DataError: a text is over the embedding's limit.
            ServiceError: the store or the provider failed.
        """
        for batch in chunk_batches(documents, self._dimensions):
            while self.embedding.busy or (self._in_flight and self._in_flight + batch.bytes > self._most_bytes):
                self._advance(wait=True)
            self._in_flight += batch.bytes
            self.embedding.take(batch)
            self._batches.append(batch)
            self._advance(wait=False)

    def count_refused(self, result: ReadResult) -> None:
        """Count a rejected text that chunking met.

        Raises:
            ServiceError: there are too many.
        """
        if isinstance(result, Unreadable) and result.refused is not None and result.reason:
            self.embedding.refuse({result.refused: result.reason})

    def touch(self, rows: list[ManifestRow]) -> None:
        """Have sizes and times of unchanged documents written."""
        self._writing.put(rows)

    def finish(self) -> None:
        """Wait until everything is stored; raise as `process`."""
        self.embedding.flush()
        while self._batches or self._writing.waiting:
            self._advance(wait=True)

    def _advance(self, *, wait: bool) -> None:
        """Do what the stages have answered; with `wait`, something at least."""
        self._release()
        if wait and not self.embedding.running and not self._writing.waiting:
            self.embedding.flush()
        try:
            while True:
                self._take(self._events.get(block=wait))
                wait = False
        except Empty:
            self._release()
        self._listener.advanced(self.embedding.tokens, self.embedding.stopped)

    def _take(self, event: BatchResult | StoredRows | BaseException) -> None:
        if isinstance(event, BatchResult):
            for document, reason in self.embedding.took(event):
                self._listener.failed(document, reason)
        elif isinstance(event, StoredRows):
            self._writing.took(event)
            batches = [item for item in event.items if isinstance(item, ChunkBatch)]
            self._in_flight -= sum(batch.bytes for batch in batches)
            self._listener.stored(batches)
            for document in (document for batch in batches for document in batch.complete):
                document.cut.close()
        else:
            raise event

    def _release(self) -> None:
        """Have batches written whose vectors are all there, in order."""
        while self._batches and not self._batches[0].missing:
            self._writing.put(self._batches.popleft())


def stored_documents(batches: Iterable[ChunkBatch]) -> list[PendingDocument]:
    """Return the complete documents of stored batches."""
    return [document for batch in batches for document in batch.complete if document.failed is None]


def known_vectors(
    batches: Sequence[ChunkBatch], holding: Callable[[Sequence[str]], Sequence[str]], manifest: Manifest
) -> dict[str, np.ndarray]:
    """Look up vectors in the index, by former versions and equal text.

    Returns:
        hash of what was sent -> vector.

    Args:
        holding: returns for each text hash a document of the index that has it, if any.
        manifest: reads the stored vectors.
    """
    owners = {id(owner): owner for batch in batches for owner in batch.owners}.values()
    names = {owner.row.id for owner in owners if owner.known}
    names.update(holding([owner.row.text_hash for owner in owners]))
    if not names:
        return {}
    # Only what these batches need: a document of thousands of chunks comes in as many batches.
    hashes = {sent for batch in batches for sent in batch.hashes}
    return {sent: vector for (_, sent), vector in manifest.vectors_of(sorted(names), hashes).items()}

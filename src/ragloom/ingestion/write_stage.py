"""Write stage: store batches with vectors, in order, on one thread.

One separate thread is the only one that changes the index until it is closed.
"""

from __future__ import annotations

import contextvars
import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ragloom.components.vector_store.record_types import ManifestRow, StoredDocumentRow
from ragloom.core.native_threads import finished_before_exit
from ragloom.ingestion.batches import ChunkBatch

if TYPE_CHECKING:
    from ragloom.components.vector_store.protocols import Writer

MOST_TOGETHER = 8192
"""Chunks that are appended in one call, when so many are ready."""
Item = ChunkBatch | list[ManifestRow]


@dataclass(slots=True, eq=False)
class StoredRows:
    """Rows written: batches in order, or updated manifest rows."""

    items: list[Item]


class WriteStage:
    """Writer thread of an ingest.

    Args:
        writer: entered and recovered.
        events: receives a `StoredRows` for each write, or the exception of the last one.
    """

    def __init__(self, writer: Writer, events: queue.SimpleQueue[Any]) -> None:
        self._writer, self._events = writer, events
        self._items: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._run,), name="ragloom-storing", daemon=True
        )
        self.waiting = 0
        self._thread.start()

    def put(self, item: Item) -> None:
        """Has a block, or touched rows, written."""
        self.waiting += 1
        self._items.put(item)

    def took(self, stored: StoredRows) -> None:
        """Count what was written."""
        self.waiting -= len(stored.items)

    def close(self) -> None:
        """Wait until what was put is written, unless something went wrong."""
        self._items.put(None)
        self._thread.join()

    def _run(self) -> None:
        left: list[Item | None] = []
        try:
            while (item := left.pop() if left else self._items.get()) is not None:
                some: list[Any] = [item]
                with finished_before_exit():
                    if isinstance(item, ChunkBatch):
                        left += self._more(some)
                        self._write(some)
                    else:
                        self._writer.touch(item)
                self._events.put(StoredRows(some))
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits for it
            self._events.put(error)

    def _more(self, some: list[ChunkBatch]) -> list[Item | None]:
        """Add batches that are ready; return the item after them, if any."""
        while sum(len(block.chunks) for block in some) < MOST_TOGETHER:
            try:
                item = self._items.get_nowait()
            except queue.Empty:
                return []
            if not isinstance(item, ChunkBatch):
                return [item]
            some.append(item)
        return []

    def _write(self, some: list[ChunkBatch]) -> None:
        batches = [(block, np.array([owner.failed is None for owner in block.owners], dtype=bool)) for block in some]
        chunks = [chunk for block, mask in batches for chunk, keep in zip(block.chunks, mask, strict=True) if keep]
        hashes = [sent for block, mask in batches for sent, keep in zip(block.hashes, mask, strict=True) if keep]
        if chunks:
            self._writer.append(chunks, np.concatenate([block.vectors[mask] for block, mask in batches]), hashes)
        complete = [document for block in some for document in block.complete]
        stored = [document for document in complete if document.failed is None]
        self._writer.finish([StoredDocumentRow(each.row, each.cut.text, each.cut.metadata) for each in stored])
        failed = [document.row for document in complete if document.failed is not None]
        self._writer.discard([(row.id, row.content_hash) for row in failed])

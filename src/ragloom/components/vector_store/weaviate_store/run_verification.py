"""Verification of one run: uncertain writes at once, samples before commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from weaviate.classes.data import DataObject

from ragloom.components.vector_store.weaviate_store import search_verification
from ragloom.components.vector_store.weaviate_store.collection_pair import CollectionPair
from ragloom.components.vector_store.weaviate_store.index_state import IndexState
from ragloom.components.vector_store.weaviate_store.object_mapping import chunk_uuid
from ragloom.components.vector_store.weaviate_store.search_verification import ChunkSample, LostToSearch, Verification
from ragloom.components.vector_store.weaviate_store.uncertain_writes import ChunkRepair, remove
from ragloom.core.records import Chunk
from ragloom.core.suggested_commands import program

_INGEST_AGAIN = "run the same ingest command again, which writes that document again"
_ADD_AGAIN = "stored nodes stay: take these out with delete_nodes() and add() them again"


class WriteAudit:
    """Audit of one run's chunks by searching.

    Args:
        pair: collections of the index.
        state: of the index before the run; None where there is no manifest.
        seed: of the samples.
        announce: marks the state as being written, so that the next run recovers; called before each repair.

    Attributes:
        sample: of the chunks of this run; includes all those of unknown outcome until they are verified.
    """

    def __init__(self, pair: CollectionPair, state: IndexState | None, seed: str, announce: Callable[[], None]) -> None:
        self.sample = ChunkSample(seed)
        self._pair = pair
        self._has_manifest = state is not None
        self._interrupted = state is not None and state.writing is not None
        self._seed = seed
        self._announce = announce
        empty = state is not None and not state.version and state.writing is None
        self._older: list[UUID] | None = [] if empty else None

    def draw_older(self) -> None:
        """Sample chunks of earlier runs, once and before this run writes any."""
        if self._older is None:
            size = search_verification.OLDER_AFTER_A_CRASH if self._interrupted else search_verification.OLDER
            self._older = search_verification.draw_stored(self._pair, size, self._seed)

    def store(
        self, objects: Sequence[DataObject[Any, Any]], chunks: Sequence[Chunk], *, may_be_stored: bool = False
    ) -> int:
        """Store chunks and verify those of unknown outcome.

        Args:
            objects: of the chunks.
            chunks: the same ones.
            may_be_stored: a writer that died may have sent them before, so that their outcome is unknown.

        Returns:
            the number of stored objects deleted to be inserted again: BM25 statistics keep counting them [40].
        """
        repair = ChunkRepair(self._pair.connection, self._pair.chunks)
        self._pair.put_chunks(objects, repair)
        stored = [(chunk_uuid(chunk.id), chunk.document, chunk.content_hash) for chunk in chunks]
        suspects = {chunk[0] for chunk in stored} if may_be_stored else repair.suspects
        self.sample.add(chunk for chunk in stored if chunk[0] not in suspects)
        self.sample.required += [chunk for chunk in stored if chunk[0] in suspects]
        if not self.sample.required or search_verification.wait_until_indexed(self._pair):
            return repair.removed
        return repair.removed + self._confirmed(self.sample.take_required()).rewritten

    def verify(self) -> tuple[int, list[str]]:
        """Search for the sampled chunks of this run and of earlier ones.

        Returns:
            the number of objects deleted to be inserted again, and notes for a person.

        Raises:
            LostToSearch: a stored chunk that no search finds; the next ingest writes its document again.
        """
        queued = search_verification.wait_until_indexed(self._pair)
        if queued:
            seconds = self._pair.options.timeouts["indexing"]
            return 0, [
                f"{queued} vectors were still in the server's queue after {seconds:g} s: "
                "dense search finds them only when they are indexed, and no chunk was verified by searching "
                "(vector_store.timeouts.indexing)"
            ]
        ids, older = self.sample.ids, self._older or []
        result = self._confirmed(ids) + self._confirmed(older, may_be_gone=True)
        return result.rewritten, self._notes(result, len(ids) + len(older))

    def _confirmed(self, ids: Sequence[UUID], *, may_be_gone: bool = False) -> Verification:
        fix = _INGEST_AGAIN if self._has_manifest else _ADD_AGAIN
        try:
            return search_verification.confirm(self._pair, ids, fix, may_be_gone=may_be_gone, announce=self._announce)
        except LostToSearch as error:
            # Without them the document is incomplete, so that the next ingest removes and writes it. Added nodes have
            # no other source: they stay.
            if self._has_manifest:
                remove(self._pair.connection, self._pair.chunks, error.ids)
            raise

    def _notes(self, result: Verification, sampled: int) -> list[str]:
        notes = []
        if result.rewritten:
            rebuild = f"{program('indexes')} rebuild {self._pair.label.index} writes all of them"
            fix = rebuild if self._has_manifest else "clear() the store and add() all nodes again"
            notes.append(
                f"{result.rewritten} of {sampled} sampled chunks were not found by search and were written again; "
                f"others may be lost as well: {fix}"
            )
        if result.unreached:
            notes.append(
                f"{result.unreached} of {sampled} sampled chunks are in the hnsw graph and dense search does not "
                "reach them, as happens among thousands of equal vectors; vector_store.index.type=flat finds all"
            )
        return notes

"""Verification of one run's chunks: uncertain writes at once, samples before the commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ragloom.components.vector_store.weaviate_store.object_mapping import chunk_uuid
from ragloom.components.vector_store.weaviate_store.write_repair import Removal, remove
from ragloom.components.vector_store.weaviate_store.write_verification import (
    OLDER,
    OLDER_AFTER_A_CRASH,
    Checked,
    LostToSearch,
    Sample,
    confirm,
    older,
    wait_until_indexed,
)
from ragloom.core.records import Chunk
from ragloom.core.suggested_commands import program

if TYPE_CHECKING:
    from weaviate.classes.data import DataObject

    from ragloom.components.vector_store.weaviate_store.collections import Place
    from ragloom.components.vector_store.weaviate_store.index_state import State

_INGEST_AGAIN = "run the same ingest command again, which writes that document again"
_ADD_AGAIN = "what is stored stays: take these nodes out with delete_nodes() and add() them again"


class Audit:
    """Stores the chunks of one run and verifies them by searching.

    Args:
        place: the generation that is written.
        state: of the index before the run; None where there is no manifest.
        seed: of the samples.
        announce: says that somebody writes, so that the next run recovers; is called before each repair.

    Attributes:
        sample: of the chunks that this run wrote; it keeps those of unknown outcome until they were looked for.
    """

    def __init__(self, place: Place, state: State | None, seed: str, announce: Callable[[], None]) -> None:
        self.sample = Sample(seed)
        self._place = place
        self._has_manifest = state is not None
        self._interrupted = state is not None and state.writing is not None
        self._seed = seed
        self._announce = announce
        empty = state is not None and not state.version and state.writing is None
        self._older: list[UUID] | None = [] if empty else None

    def look_back(self) -> None:
        """Draws chunks of earlier runs, before this one writes any; only once."""
        if self._older is None:
            size = OLDER_AFTER_A_CRASH if self._interrupted else OLDER
            self._older = older(self._place, size, self._seed)

    def store(self, objects: Sequence[DataObject[Any, Any]], chunks: Sequence[Chunk]) -> int:
        """Stores chunks and verifies those whose write had an unknown outcome.

        Returns:
            how many stored objects were deleted to be inserted again: BM25 statistics keep counting them [40].
        """
        removal = Removal(self._place.connection, self._place.chunks)
        self._place.put_chunks(objects, removal)
        stored = [(chunk_uuid(chunk.id), chunk.document, chunk.content_hash) for chunk in chunks]
        self.sample.add(chunk for chunk in stored if chunk[0] not in removal.suspects)
        self.sample.keep(chunk for chunk in stored if chunk[0] in removal.suspects)
        if not self.sample.has_kept or wait_until_indexed(self._place):
            return removal.removed
        return removal.removed + self._confirmed(self.sample.take_kept()).rewritten

    def verify(self) -> tuple[int, list[str]]:
        """Looks for the sampled chunks of this run and of earlier ones.

        Returns:
            how many were deleted to be inserted again, and what a person should know.

        Raises:
            LostToSearch: a chunk is stored and no search finds it; its document is written again by the next ingest.
        """
        waiting = wait_until_indexed(self._place)
        if waiting:
            return 0, [
                f"{waiting} vectors were still in the server's queue after {self._place.options.indexing_seconds:g} s: "
                "dense search finds them only when they are indexed, and no chunk was verified by searching "
                "(vector_store.timeouts.indexing)"
            ]
        ids, before = self.sample.ids, self._older or []
        checked = self._confirmed(ids) + self._confirmed(before, may_be_gone=True)
        return checked.rewritten, self._notes(checked, len(ids) + len(before))

    def _confirmed(self, ids: Sequence[UUID], *, may_be_gone: bool = False) -> Checked:
        what_next = _INGEST_AGAIN if self._has_manifest else _ADD_AGAIN
        try:
            return confirm(self._place, ids, what_next, may_be_gone=may_be_gone, announce=self._announce)
        except LostToSearch as error:
            # Without them the document is incomplete, so that the next ingest removes and writes it. Nodes that were
            # added have no other source: they stay.
            if self._has_manifest:
                remove(self._place.connection, self._place.chunks, error.ids)
            raise

    def _notes(self, checked: Checked, looked_for: int) -> list[str]:
        notes = []
        if checked.rewritten:
            rebuild = f"{program('indexes')} rebuild {self._place.label.index} writes all of them"
            remedy = rebuild if self._has_manifest else "clear() the store and add() all nodes again"
            notes.append(
                f"{checked.rewritten} of {looked_for} sampled chunks were not found by search and were written again; "
                f"others may be lost as well: {remedy}"
            )
        if checked.unreached:
            notes.append(
                f"{checked.unreached} of {looked_for} sampled chunks are in the hnsw graph and dense search does not "
                "reach them, as happens beside thousands of equal vectors; vector_store.index.type=flat finds all"
            )
        return notes

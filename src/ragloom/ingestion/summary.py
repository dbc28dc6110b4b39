"""Progress and summary of an ingest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ragloom.components.vector_store.record_types import Recovered
from ragloom.core.data_frame import data_frame
from ragloom.core.records import DocumentWarning, Skipped, Unreadable
from ragloom.core.usage import Usage

if TYPE_CHECKING:
    import pandas

MOST_KEPT = 10_000
"""Unreadable and skipped items and warnings that a summary names; all are counted."""

Stage = Literal["listing", "ingesting", "deleting", "maintaining", "done"]


@dataclass
class IngestState:
    """How far an ingest is.

    Attributes:
        stage: what it is at.
        step: of maintenance.
        listed: documents that the source has, as far as it is listed.
        to_read, bytes_to_read: of them, those that are new or may have changed.
        read, bytes_read: of these, how many have been read.
        chunks: cut so far.
        embedded: texts that were embedded so far.
        tokens: of these texts.
        written: chunks stored so far.
        unreadable: documents and folders so far.
    """

    stage: Stage = "listing"
    step: str = ""
    listed: int = 0
    to_read: int = 0
    bytes_to_read: int = 0
    read: int = 0
    bytes_read: int = 0
    chunks: int = 0
    embedded: int = 0
    tokens: int = 0
    written: int = 0
    unreadable: int = 0


Progress = Callable[[IngestState], None]
"""Receives the present state, which goes on changing."""


def no_progress(state: IngestState) -> None:
    """Ignore progress updates."""


@dataclass
class IngestSummary:
    """Summary of an ingest.

    Attributes:
        added, changed, unchanged, moved, deleted: documents. A moved one has the text of one that vanished.
        unreadable: documents and folders that could not be read, with their reasons (the first 10,000).
        skipped: files left out by rule (the first 10,000).
        warnings: what is doubtful or missing in documents that this ingest read (the first 10,000).
        unreadable_count, skipped_count, warnings_count: of all.
        lost_count: of the unreadable those that the source could read, and a later stage lost.
        refused: of the unreadable, those at a text of which the embedding failed, now or in an ingest before.
        documents, chunks: in the index when the ingest ended.
        written: chunks stored by this ingest.
        embedded: texts that were embedded; the others' vectors were in the index or in the cache already.
        tokens: of the embedded texts, by the embedding's own tokenizer.
        oversized: chunks over the chunking's size (only `recursive` makes any).
        recovered: what an interrupted ingest had left and this one removed.
        kept: why vanished documents were not deleted, if they were not.
        stopped: why the ingest ended before it had read everything, if it did; what it had read is committed.
        deleted_chunks: still counted in the store's BM25 statistics, as in `IndexInfo`.
        notes: of the store, as in `IndexInfo`.
        usage: what providers reported, and what the cache gave.
        seconds: from the first listing to the commit.
        stages: seconds of each stage.
    """

    index: str
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    moved: int = 0
    deleted: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)
    unreadable_count: int = 0
    lost_count: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    skipped_count: int = 0
    warnings: list[DocumentWarning] = field(default_factory=list)
    warnings_count: int = 0
    refused: int = 0
    documents: int = 0
    chunks: int = 0
    written: int = 0
    embedded: int = 0
    tokens: int = 0
    oversized: int = 0
    recovered: Recovered = field(default_factory=Recovered)
    kept: str | None = None
    stopped: str | None = None
    deleted_chunks: int = 0
    notes: list[str] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Everything that the source holds is in the index."""
        return not self.unreadable_count and self.kept is None and self.stopped is None

    def to_pandas(self) -> pandas.DataFrame:
        """Return one row per unreadable or skipped item and per warning.

        Its keys: kind, location, reason, ...

        Raises:
            ConfigError: pandas is not installed.
        """
        kinds: dict[str, list[Any]] = {"unreadable": [*self.unreadable], "skipped": [*self.skipped]}
        kinds["warning"] = [*self.warnings]
        return data_frame([{"kind": kind, **asdict(item)} for kind, items in kinds.items() for item in items])

    def cannot_read(self, item: Unreadable) -> None:
        """Count what could not be read, and name it."""
        self.unreadable_count += 1
        self.lost_count += item.stage != "source"
        _keep(self.unreadable, item)

    def skip(self, item: Skipped) -> None:
        """Count what was left out, and name it."""
        self.skipped_count += 1
        _keep(self.skipped, item)

    def warn(self, item: DocumentWarning) -> None:
        """Count a warning about a document that was read, and keep it."""
        self.warnings_count += 1
        _keep(self.warnings, item)


def _keep(items: list[Any], item: Any) -> None:
    if len(items) < MOST_KEPT:
        items.append(item)

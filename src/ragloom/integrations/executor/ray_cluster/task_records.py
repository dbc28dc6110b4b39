"""Tasks of workers and their results; all of it is pickled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ragloom.components.vector_store.record_types import ManifestRow
from ragloom.core.usage import Usage
from ragloom.errors import ConfigError, DataError, RagloomError, ServiceError
from ragloom.ingestion.read_stage import Job, ReadCounts, ReadResult

_KINDS = (ConfigError, DataError, ServiceError)


@dataclass(frozen=True, slots=True)
class IngestTask:
    """Documents for one worker.

    Attributes:
        jobs: of the documents: ids and locations, no content.
        is_retry: a worker died with these in work: parts of them may be stored.
        taken, refused: texts that were embedded or refused in the whole run so far.
    """

    jobs: list[Job]
    is_retry: bool = False
    taken: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class FailedDocument:
    """A document at a text of which the embedding failed."""

    id: str
    location: str
    bytes_hash: str
    reason: str


@dataclass(frozen=True, slots=True)
class TaskError:
    """Picklable form of an error that ends the run."""

    kind: int
    problems: tuple[str, ...]

    @classmethod
    def of(cls, error: RagloomError) -> TaskError:
        """Describe an error."""
        kind = next((at for at, kind in enumerate(_KINDS) if isinstance(error, kind)), len(_KINDS) - 1)
        return cls(kind, tuple(error.problems))

    def exception(self, node: str | None = None) -> RagloomError:
        """Return the error to raise, with the name of its node."""
        place = f" (on node {node})" if node else ""
        return _KINDS[self.kind](*(problem + place for problem in self.problems))


@dataclass(slots=True)
class TaskReport:
    """Result of a task.

    Attributes:
        read: document id -> what reading it gave: counts of a document that was cut, or why there are none.
        stored: manifest rows of stored documents, and whether the index held another version of each.
        failed: documents that are not stored because of the embedding.
        chunks: stored.
        taken: texts that were to be embedded.
        refused: hashes of texts that the embedding refused -> reason.
        tokens: counted by the embed stage.
        stopped: why nothing is embedded any more: the budget is spent.
        usage: of providers and cache.
        written: what the writer gives back to the driver's.
        error: that ends the run; what came before it counts all the same.
    """

    read: dict[str, ReadResult | ReadCounts] = field(default_factory=dict)
    stored: list[tuple[ManifestRow, bool]] = field(default_factory=list)
    failed: list[FailedDocument] = field(default_factory=list)
    chunks: int = 0
    taken: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    tokens: int = 0
    stopped: str | None = None
    usage: Usage = field(default_factory=Usage)
    written: Any = None
    error: TaskError | None = None

"""Documents that were parsed and cut before are not parsed and cut again. Knows readers, and no chunking.

Three embeddings of one chunking are three indexes, whose documents are cut once. An item's name is the document's id
and the hash of its bytes, and its unit's key is how documents are parsed and cut: what is kept is found whatever the
corpus is called and wherever it lies.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ragloom.cache.stages import Stages, Unit
from ragloom.components.source import file_age
from ragloom.components.source.base import CannotRead
from ragloom.config.builder_keys import needs_of
from ragloom.core import file_backed_text
from ragloom.core.file_backed_text import FileBackedText, full_text
from ragloom.core.records import Changing, Entry, Unreadable, canonical_json, sha256
from ragloom.errors import ServiceError
from ragloom.ingestion.read_stage import Cut, Job, Readers, Same, bounds_of

if TYPE_CHECKING:
    from ragloom.assembly import Assembly
    from ragloom.components.source.base import Source

CUT_CODE = 1
"""Raise it when what is kept of a cut document changes: what was kept before is not used then."""

Outcome = Cut | Same | Unreadable


def cut_key(assembly: Assembly) -> dict[str, Any]:
    """All that decides how a document is parsed and cut, beside its bytes."""
    described = assembly.description
    asks = "embedding" in needs_of(assembly.config.builder("chunking"))
    return {
        "code": CUT_CODE,
        "source": described["source"],
        "chunking": described["chunking"],
        "embedding": {**described["embedding"], "server": assembly.config.tree["embedding"].get("base_url")}
        if asks
        else None,
    }


def cut_before(assembly: Assembly, stages: Stages) -> tuple[KeptCuts, Unit]:
    """Cuts all documents of a source that were not cut before, so that several indexes may be made of them.

    Only this process does it; another that wants the same waits. A chunking that asks an embedding cuts while an index
    is made, within that ingest's budget, and keeps what it cut.
    """
    key = cut_key(assembly)
    with stages.unit("chunks", key) as unit:
        kept = KeptCuts(unit, assembly.source)
        if key["embedding"] is None:
            with Readers(assembly.source, assembly.chunking, bounds_of(assembly.config.tree["workers"])) as readers:
                for _, found in kept.run(readers, kept.jobs()):
                    if isinstance(found, Unreadable) and not isinstance(found, Changing):
                        kept.unreadable.append(found)
                    elif isinstance(found, Cut) and not len(found):
                        kept.empty.append(found.document)
            kept.counts = False  # what was made above is found by the ingest, and was not found before
    return kept, unit


class KeptCuts:
    """Gives back what was cut before, and keeps what was not.

    Args:
        unit: of the key that `cut_key` gives. It may have been left: what it keeps is read and written all the same.
        source: whose documents these are.

    Attributes:
        counts: whether what is given back counts as found.
        unreadable: what could not be listed, or not read when all documents were cut.
        empty: ids of documents without chunks, when all were cut.
    """

    def __init__(self, unit: Unit, source: Source) -> None:
        self.counts = True
        self.unreadable: list[Unreadable] = []
        self.empty: list[str] = []
        self._unit = unit
        self._source = source

    def close(self) -> None:
        """Lets go of the file."""
        self._unit.items.close()

    def jobs(self) -> Iterator[Job]:
        """Lists all documents of the source, after one pause where one of them changed a moment ago."""
        paused = False
        for item in self._source.entries():
            if isinstance(item, Entry):
                if not paused and file_age.is_recent(item.mtime_ns):
                    file_age.pause(file_age.now_ns())
                    paused = True
                yield Job(self._source.refreshed(item) if paused else item)
            elif isinstance(item, Unreadable):
                self.unreadable.append(item)

    def text(self, entry: Entry) -> str | None:
        """Returns the text of a document; None where it cannot be read."""
        name = self._name(Job(entry))
        value = None if name is None else self._unit.there(name)
        if value is not None:
            return str(value["content"])
        try:  # too long to be kept
            return str(self._source.parse(entry, self._source.read(entry)).text) if name is not None else None
        except CannotRead:
            return None

    def run(self, readers: Readers, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Yields each job with what came of it, in order, as `readers.run` does; only what is not kept is read."""
        waiting: deque[tuple[Job, str | None, bool]] = deque()

        def missing() -> Iterator[Job]:
            for job in jobs:
                name = self._name(job)
                there = name is not None and self._unit.there(name) is not None
                waiting.append((job, name, there))
                if not there:
                    yield job

        for job, found in readers.run(missing()):
            yield from self._kept(waiting)
            _, name, _ = waiting.popleft()
            if isinstance(found, Cut) and name == _name(found.document, found.bytes_hash) and not _is_long(found):
                self._unit.put(name, cut_json(found))
            yield job, found
        yield from self._kept(waiting)

    def _kept(self, waiting: deque[tuple[Job, str | None, bool]]) -> Iterator[tuple[Job, Outcome]]:
        """Yields what is at the head and was kept."""
        while waiting and waiting[0][2]:
            job, name, _ = waiting.popleft()
            value = (self._unit.found if self.counts else self._unit.there)(name or "")
            if value is None:
                raise ServiceError(f"config: stages: what was cut of {job.entry.id} was removed meanwhile; try again")
            cut = cut_from(value)
            yield job, Same(cut.bytes_hash) if cut.content_hash == job.content_hash else cut

    def _name(self, job: Job) -> str | None:
        """Names a document by id and bytes; None where it cannot be read, or its stored version is right."""
        try:
            bytes_hash = sha256(self._source.read(job.entry))
        except CannotRead:
            return None  # told by the readers
        return None if bytes_hash == job.bytes_hash else _name(job.entry.id, bytes_hash)


def _name(document: str, bytes_hash: str) -> str:
    return sha256(canonical_json([document, bytes_hash]))


def _is_long(cut: Cut) -> bool:
    """Says whether a text is too long to be kept: it is read and cut for each index anew."""
    return isinstance(cut.content, FileBackedText) or len(cut.content) >= file_backed_text.LONG


def cut_json(cut: Cut) -> dict[str, Any]:
    """Shows a cut document as plain values."""
    return {
        "document": cut.document,
        "bytes_hash": cut.bytes_hash,
        "text_hash": cut.text_hash,
        "metadata_hash": cut.metadata_hash,
        "content_hash": cut.content_hash,
        "metadata": cut.metadata,
        "spans": list(cut.spans),
        "located": cut.located,
        "inherits": cut.inherits,
        "oversized": cut.oversized,
        "warnings": cut.warnings,
        "content": full_text(cut.text),
    }


def cut_from(shown: dict[str, Any]) -> Cut:
    """Reads what `cut_json` shows."""
    return Cut(**{"warnings": [], **shown, "spans": array("q", shown["spans"])})  # older ones have no warnings

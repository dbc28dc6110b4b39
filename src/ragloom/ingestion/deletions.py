"""Deletions: documents that vanished from the source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragloom.components.vector_store.index_identity import demand_root
from ragloom.components.vector_store.record_types import IndexMissing
from ragloom.core.records import FORMAT_KEY, sha256
from ragloom.core.suggested_commands import program
from ragloom.errors import DataError

if TYPE_CHECKING:
    from ragloom.components.source.base import Source
    from ragloom.components.vector_store.protocols import Database
    from ragloom.ingestion.pipeline import IngestRun

_FORGOTTEN_AT_ONCE = 16
"""Documents whose vectors are looked up together, to be forgotten."""


@dataclass(frozen=True)
class Deletions:
    """How many vanished documents may be deleted.

    Attributes:
        max_fraction: of the documents in the index; moved ones do not count.
        allow_mass: more may be.
    """

    max_fraction: float
    allow_mass: bool


def delete_vanished(run: IngestRun, deletions: Deletions) -> None:
    """Delete unlisted documents, or record why they stay.

    Args:
        run: that has listed the source completely and taken in what it holds.
        deletions: how many documents may be deleted.
    """
    gone, summary = run.ledger.gone(), run.summary
    if not gone:
        return
    moved = run.ledger.moved()
    summary.kept = _objection(run, gone, moved, deletions)
    if summary.kept is not None:
        return
    for names in run.ledger.vanished():
        for first in range(0, len(names), _FORGOTTEN_AT_ONCE):
            some = names[first : first + _FORGOTTEN_AT_ONCE]
            _forget(run, some)
            run.writer.delete(some)
    summary.moved, summary.added, summary.deleted = moved, summary.added - moved, gone - moved


def _objection(run: IngestRun, gone: int, moved: int, deletions: Deletions) -> str | None:
    if run.hiding is not None:
        return (
            f"{gone} indexed documents were not found, but {run.hiding.location} could not be read and they may be "
            "there; fix it, or exclude it by source.exclude"
        )
    held = run.ledger.count("held")
    if not run.ledger.count("listed"):
        return (
            f"the source is empty and the index has {held} documents; if that is meant, delete the index with "
            f"{program('indexes')} delete"
        )
    if gone - moved > deletions.max_fraction * held and not deletions.allow_mass:
        return (
            f"{gone - moved} of {held} indexed documents were not found, more than "
            f"max_delete_fraction={deletions.max_fraction:g} allows; if that is meant, set allow_mass_delete=true"
        )
    return None


def _forget(run: IngestRun, names: list[str]) -> None:
    """Remove cache entries of deleted documents.

    Entries of texts that another document shares stay.

    It comes before they are deleted: a run that is killed in between forgets them again.
    """
    cache = getattr(run.embedding, "cache", None)
    if cache is None:
        return
    from ragloom.cache.embeddings.maintenance import forget

    leaving = run.ledger.unshared(names)
    sent = {sent for _, sent in run.writer.vectors_of(leaving)} if leaving else set()
    forget(cache.cache, sent | _asked(run, leaving))


def _asked(run: IngestRun, names: list[str]) -> set[str]:
    """Hashes the texts that were embedded to decide where documents are cut."""
    if getattr(run.chunking, "embedding", None) is None or not names:
        return set()
    try:
        index = run.committed()
    except IndexMissing:
        return set()  # a first ingest was interrupted: the text of what it wrote is not known any more
    seen: set[str] = set()
    for name in names:
        try:
            document = index.document(name)
        except DataError:
            continue  # as above
        texts = run.chunking.embedded_texts(document.text, document.metadata.get(FORMAT_KEY))
        seen |= {sha256(run.embedding.document_text(text, {})) for text in texts}
    return seen


def checked_root(source: Source, database: Database, index_name: str) -> str:
    """Require that a corpus name stands for one place.

    Otherwise an ingest would delete the documents of the other place.

    Returns:
        the root that the index has until this ingest: another one than the source's only with `source.moved`.

    Raises:
        ConfigError: an index of this name was filled from another root.
    """
    roots = {info.name: info.root for info in database.indexes() if info.source == source.name}
    if not source.moved:
        name = index_name if index_name in roots or source.root in roots.values() else next(iter(roots), index_name)
        demand_root(name, source.name, roots.get(name, source.root), source.root)
    return roots.get(index_name, source.root)

"""Empty first ingest: an error with its reason, and no index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragloom.core.records import Entry, Unreadable
from ragloom.errors import DataError
from ragloom.ingestion.summary import IngestSummary

if TYPE_CHECKING:
    from ragloom.components.source.base import Source
    from ragloom.ingestion.pipeline import IngestRun


class NothingToIndex(DataError):
    """The source has no document that can be read."""


def demand_document(source: Source) -> None:
    """Refuse a source that lists no document, after its first one.

    Raises:
        NothingToIndex: says what there is instead.
    """
    summary = IngestSummary("")
    for listed in source.entries():
        if isinstance(listed, Entry):
            return
        if isinstance(listed, Unreadable):
            summary.cannot_read(listed)
        else:
            summary.skip(listed)
    raise _nothing(source, summary)


def demand_something(run: IngestRun, source: Source) -> None:
    """Refuse a first ingest of unreadable documents only.

    Raises:
        NothingToIndex: names the first ones.
    """
    stored = run.ledger.count("written") + run.ledger.staying(without_gone=not run.summary.kept).documents
    if not stored and run.summary.stopped is None:
        raise _nothing(source, run.summary)


def _nothing(source: Source, summary: IngestSummary) -> NothingToIndex:
    groups = (
        (summary.unreadable_count, "cannot be read", summary.unreadable),
        (summary.skipped_count, "left out", summary.skipped),
    )
    unread = [
        f"{count} {what}, such as {items[0].location} ({items[0].reason})" for count, what, items in groups if count
    ]
    return NothingToIndex(
        f"source: {source.root} must hold a document that can be read; {'; '.join(unread) or 'it is empty'}. "
        "No index was made"
    )

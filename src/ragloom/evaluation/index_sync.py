"""Index sync: an index must hold what its source holds.

A corpus that was emptied must not score from documents stored earlier. An incomplete ingest is an error here, not a
note.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ragloom.assembly import Assembly
from ragloom.cache.stages.stage_cache import StageCache
from ragloom.cache.stages.stage_entries import CachedStage
from ragloom.components.source.base import CannotRead
from ragloom.components.vector_store.protocols import Index
from ragloom.components.vector_store.record_types import IndexInfo, IndexMissing
from ragloom.config import fingerprint
from ragloom.core.budget import BudgetSpent
from ragloom.core.records import Changing, Entry, Skipped, Unreadable, canonical_json, sha256
from ragloom.errors import ConfigError, DataError, counted
from ragloom.evaluation.query_outcome import usage_of
from ragloom.evaluation.run_summary import usage_cost_usd
from ragloom.ingestion import IngestSummary

_COMMIT = "commit"
_KINDS: dict[type, str] = {Entry: "Entry", Changing: "Changing", Unreadable: "Unreadable", Skipped: "Skipped"}
"""What stage keys call the kinds of items that a source lists, whatever their classes are called now."""
_OVER_BUDGET = "budget:"  # prefix of the reason why the budget stopped an ingest


def committed(info: IndexInfo) -> dict[str, Any]:
    """Identify the committed state of an index by commit and rebuild."""
    return {"name": info.name, "version": info.version, "committed_at": info.committed_at.isoformat()}


@dataclass(frozen=True)
class IndexContent:
    """Documents of an index.

    Attributes:
        content: digest of all documents and settings, 64 hexadecimal digits; an ingest without changes keeps it.
        searched: ids of the documents with chunks, in order.
        empty: ids of documents without chunks, which no query finds.
        texts: digest of all ids and contents, independent of chunking and embedding.
    """

    content: str
    searched: list[str]
    empty: list[str]
    texts: str


def index_content(index: Index) -> IndexContent:
    """Read the documents of an index."""
    rows = sorted((row.id, row.content_hash, row.chunks) for row in index.manifest())
    content = sha256(canonical_json([index.info.description, rows]))
    texts = sha256(canonical_json([[id, hashed] for id, hashed, _ in rows]))
    return IndexContent(
        content, [id for id, _, chunks in rows if chunks], [id for id, _, chunks in rows if not chunks], texts
    )


@dataclass(frozen=True)
class SyncedIndex:
    """An index that holds all readable documents of its source.

    Attributes:
        index: opened.
        unit: of the stage cache.
        build: seconds, tokens and bytes of building the index.
        unreadable: [location, reason] of each unreadable document of the source (the first 10,000).
    """

    index: Index
    unit: CachedStage
    build: dict[str, Any]
    unreadable: list[list[str]]


def sync_index(assembly: Assembly, stages: StageCache, ingest: Callable[[], IngestSummary]) -> SyncedIndex:
    """Open the index, after an ingest if the source listing changed.

    Args:
        assembly: of the config.
        stages: remember the listing.
        ingest: syncs the index.

    Raises:
        DataError: the index is not synced: a stage after the source lost a document, the index holds an older version
            of an unreadable one, or vanished documents were not deleted.
        BudgetSpent: the ingest stopped before a call that would have exceeded the budget.
    """
    with stages.open("index", index_key(assembly)) as unit:
        known = unit.peek(_COMMIT)
        index = _as_listed(assembly, known)
        if known is not None and index is not None:
            unit.counts.hits += 1
            return SyncedIndex(index, unit, known["took"], known.get("unreadable", []))
        unit.existed = False  # the cached record is of another commit
        summary = ingest()
        _require_complete(summary)
        index = assembly.open()
        _require_current(summary, index)
        build = _build_record(summary, index.info, known)
        unreadable = [[item.location, item.reason] for item in summary.unreadable]
        unit.put(_COMMIT, {"commit": committed(index.info), "took": build, "unreadable": unreadable})
        return SyncedIndex(index, unit, build, unreadable)


def empty_document_problems(ids: Sequence[str]) -> list[str]:
    """Return a line about documents without text, which no query finds."""
    return [f"{counted(ids, 'document')} without text: in the corpus, and never found"] if ids else []


def unreadable_problems(unreadable: Sequence[Sequence[str]]) -> list[str]:
    """Return a line about unreadable documents, given as [location, reason].

    They are missing for every config.
    """
    shown = [f"{location} ({reason})" for location, reason in unreadable]
    return [f"{counted(shown, 'document')} cannot be read at the source and missing for every config"] if shown else []


@contextmanager
def naming_unreadable(unreadable: Sequence[Sequence[str]], kind: type[DataError] = DataError) -> Iterator[None]:
    """Add the unreadable documents to an error about the gold.

    Raises:
        DataError: of this kind, with the lines of both.
    """
    try:
        yield
    except DataError as error:
        raise kind(*error.problems, *(f"source: {line}" for line in unreadable_problems(unreadable))) from None


def text_in(index: Index, document: str) -> str | None:
    """Return the text of a stored document; None for an unknown one."""
    try:
        return index.document(document).text
    except DataError:
        return None


def index_json(index: Index, content: IndexContent, build: dict[str, Any], prices: dict[str, Any]) -> dict[str, Any]:
    """Return the index, its documents and its build as one JSON object."""
    info = index.info
    usage = build.get("usage")
    return {
        "name": info.name,
        "fingerprint": fingerprint.digest(info.description),
        "commit": committed(info),
        "content": content.content,
        "root": info.root,
        "texts": content.texts,
        "documents": info.documents,
        "searched": sha256(canonical_json(content.searched)),
        "empty": len(content.empty),
        "chunks": info.chunks,
        "bytes": info.bytes,
        "ingest_seconds": build.get("seconds"),
        "embedding_tokens": build.get("tokens"),
        "usd": None if usage is None else usage_cost_usd(usage, prices),
    }


def index_key(assembly: Assembly) -> dict[str, Any]:
    """Return the key of an index sync: index, store, source listing."""
    return {
        "index": assembly.index_name,
        "store": assembly.config.identity()["vector_store"],
        "listed": _listed(assembly),
    }


def synced_index(assembly: Assembly, stages: StageCache) -> Index | None:
    """Open the index if it needs no ingest; None otherwise."""
    key = index_key(assembly)
    if not stages.count("index", key):
        return None
    with stages.open("index", key) as unit:
        return _as_listed(assembly, unit.peek(_COMMIT))


def unreadable_when_synced(assembly: Assembly, stages: StageCache) -> list[list[str]]:
    """Return [location, reason] of documents unreadable at the last sync."""
    known = stages.values("index", index_key(assembly), [_COMMIT]).get(_COMMIT) or {}
    return list(known.get("unreadable", []))


def _as_listed(assembly: Assembly, known: dict[str, Any] | None) -> Index | None:
    """Open the index if its commit was made from the present listing."""
    if known is None or assembly.source.verify:
        return None
    try:
        index = assembly.open()
    except IndexMissing:
        return None
    except ConfigError:
        if getattr(assembly.source, "moved", False):  # the index still has the old root: the ingest moves it
            return None
        raise
    return index if known["commit"] == committed(index.info) else None


def _listed(assembly: Assembly) -> str:
    """Return the digest of the source listing.

    Bytes stand in for a missing modification time.
    """
    source = assembly.source
    lines = []
    for item in source.entries():
        location = source.key_location(item.location)
        line: Any = [_KINDS.get(type(item), type(item).__name__), _values(item) | {"location": location}]
        if isinstance(item, Entry) and item.mtime_ns is None:
            try:
                line.append(sha256(source.read(item)))
            except CannotRead as error:
                line.append(f"unreadable: {error.reason}")
        elif isinstance(item, Unreadable):
            line.append(item.reason)
        lines.append(canonical_json(line))
    return sha256("\n".join([source.root, *lines]))


def _values(item: Any) -> dict[str, Any]:
    """Return the fields of a listed item, which are plain values."""
    return {name: getattr(item, name) for name in item.__dataclass_fields__}


def _require_complete(summary: IngestSummary) -> None:
    """Raise if an index lacks readable documents of its source."""
    if summary.stopped is not None and summary.stopped.startswith(_OVER_BUDGET):
        raise BudgetSpent(summary.stopped)
    reasons = []
    if summary.lost_count:
        lost = [
            f"{item.location} ({item.stage}: {item.reason})" for item in summary.unreadable if item.stage != "source"
        ]
        reasons.append(
            f"{counted(lost, 'document')} lost after the source; a config that loses some would score higher"
        )
    reasons += [text for text in (summary.kept, summary.stopped) if text]
    if reasons:
        raise DataError(
            f"source: index {summary.index} must hold what its source holds, or what is measured is not what is there: "
            f"{'; '.join(reasons)}. Fix or exclude them; or measure the committed state as it is by ingest=never"
        )


def _require_current(summary: IngestSummary, index: Index) -> None:
    """Raise if an index holds an older version of an unreadable document."""
    if not summary.unreadable:
        return
    stored = {row.id for row in index.manifest()}
    older = [item for item in summary.unreadable if stored & _names(item.location)]
    if older:
        raise DataError(
            f"source: index {summary.index} must hold what its source holds now; {len(older)} documents cannot be read "
            f"now, and older versions of them are in it, such as {older[0].location} ({older[0].reason}). Fix them; or "
            "exclude or remove them, so that the next ingest deletes them"
        )


def _names(location: str) -> set[str]:
    """Return the ids that a document at this location may have."""
    parts = unicodedata.normalize("NFC", location).split("/")
    return {"/".join(parts[at:]) for at in range(len(parts))}


def _build_record(summary: IngestSummary, info: IndexInfo, known: dict[str, Any] | None) -> dict[str, Any]:
    """Return the cost of building the whole index, or the known record.

    `seconds` cover embedding and writing: chunking is shared with other indexes.
    """
    whole = summary.added + summary.moved == summary.documents and not summary.unchanged
    if not whole:
        return dict(known["took"]) if known else {}
    return {
        "seconds": summary.seconds,
        "bytes": info.bytes,
        "embedded_texts": summary.embedded + summary.usage.cache.hits,
        "tokens": summary.tokens + summary.usage.cache.tokens,
        "usage": usage_of(summary.usage),
    }

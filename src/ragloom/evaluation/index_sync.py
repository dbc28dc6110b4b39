"""Has an index in step with its source before it is measured. Knows an assembly's parts by name, and no option.

What is measured must be what the source holds now: a corpus that was edited to nothing must not score from what was
stored before. An ingest that could not bring the index in step is an error here, not a note.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ragloom.cache.stages import Stages, Unit
from ragloom.components.vector_store.protocols import Index, IndexInfo, IndexMissing
from ragloom.config import fingerprint
from ragloom.core.records import Entry, Unreadable, canonical_json, sha256
from ragloom.core.usage import BudgetSpent
from ragloom.errors import ConfigError, DataError, counted
from ragloom.evaluation.query_results import usage_of
from ragloom.evaluation.run_report import dollars_of

if TYPE_CHECKING:
    from ragloom.assembly import Assembly
    from ragloom.ingestion import IngestSummary

_COMMIT = "commit"
_OVER_BUDGET = "budget:"  # begins why an ingest stopped that would have spent more than its budget


def committed(info: IndexInfo) -> dict[str, Any]:
    """Names the state that an index is read at: it changes with every commit, and with an index made anew."""
    return {"name": info.name, "version": info.version, "committed_at": info.committed_at.isoformat()}


@dataclass(frozen=True)
class Held:
    """What an index holds.

    Attributes:
        content: digest of all, 64 hexadecimal digits: the same after an ingest that changed nothing.
        searched: ids of the documents that have chunks, in order.
        empty: ids of those that have none: they exist, and are never found.
        texts: digest of all documents' ids and contents, however they are cut and embedded.
    """

    content: str
    searched: list[str]
    empty: list[str]
    texts: str

    def problems(self) -> list[str]:
        """Says which documents hold nothing to search."""
        return without_text(self.empty)

    def documents(self) -> str:
        """Digests the ids of the documents that are searched, to 64 hexadecimal digits."""
        return sha256(canonical_json(self.searched))


def held(index: Index) -> Held:
    """Reads what an index holds."""
    rows = sorted((row.id, row.content_hash, row.chunks) for row in index.manifest())
    content = sha256(canonical_json([index.info.description, rows]))
    texts = sha256(canonical_json([[id, hashed] for id, hashed, _ in rows]))
    return Held(content, [id for id, _, chunks in rows if chunks], [id for id, _, chunks in rows if not chunks], texts)


@dataclass(frozen=True)
class InStep:
    """An index that holds what its source holds, as far as that can be read.

    Attributes:
        index: opened.
        unit: what the cache knew.
        took: what building the index took.
        unreadable: [location, reason] of each document that the source could not read (the first 10,000).
    """

    index: Index
    unit: Unit
    took: dict[str, Any]
    unreadable: list[list[str]]


def in_step(assembly: Assembly, stages: Stages, ingest: Callable[[], IngestSummary]) -> InStep:
    """Opens the index, after an ingest unless the source is listed exactly as it was when that commit was made.

    Args:
        assembly: whose index and source.
        stages: remember what was listed.
        ingest: brings the index in step.

    Raises:
        DataError: the ingest could not bring it in step: a stage after the source lost a document, an older version of
            an unreadable one is still there, or something vanished and was not deleted.
        BudgetSpent: it stopped before a call that would have exceeded the budget.
    """
    with stages.unit("index", index_key(assembly)) as unit:
        known = unit.there(_COMMIT)
        index = _as_listed(assembly, known)
        if known is not None and index is not None:
            unit.counts.hits += 1
            return InStep(index, unit, known["took"], known.get("unreadable", []))
        unit.known = False  # what is kept is of another commit
        summary = ingest()
        _demand_complete(summary)
        index = assembly.open()
        _demand_current(summary, index)
        took = _took(summary, index.info, known)
        unreadable = [[item.location, item.reason] for item in summary.unreadable]
        unit.put(_COMMIT, {"commit": committed(index.info), "took": took, "unreadable": unreadable})
        return InStep(index, unit, took, unreadable)


def without_text(ids: Sequence[str]) -> list[str]:
    """Says which documents hold nothing to search: they exist, and are never found."""
    return [f"{counted(ids, 'document')} without text: in the corpus, and never found"] if ids else []


def missing(unreadable: Sequence[Sequence[str]]) -> list[str]:
    """Says what the source could not read, as [location, reason]: it is missing for every config, and is no error."""
    if not unreadable:
        return []
    shown = [f"{location} ({reason})" for location, reason in unreadable]
    return [f"{counted(shown, 'document')} cannot be read at the source and missing for every config"]


def index_json(index: Index, there: Held, took: dict[str, Any], prices: dict[str, Any]) -> dict[str, Any]:
    """Shows an index, what it holds and what building it took."""
    info = index.info
    usage = took.get("usage")
    return {
        "name": info.name,
        "fingerprint": fingerprint.digest(info.description),
        "commit": committed(info),
        "content": there.content,
        "root": info.root,
        "texts": there.texts,
        "documents": info.documents,
        "searched": there.documents(),
        "empty": len(there.empty),
        "chunks": info.chunks,
        "bytes": info.bytes,
        "ingest_seconds": took.get("seconds"),
        "embedding_tokens": took.get("tokens"),
        "usd": None if usage is None else dollars_of(usage, prices),
    }


def index_key(assembly: Assembly) -> dict[str, Any]:
    """All that decides whether an index is in step: which it is, where, and what its source lists."""
    return {
        "index": assembly.index_name,
        "store": assembly.config.identity()["vector_store"],
        "listed": _listed(assembly),
    }


def found_in_step(assembly: Assembly, stages: Stages) -> Index | None:
    """Opens the index if no ingest is needed; None otherwise."""
    key = index_key(assembly)
    if not stages.count("index", key):
        return None
    with stages.unit("index", key) as unit:
        return _as_listed(assembly, unit.there(_COMMIT))


def kept_unreadable(assembly: Assembly, stages: Stages) -> list[list[str]]:
    """Returns [location, reason] of what the source could not read when the index was last brought in step."""
    known = stages.values("index", index_key(assembly), [_COMMIT]).get(_COMMIT) or {}
    return list(known.get("unreadable", []))


def _as_listed(assembly: Assembly, known: dict[str, Any] | None) -> Index | None:
    """Opens the index if its commit is the one that was made of what is listed now."""
    if known is None or assembly.source.verify:
        return None
    try:
        index = assembly.open()
    except IndexMissing:
        return None
    except ConfigError:
        if getattr(assembly.source, "moved", False):  # the index is elsewhere still: the ingest moves it
            return None
        raise
    return index if known["commit"] == committed(index.info) else None


def _listed(assembly: Assembly) -> str:
    """Digests what the source lists; the bytes count where there is no time of modification to tell a change by."""
    source = assembly.source
    lines = []
    for item in source.entries():
        line: Any = [type(item).__name__, asdict(item)]
        if isinstance(item, Entry) and item.mtime_ns is None:
            line.append(_bytes_hash(source, item))
        elif isinstance(item, Unreadable):
            line.append(item.reason)
        lines.append(canonical_json(line))
    return sha256("\n".join([source.root, *lines]))


def _bytes_hash(source: Any, entry: Entry) -> str:
    from ragloom.components.source.base import CannotRead

    try:
        return sha256(source.read(entry))
    except CannotRead as error:
        return f"unreadable: {error.reason}"


def _demand_complete(summary: IngestSummary) -> None:
    """Raises if an index lacks what its source can be read to hold; what no config has is reported, and no error."""
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
    if not reasons:
        return
    raise DataError(
        f"source: index {summary.index} must hold what its source holds, or what is measured is not what is there: "
        f"{'; '.join(reasons)}. Fix or exclude them; or measure the committed state as it is by ingest=never"
    )


def _demand_current(summary: IngestSummary, index: Index) -> None:
    """Raises if an index holds an older version of a document that cannot be read now."""
    if not summary.unreadable:
        return
    held = {row.id for row in index.manifest()}
    older = [item for item in summary.unreadable if held & _names(item.location)]
    if older:
        raise DataError(
            f"source: index {summary.index} must hold what its source holds now; {len(older)} documents cannot be read "
            f"now, and older versions of them are in it, such as {older[0].location} ({older[0].reason}). Fix them; or "
            "exclude or remove them, so that the next ingest deletes them"
        )


def _names(location: str) -> set[str]:
    """Lists the ids that a document of this place may have."""
    parts = unicodedata.normalize("NFC", location).split("/")
    return {"/".join(parts[at:]) for at in range(len(parts))}


def _took(summary: IngestSummary, info: IndexInfo, known: dict[str, Any] | None) -> dict[str, Any]:
    """Says what building the index took, if this ingest built it; an ingest that only added knows it of a part.

    `seconds` are those of embedding and writing: documents were cut before, for all indexes that share the chunking.
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

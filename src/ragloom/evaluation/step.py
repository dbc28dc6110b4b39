"""Has an index in step with its source before it is measured. Knows an assembly's parts by name, and no option.

What is measured must be what the source holds now: a corpus that was edited to nothing must not score from what was
stored before. An ingest that could not bring the index in step is an error here, not a note.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ragloom.cost import BudgetSpent
from ragloom.errors import DataError
from ragloom.evaluation.found import usage_of
from ragloom.records import Entry, Unreadable, canonical_json, sha256
from ragloom.secrets import redact_tree
from ragloom.stages import Stages, Unit
from ragloom.vector_store.interface import Index, IndexInfo, IndexMissing

if TYPE_CHECKING:
    from ragloom.assembly import Assembly
    from ragloom.ingestion import IngestSummary

_COMMIT = "commit"
_OVER_BUDGET = "budget:"  # begins why an ingest stopped that would have spent more than its budget


def committed(info: IndexInfo) -> dict[str, Any]:
    """Names the state that an index is read at: it changes with every commit, and with an index made anew."""
    return {"name": info.name, "version": info.version, "committed_at": info.committed_at.isoformat()}


def content_digest(index: Index) -> str:
    """Digests what an index holds, to 64 hexadecimal digits: the same after an ingest that changed nothing."""
    rows = sorted((row.id, row.content_hash, row.chunks) for row in index.manifest())
    return sha256(canonical_json([index.info.description, rows]))


def in_step(
    assembly: Assembly, stages: Stages, ingest: Callable[[], IngestSummary]
) -> tuple[Index, Unit, dict[str, Any]]:
    """Opens the index, after an ingest unless the source is listed exactly as it was when that commit was made.

    Args:
        assembly: whose index and source.
        stages: remember what was listed.
        ingest: brings the index in step.

    Returns:
        the index, what the cache knew, and what building the index took.

    Raises:
        DataError: the ingest could not bring it in step: something is unreadable, or vanished and was not deleted.
        BudgetSpent: it stopped before a call that would have exceeded the budget.
    """
    with stages.unit("index", index_key(assembly)) as unit:
        known = unit.there(_COMMIT)
        index = _as_listed(assembly, known)
        if known is not None and index is not None:
            unit.counts.hits += 1
            return index, unit, known["took"]
        unit.known = False  # what is kept is of another commit
        summary = ingest()
        _demand_complete(summary)
        index = assembly.open()
        took = _took(summary, index.info, known)
        unit.put(_COMMIT, {"commit": committed(index.info), "took": took})
        return index, unit, took


def index_key(assembly: Assembly) -> dict[str, Any]:
    """All that decides whether an index is in step: which it is, where, and what its source lists."""
    return {
        "index": assembly.index_name,
        "store": redact_tree(assembly.config.tree["vector_store"]),
        "listed": _listed(assembly),
    }


def found_in_step(assembly: Assembly, stages: Stages) -> Index | None:
    """Opens the index if no ingest is needed; None otherwise."""
    key = index_key(assembly)
    if not stages.count("index", key):
        return None
    with stages.unit("index", key) as unit:
        return _as_listed(assembly, unit.there(_COMMIT))


def _as_listed(assembly: Assembly, known: dict[str, Any] | None) -> Index | None:
    """Opens the index if its commit is the one that was made of what is listed now."""
    if known is None or assembly.source.verify:
        return None
    try:
        index = assembly.open()
    except IndexMissing:
        return None
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
    from ragloom.source.base import CannotRead

    try:
        return sha256(source.read(entry))
    except CannotRead as error:
        return f"unreadable: {error.reason}"


def _demand_complete(summary: IngestSummary) -> None:
    if summary.complete:
        return
    if summary.stopped is not None and summary.stopped.startswith(_OVER_BUDGET):
        raise BudgetSpent(summary.stopped)
    reasons = []
    if summary.unreadable_count:
        first = summary.unreadable[0]
        reasons.append(f"{summary.unreadable_count} could not be read, such as {first.location} ({first.reason})")
    reasons += [text for text in (summary.kept, summary.stopped) if text]
    raise DataError(
        f"source: index {summary.index} must hold what its source holds, or what is measured is not what is there: "
        f"{'; '.join(reasons)}. Mend or exclude them; or measure the committed state as it is by ingest=never"
    )


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

"""Problems shared by all trials of a sweep, reported beforehand."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import closing
from typing import Any

from ragloom.assembly import Assembly
from ragloom.cache.stages.stage_cache import StageCache
from ragloom.cache.stages.stage_entries import CachedStage
from ragloom.core.records import Entry
from ragloom.errors import DataError
from ragloom.evaluation.chunk_cache import cache_chunks, chunk_key
from ragloom.evaluation.index_sync import (
    empty_document_problems,
    index_content,
    naming_unreadable,
    synced_index,
    text_in,
    unreadable_problems,
    unreadable_when_synced,
)


class GoldMissing(DataError):
    """Missing gold shared by all trials; each of them would fail."""


def shared_problems(assembly: Assembly, stages: StageCache) -> tuple[list[str], list[CachedStage]]:
    """Read the documents of the source, and check the gold in them.

    Documents are chunked as by the first trial, and cached: nothing is read twice.

    Returns:
        problems, one line each, and the computed stages.

    Raises:
        GoldMissing: for all trials.
        RagloomError: this trial cannot run; others may.
    """
    if assembly.config.tree["ingest"] == "never":
        return [], []
    index = synced_index(assembly, stages)
    if index is not None:
        unreadable = unreadable_when_synced(assembly, stages)
        problems = _gold_problems(assembly, functools.partial(text_in, index), unreadable)
        return [*problems, *empty_document_problems(index_content(index).empty)], []
    if assembly.config.tree["stages"] is None or chunk_key(assembly)["embedding"] is not None:
        return [], []  # documents are read by each trial
    chunks, unit = cache_chunks(assembly, stages)
    with closing(chunks):
        gold = {name for query in assembly.dataset.queries() for name in query.documents}
        entries = {item.id: item for item in assembly.source.entries() if isinstance(item, Entry) and item.id in gold}
        unreadable = [[item.location, item.reason] for item in chunks.unreadable if item.stage == "source"]
        problems = _gold_problems(assembly, lambda id: chunks.text(entries[id]) if id in entries else None, unreadable)
        return [*problems, *empty_document_problems(sorted(chunks.empty))], [unit]


def _gold_problems(assembly: Assembly, text: Callable[[str], str | None], unreadable: list[Any]) -> list[str]:
    with naming_unreadable(unreadable, GoldMissing):
        return [*assembly.dataset.check(text).problems, *unreadable_problems(unreadable)]

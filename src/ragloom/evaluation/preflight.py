"""Problems that all trials of a sweep share: found once, before the first trial."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from ragloom.core.records import Entry
from ragloom.errors import DataError
from ragloom.evaluation.chunk_cache import cut_before, cut_key
from ragloom.evaluation.index_sync import found_in_step, held, kept_unreadable, missing, without_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragloom.assembly import Assembly
    from ragloom.cache.stages import Stages, Unit


class GoldMissing(DataError):
    """Gold is missing in documents that all trials share: each of them would fail."""


def shared_problems(assembly: Assembly, stages: Stages) -> tuple[list[str], list[Unit]]:
    """Reads what all trials read: the documents of the source, and the gold in them.

    Documents are cut as the first trial cuts them, and kept, so that nothing is read twice.

    Returns:
        what is to be reported, one line each, and the stages that this made.

    Raises:
        GoldMissing: as it is for all trials.
        RagloomError: this trial cannot be run; others may.
    """
    if assembly.config.tree["ingest"] == "never":
        return [], []
    index = found_in_step(assembly, stages)
    if index is not None:

        def text(document: str) -> str | None:
            try:
                return index.document(document).text
            except DataError:
                return None

        found = _checked(assembly, text, kept_unreadable(assembly, stages))
        return [*found, *held(index).problems()], []
    if assembly.config.tree["stages"] is None or cut_key(assembly)["embedding"] is not None:
        return [], []  # documents are read by each trial
    cuts, unit = cut_before(assembly, stages)
    with closing(cuts):
        gold = {name for query in assembly.dataset.queries() for name in query.documents}
        entries = {item.id: item for item in assembly.source.entries() if isinstance(item, Entry) and item.id in gold}
        unreadable = [[item.location, item.reason] for item in cuts.unreadable if item.stage == "source"]
        found = _checked(assembly, lambda id: cuts.text(entries[id]) if id in entries else None, unreadable)
        return [*found, *without_text(sorted(cuts.empty))], [unit]


def _checked(assembly: Assembly, text: Callable[[str], str | None], unreadable: list[Any]) -> list[str]:
    try:
        return [*assembly.dataset.check(text).problems, *missing(unreadable)]
    except DataError as error:
        raise GoldMissing(*error.problems, *(f"source: {line}" for line in missing(unreadable))) from None

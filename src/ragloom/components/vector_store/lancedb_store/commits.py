"""Commits: the states of an index that queries may read."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ragloom.components.vector_store.index_identity import Identity
from ragloom.components.vector_store.lancedb_store import ann_index, long_text_files, tables
from ragloom.components.vector_store.lancedb_store.ann_index import Approximation, Wanted
from ragloom.components.vector_store.lancedb_store.commit_record import CHUNKS, DOCUMENTS, Commit
from ragloom.components.vector_store.lancedb_store.index_folder import IndexFolder
from ragloom.components.vector_store.record_types import IndexInfo
from ragloom.core.maintenance_steps import step


@dataclass(frozen=True)
class Upkeep:
    """Maintenance that a commit requires.

    Attributes:
        rebuild_terms: rebuild the text index, also when nothing was written since the last commit.
        deleted: rows may have been deleted since.
        dense: what dense search is to be; None: exact, whatever it was.
    """

    rebuild_terms: bool
    deleted: bool = False
    dense: Wanted | None = None


def publish(
    folder: IndexFolder,
    opened: dict[str, Any],
    count: Callable[[], dict[str, int]],
    *,
    upkeep: Upkeep,
    retention: timedelta,
    record: dict[str, dict[str, Any]],
) -> Commit:
    """Publish the newest state of the tables; requires the lock.

    Maintenance, counting, the record (one atomic step), and only then the removal of states nobody reads any more: a
    crash anywhere before the record leaves the commit before as it was.

    Args:
        opened: table name -> table.
        count: counts the tables' rows, and raises when they disagree.
        upkeep: of the chunk table.
        retention: how long a replaced state stays readable.
        record: `description` and `summary`.
    """
    before = folder.commits()
    last = before[-1] if before else None
    count()
    with tables.engine(folder.path, "maintaining"):
        done = {
            name: _maintained(name, table, last, upkeep if name == CHUNKS else Upkeep(rebuild_terms=False))
            for name, table in opened.items()
        }
    commit = Commit(
        number=last.number + 1 if last else 1,
        versions={name: table.version for name, table in opened.items()},
        since={name: since for name, (since, _) in done.items()},
        rows=count(),
        committed_at=datetime.now(UTC).isoformat(),
        dense=None if (dense := done[CHUNKS][1]) is None else dense.as_json(),
        **record,
    )
    readable = kept_commits([*before, commit], retention)
    folder.record(readable)
    step("removing old versions")
    with tables.engine(folder.path, "removing old versions"):
        for name, table in opened.items():
            tables.clean(table, oldest_kept(readable, name))
        long_text_files.clean(
            folder.path, [item.versions[DOCUMENTS] for item in readable if DOCUMENTS in item.versions]
        )
    return commit


def _maintained(name: str, table: Any, last: Commit | None, upkeep: Upkeep) -> tuple[float, Approximation | None]:
    """Brings a table up to date.

    Returns:
        a time not after its version was made, and how dense search of it is made.
    """
    version, begun = table.version, time.time()
    before = None if last is None or last.dense is None else Approximation.of(last.dense)
    wanted = upkeep.dense
    plan = "none" if wanted is None else ann_index.planned(table, before, wanted, deleted=upkeep.deleted)
    if plan != "keep":
        ann_index.drop(table)
    unchanged = last is not None and last.versions[name] == table.version
    if not unchanged or upkeep.rebuild_terms:
        step(f"{'building the text index' if upkeep.rebuild_terms else 'compacting'} ({name})")
        tables.maintain(table, rebuild_terms=upkeep.rebuild_terms)
    dense = before if plan == "keep" else None
    if plan == "build" and wanted is not None:
        dense = ann_index.build(table, wanted)
    if table.version != version:
        return begun, dense
    return (last.since[name] if last else 0.0), dense


def kept_commits(commits: list[Commit], retention: timedelta) -> list[Commit]:
    """Return the readable commits: the newest, and those recently replaced."""
    now = datetime.now(UTC)
    readable = [
        commit
        for commit, successor in itertools.pairwise(commits)
        if now - datetime.fromisoformat(successor.committed_at) < retention
    ]
    return [*readable, commits[-1]]


def oldest_kept(commits: list[Commit], table: str) -> timedelta:
    """Return the age up to which versions of a table are removable."""
    if len(commits) == 1:
        return timedelta(0)  # leaves the newest version, which is the one this commit names
    margin = 1.0  # between this reading of the clock and the engine's own
    return timedelta(seconds=time.time() - min(commit.since[table] for commit in commits) + margin)


def info_of(identity: Identity, commit: Commit, size: int) -> IndexInfo:
    """Describe an index of `size` bytes at a commit."""
    notes = () if commit.dense is None else (Approximation.of(commit.dense).note,)
    return IndexInfo(
        name=identity.name,
        source=identity.source,
        root=identity.root,
        description=commit.description,
        documents=commit.rows.get(DOCUMENTS, 0),
        chunks=commit.rows[CHUNKS],
        bytes=size,
        committed_at=datetime.fromisoformat(commit.committed_at),
        version=commit.number,
        code_version=identity.code_version,
        dimensions=identity.dimensions,
        summary=commit.summary,
        notes=notes,
        dense=commit.dense,
    )

"""What a crash at any moment leaves: the last commit, and after one more run the index of an undisturbed one."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from places import TESTS
from ragloom.components.vector_store.lancedb_store import commits, tables
from ragloom.components.vector_store.lancedb_store.index_folder import IndexFolder
from ragloom.components.vector_store.protocols import Index
from store_child import documents
from store_tools import contents, database, fresh, ranking, sentence, sync, vectors, write, writer

pytestmark = pytest.mark.slow

COUNT = 30
QUERIES = [sentence(random.Random(seed), 4) for seed in range(20)]


def rankings(index: Index) -> list[Any]:
    return [ranking(index.lexical(query, 10)) for query in QUERIES]


def assert_equals_undisturbed(folder: Path, seed: int, tmp_path: Path) -> None:
    place = database(folder)
    with writer(place) as writing:
        sync(writing, documents(seed, COUNT))
    found, expected = place.open("corpus-1"), fresh(tmp_path / "undisturbed", documents(seed, COUNT))
    assert contents(found) == contents(expected)
    assert rankings(found) == rankings(expected)
    assert (found.info.documents, found.info.chunks) == (expected.info.documents, expected.info.chunks)
    with writer(place) as writing, writer(database(tmp_path / "undisturbed")) as other:
        assert sorted(writing.manifest(), key=lambda row: row.id) == sorted(other.manifest(), key=lambda row: row.id)


@contextmanager
def child(folder: Path, seed: int) -> Iterator["subprocess.Popen[str]"]:
    program = [sys.executable, str(TESTS / "support" / "store_child.py"), "lancedb", str(folder)]
    program += [str(seed), str(COUNT)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def kill_at(process: "subprocess.Popen[str]", step: str, delay: float) -> None:
    """Kills some seconds after the child has begun a step for the first time (or after its end)."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == step:
            break
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize(
    ("step", "delay"),
    [("delete", 0.002), ("replace", 0.015), ("append", 0.01), ("commit", 0.03)],
)
def test_killed_ingest_changes_no_answer_and_the_next_one_ends_as_if_undisturbed(
    tmp_path: Path, step: str, delay: float
) -> None:
    """TRAPS 8, 9, 32: SIGKILL in the middle of a delete, a replace, an append and a commit."""
    folder = tmp_path / "killed"
    before = fresh(folder, documents(1, COUNT))
    expected = rankings(before)
    with child(folder, 2) as process:
        kill_at(process, step, delay)
    opened = database(folder).open("corpus-1")
    if opened.info.version == before.info.version:  # the commit may have been recorded before the kill
        assert rankings(opened) == expected
    assert rankings(before) == expected
    assert_equals_undisturbed(folder, 2, tmp_path)


@pytest.mark.slow
def test_kills_at_random_moments_end_as_if_undisturbed(tmp_path: Path) -> None:
    """As above, from the first ingest on, at moments drawn by a seed."""
    draw, folder = random.Random(20261123), tmp_path / "killed"
    for kill in range(10):
        step = draw.choice(["recover", "delete", "replace", "append", "commit"])
        with child(folder, 1 + kill % 2) as process:
            kill_at(process, step, draw.random() * 0.1)
        if kill % 5 == 4:
            assert_equals_undisturbed(folder, 1 + kill % 2, tmp_path / str(kill))


class Crash(Exception):
    """Stands for a crash: nothing after it runs but the kernel's release of the lock."""


def crash(*arguments: Any, **named: Any) -> None:
    raise Crash


def crash_in_table(monkeypatch: pytest.MonkeyPatch, table: str, method: str) -> None:
    """Makes a method of one of the writer's tables crash."""
    opened = tables.open_table

    class Crashing:
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return crash if name == method else getattr(self._inner, name)

    def open_table(connection: Any, name: str, version: int | None = None) -> Any:
        found = opened(connection, name, version)
        return Crashing(found) if name == table and version is None else found

    monkeypatch.setattr(tables, "open_table", open_table)


@pytest.mark.parametrize(
    "place",
    [
        "documents.delete",  # chunks deleted, manifest rows not
        "documents.merge_insert",  # chunks replaced, manifest rows not
        "documents.add",  # chunks appended, manifest rows not
        "chunks.optimize",  # the text index is gone, nothing compacted
        "documents.optimize",  # chunks maintained, manifest not
        "record",  # everything maintained, nothing recorded
        "clean",  # recorded, nothing removed
    ],
)
def test_crash_between_two_steps_is_repaired_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    folder = tmp_path / "crashed"
    before = fresh(folder, documents(1, COUNT))
    expected = rankings(before)
    with monkeypatch.context() as patch:
        if place == "record":
            patch.setattr(IndexFolder, "record", crash)
        elif place == "clean":
            patch.setattr(tables, "clean", crash)
        else:
            crash_in_table(patch, *place.split("."))
        with pytest.raises(Crash), writer(database(folder)) as writing:
            sync(writing, documents(2, COUNT))
    opened = database(folder).open("corpus-1")
    assert opened.info.version == (2 if place == "clean" else 1)
    if place != "clean":
        assert rankings(opened) == expected
    assert rankings(before) == expected
    assert_equals_undisturbed(folder, 2, tmp_path)


def test_recover_counts_what_it_removes_and_keeps_what_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "half"
    fresh(folder, documents(1, COUNT))
    with writer(database(folder)) as writing:
        assert not writing.recover()
        old, new = documents(1, COUNT), documents(2, COUNT)
        added = sorted(set(new) - set(old))
        write(writing, [new[added[0]]])
        chunks = [chunk for id in added[1:3] for chunk in new[id].chunks]
        texts = [chunk.text for chunk in chunks]
        raw = writing.tables["chunks"]  # type: ignore[attr-defined]
        raw.add(tables.chunk_rows(chunks, texts, vectors(texts), texts))
        raw.delete(f"id = '{old['doc/2.md'].chunks[0].id}'")
    with writer(database(folder)) as writing:
        found = writing.recover()
        assert found.chunks == len(chunks) + len(old["doc/2.md"].chunks) - 1
        assert found.documents == 1
        assert not writing.recover()
        ids = {row.id for row in writing.manifest()}
    assert ids == set(old) - {"doc/2.md"} | {added[0]}


def test_versions_that_a_kept_commit_names_are_never_older_than_what_is_cleaned() -> None:
    def commit(number: int, since: float, at: str) -> commits.Commit:
        return commits.Commit(number, {"chunks": number}, {"chunks": since}, {"chunks": 1}, at)

    now = time.time()
    kept = [commit(1, now - 500, "2026-01-01T00:00:00+00:00"), commit(2, now - 5, "2026-01-02T00:00:00+00:00")]
    assert commits.oldest_kept(kept, "chunks").total_seconds() > 500
    assert commits.oldest_kept(kept[1:], "chunks").total_seconds() == 0

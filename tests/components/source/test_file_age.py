"""Files that change while they are read: read whole or named, and trusted only by a time that proves something."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from messages.source import changed_while_listed, still_written
from ragloom.assembly import Assembly
from ragloom.cache.stages.stage_cache import StageCache
from ragloom.components.source import base, file_age
from ragloom.config.config import load
from ragloom.core.records import Changing, Entry, Unreadable
from ragloom.evaluation.chunk_cache import cache_chunks
from ragloom.ingestion import IngestSummary
from ragloom.ingestion.read_stage import Job, Reading

SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND


class Clock:
    """A clock that moves only when somebody sleeps; `meanwhile` is what others do in that time."""

    def __init__(self) -> None:
        self.now = NOW
        self.slept: list[float] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += round(seconds * SECOND)
        self.meanwhile()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(file_age, "now_ns", lambda: made.now)
    monkeypatch.setattr(file_age, "sleep", made.sleep)
    return made


class Corpus:
    """A folder whose files change at given times, and its index."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / "docs"
        self.folder.mkdir()

    def write(self, name: str, text: str, at: int) -> None:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        os.utime(path, ns=(at, at))

    def assembly(self, *overrides: str) -> Assembly:
        source = ["source=folder", f'source.path="{self.folder}"']
        places = [f'vector_store.path="{self.root / "store"}"', "workers.processes=0"]
        (config,) = load([*source, *places, *overrides])
        return Assembly(config)

    def ingest(self, *overrides: str) -> IngestSummary:
        return self.assembly(*overrides).ingest()

    def text(self, name: str) -> str:
        return self.assembly().open().document(name).text


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path)


def test_file_that_rests_between_two_writes_is_read_whole(corpus: Corpus, clock: Clock) -> None:
    """Its size and time were the same before and after a read, and half of it was in the index."""
    corpus.write("a.txt", "The first half", at=NOW)
    clock.meanwhile = lambda: corpus.write("a.txt", "The first half, and the second.", at=NOW + SECOND // 10)
    assert corpus.ingest().complete
    assert corpus.text("a.txt") == "The first half, and the second."


def test_time_that_is_not_old_enough_after_the_pause_is_not_trusted(corpus: Corpus, clock: Clock) -> None:
    """A coarse clock of files gives a later change of the same size the same time."""
    corpus.write("a.txt", "The first half", at=NOW)
    clock.meanwhile = lambda: corpus.write("a.txt", "The version 1.", at=NOW + SECOND // 2)
    assert corpus.ingest().added == 1
    corpus.write("a.txt", "The version 2.", at=NOW + SECOND // 2)
    clock.meanwhile, clock.now = lambda: None, clock.now + 10 * SECOND
    assert corpus.ingest().changed == 1
    assert corpus.text("a.txt") == "The version 2."


def test_file_that_is_still_changing_is_named_and_stops_no_other(corpus: Corpus, clock: Clock) -> None:
    corpus.write("a.txt", "It is", at=NOW)
    corpus.write("b.txt", "It was written long ago.", at=NOW - 3600 * SECOND)
    clock.meanwhile = lambda: corpus.write("a.txt", "It is being", at=clock.now)
    summary = corpus.ingest()
    (named,) = summary.unreadable
    assert named.location.endswith("a.txt")
    assert still_written() in named.reason
    assert summary.documents == 1
    clock.meanwhile = lambda: None
    clock.now += 10 * SECOND
    assert corpus.ingest().complete
    assert corpus.text("a.txt") == "It is being"


def test_version_in_the_index_stays_while_its_file_is_being_written(corpus: Corpus, clock: Clock) -> None:
    corpus.write("a.txt", "The version before.", at=NOW - 3600 * SECOND)
    corpus.ingest()
    corpus.write("a.txt", "Half of", at=NOW)
    clock.meanwhile = lambda: corpus.write("a.txt", "Half of the version", at=clock.now)
    summary = corpus.ingest()
    assert (summary.unreadable_count, summary.deleted, summary.documents) == (1, 0, 1)
    assert corpus.text("a.txt") == "The version before."


def test_many_new_files_cost_one_pause_together(corpus: Corpus, clock: Clock) -> None:
    for number in range(20):
        corpus.write(f"{number}.txt", f"Text {number}.", at=NOW - number * SECOND // 20)
    assert corpus.ingest().added == 20
    assert clock.slept == [2.0]


def test_files_that_rest_cost_no_pause(corpus: Corpus, clock: Clock) -> None:
    corpus.write("a.txt", "A text.", at=NOW - 2 * SECOND)
    corpus.write("b.txt", "A text from tomorrow.", at=NOW + 86_400 * SECOND)
    assert corpus.ingest().added == 2
    assert clock.slept == []


def test_time_after_the_pause_is_trusted(corpus: Corpus, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus.write("a.txt", "A text.", at=NOW)
    corpus.ingest()
    again = corpus.assembly()
    monkeypatch.setattr(again.source, "read", lambda entry: pytest.fail(f"{entry.id} was read"))
    assert again.ingest().unchanged == 1
    assert clock.slept == [2.0]


def test_time_in_the_future_is_not_trusted(corpus: Corpus, clock: Clock) -> None:
    """A change at the same size would have kept it."""
    corpus.write("a.txt", "Text one.", at=NOW + SECOND)
    corpus.ingest()
    corpus.write("a.txt", "Text two.", at=NOW + SECOND)
    assert corpus.ingest().changed == 1
    assert corpus.text("a.txt") == "Text two."


def test_change_of_the_same_size_and_time_before_the_read_is_taken_in(corpus: Corpus, clock: Clock) -> None:
    """Within one tick of the file system's clock two writes have the same time."""
    corpus.write("a.txt", "Text one.", at=NOW)
    clock.meanwhile = lambda: corpus.write("a.txt", "Text two.", at=NOW)
    corpus.ingest()
    assert corpus.text("a.txt") == "Text two."


def test_file_that_changed_after_it_was_listed_is_read_as_it_is_then(
    corpus: Corpus, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus.write("a.txt", "Text one.", at=NOW - 3600 * SECOND)
    assembly = corpus.assembly()
    listed = list(assembly.source.entries())
    monkeypatch.setattr(assembly.source, "entries", lambda: iter(listed))
    corpus.write("a.txt", "Text number two.", at=NOW)
    assert assembly.ingest().complete
    assert corpus.text("a.txt") == "Text number two."
    assert clock.slept == [2.0]


def test_reader_refuses_a_file_that_is_not_as_it_was_listed(
    corpus: Corpus, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus.write("a.txt", "Text one.", at=NOW - 3600 * SECOND)
    assembly = corpus.assembly()
    (entry,) = assembly.source.entries()
    reading = Reading(assembly.source, assembly.chunking)
    assert not isinstance(_read(reading, entry), Unreadable)
    fstat, seen = os.fstat, []

    def written_meanwhile(descriptor: int) -> os.stat_result:
        seen.append(descriptor)
        if len(seen) == 2:  # between the two looks
            corpus.write("a.txt", "Text two.", at=NOW)
        return fstat(descriptor)

    monkeypatch.setattr(base.os, "fstat", written_meanwhile)
    assert isinstance(_read(reading, entry), Changing)
    monkeypatch.setattr(base.os, "fstat", fstat)
    assert isinstance(_read(reading, entry), Changing)
    assert not isinstance(_read(reading, assembly.source.refresh(entry)), Unreadable)


def test_dry_run_keeps_the_same_rule(corpus: Corpus, clock: Clock) -> None:
    corpus.write("a.txt", "A text.", at=NOW)
    clock.meanwhile = lambda: corpus.write("a.txt", "A text that grows", at=clock.now)
    assert corpus.assembly("dry_run=true").rehearse().summary.unreadable_count == 1


def test_documents_that_an_evaluation_cuts_are_read_after_the_pause(corpus: Corpus, clock: Clock) -> None:
    corpus.write("a.txt", "The first half", at=NOW)
    corpus.write("b.txt", "Another text.", at=NOW)
    clock.meanwhile = lambda: corpus.write("a.txt", "The first half, and the second.", at=NOW + SECOND // 10)
    kept, unit = cache_chunks(corpus.assembly(), StageCache(corpus.root / "stages"))
    kept.close()
    assert (unit.counts.computed, kept.unreadable, clock.slept) == (2, [], [2.0])
    entries = {entry.id: entry for entry in corpus.assembly().source.entries() if isinstance(entry, Entry)}
    assert kept.text(entries["a.txt"]) == "The first half, and the second."


def test_lines_of_a_file_that_is_still_written_delete_nothing(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "corpus.jsonl"

    def write(count: int, at: int) -> None:
        lines = [json.dumps({"id": f"d{number}", "text": f"Text {number}."}) for number in range(count)]
        path.write_text("\n".join(lines), encoding="utf-8")
        os.utime(path, ns=(at, at))

    overrides = ["source=jsonl", f'source.path="{path}"', f'vector_store.path="{tmp_path}"', "workers.processes=0"]
    (config,) = load(overrides)
    write(9, NOW - 3600 * SECOND)
    Assembly(config).ingest()
    write(7, NOW)
    assembly = Assembly(config)
    entries = assembly.source.entries

    def grow_while_listed() -> Iterator[object]:
        for number, item in enumerate(entries()):
            yield item
            if number == 6:
                write(9, clock.now)

    monkeypatch.setattr(assembly.source, "entries", grow_while_listed)
    summary = assembly.ingest()
    assert (summary.deleted, summary.documents) == (0, 9)
    assert changed_while_listed() in summary.unreadable[0].reason
    assert clock.slept == [2.0]


def test_clock_of_the_rule_is_the_clock_of_files(tmp_path: Path) -> None:
    """A file that was written just now is neither from the future nor old."""
    (tmp_path / "a.txt").write_text("now", encoding="utf-8")
    mtime_ns = (tmp_path / "a.txt").stat().st_mtime_ns
    assert mtime_ns <= time.time_ns()


def _read(reading: Reading, entry: Entry) -> object:
    return reading(Job(entry))

"""What reading a document in a worker promises: the same chunks as in this process, in little more than its text."""

from __future__ import annotations

import os
import pickle
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.schema import Document

from chunkers import FORMATS, OPTIONS, TEXTS, LetterEmbedding, chunkers, document
from messages import wording
from messages.source import nothing_in_it, temporary_folder_needs_room
from ragloom.components.chunking.base import SpanParser
from ragloom.components.source.base import Source
from ragloom.core import file_backed_text
from ragloom.core.file_backed_text import FileBackedText
from ragloom.core.records import Entry, Unreadable, canonical_json, document_hash, sha256
from ragloom.errors import DataError
from ragloom.ingestion.parent_embedding import ParentEmbedding, embedding_callback
from ragloom.ingestion.read_stage import ChunkedDocument, Job, Readers, Reading, Unchanged
from ragloom.process_pool.parent_callbacks import callback_handler
from ragloom.process_pool.task_queue import PoolLimits
from scripted_source import ScriptedSource
from source_tools import folder

FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork: there are no workers")
CHUNKERS = chunkers()


def bounds(processes: int, **changed: Any) -> PoolLimits:
    values = {"seconds": 30, "seconds_per_mb": 0, "megabytes": 300, "items": 16, "in_flight_mb": 64}
    return PoolLimits(processes=processes, **(values | changed))


def jobs(source: Source) -> list[Job]:
    return [Job(entry) for entry in source.entries() if isinstance(entry, Entry)]


def run(
    source: Source, chunking: SpanParser, processes: int, **changed: Any
) -> dict[str, ChunkedDocument | Unchanged | Unreadable]:
    with Readers(source, chunking, bounds(processes, **changed)) as readers:
        return {job.entry.id: found for job, found in readers.read(jobs(source))}


def read(made: Document, chunking: SpanParser, spool: Path | None = None) -> ChunkedDocument:
    with callback_handler(embedding_callback(getattr(chunking, "embedding", None))):
        found = Reading(ScriptedSource(made), chunking, spool)(Job(Entry("x", "x", 1, None)))
    assert isinstance(found, ChunkedDocument)
    return found


def comparable(found: ChunkedDocument | Unchanged | Unreadable) -> Any:
    return (list(found.chunks()), found.metadata, found.oversized) if isinstance(found, ChunkedDocument) else found


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "guide.md").write_text(
        "# Guide\n\n" + "One sentence. Another one! " * 40 + "\n\n## 보증\n\n보증은 2년입니다. " * 9
    )
    (tmp_path / "notes.txt").write_bytes("한글 문서입니다. ".encode("cp949") * 30)
    (tmp_path / "empty.txt").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize("option", OPTIONS)
@settings(max_examples=10, deadline=None)
@given(text=TEXTS, format=FORMATS)
def test_a_long_text_stays_behind_in_a_file_and_gives_the_same_chunks(
    tmp_path_factory: pytest.TempPathFactory, option: str, text: str, format: str | None
) -> None:
    chunking, made = CHUNKERS[option], document(text, format)
    folder = tmp_path_factory.mktemp("spool")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_backed_text, "LONG", 0)
        sent = pickle.dumps(read(made, chunking, folder), protocol=5)
    crossed: ChunkedDocument = pickle.loads(sent)
    assert isinstance(crossed.text, FileBackedText)
    assert crossed.text.read() == made.text
    assert crossed.text_hash == sha256(made.text)
    assert list(crossed.chunks()) == list(chunking.chunks(made))
    crossed.close()
    assert not list(folder.iterdir())


def test_no_room_for_a_long_text_is_an_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_backed_text, "LONG", 0)
    with pytest.raises(DataError, match=wording(temporary_folder_needs_room(), "TMPDIR")):
        read(document("A text.", None), CHUNKERS["fixed"], tmp_path / "gone")


@pytest.mark.parametrize("option", OPTIONS)
@settings(max_examples=30)
@given(text=TEXTS, format=FORMATS, inherits=st.booleans())
def test_cut_gives_the_chunks_of_the_chunking_after_it_crossed(
    option: str, text: str, format: str | None, inherits: bool
) -> None:
    chunking = CHUNKERS[option].model_copy(update={"include_metadata": inherits})
    made = document(text, format, page="the user's own", nested={"a": [1, None]})
    found = read(made, chunking)
    crossed: ChunkedDocument = pickle.loads(pickle.dumps(found, protocol=5))
    chunks = list(chunking.chunks(made))
    assert list(crossed.chunks()) == chunks
    assert len(crossed) == len(chunks)
    assert (crossed.text, crossed.metadata) == (made.text, made.metadata)
    assert crossed.content_hash == document_hash(text, made.metadata)
    assert (crossed.text_hash, crossed.metadata_hash) == (sha256(text), sha256(canonical_json(made.metadata)))


def test_half_a_character_crosses() -> None:
    made = document("a\ud800b")
    found = read(made, CHUNKERS["fixed"])
    assert pickle.loads(pickle.dumps(found, protocol=5)).text == "a\ud800b"


@pytest.mark.parametrize("option", OPTIONS)
def test_what_crosses_is_little_more_than_the_text(option: str) -> None:
    """LlamaIndex nodes took 31 MB for each MB of text."""
    text = "".join(
        f"# Part {n}\n\nThe warranty covers part {n} for two years. 보증은 {n}년입니다.\n\n" for n in range(2_000)
    )
    found = read(document(text, "markdown"), CHUNKERS[option])
    assert len(found) > 1_000
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(found, protocol=5, buffer_callback=buffers.append)
    assert [buffer.raw().nbytes for buffer in buffers] == [len(text.encode())]
    assert len(pickled) < len(found) * 50 + 1_000


@FORKS
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.slow
def test_workers_give_what_this_process_gives(option: str, files: Path) -> None:
    source = folder(files)
    here = {name: comparable(found) for name, found in run(source, chunkers()[option], 0).items()}
    there = {name: comparable(found) for name, found in run(source, chunkers()[option], 2).items()}
    assert here == there
    assert here["empty.txt"] == Unreadable(str(files / "empty.txt"), nothing_in_it())
    assert set(here) == {"guide.md", "notes.txt", "empty.txt"}


def test_what_is_stored_already_is_neither_cut_nor_sent(files: Path) -> None:
    source = folder(files)
    found = run(source, CHUNKERS["fixed"], 0)
    notes = found["notes.txt"]
    assert isinstance(notes, ChunkedDocument)
    (entry,) = (job.entry for job in jobs(source) if job.entry.id == "notes.txt")
    reading = Reading(source, CHUNKERS["fixed"])
    assert reading(Job(entry, bytes_hash=notes.bytes_hash)) == Unchanged(notes.bytes_hash)
    assert isinstance(reading(Job(entry, bytes_hash="other", content_hash="other")), ChunkedDocument)
    (files / "notes.txt").write_bytes(("한글 문서입니다. " * 30).encode("cp949") + b"\r\n")
    entry = source.refresh(entry)
    other = reading(Job(entry, notes.bytes_hash, document_hash(notes.text + "\n", notes.metadata)))
    assert isinstance(other, Unchanged)  # other bytes, and the text that is stored
    assert other.bytes_hash != notes.bytes_hash


@FORKS
@pytest.mark.slow
def test_document_that_hangs_dies_or_is_too_large_is_unreadable_and_no_other_is(tmp_path: Path) -> None:
    for name in ("a.txt", "allocate.txt", "b.txt", "hang.txt", "segfault.txt", "z.txt"):
        (tmp_path / name).write_text(name)
    found = run(ScriptedSource(None, folder(tmp_path)), CHUNKERS["paragraph"], 2, seconds=2)
    reasons = {name: item.reason for name, item in found.items() if isinstance(item, Unreadable)}
    assert reasons == {
        "allocate.txt": "it needed more than 300 MB of memory",
        "hang.txt": "it took longer than 2 s",
        "segfault.txt": "its worker process died (signal 11, SIGSEGV)",
    }
    assert [item.text for item in found.values() if isinstance(item, ChunkedDocument)] == ["a.txt", "b.txt", "z.txt"]


@FORKS
def test_bug_in_reading_is_raised_and_no_unreadable_document(tmp_path: Path) -> None:
    (tmp_path / "bug.txt").write_text("bug")
    with pytest.raises(KeyError, match="no such key"):
        run(ScriptedSource(None, folder(tmp_path)), CHUNKERS["fixed"], 1)


def test_nothing_to_read_starts_nothing(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any, **keys: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refused)
    with Readers(folder(files), CHUNKERS["fixed"], bounds(2)) as readers:
        assert list(readers.read([])) == []


class Counting(LetterEmbedding):
    """Notes how many texts each call has, and in which process; fails where it is scripted to."""

    calls: list[int] = []  # noqa: RUF012 - a pydantic field
    fails: bool = False

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        if self.fails:
            raise DataError("the budget is spent")
        self.calls.append(len(texts))
        return super()._get_text_embeddings(texts)


@FORKS
@pytest.mark.parametrize("option", ["semantic", "hybrid"])
@pytest.mark.slow
def test_embedding_of_a_chunking_stays_in_this_process_and_is_asked_in_its_own_batches(
    option: str, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text(" ".join(f"This is sentence number {n}." for n in range(700)))
    calls = []
    for processes in (0, 1):
        chunking: Any = chunkers()[option]
        chunking.embedding = Counting(embed_batch_size=300, max_tokens=60)
        run(folder(tmp_path), chunking, processes)
        calls.append(chunking.embedding.calls)
    assert calls[0] == calls[1]
    assert max(calls[0]) == 300


@FORKS
@pytest.mark.parametrize("processes", [0, 1])
def test_what_an_embedding_raises_while_cutting_is_raised(processes: int, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One sentence is here. Another one is there. " * 20)
    chunking: Any = chunkers()["semantic"]
    chunking.embedding = Counting(fails=True)
    with pytest.raises(DataError, match="the budget is spent"):
        run(folder(tmp_path), chunking, processes)


def test_cheap_embedding_goes_along() -> None:
    class Cheap(LetterEmbedding):
        cheap: ClassVar[bool] = True

    kept: Any = Reading(
        ScriptedSource(None), chunkers()["semantic"].model_copy(update={"embedding": Cheap.model_construct()})
    )
    assert isinstance(kept.chunking.embedding, Cheap)
    left: Any = Reading(ScriptedSource(None), chunkers()["semantic"])
    assert isinstance(left.chunking.embedding, ParentEmbedding)

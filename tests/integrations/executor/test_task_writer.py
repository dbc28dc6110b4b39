"""What a worker collects for the driver arrives as it was: chunks, vectors, manifest rows, long texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragloom.components.vector_store.record_types import ManifestRow, StoredDocumentRow
from ragloom.core import file_backed_text
from ragloom.core.file_backed_text import FileBackedText
from ragloom.core.records import Chunk
from ragloom.integrations.executor.ray_cluster.task_writer import TaskWriter, replay

_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)  # lone surrogates included
_METADATA = st.dictionaries(
    st.text(max_size=5), st.one_of(st.text(max_size=5), st.integers(-9, 9), st.booleans(), st.none())
)


class Recording:
    """Takes the place of the driver's writer."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.vectors: list[np.ndarray] = []
        self.hashes: list[str] = []
        self.documents: list[StoredDocumentRow] = []
        self.texts: list[str] = []

    def append(self, chunks: list[Chunk], vectors: np.ndarray, hashes: list[str]) -> None:
        self.chunks += chunks
        self.vectors += [*vectors]
        self.hashes += hashes

    def finish(self, documents: list[StoredDocumentRow]) -> None:
        self.documents += documents
        self.texts += [each.text.read() if isinstance(each.text, FileBackedText) else each.text for each in documents]


def row(id: str, content_hash: str, mtime_ns: int | None = None) -> ManifestRow:
    return ManifestRow(id, 7, mtime_ns, "b", "t", "m", content_hash, 1)


def nothing_stored(ids: Any, sent: Any) -> dict[tuple[str, str], np.ndarray]:
    return {}


@given(
    st.lists(st.tuples(_TEXT, _TEXT, _METADATA, st.one_of(st.none(), st.integers(0, 2**62))), min_size=1, max_size=4),
    st.integers(0, 2**32),
)
def test_what_is_collected_arrives_bit_for_bit(
    items: list[tuple[str, str, dict[str, Any], int | None]], seed: int
) -> None:
    writer, recording = TaskWriter(3, nothing_stored), Recording()
    chunks = [
        Chunk(f"id{at}", id, f"h{at}", at, at + len(text), text, metadata)
        for at, (id, text, metadata, _) in enumerate(items)
    ]
    vectors = np.random.default_rng(seed).normal(size=(len(items), 3)).astype(np.float32)
    documents = [
        StoredDocumentRow(row(id, f"h{at}", time), text, metadata)
        for at, (id, text, metadata, time) in enumerate(items)
    ]
    writer.append(chunks, vectors, [f"s{at}" for at in range(len(items))])
    writer.finish(documents)
    replay(writer.take(), recording, Path())  # type: ignore[arg-type]
    assert recording.chunks == chunks
    assert np.array_equal(np.stack(recording.vectors), vectors)
    assert recording.hashes == [f"s{at}" for at in range(len(items))]
    assert recording.documents == documents


def test_chunks_of_abandoned_documents_are_left_out() -> None:
    writer, recording = TaskWriter(1, nothing_stored), Recording()
    chunks = [Chunk(name, name, "h", 0, 1, "x") for name in ("kept", "abandoned")]
    writer.append(chunks, np.ones((2, 1), dtype=np.float32), ["s", "s"])
    writer.finish([StoredDocumentRow(row("kept", "h"), "x", {})])
    writer.discard([("abandoned", "h")])
    replay(writer.take(), recording, Path())  # type: ignore[arg-type]
    assert [chunk.id for chunk in recording.chunks] == ["kept"]


def test_chunks_of_a_document_that_was_not_completed_are_not_written() -> None:
    writer, recording = TaskWriter(1, nothing_stored), Recording()
    writer.append([Chunk("a", "a", "h", 0, 1, "x")], np.ones((1, 1), dtype=np.float32), ["s"])
    replay(writer.take(), recording, Path())  # type: ignore[arg-type]
    assert recording.chunks == []
    assert writer.take().tables == [], "a second task begins with nothing"


def test_long_text_is_kept_in_a_file_only_until_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_backed_text, "LONG", 4)
    writer, recording = TaskWriter(1, nothing_stored), Recording()
    (tmp_path / "given").mkdir()
    text = file_backed_text.write_text("길고 long", tmp_path / "given")
    writer.finish([StoredDocumentRow(row("a", "h"), text, {})])
    spool = tmp_path / "spool"
    spool.mkdir()
    replay(writer.take(), recording, spool)  # type: ignore[arg-type]
    assert recording.texts == ["길고 long"]
    assert isinstance(recording.documents[0].text, FileBackedText)
    assert [*spool.iterdir()] == []

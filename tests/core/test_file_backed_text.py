"""Texts in files: what is cut out of one is what would be cut out of the text."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragloom.core import file_backed_text
from ragloom.core.file_backed_text import FileBackedText

TEXT = st.text(st.characters(exclude_categories=()), max_size=60)
"""Line ends of all kinds, letters of one to four bytes, and half surrogate pairs."""


@st.composite
def texts_with_spans(draw: st.DrawFn) -> tuple[str, list[tuple[int, int]]]:
    text = draw(TEXT)
    place = st.integers(0, len(text))
    spans = draw(st.lists(st.tuples(place, place), max_size=12))
    return text, sorted((min(span), max(span)) for span in spans)


@given(texts_with_spans(), st.integers(1, 9))
def test_slices_of_the_file_are_those_of_the_text(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[str, list[tuple[int, int]]], piece: int
) -> None:
    text, spans = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_backed_text, "PIECE", piece)
        file = file_backed_text.write_text(text, tmp_path_factory.getbasetemp())
        assert list(file.slices(spans)) == [text[start:end] for start, end in spans]
        assert file.read() == text
        file.remove()
        assert not file.path.exists()


def test_slices_across_pieces_of_two_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_backed_text, "PIECE", 2)
    file = file_backed_text.write_text("abcdefghij", tmp_path)
    assert list(file.slices([(0, 1), (1, 4), (3, 5), (4, 9), (8, 10)])) == ["a", "bcd", "de", "efghi", "ij"]


def test_spans_out_of_order_are_refused(tmp_path: Path) -> None:
    file = file_backed_text.write_text("abcdef", tmp_path)
    with pytest.raises(ValueError, match="in order of their start"):
        list(file.slices([(3, 4), (1, 2)]))


def test_a_copy_is_seen_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = file_backed_text.write_text("가나다\r\n" * 10, tmp_path)

    def half(source: Path, draft: Path) -> None:
        draft.write_bytes(source.read_bytes()[:7])
        raise OSError("no room")

    monkeypatch.setattr(file_backed_text.shutil, "copyfile", half)
    with pytest.raises(OSError, match="no room"):
        file.copy_to(tmp_path / "there.txt")
    assert not (tmp_path / "there.txt").exists()
    monkeypatch.undo()
    file.copy_to(tmp_path / "there.txt")
    assert FileBackedText(tmp_path / "there.txt").read() == file.read()

from typing import Literal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from langchain_text_splitters import RecursiveCharacterTextSplitter

from chunkers import TEXTS, check_exact, document, texts_of
from ragloom.components import chunking
from ragloom.components.chunking.recursive_chunker import SeparatorCutter
from ragloom.core.outline import Outline
from ragloom.core.tokenizers import load

DEFAULT = ["\n\n", "\n", " ", ""]
SEPARATORS = st.sampled_from(
    [DEFAULT, ["\n\n", "\n", ".", ""], ["\n\n", "\n", " "], [""], ["aa", "a", ""], ["。", "다", ". "]]
)
KEEP = st.sampled_from(["start", "end"])


def _cutter(
    separators: list[str],
    length: str,
    size: int,
    overlap: int,
    keep: Literal["start", "end"] = "start",
    special: int = 0,
) -> SeparatorCutter:
    return chunking.recursive(
        separators=separators,
        length=length,
        special_tokens=special,
        chunk_size=size,
        chunk_overlap=overlap,
        keep_separator=keep,
    )


@settings(max_examples=400, deadline=None)
@given(
    text=st.one_of(TEXTS, st.text("ab \n.", max_size=150)),
    separators=SEPARATORS,
    size=st.integers(1, 60),
    overlap=st.integers(0, 59),
    keep=KEEP,
)
@pytest.mark.slow
def test_recursive_gives_the_librarys_chunks(
    text: str, separators: list[str], size: int, overlap: int, keep: Literal["start", "end"]
) -> None:
    assume(overlap < size)
    library = RecursiveCharacterTextSplitter(
        separators=separators, chunk_size=size, chunk_overlap=overlap, keep_separator=keep
    )
    parser = _cutter(separators, "characters", size, overlap, keep)
    assert [text[start:end] for start, end in parser.cut(Outline(text, None))] == library.split_text(text)
    check_exact(text, list(parser.chunks(document(text))))


@settings(max_examples=150, deadline=None)
@given(
    text=TEXTS,
    separators=SEPARATORS,
    size=st.integers(6, 40),
    overlap=st.integers(0, 39),
    keep=KEEP,
    special=st.sampled_from([0, 2]),
)
def test_recursive_gives_the_librarys_chunks_in_tokens(
    text: str, separators: list[str], size: int, overlap: int, keep: Literal["start", "end"], special: int
) -> None:
    assume(overlap < size)
    count = load("cl100k_base").count
    library = RecursiveCharacterTextSplitter(
        separators=separators,
        chunk_size=size,
        chunk_overlap=overlap,
        keep_separator=keep,
        length_function=lambda text: count(text) + special,
    )
    parser = _cutter(separators, "cl100k_base", size, overlap, keep, special)
    assert [text[start:end] for start, end in parser.cut(Outline(text, None))] == library.split_text(text)
    check_exact(text, list(parser.chunks(document(text))))


def test_recursive_makes_no_chunk_twice() -> None:
    """The library gives both windows of these 25 characters, which are the same when stripped."""
    text = "\r" + "0" * 23 + "\r"
    parser = _cutter(DEFAULT, "characters", 24, 23)
    assert list(parser.cut(Outline(text, None))) == [(1, 24), (1, 24)]
    assert list(parser.spans(text)) == [(1, 24)]


def test_recursive_defaults_are_the_librarys() -> None:
    text = "One two three. " * 200 + "\n\n" + "하나 둘 셋. " * 200
    library = RecursiveCharacterTextSplitter(chunk_size=500, chunk_overlap=50)
    assert list(texts_of(_cutter(DEFAULT, "characters", 500, 50), text)) == library.split_text(text)


@pytest.mark.parametrize(("length", "size"), [("characters", 10), ("cl100k_base", 4)])
def test_recursive_counts_what_no_separator_cuts(length: str, size: int) -> None:
    parser = _cutter(["\n", " "], length, size, 0)
    text = "short\nx" + "y" * 99 + "\nshort " + "z" * 99
    assert max(map(len, texts_of(parser, text))) == len("\nx") + 99
    assert parser.oversized == 2
    assert list(parser.spans(text))
    assert parser.oversized == 4
    assert _cutter(DEFAULT, "characters", 10, 0).oversized == 0


def test_recursive_finds_spans_of_repeated_passages_in_linear_time() -> None:
    """TRAPS 15: the library looks for each chunk's text from a guessed offset on; here offsets are known."""
    text = "again and again " * 20_000
    spans = list(_cutter(DEFAULT, "characters", 100, 20).spans(text))
    assert len(spans) > 3000
    assert all(text[start:end].startswith("again") or text[start:end].startswith("and") for start, end in spans)
    assert spans[-1][1] == len(text) - 1

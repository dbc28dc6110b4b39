import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import sentencex
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chunkers import WORDY_TEXTS, chunkers, texts_of
from ragloom.components.chunking.structural_units import TextUnit, pack, tokens
from ragloom.components.chunking.token_counts import TokenCounter
from ragloom.core.tokenizer_names import TIKTOKEN_NAMES
from ragloom.core.tokenizers import Offsets, Tokenizer, load


@pytest.mark.parametrize("name", TIKTOKEN_NAMES)
@settings(max_examples=400, deadline=None)
@given(text=WORDY_TEXTS, places=st.tuples(st.floats(0, 1), st.floats(0, 1)))
@pytest.mark.slow
def test_counts_of_a_span_are_those_of_its_text_alone(name: str, text: str, places: tuple[float, float]) -> None:
    """Only a span's edges are tokenised again: what lies between two safe cuts has the document's tokens."""
    start, end = sorted(int(place * len(text)) for place in places)
    assume(start < end)
    alone = load(name).count(text[start:end])
    measure = TokenCounter(load(name), text, limit=alone)
    assert measure.exact(start, end) == alone
    assert TokenCounter(load(name), text, alone).within(start, end)
    assert not TokenCounter(load(name), text, alone - 1).within(start, end)


@settings(max_examples=200, deadline=None)
@given(text=WORDY_TEXTS, limit=st.integers(4, 60), place=st.floats(0, 0.9))
def test_reach_is_the_longest_prefix_within_the_limit_or_ends_before_a_blank(
    text: str, limit: int, place: float
) -> None:
    start = int(place * len(text))
    count = load("cl100k_base").count
    stop = TokenCounter(load("cl100k_base"), text, limit).reach(start, len(text))
    assert start < stop <= len(text)
    assert count(text[start:stop]) <= limit
    assert stop == len(text) or text[stop].isspace() or count(text[start : stop + 8]) > limit - 8


class Misleading(Tokenizer):
    """Finds a token per four characters in a document, and one per character in what is cut out of it."""

    name = "misleading"
    max_char_tokens = 1

    def count(self, text: str) -> int:
        return len(text)

    def edges(self, text: str, fitting: int = 0) -> Iterator[tuple[Offsets, Offsets]]:
        bounds = np.append(np.arange(0, len(text), 4), len(text))
        yield bounds, bounds


def test_sizes_hold_where_estimates_are_far_off() -> None:
    text = "abcdef " * 60
    units = [TextUnit(at, at + 6) for at in range(0, len(text), 7)]
    spans = list(pack(units, TokenCounter(Misleading(), text, limit=20), overlap=8))
    assert max(end - start for start, end in spans) == 20
    assert {at for start, end in spans for at in range(start, end)} >= {at for unit in units for at in range(*unit[:2])}
    whole = list(pack([TextUnit(0, len(text) - 1)], TokenCounter(Misleading(), text, limit=20), overlap=0))
    assert max(end - start for start, end in whole) <= 20
    assert [(unit.start, unit.end) for unit in tokens(0, len(text) - 1, TokenCounter(Misleading(), text, 20))] == whole


def test_overlap_makes_room_for_the_next_units() -> None:
    """Letters are a token each: 5 + 5, then 6 + 4, before which the overlap of 5 has no room."""
    text = " ".join("abcdefghijklmnopqrst")
    bounds = [0, 5, 10, 16, 20]
    units = [TextUnit(2 * first, 2 * last - 1) for first, last in itertools.pairwise(bounds)]
    spans = list(pack(units, TokenCounter(load("cl100k_base"), text, limit=10), overlap=5))
    assert spans == [(0, 19), (20, 39)]


def test_sentences_are_looked_for_in_bounded_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """sentencex 1.0.32 takes time that grows with the square of a paragraph's length, and loses line ends."""
    lengths: list[int] = []

    def recorded(language: str, text: str) -> list[dict[str, int]]:
        lengths.append(len(text))
        return find(language, text)  # type: ignore[no-any-return]

    find = sentencex.get_sentence_boundaries
    monkeypatch.setattr(sentencex, "get_sentence_boundaries", recorded)
    sentences = [f"Sentence number {n} is here." for n in range(2000)]
    chunks = list(texts_of(chunkers(12, 0)["paragraph"], " ".join(sentences)))
    assert chunks == sentences
    assert max(lengths) <= 4096
    assert sum(lengths) < 1.1 * len(" ".join(sentences))


class Letters(Tokenizer):
    """Finds a token per character, wherever it stands."""

    name = "letters"
    max_char_tokens = 1

    def count(self, text: str) -> int:
        return len(text)

    def edges(self, text: str, fitting: int = 0) -> Iterator[tuple[Offsets, Offsets]]:
        bounds = np.arange(len(text) + 1)
        yield bounds, bounds


def _packed(units: list[TextUnit], limit: int, overlap: int) -> list[tuple[int, int]]:
    """Pack by the definition: each chunk is the longest, and begins with what it repeats of the one before."""
    chunks, repeated, at = [], list[TextUnit](), 0
    while at < len(units):
        while repeated and units[at].end - repeated[0].start > limit:
            repeated.pop(0)
        chunk = repeated
        while at < len(units) and (not chunk or units[at].end - chunk[0].start <= limit):
            chunk = [*chunk, units[at]]
            at += 1
        chunks.append((chunk[0].start, chunk[-1].end))
        repeated = [unit for unit in chunk[1:] if chunk[-1].end - unit.start <= overlap]
    return chunks


@settings(max_examples=300, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 2)), max_size=40),
    limit=st.integers(6, 25),
    overlap=st.integers(0, 12),
)
def test_units_are_packed_into_the_longest_chunks_with_the_overlap_that_fits(
    shapes: list[tuple[int, int]], limit: int, overlap: int
) -> None:
    units, at = [], 0
    for length, gap in shapes:
        units.append(TextUnit(at + gap, at + gap + length))
        at += gap + length
    measure = TokenCounter(Letters(), "x" * at, limit)
    assert list(pack(units, measure, overlap)) == _packed(units, limit, overlap)

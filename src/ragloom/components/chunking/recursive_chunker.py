"""The `recursive` chunker: LangChain's `RecursiveCharacterTextSplitter` with exact spans.

The algorithm is langchain-text-splitters 1.1's (`_split_text` and `_merge_splits`, with `strip_whitespace=True`);
pieces are spans instead of texts, so that a chunk's place is known and not searched for. A test holds that the
cuts are the library's. Two kinds of its chunks are then left out: blank ones (of blanks that no separator cuts), and
a chunk that is the same span as the one before (two that differ by a blank at an edge, before it is stripped).
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from ragloom.components.chunking.base import Span, SpanParser, trimmed
from ragloom.core.outline import Outline
from ragloom.core.tokenizers import load

CHARACTERS = "characters"
"""The `length` that needs no tokenizer."""
_AT_ONCE = 1 << 14
"""Pieces whose tokens are counted together: equal ones are counted once."""


class SeparatorCutter(SpanParser):
    """Recursive cuts at separators, in order of preference.

    A text is cut at the first separator in it, pieces still too long at the next ones. A piece that no separator cuts
    stays longer than `chunk_size`; such chunks are counted in `oversized`.

    Attributes:
        separators: in order of preference; an empty one cuts anywhere.
        length: what `chunk_size` and `chunk_overlap` count: `characters`, or the tokens of the tokenizer of this name.
        special_tokens: added to each length in tokens, of a piece as of a chunk: what a model puts around a text.
        keep_separator: whether a separator stands at the start or the end of a piece.
    """

    separators: list[str]
    length: str
    special_tokens: int
    chunk_size: int
    chunk_overlap: int
    keep_separator: Literal["start", "end"]

    def cut(self, outline: Outline) -> Iterator[Span]:
        """Yield the library's chunks."""
        text = outline.text
        for start, end in self._split(text, 0, len(text), self.separators):
            chunk = text[start:end]
            self._oversized += self._lengths([chunk])[0] > self.chunk_size and not chunk.isspace()
            yield start, end

    def _split(self, text: str, start: int, end: int, separators: Sequence[str]) -> Iterator[Span]:
        separator, finer = self._first_in(text, start, end, separators)
        if not separator and self.length == CHARACTERS:
            cuts = self._characters(start, end)
            yield from cuts if self.chunk_size == 1 else _stripped(text, cuts)
            return
        measured = self._with_lengths(text, _pieces(text, start, end, separator, self.keep_separator))
        for fits, some in itertools.groupby(measured, lambda piece: piece[1] < self.chunk_size):
            if fits:
                yield from _stripped(text, self._merged(some))
            elif finer:
                for piece, _ in some:
                    yield from self._split(text, *piece, finer)
            else:
                yield from (piece for piece, _ in some)  # as they are: the library strips only what it has merged

    @staticmethod
    def _first_in(text: str, start: int, end: int, separators: Sequence[str]) -> tuple[str, Sequence[str]]:
        for at, separator in enumerate(separators):
            if not separator:
                return separator, ()
            if text.find(separator, start, end) >= 0:
                return separator, separators[at + 1 :]
        return separators[-1], ()

    def _merged(self, measured: Iterable[tuple[Span, int]]) -> Iterator[Span]:
        held, total = deque[tuple[Span, int]](), 0
        joint = self.special_tokens  # the library measures the empty text between two pieces as well
        for piece, length in measured:
            if held and total + length + joint > self.chunk_size:
                yield held[0][0][0], held[-1][0][1]
                while total > self.chunk_overlap or (
                    total + length + (joint if held else 0) > self.chunk_size and total > 0
                ):
                    total -= held.popleft()[1]
                    total -= joint if held else 0
            total += length + (joint if held else 0)
            held.append((piece, length))
        if held:
            yield held[0][0][0], held[-1][0][1]

    def _characters(self, start: int, end: int) -> Iterator[Span]:
        """Yield the result of merging pieces of one character each."""
        while end - start > self.chunk_size:
            yield start, start + self.chunk_size
            start += self.chunk_size - self.chunk_overlap
        if start < end:
            yield start, end

    def _with_lengths(self, text: str, pieces: Iterator[Span]) -> Iterator[tuple[Span, int]]:
        """Yield pieces with their lengths, in groups to bound memory."""
        if self.length == CHARACTERS:
            yield from (((start, end), end - start) for start, end in pieces)
            return
        while some := list(itertools.islice(pieces, _AT_ONCE)):
            yield from zip(some, self._lengths([text[start:end] for start, end in some]), strict=True)

    def _lengths(self, texts: list[str]) -> list[int]:
        if self.length == CHARACTERS:
            return [len(text) for text in texts]
        distinct = list(dict.fromkeys(texts))
        known = dict(zip(distinct, load(self.length).counts(distinct), strict=True))
        return [known[text] + self.special_tokens for text in texts]


def _stripped(text: str, spans: Iterable[Span]) -> Iterator[Span]:
    for start, end in spans:
        yield from trimmed(text, start, end)


def _pieces(text: str, start: int, end: int, separator: str, keep: str) -> Iterator[Span]:
    if not separator:
        yield from ((at, at + 1) for at in range(start, end))
        return
    place = text.find(separator, start, end)
    begin = start
    while place >= 0:
        after = place + len(separator)
        cut = place if keep == "start" else after
        if cut > begin:
            yield begin, cut
            begin = cut
        place = text.find(separator, after, end)
    if begin < end:
        yield begin, end

"""Structural units of a text (paragraphs, sentences, rows), packed into chunks."""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ragloom.components.chunking.base import Span, trimmed
from ragloom.components.chunking.token_counts import TokenCounter
from ragloom.core.outline import BlockKind, Outline, OutlineBlock

_LANGUAGE = "en"
"""sentencex's language decides on abbreviations only: "en" and "ko" gave the same on all KorQuAD contexts."""
_SLICE = 4096
_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE_END = re.compile(r"[\n\f]")


class TextUnit(NamedTuple):
    """A span to keep whole in one chunk.

    Attributes:
        opens: a chunk must begin here.
    """

    start: int
    end: int
    opens: bool = False


@dataclass(frozen=True, slots=True)
class HeadedBlock:
    """A block and the headings before it: `[start, body)` and `[body, end)`."""

    kind: BlockKind
    start: int
    body: int
    end: int


def items(outline: Outline, measure: TokenCounter) -> Iterator[HeadedBlock]:
    """Yield blocks, each with the headings directly before it.

    A table or code block that fits alone, but not with its headings, leaves them behind: it is not cut, and the
    headings are in its chunk's metadata.
    """
    headings: list[OutlineBlock] = []
    for block in outline.blocks():
        if block.kind == "heading":
            headings.append(block)
            continue
        start = headings[0].start if headings else block.start
        if block.kind == "text" or measure.fits(start, block.end) or not measure.fits(block.start, block.end):
            yield HeadedBlock(block.kind, start, block.start, block.end)
        else:
            yield HeadedBlock("heading", start, headings[-1].start, headings[-1].end)
            yield HeadedBlock(block.kind, block.start, block.start, block.end)
        headings = []
    if headings:
        yield HeadedBlock("heading", headings[0].start, headings[-1].start, headings[-1].end)


def parts(item: HeadedBlock, measure: TokenCounter) -> Iterator[TextUnit]:
    """Cut an item at sentences (tables and code: at lines).

    Parts still too long are cut at lines, then at tokens. The headings stay with the first part.
    """
    cut = _sentences if item.kind == "text" else _lines
    yield from _finer(item.start, cut(measure.text, item.body, item.end), measure, [_lines])


def _finer(
    start: int, spans: Iterable[Span], measure: TokenCounter, cuts: list[Callable[[str, int, int], Iterator[Span]]]
) -> Iterator[TextUnit]:
    """Yield fitting spans and cut the others; the first begins at `start`."""
    for at, (body, end) in enumerate(spans):
        begin = body if at else start
        if measure.fits(begin, end):
            yield TextUnit(begin, end)
        elif cuts:
            yield from _finer(begin, cuts[0](measure.text, body, end), measure, cuts[1:])
        else:
            yield from tokens(begin, end, measure)


def tokens(start: int, end: int, measure: TokenCounter) -> Iterator[TextUnit]:
    """Cut a span at tokens, before a blank where one is near."""
    while start < end:
        stop = measure.reach(start, end)
        yield from (TextUnit(*span) for span in trimmed(measure.text, start, stop))
        start = stop


def _sentences(text: str, start: int, end: int) -> Iterator[Span]:
    yield from _between(text, start, end, _sentence_starts(text, start, end))


def _sentence_starts(text: str, start: int, end: int) -> Iterator[int]:
    """Yield where sentences begin, looking at `_SLICE` characters at once.

    Only the starts from sentencex 1.0.32 are used, since in texts over 4,000 characters it leaves line ends
    between two sentences out of both. A slice's last sentence is split again together with the text after it. Slices,
    because its time grows with the square of a paragraph's length (118,372 characters: 0.26 s; in slices 0.01 s).
    """
    from sentencex import get_sentence_boundaries

    while start < end:
        stop = min(end, start + _SLICE)
        try:
            sentences = get_sentence_boundaries(_LANGUAGE, text[start:stop])
        except UnicodeEncodeError:  # half a character has no UTF-8
            sentences = get_sentence_boundaries(_LANGUAGE, _SURROGATE.sub("\ufffd", text[start:stop]))
        starts = [start + sentence["start_index"] for sentence in sentences]
        yield from starts
        if stop < end and starts and starts[-1] > start:
            stop = starts[-1]
        elif stop < end:  # one sentence, or none, in a whole slice
            stop = max(text.rfind(" ", start, stop), text.rfind("\n", start, stop)) + 1 or stop
        start = max(stop, start + 1)


def _lines(text: str, start: int, end: int) -> Iterator[Span]:
    yield from _between(text, start, end, (match.end() for match in _LINE_END.finditer(text, start, end)))


def _between(text: str, start: int, end: int, cuts: Iterable[int]) -> Iterator[Span]:
    for cut in itertools.chain(cuts, (end,)):
        if start < cut <= end:
            yield from trimmed(text, start, cut)
            start = cut


def pack(units: Iterable[TextUnit], measure: TokenCounter, overlap: int) -> Iterator[Span]:
    """Pack units, in order, into chunks within the token limit.

    Args:
        overlap: tokens, at most, of the whole units that a chunk repeats from the end of the one before.
    """
    waiting, source = deque[TextUnit](), iter(units)
    held: list[TextUnit] = []
    fresh = 0  # units at the end of `held` that no chunk has yet
    while True:
        unit = waiting.popleft() if waiting else next(source, None)
        if fresh and (unit is None or unit.opens or not measure.fits(held[0].start, unit.end)):
            if unit is not None:
                waiting.appendleft(unit)
            while len(held) > 1 and not measure.within(held[0].start, held[-1].end):
                if fresh == 1:
                    held.pop(0)
                else:
                    waiting.appendleft(held.pop())
                    fresh -= 1
            if len(held) == 1 and not measure.within(held[0].start, held[0].end):
                yield from ((part.start, part.end) for part in tokens(held[0].start, held[0].end, measure))
            else:
                yield held[0].start, held[-1].end
            held, fresh = _repeated(held, measure, overlap), 0
            continue
        if unit is None:
            return
        while not fresh and held and not measure.fits(held[0].start, unit.end):
            held.pop(0)
        held.append(unit)
        fresh += 1


def _repeated(held: list[TextUnit], measure: TokenCounter, overlap: int) -> list[TextUnit]:
    """Return the last units, not all, with at most `overlap` tokens together."""
    first = len(held)
    while overlap and first > 1 and measure.fits(held[first - 1].start, held[-1].end, overlap):
        first -= 1
    while first < len(held) and measure.exact(held[first].start, held[-1].end) > overlap:
        first += 1
    return held[first:]

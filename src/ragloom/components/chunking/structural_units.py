"""What must not be cut if it can be helped: paragraphs, sentences, rows; and packing such units into chunks.

Knows nothing of embeddings.
"""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ragloom.components.chunking.base import Span, trimmed
from ragloom.components.chunking.token_counts import Measure
from ragloom.core.outline import BlockKind, Outline, OutlineBlock

_LANGUAGE = "en"
"""sentencex's language decides on abbreviations only: "en" and "ko" gave the same on all KorQuAD contexts."""
_SLICE = 4096
_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE_END = re.compile(r"[\n\f]")


class Unit(NamedTuple):
    """A span that a chunk holds as a whole.

    Attributes:
        opens: a chunk must begin here.
    """

    start: int
    end: int
    opens: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """A block together with the headings before it: `[start, body)` is headings, `[body, end)` the block."""

    kind: BlockKind
    start: int
    body: int
    end: int


def items(outline: Outline, measure: Measure) -> Iterator[Item]:
    """Yield blocks with the headings that they stand under.

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
            yield Item(block.kind, start, block.start, block.end)
        else:
            yield Item("heading", start, headings[-1].start, headings[-1].end)
            yield Item(block.kind, block.start, block.start, block.end)
        headings = []
    if headings:
        yield Item("heading", headings[0].start, headings[-1].start, headings[-1].end)


def parts(item: Item, measure: Measure) -> Iterator[Unit]:
    """Cuts an item at sentences (tables and code: at lines), what is still too long at lines, then at tokens.

    Its headings stay with the first part.
    """
    cut = _sentences if item.kind == "text" else _lines
    yield from _finer(item.start, cut(measure.text, item.body, item.end), measure, [_lines])


def _finer(
    start: int, spans: Iterable[Span], measure: Measure, cuts: list[Callable[[str, int, int], Iterator[Span]]]
) -> Iterator[Unit]:
    """Yield spans that fit and cuts the others; the first begins at `start`, with what stands before it."""
    for at, (body, end) in enumerate(spans):
        begin = body if at else start
        if measure.fits(begin, end):
            yield Unit(begin, end)
        elif cuts:
            yield from _finer(begin, cuts[0](measure.text, body, end), measure, cuts[1:])
        else:
            yield from tokens(begin, end, measure)


def tokens(start: int, end: int, measure: Measure) -> Iterator[Unit]:
    """Cuts a span at tokens, before a blank where one is near; each part alone is within the limit."""
    while start < end:
        stop = measure.reach(start, end)
        yield from (Unit(*span) for span in trimmed(measure.text, start, stop))
        start = stop


def _sentences(text: str, start: int, end: int) -> Iterator[Span]:
    yield from _between(text, start, end, _sentence_starts(text, start, end))


def _sentence_starts(text: str, start: int, end: int) -> Iterator[int]:
    """Yield where sentences begin, looking at `_SLICE` characters at once.

    Only the starts that sentencex 1.0.32 gives are used, since in texts over 4,000 characters it leaves line ends
    between two sentences out of both. A slice's last sentence is looked at again with what follows it. Slices,
    because its time grows with the square of a paragraph's length (118,372 characters: 0.26 s; in slices 0.01 s).
    """
    from sentencex import get_sentence_boundaries

    while start < end:
        stop = min(end, start + _SLICE)
        try:
            sentences = get_sentence_boundaries(_LANGUAGE, text[start:stop])
        except UnicodeEncodeError:  # half a character has no UTF-8
            sentences = get_sentence_boundaries(_LANGUAGE, _SURROGATE.sub("\ufffd", text[start:stop]))
        found = [start + sentence["start_index"] for sentence in sentences]
        yield from found
        if stop < end and found and found[-1] > start:
            stop = found[-1]
        elif stop < end:  # one sentence, or none, in a whole slice
            stop = max(text.rfind(" ", start, stop), text.rfind("\n", start, stop)) + 1 or stop
        start = max(stop, start + 1)


def _lines(text: str, start: int, end: int) -> Iterator[Span]:
    yield from _between(text, start, end, (match.end() for match in _LINE_END.finditer(text, start, end)))


def _between(text: str, start: int, end: int, cuts: Iterable[int]) -> Iterator[Span]:
    for cut in itertools.chain(cuts, (end,)):
        if start < cut <= end:
            stripped = text[start:cut].lstrip()
            if stripped:
                first = cut - len(stripped)
                yield first, first + len(stripped.rstrip())
            start = cut


def pack(units: Iterable[Unit], measure: Measure, overlap: int) -> Iterator[Span]:
    """Packs units in order into chunks that are within the limit, each counted as it stands alone.

    Args:
        overlap: tokens, at most, of the whole units that a chunk repeats from the end of the one before.
    """
    waiting, source = deque[Unit](), iter(units)
    held: list[Unit] = []
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


def _repeated(held: list[Unit], measure: Measure, overlap: int) -> list[Unit]:
    """Give the last units, not all, that together have at most `overlap` tokens."""
    first = len(held)
    while overlap and first > 1 and measure.fits(held[first - 1].start, held[-1].end, overlap):
        first -= 1
    while first < len(held) and measure.exact(held[first].start, held[-1].end) > overlap:
        first += 1
    return held[first:]

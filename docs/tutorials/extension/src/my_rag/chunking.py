"""Chunker of whole sentences, a fixed number in each chunk."""

import re
from collections.abc import Iterator

from ragloom.components.chunking.base import Span, SpanParser, trimmed
from ragloom.config.builder_keys import Positive, code_version
from ragloom.core.outline import Outline, OutlineBlock

# English and Korean sentences end alike: a mark, perhaps closing quotes, then a blank.
_SENTENCE_END = re.compile(r"[.!?…。！？]+[\"'”’)\]」』]*(?=\s)")
_LINE_END = re.compile(r"\n")


class SentenceGroups(SpanParser):
    """Groups of `sentences` sentences; a heading begins a new group.

    A row of a table and a line of code count as sentences. A piece over `max_characters` is cut there.
    """

    sentences: int
    max_characters: int

    def cut(self, outline: Outline) -> Iterator[Span]:
        """Yield the (start, end) of each chunk, in characters of `outline.text`."""
        group: list[Span] = []
        count = 0
        for block in outline.blocks():
            is_heading = block.kind == "heading"
            if is_heading and count:
                yield group[0][0], group[-1][1]
                group, count = [], 0
            for piece in self._pieces(outline.text, block):
                if count == self.sentences:
                    yield group[0][0], group[-1][1]
                    group, count = [], 0
                group.append(piece)
                count += not is_heading  # headings stay with the sentence after them
        if group:
            yield group[0][0], group[-1][1]

    def _pieces(self, text: str, block: OutlineBlock) -> Iterator[Span]:
        """Yield the sentences of a block; every character that is not blank is in one."""
        ends = _SENTENCE_END if block.kind == "text" else _LINE_END
        start = block.start
        for end in [*(match.end() for match in ends.finditer(text, block.start, block.end)), block.end]:
            for at in range(start, end, self.max_characters):
                yield from trimmed(text, at, min(end, at + self.max_characters))
            start = end


@code_version(1)
def sentences(*, sentences: Positive, max_characters: Positive) -> SentenceGroups:
    """Build the chunker of sentence groups."""
    return SentenceGroups(sentences=sentences, max_characters=max_characters)

"""The `paragraph` chunker: whole paragraphs, packed."""

from __future__ import annotations

from collections.abc import Iterator

from ragloom.components.chunking.base import Span, SpanParser
from ragloom.components.chunking.structural_units import TextUnit, items, pack, parts
from ragloom.components.chunking.token_counts import TokenCounter
from ragloom.core.outline import Outline
from ragloom.core.tokenizers import load


class UnitParser(SpanParser):
    """Chunker of packed units; tokenised alone, no chunk exceeds `chunk_size`."""

    chunk_size: int
    chunk_overlap: int
    tokenizer: str

    def units(self, outline: Outline, measure: TokenCounter) -> Iterator[TextUnit]:
        """Yield the units to pack, in order; they cover every non-blank character."""
        raise NotImplementedError(f"{type(self).__name__} must define units")

    def cut(self, outline: Outline) -> Iterator[Span]:
        """Yield units packed up to `chunk_size`."""
        measure = TokenCounter(load(self.tokenizer), outline.text, self.chunk_size)
        return pack(self.units(outline, measure), measure, self.chunk_overlap)


class ParagraphPacker(UnitParser):
    """Whole paragraphs; overlong ones are cut at sentences, then at tokens."""

    def units(self, outline: Outline, measure: TokenCounter) -> Iterator[TextUnit]:
        """Yield paragraphs with headings, tables, code, and parts of overlong blocks."""
        for item in items(outline, measure):
            if measure.fits(item.start, item.end):
                yield TextUnit(item.start, item.end)
            else:
                yield from parts(item, measure)

"""The `paragraph` chunker: whole paragraphs, packed. Knows nothing of embeddings."""

from __future__ import annotations

from collections.abc import Iterator

from ragloom.components.chunking.base import Span, SpanParser
from ragloom.components.chunking.structural_units import Unit, items, pack, parts
from ragloom.components.chunking.token_counts import Measure
from ragloom.core.outline import Outline
from ragloom.core.tokenizers import load


class UnitParser(SpanParser):
    """A chunker that packs whole units; no chunk has more than `chunk_size` tokens when tokenised alone."""

    chunk_size: int
    chunk_overlap: int
    tokenizer: str

    def units(self, outline: Outline, measure: Measure) -> Iterator[Unit]:
        """Yield what is packed, in order; every character that is not blank is in one unit."""
        raise NotImplementedError(f"{type(self).__name__} must define units")

    def cut(self, outline: Outline) -> Iterator[Span]:
        """Yield units packed up to `chunk_size`."""
        measure = Measure(load(self.tokenizer), outline.text, self.chunk_size)
        return pack(self.units(outline, measure), measure, self.chunk_overlap)


class ParagraphPacker(UnitParser):
    """Whole paragraphs packed up to `chunk_size`; one that is too long is cut at sentences, then at tokens."""

    def units(self, outline: Outline, measure: Measure) -> Iterator[Unit]:
        """Yield paragraphs with their headings, tables, code blocks, and the parts of what is too long."""
        for item in items(outline, measure):
            if measure.fits(item.start, item.end):
                yield Unit(item.start, item.end)
            else:
                yield from parts(item, measure)

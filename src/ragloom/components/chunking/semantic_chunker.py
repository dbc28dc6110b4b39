"""The `semantic` and `hybrid` chunkers: cuts between sentences of different meaning.

The method is Greg Kamradt's "semantic chunking" (FullStackRetrieval, "5 Levels of Text Splitting", level 4, 2024), as
LlamaIndex's `SemanticSplitterNodeParser` has it, with a smallest and always a largest chunk, which that lacks [17].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr, SerializeAsAny

from ragloom.components.chunking.paragraph_chunker import UnitParser
from ragloom.components.chunking.structural_units import TextUnit, items, parts
from ragloom.components.chunking.token_counts import TokenCounter
from ragloom.core.outline import Outline

Threshold = Literal["percentile", "standard_deviation", "fixed"]
_BATCH = 512
"""Windows that are embedded at once: bounds memory, not the requests (the embedding has its own batch size)."""


class SemanticCutter(UnitParser):
    """Cuts between sentences with distant embeddings.

    Attributes:
        embedding: the composed embedding.
        buffer_size: sentences before and after a sentence that belong to its window.
        threshold: how the distance for a cut follows from all distances of the text.
        threshold_value: its percentile (0 to 100), its standard deviations above the mean, or the cosine distance.
        min_size: tokens that a chunk has at least, unless the text or `chunk_size` forbids it.
    """

    embedding: SerializeAsAny[BaseEmbedding]
    buffer_size: int
    threshold: Threshold
    threshold_value: float
    min_size: int
    _recorded: list[str] | None = PrivateAttr(default=None)

    def embedded_texts(self, text: str, format: str | None = None) -> list[str]:
        """List the texts to embed in order to cut a text."""
        recorder = self.model_copy()
        recorder._recorded = []
        list(recorder.cut(Outline(text, format)))
        return recorder._recorded

    def units(self, outline: Outline, measure: TokenCounter) -> Iterator[TextUnit]:
        """Yield sentences, rows and uncut tables, marked at changes of meaning."""
        units: list[TextUnit] = []
        for item in items(outline, measure):
            if item.kind == "text" or not measure.fits(item.start, item.end):
                units += parts(item, measure)
            else:
                units.append(TextUnit(item.start, item.end))
        return self.with_openings(units, measure)

    def with_openings(self, units: Sequence[TextUnit], measure: TokenCounter) -> Iterator[TextUnit]:
        """Yield the units, with `opens` set at the beginning of a chunk."""
        if len(units) < 2 or measure.estimate(units[0].start, units[-1].end) < self.min_size:
            yield from units
            return
        distances = self._distances(units, measure.text)
        wanted = np.zeros(len(units), dtype=bool)
        wanted[1:] = distances > self._limit(distances)
        opening = self._openings(units, wanted, distances, measure)
        for at, unit in enumerate(units):
            yield unit._replace(opens=True) if at in opening else unit

    def _distances(self, units: Sequence[TextUnit], text: str) -> npt.NDArray[np.float64]:
        """Return cosine distances of neighbouring windows: `[units - 1]`, 0 to 2."""
        parts = [np.zeros(0)]
        last: npt.NDArray[np.float64] | None = None
        for begin in range(0, len(units), _BATCH):
            windows = [self._window(units, at, text) for at in range(begin, min(begin + _BATCH, len(units)))]
            vectors = self._vectors(windows)
            if last is not None:
                vectors = np.concatenate((last, vectors))
            parts.append(1 - np.einsum("ij,ij->i", vectors[:-1], vectors[1:]))
            last = vectors[-1:]
        return np.concatenate(parts)

    def _window(self, units: Sequence[TextUnit], at: int, text: str) -> tuple[str, str]:
        """Return a unit with its neighbours, and alone as a fallback."""
        first, last = units[max(0, at - self.buffer_size)], units[min(len(units) - 1, at + self.buffer_size)]
        return text[first.start : last.end], text[units[at].start : units[at].end]

    def _vectors(self, windows: Sequence[tuple[str, str]]) -> npt.NDArray[np.float64]:
        texts = _within_limit(self.embedding, windows)
        distinct = list(dict.fromkeys(texts))
        if self._recorded is not None:
            self._recorded += distinct
            return np.zeros((len(texts), 1))
        vectors = np.asarray(self.embedding.get_text_embedding_batch(distinct), dtype=np.float64)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        # A text without features has no direction: it is at distance 1 from every other.
        vectors = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
        place = {text: at for at, text in enumerate(distinct)}
        return vectors[[place[text] for text in texts]]  # type: ignore[no-any-return]

    def _limit(self, distances: npt.NDArray[np.float64]) -> float:
        if not len(distances):
            return 0.0
        if self.threshold == "percentile":
            return float(np.percentile(distances, self.threshold_value))
        if self.threshold == "standard_deviation":
            return float(distances.mean() + self.threshold_value * distances.std())
        return self.threshold_value

    def _openings(
        self,
        units: Sequence[TextUnit],
        wanted: npt.NDArray[np.bool_],
        distances: npt.NDArray[np.float64],
        measure: TokenCounter,
    ) -> set[int]:
        """Choose where chunks open, within `min_size` and `chunk_size`.

        A chunk that grows too long is cut at the largest distance, `min_size` from its beginning where possible.
        """
        opening = [0]
        at = 1
        while at < len(units):
            begin = units[opening[-1]].start
            if wanted[at] and measure.estimate(begin, units[at - 1].end) >= self.min_size:
                opening.append(at)
            elif not measure.fits(begin, units[at].end):
                candidates = [
                    cut
                    for cut in range(opening[-1] + 1, at + 1)
                    if measure.estimate(begin, units[cut - 1].end) >= self.min_size
                ] or [at]
                at = max(candidates, key=lambda cut: (distances[cut - 1], cut))
                opening.append(at)
            at += 1
        small = measure.estimate(units[opening[-1]].start, units[-1].end) < self.min_size
        if len(opening) > 1 and small and measure.fits(units[opening[-2]].start, units[-1].end):
            opening.pop()
        return set(opening)


class HybridCutter(SemanticCutter):
    """Whole paragraphs; overlong ones are cut by meaning."""

    def units(self, outline: Outline, measure: TokenCounter) -> Iterator[TextUnit]:
        """Yield paragraphs; chunks open in, at and after overlong ones."""
        opens = False
        for item in items(outline, measure):
            if measure.fits(item.start, item.end):
                yield TextUnit(item.start, item.end, opens)
                opens = False
            elif item.kind == "text":
                yield from self.with_openings(list(parts(item, measure)), measure)
                opens = True
            else:
                rows = list(parts(item, measure))
                yield from (rows[0]._replace(opens=opens), *rows[1:])
                opens = False


def _within_limit(embedding: BaseEmbedding, windows: Sequence[tuple[str, str]]) -> list[str]:
    """Fit windows into the embedding's limit: whole, one sentence, or its beginning."""
    limit: int | None = getattr(embedding, "max_tokens", None)
    texts = [wide for wide, _ in windows]
    if limit is None or not hasattr(embedding, "count_tokens"):
        return texts
    prefix = getattr(embedding, "document_prefix", "")
    for at, tokens in enumerate(_tokens(embedding, prefix, texts)):
        if tokens > limit:
            texts[at] = windows[at][1]
            while (tokens := _tokens(embedding, prefix, [texts[at]])[0]) > limit and len(texts[at]) > 1:
                texts[at] = texts[at][: max(1, int(len(texts[at]) * limit / tokens * 0.95))].rstrip()
    return texts


def _tokens(embedding: Any, prefix: str, texts: Sequence[str]) -> list[int]:
    return list(embedding.count_tokens([prefix + text for text in texts]))

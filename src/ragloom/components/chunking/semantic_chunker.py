"""The `semantic` and `hybrid` chunkers: cuts between sentences of different meaning.

The method is Greg Kamradt's "semantic chunking" (FullStackRetrieval, "5 Levels of Text Splitting", level 4, 2024), as
LlamaIndex's `SemanticSplitterNodeParser` has it, with a smallest and always a largest chunk, which that lacks [17]. A
window's vector is pooled from those of its sentences: embedding every overlapping window costs three times as much.
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
UNITS_AT_ONCE = 512
"""Units that are embedded at once: bounds memory, not the requests (the embedding has its own batch size)."""


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
        distances = self.distances(units, measure)
        wanted = np.zeros(len(units), dtype=bool)
        wanted[1:] = distances > self._limit(distances)
        opening = self._openings(units, wanted, distances, measure)
        for at, unit in enumerate(units):
            yield unit._replace(opens=True) if at in opening else unit

    def distances(self, units: Sequence[TextUnit], measure: TokenCounter) -> npt.NDArray[np.float64]:
        """Return cosine distances of neighbouring windows: `[units - 1]`, 0 to 2.

        A window's vector is the mean of its units' vectors, weighted by their tokens: as a model that pools by the mean
        would nearly have it, and each unit is embedded once.
        """
        parts, last = [], None
        for windows in self._windows(units, measure):
            windows = _unit_length(windows)
            if last is not None:
                windows = np.concatenate((last, windows))
            parts.append(1 - np.einsum("ij,ij->i", windows[:-1], windows[1:]))
            last = windows[-1:]
        return np.concatenate(parts)

    def _windows(self, units: Sequence[TextUnit], measure: TokenCounter) -> Iterator[npt.NDArray[np.float64]]:
        """Yield the vectors of consecutive windows, `UNITS_AT_ONCE` at once."""
        reach, first = self.buffer_size, 0
        held: list[npt.NDArray[np.float64]] = []  # a weighted vector for each unit from `first` on
        for begin in range(0, len(units), UNITS_AT_ONCE):
            end = min(begin + UNITS_AT_ONCE, len(units))
            if new := units[first + len(held) : end + reach]:
                tokens = [measure.estimate(unit.start, unit.end) for unit in new]
                vectors = self._vectors([measure.text[unit.start : unit.end] for unit in new])
                held += list(vectors * np.array(tokens)[:, None])
            sums = np.cumsum([np.zeros_like(held[0]), *held], axis=0)
            at = np.arange(begin, end)
            yield sums[np.minimum(at + reach + 1, len(units)) - first] - sums[np.maximum(at - reach, 0) - first]
            del held[: max(0, end - reach) - first]
            first = max(0, end - reach)

    def _vectors(self, texts: list[str]) -> npt.NDArray[np.float64]:
        """Embed units: `[n, dimensions]`, each of length 1, or 0 without features."""
        texts = _within_limit(self.embedding, texts)
        distinct = list(dict.fromkeys(texts))
        if self._recorded is not None:
            self._recorded += distinct
            return np.zeros((len(texts), 1))
        vectors = _unit_length(np.asarray(self.embedding.get_text_embedding_batch(distinct), dtype=np.float64))
        place = {text: at for at, text in enumerate(distinct)}
        return vectors[[place[text] for text in texts]]

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


def _unit_length(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Scale vectors to length 1."""
    # A text without features has no direction: it is at distance 1 from every other.
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)  # type: ignore[no-any-return]


def _within_limit(embedding: BaseEmbedding, texts: list[str]) -> list[str]:
    """Shorten texts over the embedding's limit to their beginning."""
    limit: int | None = getattr(embedding, "max_tokens", None)
    if limit is None or not hasattr(embedding, "count_tokens"):
        return texts
    prefix, fitting = getattr(embedding, "document_prefix", ""), list(texts)
    for at, tokens in enumerate(_tokens(embedding, prefix, texts)):
        while tokens > limit and len(fitting[at]) > 1:
            fitting[at] = fitting[at][: max(1, int(len(fitting[at]) * limit / tokens * 0.95))].rstrip()
            tokens = _tokens(embedding, prefix, [fitting[at]])[0]
    return fitting


def _tokens(embedding: Any, prefix: str, texts: Sequence[str]) -> list[int]:
    return list(embedding.count_tokens([prefix + text for text in texts]))

"""Span metrics: retrieved gold and retrieved text, in characters.

Characters are counted on the union of what was covered: a passage that is retrieved in five pieces counts as one that
is retrieved whole, and what two chunks share counts once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ragloom.core.gold import GoldSpan, Range
from ragloom.evaluation.metrics import Passage
from ragloom.evaluation.metrics.intervals import intersection, length, union

if TYPE_CHECKING:
    from ragloom.core.tokenizers import Tokenizer

Convention = Literal["union", "chroma"]
"""`union` counts each character once. `chroma` is what the published tables of Chroma's "Evaluating Chunking
Strategies" (2024) count: denominators of precision and IoU are sums of chunk lengths, also of chunks of other
documents; a span stands at its first place only; in PrecisionΩ a chunk that ends where a span begins touches it, and
gold that no chunk holds is in the denominator."""


@dataclass(frozen=True, slots=True)
class SpanScores:
    """Shares of characters between 0 and 1.

    Attributes:
        recall: of the gold, what was retrieved.
        precision: of what was retrieved, what is gold.
        iou: of what is either, what is both.
    """

    recall: float
    precision: float
    iou: float


def span_scores(passages: Sequence[Passage], gold: Sequence[GoldSpan], convention: Convention = "union") -> SpanScores:
    """Score the retrieved chunks of one query, in any order.

    Raises:
        ValueError: there is no gold, or a span of it has no place.
    """
    _demand(gold)
    if convention == "chroma":
        return _chroma_scores(passages, gold)
    retrieved = covered(passages)
    wanted = _best_places(gold, retrieved)
    both = sum(length(intersection(retrieved.get(name, []), ranges)) for name, ranges in wanted.items())
    gold_length = sum(map(length, wanted.values()))
    retrieved_length = sum(map(length, retrieved.values()))
    return SpanScores(
        recall=both / gold_length,
        precision=both / retrieved_length if retrieved_length else 0.0,
        iou=both / (gold_length + retrieved_length - both),
    )


def precision_omega(passages: Iterable[Passage], gold: Sequence[GoldSpan], convention: Convention = "union") -> float:
    """Score a chunking alone: precision with all gold chunks and no other.

    Args:
        passages: all chunks of the gold's documents; those of others may be among them.

    Raises:
        ValueError: as `span_scores`.
    """
    _demand(gold)
    chroma = convention == "chroma"
    spans = _places(gold, 1 if chroma else None)
    touching = [passage for passage in passages if _shares(passage, spans, least=0 if chroma else 1)]
    chunks = covered(touching)
    wanted = spans if chroma else _best_places(gold, chunks)
    both = sum(length(intersection(chunks.get(name, []), union(ranges))) for name, ranges in wanted.items())
    if chroma:
        names = dict.fromkeys([*chunks, *wanted])
        whole = sum(length(union([*chunks.get(name, []), *wanted.get(name, [])])) for name in names)
    else:  # a chunk that touches only a place that was not the best is none that had to be found
        needed = [item for item in touching if _shares(item, wanted, least=1)]
        whole = sum(map(length, covered(needed).values()))
    return both / whole if whole else 0.0


def covered(passages: Iterable[Passage]) -> dict[str, list[Range]]:
    """Return the union of what passages hold: document -> sorted, disjoint ranges."""
    merged: dict[str, list[Range]] = defaultdict(list)
    for name, start, end in passages:
        merged[name].append((start, end))
    return {name: union(ranges) for name, ranges in merged.items()}


def at_first_occurrence(passage: Passage, text: str, document_text: str) -> Passage:
    """Move a chunk to the first occurrence of its text.

    Chroma's evaluation finds chunks that way.

    In a document that repeats itself this is another place than the chunk was cut from; use it for
    `convention="chroma"` alone.
    """
    at = document_text.find(text)
    return passage if at < 0 else passage._replace(start=at, end=at + len(text))


def within_budget(
    passages: Sequence[Passage], texts: Sequence[str], *, budget: int, tokenizer: Tokenizer
) -> list[Passage]:
    """Take passages in order within a token budget, cutting the last.

    Each chunk is counted as it stands alone, as a prompt holds it, so that what two share costs twice.

    Args:
        texts: of the passages.
        budget: tokens, above 0.
        tokenizer: the same for all configs that are compared.
    """
    if budget <= 0:
        raise ValueError(f"budget={budget} must be above 0")
    selected: list[Passage] = []
    left = budget
    for passage, text in zip(passages, texts, strict=True):
        tokens = tokenizer.count(text)
        if tokens > left:
            if end := _characters(text, left, tokenizer):
                selected.append(passage._replace(end=passage.start + end))
            break
        selected.append(passage)
        left -= tokens
        if not left:
            break
    return selected


def _characters(text: str, tokens: int, tokenizer: Tokenizer) -> int:
    """Count the characters completed by the first tokens of a text."""
    before = 0
    for complete, _ in tokenizer.edges(text):
        if tokens - before < len(complete):
            return int(complete[tokens - before])
        before += len(complete) - 1
    return len(text)


def _demand(gold: Sequence[GoldSpan]) -> None:
    if not gold or not all(span.places for span in gold):
        raise ValueError("a query must have gold spans, each with a place; one without is not scored but counted apart")


def _best_places(gold: Sequence[GoldSpan], retrieved: dict[str, list[Range]]) -> dict[str, list[Range]]:
    """Choose for each span its most retrieved place, the first of equals."""
    chosen: dict[str, list[Range]] = defaultdict(list)
    for span in gold:
        ranges = retrieved.get(span.document, [])
        best = span.places[0]
        if len(span.places) > 1 and ranges:
            best = max(span.places, key=lambda place: length(intersection(ranges, [place])) / length([place]))
        chosen[span.document].append(best)
    return {name: union(ranges) for name, ranges in chosen.items()}


def _places(gold: Sequence[GoldSpan], most: int | None) -> dict[str, list[Range]]:
    """Return the first `most` places of each span, by document."""
    places: dict[str, list[Range]] = defaultdict(list)
    for span in gold:
        places[span.document] += span.places[:most]
    return places


def _shares(passage: Passage, places: dict[str, list[Range]], least: int) -> bool:
    """Return whether a passage shares enough characters with a place."""
    return any(
        min(passage.end, end) - max(passage.start, start) >= least for start, end in places.get(passage.document, [])
    )


def _chroma_scores(passages: Sequence[Passage], gold: Sequence[GoldSpan]) -> SpanScores:
    places, retrieved = _places(gold, 1), covered(passages)
    both = sum(length(intersection(retrieved.get(name, []), union(ranges))) for name, ranges in places.items())
    missed = sum(
        length([place]) - length(intersection(retrieved.get(name, []), [place]))
        for name, ranges in places.items()
        for place in ranges
    )
    lengths = sum(passage.end - passage.start for passage in passages)
    return SpanScores(
        recall=both / sum(map(length, places.values())),
        precision=both / lengths if lengths else 0.0,
        iou=both / (lengths + missed) if lengths + missed else 0.0,
    )

"""Records of an evaluation set: queries and their gold.

Gold is a character range of a document, or a graded document; never a chunk id, so that it survives re-chunking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ragloom.core.records import canonical_json, sha256

Range = tuple[int, int]
"""Characters `[start, end)` of a document's stored text."""


@dataclass(frozen=True, slots=True)
class GoldSpan:
    """A passage that belongs to a query's gold.

    Attributes:
        document: its document's id.
        places: where it stands, in order, at least one; with several, the span scores its best single one. Empty only
            while its quote has not been looked for (`Dataset.check`).
        quote: how it reads; empty where the dataset names ranges without texts.
        blanks: runs of blanks within the places: no chunk needs to hold them for the span to be complete, since a
            chunking may leave out the blanks between two chunks.
    """

    document: str
    places: tuple[Range, ...]
    quote: str = ""
    blanks: tuple[Range, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """A question and its gold.

    Attributes:
        id: unique in its dataset.
        text: what is asked.
        spans: gold passages.
        grades: document -> relevance, 1 or more; documents that are not named are not relevant.
        answers: right answers in words, any of which will do.
        answerable: whether the corpus answers it; None where the dataset does not say.
        group: what statistics resample and split by, such as an article.
        tags: name -> value (`language: ko`), for breakdowns.
    """

    id: str
    text: str
    spans: tuple[GoldSpan, ...] = ()
    grades: Mapping[str, int] = field(default_factory=dict)
    answers: tuple[str, ...] = ()
    answerable: bool | None = None
    group: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def judged(self) -> bool:
        """Whether retrieval can be scored: gold spans or graded documents exist."""
        return bool(self.spans or self.grades)

    @property
    def documents(self) -> tuple[str, ...]:
        """The gold's documents: the best graded first, then those of spans."""
        graded = sorted(self.grades, key=lambda name: (-self.grades[name], name))
        return tuple(dict.fromkeys([*graded, *(span.document for span in self.spans)]))


def gold_digest(queries: Iterable[Query]) -> str:
    """Hash queries and gold to 64 hex digits, independent of order."""
    lines = sorted(canonical_json([query.id, query.text, *_gold(query)]) for query in queries)
    return sha256("\n".join(lines))


def _gold(query: Query) -> list[object]:
    spans = [[span.document, span.places, span.quote] for span in query.spans]
    return [spans, dict(query.grades), query.answers, query.answerable, query.group, dict(query.tags)]

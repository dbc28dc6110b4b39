"""The records of an evaluation set: queries, and what is known to answer them. Knows no file format and no metric.

Gold is a character range of a document, or a graded document; never a chunk id, so that it survives re-chunking.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Range = tuple[int, int]
"""Characters `[start, end)` of a document's stored text."""


@dataclass(frozen=True, slots=True)
class GoldSpan:
    """A passage that belongs to a query's gold.

    Attributes:
        document: its document's id.
        places: where it stands, in order, at least one; with several, the span scores its best single one.
    """

    document: str
    places: tuple[Range, ...]


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
        """Whether retrieval can be scored: it has gold spans or graded documents."""
        return bool(self.spans or self.grades)

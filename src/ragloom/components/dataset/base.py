"""What every evaluation set can do: queries, their digest, and the check against the stored texts. Knows no format.

A dataset's own queries are as its files say. `check` holds them against the texts that an index stores, since a quote
may be there several times, or not at all, and gives the queries that metrics take.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ragloom.core.gold import GoldSpan, Query, Range, gold_digest
from ragloom.core.records import sha256
from ragloom.core.text_normalization import normalize_text, quote_pattern
from ragloom.errors import DataError, counted

Occurrence = Literal["any", "first"]
"""Where a quote that stands several times in its document counts: at its best single place, or at its first."""

_SHOWN = 20
"""Malformed lines that an error lists."""
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True)
class Checked:
    """Queries whose gold was held against the stored texts.

    Attributes:
        queries: in the dataset's order; each span has a place, and those that were not found are left out.
        problems: one line each, with a count and examples; the dataset's own first.
    """

    queries: list[Query]
    problems: list[str]

    def digest(self) -> str:
        """Hash queries and gold as they were found: equal where stored texts are."""
        return gold_digest(self.queries)


@dataclass
class Dataset:
    """An evaluation set.

    Args:
        name: for people; no part of the digest.
        _queries: ids are unique; spans may have a quote without a place.
        problems: what loading has to report, one line each.
        occurrence: the rule for a quote that is found several times.
        text_hashes: document -> SHA-256 of its stored text, where ranges are true of exactly that text.
        max_missing: share of the quotes given that may be missing in the documents.
    """

    name: str
    _queries: list[Query]
    occurrence: Occurrence
    problems: list[str] = field(default_factory=list)
    text_hashes: Mapping[str, str] = field(default_factory=dict)
    max_missing: float = 1.0

    def __post_init__(self) -> None:
        seen: dict[str, int] = {}
        for number, query in enumerate(self._queries, start=1):
            if query.id in seen:
                raise DataError(
                    f"dataset: {self.name}: query {query.id!r} must be there once; "
                    f"it is the {seen[query.id]}th and the {number}th"
                )
            seen[query.id] = number
        if not self._queries:
            raise DataError(f"dataset: {self.name} must have a query; it has none")

    def queries(self) -> list[Query]:
        """Return the queries in the order of their file, with gold as the dataset says it."""
        return list(self._queries)

    def digest(self) -> str:
        """Hash queries, gold and the rule for repeated quotes to 64 hexadecimal digits, alike on every machine."""
        return gold_digest([*self._queries, Query("occurrence rule", self.occurrence)])

    def check(self, document_text: Callable[[str], str | None]) -> Checked:
        """Find each quote, and hold each range and each graded document, in what an index stores.

        Args:
            document_text: document id -> stored text; None where there is no such document. It is asked once for
                each document.

        Raises:
            DataError: documents of the gold are not there or read otherwise, a range is outside its document's text,
                or too many quotes are not found.
        """
        wanted: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for at, query in enumerate(self._queries):
            for number, span in enumerate(query.spans):
                wanted[span.document].append((at, number))
            for name in query.grades:
                wanted[name] += []
        search = _Search(self._queries, self.occurrence)
        for name, spans in wanted.items():
            text = document_text(name)
            search.look(name, text, spans)
            if text is not None and name in self.text_hashes and sha256(text) != self.text_hashes[name]:
                search.changed.append(name)
        search.demand_all(self.name, self.max_missing)
        queries = [search.found(at, query) for at, query in enumerate(self._queries)]
        return Checked(queries, [*self.problems, *search.problems(), *_unjudged(queries)])


class _Search:
    """Looks for the gold of all queries, one document at a time."""

    def __init__(self, queries: Sequence[Query], occurrence: Occurrence) -> None:
        self._queries = queries
        self._occurrence = occurrence
        self._found: dict[tuple[int, int], GoldSpan] = {}
        self.changed: list[str] = []
        self._missing: list[str] = []
        self._outside: list[str] = []
        self._lost: list[str] = []
        self._moved: list[str] = []
        self._several: list[str] = []

    def look(self, document: str, text: str | None, spans: Sequence[tuple[int, int]]) -> None:
        """Look for a document's spans, each given by the numbers of query and span."""
        if text is None:
            self._missing.append(document)
            return
        for at, number in spans:
            span = self._queries[at].spans[number]
            name = f"{self._queries[at].id} (in {document})"
            places = self._places(span, text, name)
            if places:
                blanks = tuple(blank for place in places for blank in _blanks(text, place))
                quote = span.quote or (text[slice(*places[0])] if len(places) == 1 else "")
                self._found[at, number] = replace(span, places=places, quote=quote, blanks=blanks)

    def _places(self, span: GoldSpan, text: str, name: str) -> tuple[Range, ...]:
        outside = [place for place in span.places if not 0 <= place[0] < place[1] <= len(text)]
        if not span.quote:
            self._outside += [f"{start}-{end} of query {name}, which has {len(text)}" for start, end in outside]
            return () if outside else span.places
        quote = normalize_text(span.quote)  # as its document's text was: CRLF is `\n` in both
        words = quote.split()
        right = tuple(place for place in span.places if text[slice(*place)].split() == words)
        if span.places and not right:
            self._moved.append(name)
        occurrences = tuple(_occurrences(text, quote))
        if not occurrences:
            self._lost.append(name)
            return ()
        # The place that the dataset names is first: `first` and Chroma's convention take that one.
        ordered = tuple(dict.fromkeys([*right, *occurrences]))
        if len(ordered) > 1:
            self._several.append(name)
        return ordered if self._occurrence == "any" else ordered[: max(1, len(right))]

    def demand_all(self, dataset: str, max_missing: float) -> None:
        """Raise if a document is missing, a range is outside its text, or too many quotes are not found."""
        problems = []
        if self._missing:
            problems.append(
                f"dataset: {dataset}: {counted(self._missing, 'gold document')} must be in the corpus; "
                "choose the source that belongs to the dataset, or ingest again"
            )
        if self.changed:
            problems.append(
                f"dataset: {dataset}: {counted(self.changed, 'gold document')} must be stored as the dataset has it; "
                "choose the source that belongs to the dataset, or ingest again"
            )
        if self._outside:
            problems.append(
                f"dataset: {dataset}: {counted(self._outside, 'gold range')} must lie within the document's text; "
                "ranges count characters of the stored text"
            )
        if problems:
            raise DataError(*problems)
        given = sum(bool(span.quote) for query in self._queries for span in query.spans)
        demand_few(dataset, self._lost, given, max_missing)

    def found(self, at: int, query: Query) -> Query:
        """Return a query with those of its spans that were found."""
        spans = [self._found[at, number] for number in range(len(query.spans)) if (at, number) in self._found]
        return replace(query, spans=tuple(spans))

    def problems(self) -> list[str]:
        """List what was not as the dataset says, one line each."""
        rule = "each counts at its best single place" if self._occurrence == "any" else "each counts at its first place"
        kinds = (
            (self._lost, "is not found and left out", "are not found and left out"),
            (self._moved, "is not at the range given and was looked for", "are not at the range given"),
            (self._several, f"is found several times ({rule})", f"are found several times ({rule})"),
        )
        return [f"{counted(names, 'quote')} {one if len(names) == 1 else many}" for names, one, many in kinds if names]


def demand_few(dataset: str, missing: Sequence[str], given: int, max_missing: float) -> None:
    """Raise if too many of the quotes given are missing: means over the rest would say little of the dataset."""
    if len(missing) > max_missing * given:
        raise DataError(
            f"dataset: {dataset}: {counted(missing, 'quote')} of {given:,} are not in the documents; "
            f"dataset.max_missing={max_missing:g} allows {int(max_missing * given):,}. Choose the source of "
            "the dataset, correct the quotes, or raise dataset.max_missing"
        )


def grouped(query: Query, group: Literal["document", "query"]) -> Query:
    """Return a query the group that statistics resample and split by: its first gold document, or itself."""
    documents = query.documents if group == "document" else ()
    return replace(query, group=documents[0] if documents else query.id)


def file_bytes(path: Path) -> bytes:
    """Read a file of a dataset.

    Raises:
        DataError: it is not there, or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"dataset: {path} must be a readable file: {error.strerror}; set dataset.path") from None


def raised(problems: Sequence[str]) -> DataError:
    """Make the error of a file's malformed parts: the first of them, and how many more there are."""
    more = [f"dataset: ... and {len(problems) - _SHOWN:,} more"] if len(problems) > _SHOWN else []
    return DataError(*problems[:_SHOWN], *more)


def language(text: str) -> str:
    """Tells Korean (`ko`) from others (`en`) by script, as answers do."""
    from ragloom.core.prompt_blocks import language_of

    return language_of(text)


def _unjudged(queries: Sequence[Query]) -> list[str]:
    without = [query.id for query in queries if not query.judged and query.answerable is not False]
    if not without:
        return []
    return [f"{counted(without, 'question')} without gold: counted apart, in no mean of retrieval"]


def _occurrences(text: str, quote: str) -> list[Range]:
    """Return where a quote stands, overlapping places included; white space between its words may differ."""
    exact: list[Range] = []
    at = text.find(quote) if quote else -1
    while at >= 0:
        exact.append((at, at + len(quote)))
        at = text.find(quote, at + 1)
    places, pattern = list(exact), re.compile(quote_pattern(quote))
    found = pattern.search(text)
    while found is not None:
        start, end = found.span()
        if not any(first <= start and end <= last for first, last in exact):  # the same place without outer blanks
            places.append((start, end))
        found = pattern.search(text, start + 1)
    return sorted(places)


def _blanks(text: str, place: Range) -> Iterator[Range]:
    for found in _BLANKS.finditer(text, *place):
        yield found.span()

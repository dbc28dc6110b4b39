"""Evaluation sets: queries, their digest, and their check against stored texts.

A dataset's own queries are as its files say. `check` compares them with the texts of an index, since a quote may occur
several times or not at all, and returns the queries that metrics take.
"""

from __future__ import annotations

import re
import unicodedata
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
"""Rule for a quote with several places in its document: its best single place, or its first."""
Group = Literal["document", "query"]
"""Group of a question: its first gold document, or itself."""

_SHOWN = 20
"""Malformed lines that an error lists."""
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True)
class CheckedQueries:
    """Queries with gold that was compared with the stored texts.

    Attributes:
        queries: in the dataset's order; each span has a place; missing ones are left out.
        problems: one line each, with a count and examples; the dataset's own first.
    """

    queries: list[Query]
    problems: list[str]

    def digest(self) -> str:
        """Hash queries and checked gold: equal for equal stored texts."""
        return gold_digest(self.queries)


@dataclass
class Dataset:
    """An evaluation set.

    Args:
        name: for people; no part of the digest.
        _queries: ids are unique; spans may have a quote without a place.
        problems: of loading, one line each.
        occurrence: the rule for a quote with several places.
        text_hashes: document -> SHA-256 of its stored text, where ranges are true of exactly that text.
        max_missing: share of the quotes that may be missing in the documents.
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
                    f"dataset: {self.name}: query {query.id!r} must be unique; "
                    f"it is the {seen[query.id]}th and the {number}th: rename one"
                )
            seen[query.id] = number
        if not self._queries:
            raise DataError(f"dataset: {self.name} must have a query; it has none")

    def queries(self) -> list[Query]:
        """Return the queries in file order, with the dataset's gold."""
        return list(self._queries)

    def check(self, document_text: Callable[[str], str | None]) -> CheckedQueries:
        """Find quotes, ranges and graded documents in the texts of an index.

        Args:
            document_text: document id -> stored text, None for an unknown document. It is called once for
                each document.

        Raises:
            DataError: documents of the gold are missing or differ, a range is outside its document's text,
                or too many quotes are missing.
        """
        wanted: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for at, query in enumerate(self._queries):
            for number, span in enumerate(query.spans):
                wanted[span.document].append((at, number))
            for name in query.grades:
                wanted[name] += []
        search = _GoldSearch(self._queries, self.occurrence)
        for name, spans in wanted.items():
            text = document_text(name)
            search.look(name, text, spans, self.text_hashes.get(name))
        search.demand_all(self.name, self.max_missing)
        queries = [search.with_spans(at, query) for at, query in enumerate(self._queries)]
        return CheckedQueries(queries, [*self.problems, *search.problems(), *_unjudged(queries)])


class _GoldSearch:
    """Search for the gold of all queries, one document at a time."""

    def __init__(self, queries: Sequence[Query], occurrence: Occurrence) -> None:
        self._queries = queries
        self._occurrence = occurrence
        self._spans: dict[tuple[int, int], GoldSpan] = {}
        self._names: dict[str, list[str]] = defaultdict(list)
        """Kind of problem -> documents or quotes."""

    def look(self, document: str, text: str | None, spans: Sequence[tuple[int, int]], text_hash: str | None) -> None:
        """Look for a document's spans, as pairs of query and span number."""
        if text is None:
            self._names["missing"].append(document)
            return
        if text_hash is not None and text_hash != sha256(text):
            self._names["changed"].append(document)
        for at, number in spans:
            span = self._queries[at].spans[number]
            name = f"{self._queries[at].id} (in {document})"
            places = self._places(span, text, name)
            if places:
                blanks = tuple(blank.span() for place in places for blank in _BLANKS.finditer(text, *place))
                quote = span.quote or (text[slice(*places[0])] if len(places) == 1 else "")
                self._spans[at, number] = replace(span, places=places, quote=quote, blanks=blanks)

    def _places(self, span: GoldSpan, text: str, name: str) -> tuple[Range, ...]:
        outside = [place for place in span.places if not 0 <= place[0] < place[1] <= len(text)]
        if not span.quote:
            self._names["outside"] += [
                f"{start}-{end} of query {name}, which has {len(text)}" for start, end in outside
            ]
            return () if outside else span.places
        quote = normalize_text(span.quote)  # as its document's text was: CRLF is `\n` in both
        words = quote.split()
        right = tuple(place for place in span.places if text[slice(*place)].split() == words)
        if span.places and not right:
            self._names["moved"].append(name)
        occurrences = tuple(_occurrences(text, quote))
        if not occurrences:
            self._names["lost"].append(name)
            return ()
        # The place that the dataset names is first: `first` and Chroma's convention take that one.
        ordered = tuple(dict.fromkeys([*right, *occurrences]))
        if len(ordered) > 1:
            self._names["several"].append(name)
        return ordered if self._occurrence == "any" else ordered[: max(1, len(right))]

    def demand_all(self, dataset: str, max_missing: float) -> None:
        """Raise DataError for missing documents or quotes, and ranges outside a text."""
        source = "choose the source that belongs to the dataset, or ingest again"
        problems = [
            f"dataset: {dataset}: {counted(self._names[kind], noun)} must {rule}"
            for kind, noun, rule in (
                ("missing", "gold document", f"be in the corpus; {source}"),
                ("changed", "gold document", f"be stored as the dataset has it; {source}"),
                ("outside", "gold range", "lie within the document's text; ranges count characters of the stored text"),
            )
            if self._names[kind]
        ]
        if problems:
            raise DataError(*problems)
        quotes = sum(bool(span.quote) for query in self._queries for span in query.spans)
        demand_few(dataset, self._names["lost"], quotes, max_missing)

    def with_spans(self, at: int, query: Query) -> Query:
        """Return a query with the spans that have a place."""
        spans = [self._spans[at, number] for number in range(len(query.spans)) if (at, number) in self._spans]
        return replace(query, spans=tuple(spans))

    def problems(self) -> list[str]:
        """List deviations from the dataset, one line each."""
        rule = "each counts at its best single place" if self._occurrence == "any" else "each counts at its first place"
        kinds = (
            ("lost", "is not found and left out", "are not found and left out"),
            ("moved", "is not at the range given and was looked for", "are not at the range given"),
            ("several", f"is found several times ({rule})", f"are found several times ({rule})"),
        )
        return [
            f"{counted(names, 'quote')} {one if len(names) == 1 else many}"
            for kind, one, many in kinds
            if (names := self._names[kind])
        ]


def demand_few(dataset: str, missing: Sequence[str], quotes: int, max_missing: float) -> None:
    """Raise DataError if too many quotes are missing for meaningful means."""
    if len(missing) > max_missing * quotes:
        raise DataError(
            f"dataset: {dataset}: {counted(missing, 'quote')} of {quotes:,} are not in the documents; "
            f"dataset.max_missing={max_missing:g} allows {int(max_missing * quotes):,}. Choose the source of "
            "the dataset, correct the quotes, or raise dataset.max_missing"
        )


def with_group(query: Query, group: Group) -> Query:
    """Set a query's group for statistics: its first gold document, or itself."""
    documents = query.documents if group == "document" else ()
    return replace(query, group=documents[0] if documents else query.id)


def file_bytes(path: Path) -> bytes:
    """Read a file of a dataset.

    Raises:
        DataError: it is missing or unreadable.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"dataset: {path} must be a readable file: {error.strerror}; set dataset.path") from None


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the nonblank lines of a file with their numbers, from 1.

    Raises:
        DataError: as `file_text`.
    """
    for number, line in enumerate(file_text(path).split("\n"), start=1):
        if line.strip():
            yield number, line.rstrip("\r")


def file_text(path: Path) -> str:
    """Read a text file, line ends unchanged, without byte order mark.

    Raises:
        DataError: it is missing, unreadable, or no UTF-8.
    """
    try:
        return file_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"dataset: {path} must be UTF-8; byte {error.start:,} is not") from None


def demand_well_formed(problems: Sequence[str]) -> None:
    """Raise DataError for malformed parts: the first ones, and a count."""
    if problems:
        more = [f"dataset: ... and {len(problems) - _SHOWN:,} more"] if len(problems) > _SHOWN else []
        raise DataError(*problems[:_SHOWN], *more)


def nfc(document: str) -> str:
    """Write a document's id as sources do."""
    return unicodedata.normalize("NFC", document)


def _unjudged(queries: Sequence[Query]) -> list[str]:
    without = [query.id for query in queries if not query.judged and query.answerable is not False]
    return [f"{counted(without, 'question')} without gold: counted apart, in no mean of retrieval"] if without else []


def _occurrences(text: str, quote: str) -> list[Range]:
    """Return the places of a quote, also overlapping; white space may differ."""
    exact: list[Range] = []
    at = text.find(quote) if quote else -1
    while at >= 0:
        exact.append((at, at + len(quote)))
        at = text.find(quote, at + 1)
    places, pattern = list(exact), re.compile(quote_pattern(quote))
    match = pattern.search(text)
    while match is not None:
        start, end = match.span()
        if not any(first <= start and end <= last for first, last in exact):  # the same place without outer blanks
            places.append((start, end))
        match = pattern.search(text, start + 1)
    return sorted(places)

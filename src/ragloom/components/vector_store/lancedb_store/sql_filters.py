"""Metadata filters as SQL conditions."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from ragloom.components.vector_store.filter_tree import (
    EVERYTHING,
    Constant,
    Every,
    HoldsElement,
    HoldsText,
    HoldsTextInAnyCase,
    Missing,
    Not,
    OneOf,
    PartOf,
    Predicate,
    Range,
    Some,
    Test,
    predicate,
)
from ragloom.components.vector_store.metadata_columns import DICT, END, LIST, TEXT, element

if TYPE_CHECKING:
    from llama_index.core.vector_stores.types import MetadataFilters


def where(filters: MetadataFilters | None, columns: Collection[str]) -> str | None:
    """Translate filters to an SQL condition, which must not be negated.

    NULL stands for false in it.

    `text_match_insensitive` lower-cases by the engine's Unicode tables, newer than Python 3.11's by 55 letters.

    Args:
        filters: nested groups included; None or an empty group passes everything.
        columns: the table's columns; a key without one is missing in every row.

    Returns:
        the condition; None when everything passes.

    Raises:
        DataError: filters nested too deep, or a text that is not Unicode.
    """
    tree = predicate(filters, columns)
    return None if tree is EVERYTHING else _sql(tree)


def quoted(text: str) -> str:
    """Quotes text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def one_of(name: str, values: Iterable[str]) -> str:
    """Return the condition for a column in a list of texts.

    It is false for an empty list.
    """
    listed = ", ".join(map(quoted, values))
    return f"{name} IN ({listed})" if listed else "false"


def version(document: str, content_hash: str | None, *, other: bool = False) -> str:
    """Return the condition for a version of a document.

    With `other` it is the condition for every other version of it.
    """
    return f"(document = {quoted(document)} AND content_hash {'!=' if other else '='} {quoted(content_hash or '')})"


def any_of(conditions: Iterable[str]) -> str:
    """Join conditions of which one is enough."""
    return " OR ".join(conditions)


def _sql(part: Predicate) -> str:
    if isinstance(part, Every | Some):
        return f"({(' AND ' if isinstance(part, Every) else ' OR ').join(map(_sql, part.parts))})"
    if isinstance(part, Constant):
        return "true" if part is EVERYTHING else "false"
    if not isinstance(part, Not):
        return _test(part)
    if isinstance(part.test, Missing):
        return f"{part.test.column} IS NOT NULL"
    return f"({part.test.column} IS NULL OR NOT {_test(part.test)})"


def _test(part: Test) -> str:
    """Translate a test; NULL or false where the column is NULL."""
    name = part.column
    match part:
        case Missing():
            return f"{name} IS NULL"
        case OneOf():
            return one_of(name, part.tokens)
        case Range():
            return f"({name} >= {quoted(part.low)} AND {name} < {quoted(part.high)})"
        case HoldsText():
            return f"({_is(name, TEXT)} AND contains(substr({name}, 2), {quoted(part.text)}))"
        case HoldsTextInAnyCase():
            return f"({_is(name, TEXT)} AND contains(lower(substr({name}, 2)), {quoted(part.text)}))"
        case PartOf():
            return f"({_is(name, TEXT)} AND contains({quoted(part.text)}, substr({name}, 2)))"
        case HoldsElement():
            sought = quoted(END + element(part.value, sought=True))
            return f"(({_is(name, LIST)} OR {_is(name, DICT)}) AND contains({name}, {sought}))"


def _is(name: str, letter: str) -> str:
    return f"starts_with({name}, '{letter}')"

"""Metadata filters as SQL conditions."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from ragloom.components.vector_store import filter_tree
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
    tree = filter_tree.predicate(filters, columns)
    return None if tree is filter_tree.EVERYTHING else _sql(tree)


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


def _sql(part: filter_tree.Predicate) -> str:
    """Translate a predicate; tests of a NULL column are NULL or false."""
    match part:
        case filter_tree.Constant():
            return "true" if part is filter_tree.EVERYTHING else "false"
        case filter_tree.Every(parts):
            return f"({' AND '.join(map(_sql, parts))})"
        case filter_tree.Some(parts):
            return f"({' OR '.join(map(_sql, parts))})"
        case filter_tree.Not(filter_tree.Missing(name)):
            return f"{name} IS NOT NULL"
        case filter_tree.Not(test):
            return f"({test.column} IS NULL OR NOT {_sql(test)})"
        case filter_tree.Missing(name):
            return f"{name} IS NULL"
        case filter_tree.OneOf(name, tokens):
            return one_of(name, tokens)
        case filter_tree.Range(name, low, high):
            return f"({name} >= {quoted(low)} AND {name} < {quoted(high)})"
        case filter_tree.HoldsText(name, text):
            return f"({_is(name, TEXT)} AND contains(substr({name}, 2), {quoted(text)}))"
        case filter_tree.HoldsTextInAnyCase(name, text):
            return f"({_is(name, TEXT)} AND contains(lower(substr({name}, 2)), {quoted(text)}))"
        case filter_tree.PartOf(name, text):
            return f"({_is(name, TEXT)} AND contains({quoted(text)}, substr({name}, 2)))"
        case filter_tree.HoldsElement(name, value):
            sought = quoted(END + element(value, sought=True))
            return f"(({_is(name, LIST)} OR {_is(name, DICT)}) AND contains({name}, {sought}))"


def _is(name: str, letter: str) -> str:
    return f"starts_with({name}, '{letter}')"

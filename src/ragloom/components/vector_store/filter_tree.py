"""LlamaIndex metadata filters as a tree of predicates over metadata columns.

The answers are those of LlamaIndex's reference evaluator (`build_metadata_filter_fn`), with one rule where that raises
`TypeError`: a comparison between types that Python does not order or contain (`"a" > 1`, `1 in "a"`) does not match,
and its negation by the condition `not` does.

* A missing key and `None` are the same, as in the reference: they match `!=`, `nin` and `is_empty`, nothing else.
* `contains`, `any`, `all` look at a text's parts, at a list's elements and at a dict's keys.

Every predicate is true or false. All but `Missing` are false for a row that lacks the column, and `Not` stands before
a single test only: `negated` carries it down there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ragloom.components.vector_store.metadata_columns import END, LIST, TEXT, column, element, token
from ragloom.errors import DataError

if TYPE_CHECKING:
    from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

MAX_DEPTH = 16
"""Filters may be nested this deep; LanceDB's SQL parser gives up near 50 levels of parentheses (lancedb 0.40)."""


class Constant(Enum):
    """Predicate that is true for all rows or for none."""

    EVERYTHING = "every row"
    NOTHING = "no row"


EVERYTHING: Final = Constant.EVERYTHING
NOTHING: Final = Constant.NOTHING


@dataclass(frozen=True)
class _ColumnTest:
    column: str


@dataclass(frozen=True)
class _TextTest(_ColumnTest):
    text: str


class Missing(_ColumnTest):
    """The row lacks the column."""


@dataclass(frozen=True)
class OneOf(_ColumnTest):
    """The column's token is one of these (at least one)."""

    tokens: tuple[str, ...]


@dataclass(frozen=True)
class Range(_ColumnTest):
    """Predicate: the token lies in [low, high), by code points."""

    low: str
    high: str


class HoldsText(_TextTest):
    """Predicate: the column is a text with a non-empty substring."""


class HoldsTextInAnyCase(_TextTest):
    """Predicate: the lower-cased column has a lower-cased substring."""


class PartOf(_TextTest):
    """The column is a text that another text holds."""


@dataclass(frozen=True)
class HoldsElement(_ColumnTest):
    """Predicate: a list has this element, or a dict this key."""

    value: Any


Test: TypeAlias = Missing | OneOf | Range | HoldsText | HoldsTextInAnyCase | PartOf | HoldsElement


@dataclass(frozen=True, slots=True)
class Not:
    """Predicate: the test is false.

    Rows that lack the column fail every test but `Missing`.
    """

    test: Test


@dataclass(frozen=True, slots=True)
class Every:
    """Conjunction of at least two parts, flattened and without constants."""

    parts: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """Disjunction of at least two parts, flattened and without constants."""

    parts: tuple[Predicate, ...]


Predicate: TypeAlias = Constant | Test | Not | Every | Some


def predicate(filters: MetadataFilters | None, columns: Collection[str]) -> Predicate:
    """Translate filters.

    Args:
        filters: nested groups included; None or an empty group passes everything.
        columns: those that the store has; a key without one is missing in every row.

    Raises:
        DataError: filters nested deeper than `MAX_DEPTH`, or a text that is not Unicode.
    """
    return EVERYTHING if filters is None else _group(filters, frozenset(columns), 0)


def every(parts: Iterable[Predicate]) -> Predicate:
    """Join predicates by `and`: everything when there are none."""
    return _joined(Every, parts, EVERYTHING, NOTHING)


def some(parts: Iterable[Predicate]) -> Predicate:
    """Join predicates by `or`: nothing when there are none."""
    return _joined(Some, parts, NOTHING, EVERYTHING)


def negated(part: Predicate) -> Predicate:
    """Negate a predicate exactly."""
    if isinstance(part, Constant):
        return NOTHING if part is EVERYTHING else EVERYTHING
    if isinstance(part, Every):
        return some(map(negated, part.parts))
    if isinstance(part, Some):
        return every(map(negated, part.parts))
    return part.test if isinstance(part, Not) else Not(part)


def _joined(kind: type[Every | Some], parts: Iterable[Predicate], neutral: Constant, decisive: Constant) -> Predicate:
    flat: list[Predicate] = []
    for part in parts:
        if part is decisive:
            return decisive
        if part is not neutral:
            flat += part.parts if isinstance(part, kind) else [part]
    return kind(tuple(flat)) if len(flat) > 1 else flat[0] if flat else neutral


def _group(filters: MetadataFilters, columns: frozenset[str], depth: int) -> Predicate:
    from llama_index.core.vector_stores.types import FilterCondition, MetadataFilters

    if depth > MAX_DEPTH:
        raise DataError(f"vector_store: filters must not be nested more than {MAX_DEPTH} deep; simplify them")
    if not filters.filters:
        return EVERYTHING
    parts = [
        _group(item, columns, depth + 1) if isinstance(item, MetadataFilters) else _filter(item, columns)
        for item in filters.filters
    ]
    if filters.condition == FilterCondition.OR:
        return some(parts)
    if filters.condition == FilterCondition.NOT:
        return negated(some(parts))  # none of these
    return every(parts)


def _filter(item: MetadataFilter, columns: frozenset[str]) -> Predicate:
    """Translate one filter."""
    name = column(item.key)
    for text in item.value if isinstance(item.value, list) else [item.value]:
        if isinstance(text, str) and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise DataError(
                f"vector_store: the value of the filter on {item.key!r} holds half a surrogate pair ({text!r:.60}), "
                "which no stored text does; decode it first"
            )
    if name not in columns:
        return EVERYTHING if item.operator.value in _MATCHES_MISSING else NOTHING
    return _OPERATORS[item.operator.value](name, item.value)


def _equal(name: str, value: Any) -> Predicate:
    return NOTHING if value is None else OneOf(name, (token(value, sought=True),))


def _ordered(name: str, value: Any, *, above: bool, or_equal: bool) -> Predicate:
    """Compare within one type: tokens lie between its letter and the next."""
    if value is None or isinstance(value, dict) or value != value:
        return NOTHING
    if isinstance(value, list):
        return _ordered_list(name, value, above=above, or_equal=or_equal)
    sought = token(value, sought=True)
    if above:
        return _range(name, sought if or_equal else _next(sought), _past(sought[0]))
    return _range(name, sought[0], _next(sought) if or_equal else sought)


def _ordered_list(name: str, value: list[Any], *, above: bool, or_equal: bool) -> Predicate:
    """Compare lists as Python does.

    The first elements that differ decide and must be of one type; otherwise the length does.
    """
    parts, beginnings, same = [], [], LIST + END
    for item in value:
        beginnings.append(same)
        sought = element(item, sought=True)
        if above:
            parts.append(_range(name, _past(same + sought), same + _past(sought[0])))
        else:
            parts.append(_range(name, same + sought[0], same + sought))
        same += sought
    if above:
        parts.append(_range(name, same if or_equal else _next(same), _past(same)))
    elif or_equal or beginnings:
        parts.append(OneOf(name, (*beginnings, *([same] if or_equal else []))))
    return some(parts)


def _within(name: str, value: Any) -> Predicate:
    if isinstance(value, str):
        return PartOf(name, value)
    if not isinstance(value, list) or not value:
        return NOTHING
    return OneOf(name, tuple(dict.fromkeys(token(item, sought=True) for item in value)))


def _not_within(name: str, value: Any) -> Predicate:
    if isinstance(value, list):
        return negated(_within(name, value))
    present: Predicate = NOTHING  # Python asks no number and no None what it holds
    if isinstance(value, str):
        present = every([_is_text(name), Not(PartOf(name, value))])
    return some([Missing(name), present])


def _contains(name: str, value: Any) -> Predicate:
    """Build a test for a list element, dict key or substring."""
    return some([HoldsElement(name, value), _matches(name, value)])


def _any(name: str, value: Any) -> Predicate:
    return some(_contains(name, item) for item in value) if isinstance(value, str | list) else NOTHING


def _all(name: str, value: Any) -> Predicate:
    if not isinstance(value, str | list):
        return NOTHING
    return every(_contains(name, item) for item in value) if value else Not(Missing(name))


def _matches(name: str, value: Any) -> Predicate:
    if not isinstance(value, str):
        return NOTHING
    return HoldsText(name, value) if value else _is_text(name)


def _matches_in_any_case(name: str, value: Any) -> Predicate:
    if not isinstance(value, str):
        return NOTHING
    return HoldsTextInAnyCase(name, value.lower()) if value else _is_text(name)


def _is_empty(name: str, value: Any) -> Predicate:
    return some([Missing(name), OneOf(name, (TEXT, LIST + END))])


def _is_text(name: str) -> Predicate:
    return Range(name, TEXT, _past(TEXT))


def _range(name: str, low: str, high: str) -> Predicate:
    return Range(name, low, high) if low < high else NOTHING


def _next(text: str) -> str:
    """Return the least text above one."""
    return text + "\0"


def _past(beginning: str) -> str:
    """Return the least text above every text with this prefix.

    The prefix ends in a letter or `END`.
    """
    return beginning[:-1] + chr(ord(beginning[-1]) + 1)


_MATCHES_MISSING = ("!=", "nin", "is_empty")
_OPERATORS: dict[str, Callable[[str, Any], Predicate]] = {
    "==": _equal,
    "!=": lambda name, value: negated(_equal(name, value)),
    ">": lambda name, value: _ordered(name, value, above=True, or_equal=False),
    ">=": lambda name, value: _ordered(name, value, above=True, or_equal=True),
    "<": lambda name, value: _ordered(name, value, above=False, or_equal=False),
    "<=": lambda name, value: _ordered(name, value, above=False, or_equal=True),
    "in": _within,
    "nin": _not_within,
    "contains": _contains,
    "any": _any,
    "all": _all,
    "text_match": _matches,
    "text_match_insensitive": _matches_in_any_case,
    "is_empty": _is_empty,
}

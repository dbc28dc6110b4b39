"""Metadata as Weaviate properties, and filters over them as Weaviate's own.

A metadata column (`metadata_columns.column`) is a text property with the value's token, plus, where needed: `e_...`,
the tokens of a list's elements or of a dict's keys, and `i_...`, a text in lower case.

Weaviate compares the UTF-8 bytes of a `field`-tokenized text, trims its blanks, and has no escape for the wildcards `*`
and `?` of `Like`, which crosses no line break. So every text is *spelled*, character by character, such that equality,
order and substrings are preserved, nothing is trimmed, and no wildcard or line break is left. See `_SPELLING`.

Two more properties of the server (1.39):

* `is_none(True)` misses objects stored before the property was created; the negation of `is_none(False)` does not.
* A filter on a property outside the schema is an error, and so is one on an empty list of values.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from weaviate.classes.query import Filter

from ragloom.components.vector_store import filter_tree
from ragloom.components.vector_store.filter_tree import NOTHING, Constant, Predicate
from ragloom.components.vector_store.metadata_columns import PREFIX, TEXT, column, elements, token
from ragloom.errors import DataError

if TYPE_CHECKING:
    from llama_index.core.vector_stores.types import MetadataFilters
    from weaviate.collections.classes.filters import _Filters

ELEMENTS, LOWERED = "e_", "i_"
"""Prefixes of a column's further properties: elements of a list, text in lower case."""
NOT_SINCE = (1, 33)
"""First server version with `Not`."""
MAX_IN_TEXT = 256
"""Maximum characters of the text of an `in` filter: the filter lists each of its substrings."""

Where: TypeAlias = "_Filters | Literal[Constant.NOTHING] | None"
"""Filter of a query; None = everything passes, `NOTHING` = no object can pass, so that no query is needed."""

_TERMINATOR = "\x01"  # below every first character, so that a shorter text sorts first; not a blank: never trimmed
_SPELLING = {
    **{chr(n): "\x03" + "\x01\x02"[n // 2] + "\x01\x02"[n % 2] for n in range(4)},
    "\t": "\t\x01",
    "\n": "\t\x02",
    ")": ")\x01",
    "*": ")\x02",
    ">": ">\x01",
    "?": ">\x02",
}
"""Characters spelled by two or three others; all others stand for themselves.

The spellings have the order of the characters, none is a prefix of another, and their further characters, \\x01 and
\\x02, are the first character of none: a spelled substring of a spelled text begins where a character does.
"""
_TABLE = str.maketrans(_SPELLING)
_SPELLED = re.compile(f"[{re.escape(''.join(_SPELLING))}]")


def wrapped(text: str) -> str:
    """Spell a text without any loss in the server's comparisons."""
    return _terminated(TEXT + text)


def columns_of(metadata: Mapping[str, Any]) -> dict[str, str | list[str]]:
    """Convert metadata to properties; a key with value None has none."""
    columns: dict[str, str | list[str]] = {}
    for key, value in metadata.items():
        if value is None:
            continue
        name = column(key)
        columns[name] = _terminated(token(value))
        if isinstance(value, str):
            columns[_further(name, LOWERED)] = wrapped(value.lower())
        elif isinstance(value, list | dict) and value:
            columns[_further(name, ELEMENTS)] = [_terminated(item) for item in elements(value)]
    return columns


def kinds_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the metadata properties of some objects: name -> `text` or `text[]`."""
    names = {name for row in rows for name in row if name.startswith((PREFIX, ELEMENTS, LOWERED))}
    return {name: "text[]" if name.startswith(ELEMENTS) else "text" for name in sorted(names)}


def where(filters: MetadataFilters | None, columns: Collection[str], version: tuple[int, ...]) -> Where:
    """Translate filters.

    Args:
        filters: nested groups included; None or an empty group passes everything.
        columns: the collection's properties; every object lacks a key without a property.
        version: of the server.

    Raises:
        DataError: filters nested too deep, unsupported by an old server, or with too long a text for `in`.
    """
    tree = _resolved(filter_tree.predicate(filters, columns), frozenset(columns))
    if isinstance(tree, Constant):
        return NOTHING if tree is NOTHING else None
    return _filter(tree, version)


def one_of(name: str, texts: Sequence[str]) -> _Filters:
    """Pass objects with a `wrapped` property among some texts (at least one)."""
    return Filter.by_property(name).contains_any([wrapped(text) for text in texts])


def none_of(name: str, texts: Sequence[str]) -> _Filters:
    """Pass objects with a `wrapped` property outside some texts, or missing."""
    return _no(name, [wrapped(text) for text in texts])


def all_of(*parts: Where) -> Where:
    """Combine filters by `and`."""
    if any(part is NOTHING for part in parts):
        return NOTHING
    limits = [part for part in parts if part is not None and part is not NOTHING]
    return Filter.all_of(limits) if len(limits) > 1 else limits[0] if limits else None


def _spelled(text: str) -> str:
    return text.translate(_TABLE) if _SPELLED.search(text) else text


def _terminated(text: str) -> str:
    return _spelled(text) + _TERMINATOR


def _further(name: str, prefix: str) -> str:
    return prefix + name.removeprefix(PREFIX)


def _resolved(part: Predicate, columns: frozenset[str]) -> Predicate:
    """Resolve tests on properties outside the schema: no object passes them."""
    if isinstance(part, Constant):
        return part
    if isinstance(part, filter_tree.Every):
        return filter_tree.every(_resolved(item, columns) for item in part.parts)
    if isinstance(part, filter_tree.Some):
        return filter_tree.some(_resolved(item, columns) for item in part.parts)
    if isinstance(part, filter_tree.Not):
        return filter_tree.negated(_resolved(part.test, columns))
    prefix = {filter_tree.HoldsElement: ELEMENTS, filter_tree.HoldsTextInAnyCase: LOWERED}.get(type(part))
    return NOTHING if prefix and _further(part.column, prefix) not in columns else part


def _filter(part: Predicate, version: tuple[int, ...]) -> _Filters:
    """Translate a tree without constants."""
    match part:
        case filter_tree.Every(parts):
            return Filter.all_of([_filter(item, version) for item in parts])
        case filter_tree.Some(parts):
            return Filter.any_of([_filter(item, version) for item in parts])
        case filter_tree.Missing(name):
            return _not(Filter.by_property(name).is_none(False), version)
        case filter_tree.Not(filter_tree.Missing(name)):
            return Filter.by_property(name).is_none(False)
        case filter_tree.Not(filter_tree.OneOf(name, tokens)):
            return _no(name, [_terminated(item) for item in tokens])
        case filter_tree.Not(filter_tree.HoldsElement(name, value)):
            return _no(_further(name, ELEMENTS), [_terminated(token(value, sought=True))])
        case filter_tree.Not(test):
            return _not(_filter(test, version), version)
        case filter_tree.OneOf(name, tokens):
            return Filter.by_property(name).contains_any([_terminated(item) for item in tokens])
        case filter_tree.Range(name, low, high):
            token_of = Filter.by_property(name)
            return token_of.greater_or_equal(_terminated(low)) & token_of.less_than(_terminated(high))
        case filter_tree.HoldsText(name, text):
            return Filter.by_property(name).like(f"{TEXT}*{_spelled(text)}*")
        case filter_tree.HoldsTextInAnyCase(name, text):
            return Filter.by_property(_further(name, LOWERED)).like(f"{TEXT}*{_spelled(text)}*")
        case filter_tree.PartOf(name, text):
            return Filter.by_property(name).contains_any([wrapped(item) for item in _substrings(text)])
        case filter_tree.HoldsElement(name, value):
            return Filter.by_property(_further(name, ELEMENTS)).equal(_terminated(token(value, sought=True)))
        case Constant():
            raise AssertionError("constants are resolved before")


def _no(name: str, stored: Sequence[str]) -> _Filters:
    """Pass objects without any of these values; on any server, unlike `Not`."""
    unequal = [Filter.by_property(name).not_equal(text) for text in stored]
    return Filter.all_of(unequal) if len(unequal) > 1 else unequal[0]


def _not(filter: _Filters, version: tuple[int, ...]) -> _Filters:
    if version[:2] < NOT_SINCE:
        raise DataError(
            "vector_store: this metadata filter is negative (is_empty, nin or `not` with other than equality) and "
            f"needs Weaviate {'.'.join(map(str, NOT_SINCE))} or newer; the server is {'.'.join(map(str, version))}: "
            "update it, or filter for what must match"
        )
    return Filter.not_(filter)


def _substrings(text: str) -> set[str]:
    """Return all substrings of a text, the empty one included."""
    if len(text) > MAX_IN_TEXT:
        raise DataError(
            f"vector_store: the text of an `in` or `nin` filter has {len(text)} characters ({text!r:.60}); the limit "
            f"on Weaviate is {MAX_IN_TEXT}, since it passes metadata with a part of this text; for whole values, use a "
            "list"
        )
    ends = range(len(text) + 1)
    return {text[start:end] for start in ends for end in ends[start:]}

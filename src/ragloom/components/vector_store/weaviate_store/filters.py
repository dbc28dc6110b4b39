"""Metadata as Weaviate properties, and filters over them as Weaviate's own. Knows no collection and no connection.

A metadata column (`metadata.column`) is a text property that holds the value's token, and beside it, where needed:
`e_...`, the tokens of a list's elements or of a dict's keys, and `i_...`, a text in lower case.

Weaviate compares the UTF-8 bytes of a `field`-tokenized text, trims its blanks, and has no escape for the wildcards `*`
and `?` of `Like`, which crosses no line break. So every text is *spelled*: character by character, such that equality,
order and being a part of are kept, nothing is trimmed, and no wildcard or line break is left. See `_SPELLING`.

Two more things that the server does (1.39), and that are minded here:

* `is_none(True)` finds no object that was stored before the property was created; what is not `is_none(False)` does.
* A filter on a property that the schema lacks is an error, and so is one on an empty list of values.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from weaviate.classes.query import Filter

from ragloom.components.vector_store.filter_tree import (
    NOTHING,
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
    every,
    negated,
    predicate,
    some,
)
from ragloom.components.vector_store.metadata_columns import PREFIX, TEXT, column, elements, token
from ragloom.errors import DataError

if TYPE_CHECKING:
    from llama_index.core.vector_stores.types import MetadataFilters
    from weaviate.collections.classes.filters import _Filters

ELEMENTS, LOWERED = "e_", "i_"
"""Begin the names of the properties that stand beside a column's."""
NOT_SINCE = (1, 33)
"""The first server that knows `Not`."""
LONGEST_HAYSTACK = 256
"""Characters of a text that `in` may look for metadata in: Weaviate is asked for each of its parts."""

Where: TypeAlias = "_Filters | Literal[Constant.NOTHING] | None"
"""A filter for a query; None when everything passes; `NOTHING` when nothing can, so that no query need be sent."""

_TERMINATOR = "\x01"  # below every first character, so that a shorter text stays the lesser; no blank: never trimmed
_SPELLING = {
    **{chr(n): "\x03" + "\x01\x02"[n // 2] + "\x01\x02"[n % 2] for n in range(4)},
    "\t": "\t\x01",
    "\n": "\t\x02",
    ")": ")\x01",
    "*": ")\x02",
    ">": ">\x01",
    "?": ">\x02",
}
"""Characters that are spelled by two or three; all others stand for themselves.

The spellings are ordered as the characters are, none begins another, and what follows their first character, \\x01 or
\\x02, is the first character of none: a part of a spelled text that is spelled itself begins where a character does.
"""
_TABLE = str.maketrans(_SPELLING)
_SPELLED = re.compile(f"[{re.escape(''.join(_SPELLING))}]")


def wrapped(text: str) -> str:
    """Spells a text such that the server tells it from every other one, its blanks included."""
    return _stored(TEXT + text)


def columns_of(metadata: Mapping[str, Any]) -> dict[str, str | list[str]]:
    """Turns metadata into properties; a key whose value is None has none."""
    made: dict[str, str | list[str]] = {}
    for key, value in metadata.items():
        if value is None:
            continue
        name = column(key)
        made[name] = _stored(token(value))
        if isinstance(value, str):
            made[_beside(name, LOWERED)] = wrapped(value.lower())
        elif isinstance(value, list | dict) and value:
            made[_beside(name, ELEMENTS)] = [_stored(item) for item in elements(value)]
    return made


def kinds_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Returns which of some objects' properties are made of metadata: name -> `text` or `text[]`."""
    names = {name for row in rows for name in row if name.startswith((PREFIX, ELEMENTS, LOWERED))}
    return {name: "text[]" if name.startswith(ELEMENTS) else "text" for name in sorted(names)}


def where(filters: MetadataFilters | None, columns: Collection[str], version: tuple[int, ...]) -> Where:
    """Translates filters.

    Args:
        filters: nested groups included; None or an empty group passes everything.
        columns: the collection's properties; a key without one is missing in every object.
        version: of the server.

    Raises:
        DataError: filters nested too deep, that the server is too old for, or that look into too long a text.
    """
    tree = _within(predicate(filters, columns), frozenset(columns))
    if isinstance(tree, Constant):
        return NOTHING if tree is NOTHING else None
    return _filter(tree, version)


def one_of(name: str, texts: Sequence[str]) -> _Filters:
    """Passes objects whose `wrapped` property is one of some texts (at least one)."""
    return Filter.by_property(name).contains_any([wrapped(text) for text in texts])


def none_of(name: str, texts: Sequence[str]) -> _Filters:
    """Passes objects whose `wrapped` property is missing or none of some texts (at least one)."""
    return _no(name, [wrapped(text) for text in texts])


def all_of(*parts: Where) -> Where:
    """Joins filters by `and`."""
    if any(part is NOTHING for part in parts):
        return NOTHING
    left = [part for part in parts if part is not None and part is not NOTHING]
    return Filter.all_of(left) if len(left) > 1 else left[0] if left else None


def _spelled(text: str) -> str:
    return text.translate(_TABLE) if _SPELLED.search(text) else text


def _stored(text: str) -> str:
    return _spelled(text) + _TERMINATOR


def _beside(name: str, prefix: str) -> str:
    return prefix + name.removeprefix(PREFIX)


def _within(part: Predicate, columns: frozenset[str]) -> Predicate:
    """Settles tests on properties that the collection lacks: no object has what they look for."""
    if isinstance(part, Constant):
        return part
    if isinstance(part, Every):
        return every(_within(item, columns) for item in part.parts)
    if isinstance(part, Some):
        return some(_within(item, columns) for item in part.parts)
    if isinstance(part, Not):
        return negated(_within(part.test, columns))
    beside = {HoldsElement: ELEMENTS, HoldsTextInAnyCase: LOWERED}.get(type(part))
    return NOTHING if beside and _beside(part.column, beside) not in columns else part


def _filter(part: Predicate, version: tuple[int, ...]) -> _Filters:
    """Translates a tree that holds no constant."""
    match part:
        case Every(parts):
            return Filter.all_of([_filter(item, version) for item in parts])
        case Some(parts):
            return Filter.any_of([_filter(item, version) for item in parts])
        case Missing(name):
            return _not(Filter.by_property(name).is_none(False), version)
        case Not(Missing(name)):
            return Filter.by_property(name).is_none(False)
        case Not(OneOf(name, tokens)):
            return _no(name, [_stored(item) for item in tokens])
        case Not(HoldsElement(name, value)):
            return _no(_beside(name, ELEMENTS), [_stored(token(value, sought=True))])
        case Not(test):
            return _not(_filter(test, version), version)
        case OneOf(name, tokens):
            return Filter.by_property(name).contains_any([_stored(item) for item in tokens])
        case Range(name, low, high):
            token_of = Filter.by_property(name)
            return token_of.greater_or_equal(_stored(low)) & token_of.less_than(_stored(high))
        case HoldsText(name, text):
            return Filter.by_property(name).like(f"{TEXT}*{_spelled(text)}*")
        case HoldsTextInAnyCase(name, text):
            return Filter.by_property(_beside(name, LOWERED)).like(f"{TEXT}*{_spelled(text)}*")
        case PartOf(name, text):
            return Filter.by_property(name).contains_any([wrapped(item) for item in _parts_of(text)])
        case HoldsElement(name, value):
            return Filter.by_property(_beside(name, ELEMENTS)).equal(_stored(token(value, sought=True)))
        case Constant():
            raise AssertionError("a constant is settled before")


def _no(name: str, stored: Sequence[str]) -> _Filters:
    """Passes objects whose property is missing or holds none of these; on any server, unlike `Not`."""
    unequal = [Filter.by_property(name).not_equal(text) for text in stored]
    return Filter.all_of(unequal) if len(unequal) > 1 else unequal[0]


def _not(filter: _Filters, version: tuple[int, ...]) -> _Filters:
    if version[:2] < NOT_SINCE:
        raise DataError(
            "vector_store: this metadata filter asks for what does not match (is_empty, nin or `not` with other than "
            f"equality) and needs Weaviate {'.'.join(map(str, NOT_SINCE))} or newer; the server is "
            f"{'.'.join(map(str, version))}: update it, or say what must match instead"
        )
    return Filter.not_(filter)


def _parts_of(text: str) -> set[str]:
    """Returns all parts of a text, the empty one included."""
    if len(text) > LONGEST_HAYSTACK:
        raise DataError(
            f"vector_store: the text of an `in` or `nin` filter must have at most {LONGEST_HAYSTACK} characters on "
            f"Weaviate and has {len(text)} ({text!r:.60}): it passes metadata that is a part of this text; to name "
            "whole values, give a list"
        )
    ends = range(len(text) + 1)
    return {text[start:end] for start in ends for end in ends[start:]}

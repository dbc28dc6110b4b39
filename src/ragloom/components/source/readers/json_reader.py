"""Reader of JSON files: a line per value, with its path."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from ragloom.components.source.base import CannotRead
from ragloom.components.source.readers import text_reader
from ragloom.components.source.readers.text_limit import GrowthLimit
from ragloom.core.text_normalization import normalize_text

MAX_DEPTH = 500
"""Levels of nested lists and objects; the limit of Python's parser differs between versions."""
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NO_BRACKETS = re.compile(r"[^][{}]+")
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}
_BLANK = re.compile(r"[ \t\n\r]*")
_MOST_FAULTS = 1_000


class _Number(str):
    """A number in its own notation; conversion would change it."""


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object in their order, repeated names included."""


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Members, parse_int=_Number, parse_float=_Number, parse_constant=_Number
)  # NaN and Infinity, written by many programs, are numbers as well


def read(content: bytes, metadata: dict[str, Any], warnings: list[str]) -> str:
    """Render a JSON file as `path: value` lines, in order.

    Items of the outermost list become paragraphs.

    A file of several values, such as JSON Lines, is read like a list; invalid lines are skipped.

    Args:
        warnings: gets a sentence about skipped lines.

    Raises:
        CannotRead: it is not JSON, with line and column, or is nested too deeply.
    """
    text = text_reader.read(content, metadata, warnings)
    if is_nested_deeper(text, MAX_DEPTH):
        raise CannotRead(f"its JSON is nested too deeply: more than {MAX_DEPTH} levels")
    try:
        values = list(_parse_values(text, warnings))
    except RecursionError:  # too little stack left by the callers
        raise CannotRead("its JSON is nested too deeply for the present call stack") from None
    except ValueError as error:
        raise CannotRead(f"it is not JSON: {error}") from None
    room = GrowthLimit(text, "its names, repeated with each value below them,")
    items = values if len(values) > 1 else values[0]
    if isinstance(items, list) and not isinstance(items, _Members) and items:
        lines = [line for item in items for line in ("", *_render_lines(item, room))][1:]
    else:
        lines = list(_render_lines(items, room))
    return normalize_text("\n".join(lines))


def is_nested_deeper(text: str, levels: int) -> bool:
    """Return whether lists and objects are nested deeper than `levels`."""
    if text.count("[") + text.count("{") <= levels:
        return False
    brackets = _NO_BRACKETS.sub("", _STRING.sub("", text))
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > levels


def _parse_values(text: str, warnings: list[str]) -> Iterator[Any]:
    """Parse consecutive values; skip faulty lines behind the first."""
    at = _skip_blanks(text, 0)
    read, faults, reason = 0, 0, ""
    while not read or at < len(text):
        try:
            value, at = _DECODER.raw_decode(text, at)
        except json.JSONDecodeError as error:
            if not read:
                raise CannotRead(f"it is not JSON: {_error_position(error)}") from None
            faults += 1
            reason = reason or _error_position(error)
            if faults > min(read, _MOST_FAULTS):
                raise CannotRead(f"it is not JSON: {reason}") from None
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        else:
            read += 1
            yield value
        at = _skip_blanks(text, at)
    if faults:
        more = f" (and {faults - 1} more)" if faults > 1 else ""
        warnings.append(f"a line is skipped, since it is not JSON: {reason}{more}")


def _skip_blanks(text: str, at: int) -> int:
    blanks = _BLANK.match(text, at)
    return blanks.end() if blanks else at


def _error_position(error: json.JSONDecodeError) -> str:
    return f"{error.msg} in line {error.lineno}, column {error.colno}"


def _render_lines(value: Any, room: GrowthLimit) -> Iterator[str]:
    stack = [iter([("", value)])]
    while stack:  # not recursive, since files choose the nesting; paths are built on demand
        for path, value in stack[-1]:
            if isinstance(value, list) and value:
                stack.append(_children(path, value))
                break
            line = f"{path}: {_scalar(value)}" if path else _scalar(value)
            room.take(len(line) + 1)
            yield line
        else:
            stack.pop()


def _children(path: str, value: list[Any]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, _Members):
        return ((f"{path}.{name}" if path else name, item) for name, item in value)
    return ((f"{path}[{number}]", item) for number, item in enumerate(value))


def _scalar(value: Any) -> str:
    if isinstance(value, _Members):
        return "{}"
    return value if isinstance(value, str) else json.dumps(value)

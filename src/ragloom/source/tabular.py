"""CSV and JSON to text that is understood in pieces: each value stands beside its name. Knows no other format."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterator
from typing import Any

from ragloom.source.base import CannotRead

_DELIMITERS = ",;\t|"
_SNIFFED_ROWS = 50
_MAX_GROWTH = 50
"""How many times as long as the file its text may be, over `_ANY_GROWTH`: names are repeated beside each value."""
_ANY_GROWTH = 10_000_000  # characters
# The limit is the process's own and guards nothing here: files are bounded by max_file_mb.
csv.field_size_limit(2**31 - 1)


def csv_text(text: str) -> str:
    """Renders each row below the header as a paragraph of `header: value` lines; blank cells are left out.

    Raises:
        CannotRead: a quote is wrong, or a row has more cells than the header.
    """
    delimiter = _delimiter(text)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    paragraphs: list[str] = []
    header: list[str] = []
    names = ""
    room = _Room(text, "its column names, repeated in each row,")
    try:
        for row in rows:
            cells = [" ".join(cell.split()) for cell in row]
            if not any(cells):
                continue
            if not header:
                header = [cell or f"column {number}" for number, cell in enumerate(cells, start=1)]
                names = ", ".join(filter(None, cells))
                continue
            while len(cells) > len(header) and not cells[-1]:
                cells.pop()
            if len(cells) > len(header):
                counts = f"line {rows.line_num} has {len(cells)} cells, its header {len(header)}"
                raise CannotRead(f"it is not a CSV table: {counts} (delimiter {delimiter!r})")
            room.take(sum(len(name) + len(cell) + 3 for name, cell in zip(header, cells, strict=False) if cell))
            paragraphs.append("\n".join(f"{name}: {cell}" for name, cell in zip(header, cells, strict=False) if cell))
    except csv.Error as error:
        raise CannotRead(f"it is not a CSV table: {error} in line {rows.line_num}") from None
    return "\n\n".join(paragraphs) or names


class _Room:
    """How long a text may still become."""

    def __init__(self, text: str, what: str) -> None:
        self._left = max(_ANY_GROWTH, _MAX_GROWTH * len(text))
        self._what = what

    def take(self, characters: int) -> None:
        """Takes so many.

        Raises:
            CannotRead: there are none left.
        """
        self._left -= characters
        if self._left < 0:
            raise CannotRead(f"{self._what} would make its text over {_MAX_GROWTH} times as long; shorten the names")


def _delimiter(text: str) -> str:
    """Chooses the delimiter that cuts the first rows into most columns, all rows into equally many."""
    beginning = "".join(itertools.islice(io.StringIO(text, newline=""), 4 * _SNIFFED_ROWS))
    best, best_columns = ",", 1
    for delimiter in _DELIMITERS:
        widths: list[int] = []
        try:
            for row in csv.reader(io.StringIO(beginning, newline=""), delimiter=delimiter):
                if row:
                    widths.append(len(row))
                if len(widths) == _SNIFFED_ROWS:
                    break
        except csv.Error:
            continue
        if len(beginning) < len(text) and len(widths) > 1 and len(widths) < _SNIFFED_ROWS:
            widths.pop()  # the last row may be cut
        if widths and min(widths) == max(widths) > best_columns:
            best, best_columns = delimiter, widths[0]
    return best if best_columns > 1 else _most_frequent(text)


def _most_frequent(text: str) -> str:
    header = text.lstrip("\n").partition("\n")[0]
    return max(_DELIMITERS, key=header.count)


class _Number(str):
    """A number as it is written: reading it as a value would change it."""


def json_text(text: str) -> str:
    """Renders each value as a line `path: value`, in the file's order; items of the outermost list are paragraphs.

    Raises:
        CannotRead: it is not JSON; line and column are named.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_Members, parse_int=_Number, parse_float=_Number, parse_constant=_refused
        )
    except json.JSONDecodeError as error:
        hint = "; files of one JSON value a line are read by source=jsonl" if error.msg == "Extra data" else ""
        reason = f"it is not JSON: {error.msg} in line {error.lineno}, column {error.colno}{hint}"
        raise CannotRead(reason) from None
    except RecursionError:
        raise CannotRead("it is JSON that is nested too deeply") from None
    except ValueError as error:
        raise CannotRead(f"it is not JSON: {error}") from None
    room = _Room(text, "its names, repeated with each value below them,")
    if isinstance(value, list) and not isinstance(value, _Members) and value:
        return "\n".join(line for item in value for line in ("", *_lines(item, room))).removeprefix("\n")
    return "\n".join(_lines(value, room))


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object in their order, repeated names included."""


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def _lines(value: Any, room: _Room) -> Iterator[str]:
    opened = [iter([("", value)])]
    while opened:  # not recursive: nesting is the file's choice; and no path is made before it is needed
        for path, value in opened[-1]:
            if isinstance(value, list) and value:
                opened.append(_inside(path, value))
                break
            line = f"{path}: {_scalar(value)}" if path else _scalar(value)
            room.take(len(line) + 1)
            yield line
        else:
            opened.pop()


def _inside(path: str, value: list[Any]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, _Members):
        return ((f"{path}.{name}" if path else name, item) for name, item in value)
    return ((f"{path}[{number}]", item) for number, item in enumerate(value))


def _scalar(value: Any) -> str:
    if isinstance(value, _Members):
        return "{}"
    return value if isinstance(value, str) else json.dumps(value)

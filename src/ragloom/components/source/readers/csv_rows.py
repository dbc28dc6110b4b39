"""Rows of a CSV file: delimiter detection, tolerant parsing row by row."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

_DELIMITERS = ",;\t|"
_SNIFFED_ROWS = 50
_SEP = re.compile(r'"?sep=(\\t|[^\n"])"?[,;\t]*(?:\n|\Z)', re.IGNORECASE)
"""Excel's line with the delimiter."""
_MOST_OPEN, _MOST_WRONG = 20, 1_000
"""Unclosed quotes (each costs another read of the rest of the file) and wrong ones; beyond them, lines are rows."""
# A process-wide limit, not needed here: files are bounded by max_file_mb.
csv.field_size_limit(2**31 - 1)


class CsvRow(NamedTuple):
    """A row with its line number from 1, and faulty quoting."""

    line: int
    cells: list[str]
    misquoted: bool = False


def read_rows(text: str, *, tabs: bool) -> tuple[str, list[CsvRow]]:
    """Read all non-blank rows.

    Args:
        tabs: whether the file's name says that tabs separate cells.

    Returns:
        The delimiter and the rows; blanks within a cell are single.
    """
    if separator_line := _SEP.match(text):
        text = text[separator_line.end() :]
        delimiter = separator_line.group(1).replace("\\t", "\t")
    else:
        delimiter = "\t" if tabs and "\t" in text else _detect_delimiter(text)
    skipped = int(separator_line is not None)
    rows = (
        CsvRow(row.line + skipped, [" ".join(cell.split()) for cell in row.cells], row.misquoted)
        for row in _parse_rows(text.split("\n"), delimiter)
    )
    return delimiter, [row for row in rows if any(row.cells)]


def _parse_rows(lines: list[str], delimiter: str) -> Iterator[CsvRow]:
    """Parse strictly; read a misquoted line again with literal quotes."""
    at = unclosed = wrong = 0
    while at < len(lines) and unclosed <= _MOST_OPEN and wrong <= _MOST_WRONG:
        rest = (f"{lines[number]}\n" for number in range(at, len(lines)))
        reader = csv.reader(rest, delimiter=delimiter, strict=True)
        begin = at
        try:
            for cells in reader:
                yield CsvRow(begin + 1, cells)
                begin = at + reader.line_num
            return
        except csv.Error:
            unclosed += at + reader.line_num >= len(lines)
            wrong += 1
        yield CsvRow(begin + 1, _parse_literally(lines[begin], delimiter), misquoted=True)
        at = begin + 1
    for number in range(at, len(lines)):
        yield CsvRow(number + 1, _parse_literally(lines[number], delimiter), misquoted='"' in lines[number])


def _parse_literally(line: str, delimiter: str) -> list[str]:
    """Split a line at its delimiters; honour quotes if they are correct."""
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return line.split(delimiter)


def _detect_delimiter(text: str) -> str:
    """Detect the delimiter by the uniformity, then the number of cells.

    If both are equal, a comma within numbers (`1,5`) is not a delimiter.
    """
    beginning = text.split("\n", 4 * _SNIFFED_ROWS)[: 4 * _SNIFFED_ROWS]
    best, best_score = "", (0.0, 1, 0)
    for delimiter in _DELIMITERS:
        rows = itertools.islice(_parse_rows(beginning, delimiter), _SNIFFED_ROWS)
        widths = Counter(len(row.cells) for row in rows if row.cells)
        wide = [(count, width) for width, count in widths.items() if width > 1]
        if wide:
            count, width = max(wide)
            pattern = re.escape(delimiter)
            separating = sum(len(re.findall(rf"(?<!\d){pattern}|{pattern}(?!\d)", line)) for line in beginning)
            score = count / widths.total(), width, separating
            best, best_score = (delimiter, score) if score > best_score else (best, best_score)
    return best or max(_DELIMITERS, key=text.lstrip("\n").partition("\n")[0].count)

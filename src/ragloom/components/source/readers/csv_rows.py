"""The rows of a CSV file: its delimiter, and rows that are read one by one, so that a wrong one spoils no other."""

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
"""Excel's line that names the delimiter."""
_MOST_OPEN, _MOST_WRONG = 20, 1_000
"""Quotes without an end (each makes the rest of the file be read once more), and wrong ones: then lines are rows."""
# The limit is the process's own and guards nothing here: files are bounded by max_file_mb.
csv.field_size_limit(2**31 - 1)


class CsvRow(NamedTuple):
    """A row with its line in the file, from 1, and whether its quotes are wrong."""

    line: int
    cells: list[str]
    misquoted: bool = False


def read_rows(text: str, *, tabs: bool) -> tuple[str, list[CsvRow]]:
    """Read all rows that are not blank.

    Args:
        tabs: whether the file's name says that tabs separate cells.

    Returns:
        The delimiter and the rows; blanks within a cell are single.
    """
    named = _SEP.match(text)
    if named:
        text = text[named.end() :]
        delimiter = named.group(1).replace("\\t", "\t")
    else:
        delimiter = "\t" if tabs and "\t" in text else _detect_delimiter(text)
    skipped = int(named is not None)
    rows = (
        CsvRow(row.line + skipped, [" ".join(cell.split()) for cell in row.cells], row.misquoted)
        for row in _parse_rows(text.split("\n"), delimiter)
    )
    return delimiter, [row for row in rows if any(row.cells)]


def _parse_rows(lines: list[str], delimiter: str) -> Iterator[CsvRow]:
    """Read strictly; a line whose quotes are wrong is read again by itself, its quotes as ordinary characters."""
    at = unclosed = wrong = 0
    while at < len(lines) and unclosed <= _MOST_OPEN and wrong <= _MOST_WRONG:
        reader = csv.reader(_lines_from(lines, at), delimiter=delimiter, strict=True)
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


def _lines_from(lines: list[str], at: int) -> Iterator[str]:
    return (f"{lines[number]}\n" for number in range(at, len(lines)))


def _parse_literally(line: str, delimiter: str) -> list[str]:
    """Cut a line at its delimiters; a cell that is quoted correctly is one all the same."""
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return line.split(delimiter)


def _detect_delimiter(text: str) -> str:
    """Choose the delimiter by which most of the first rows have equally many cells, and then most cells.

    Where both are equal, a comma within numbers (`1,5`) is no delimiter.
    """
    beginning = text.split("\n", 4 * _SNIFFED_ROWS)[: 4 * _SNIFFED_ROWS]
    best, best_score = "", (0.0, 1, 0)
    for delimiter in _DELIMITERS:
        widths = Counter[int]()
        for row in itertools.islice(_parse_rows(beginning, delimiter), _SNIFFED_ROWS):
            if row.cells:
                widths[len(row.cells)] += 1
        wide = [(count, width) for width, count in widths.items() if width > 1]
        if wide:
            count, width = max(wide)
            inside = re.escape(delimiter)
            apart = sum(len(re.findall(rf"(?<!\d){inside}|{inside}(?!\d)", line)) for line in beginning)
            score = count / widths.total(), width, apart
            best, best_score = (delimiter, score) if score > best_score else (best, best_score)
    return best or _most_frequent(text)


def _most_frequent(text: str) -> str:
    header = text.lstrip("\n").partition("\n")[0]
    return max(_DELIMITERS, key=header.count)

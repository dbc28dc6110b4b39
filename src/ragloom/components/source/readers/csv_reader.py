"""Reader of CSV files: a line per value, with its column name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ragloom.components.source.readers import text_reader
from ragloom.components.source.readers.csv_rows import CsvRow, read_rows
from ragloom.components.source.readers.text_limit import GrowthLimit

_NUMBER = re.compile(r"[-+\d][\d.,:/ %-]*")


def read(content: bytes, metadata: dict[str, Any], warnings: list[str]) -> str:
    """Read a CSV file; see `csv_text`."""
    return csv_text(text_reader.read(content, metadata, warnings), warnings)


def csv_text(text: str, warnings: list[str], *, tabs: bool = False) -> str:
    """Render rows as paragraphs of `header: value` lines.

    Blank cells are left out.

    Lines above the header and below the table stay as they are, as do rows with more cells than the table: the columns
    of their values are unknown.

    Args:
        warnings: gets a sentence for each kind of line outside the table.
        tabs: whether the file's name says that tabs separate cells.

    Raises:
        CannotRead: the names would make the text too long.
    """
    delimiter, rows = read_rows(text, tabs=tabs)
    title, rows = _split_title(rows)
    rows, footer = _split_footer(rows)
    glue = {"\t": " ", "|": " | "}.get(delimiter, f"{delimiter} ")
    room = GrowthLimit(text, "its column names, repeated in each row,")
    table = list(_render_table(rows, glue, room, warnings))
    for kind, outside in (("above", title), ("below", footer)):
        if outside:
            warnings.append(f"{_line_range(outside)} {kind} the table, kept as text")
    _warn(warnings, [row for row in rows if row.misquoted], "quotes are wrong in {}, kept as ordinary characters")
    return "\n\n".join([*(_row_text(row, glue) for row in title), *table, *(_row_text(row, glue) for row in footer)])


def _render_table(rows: list[CsvRow], glue: str, room: GrowthLimit, warnings: list[str]) -> Iterator[str]:
    """Render the rows below the header, or the header alone."""
    if not rows:
        return
    cells = rows[0].cells
    name_count, width = len(cells), max(len(cells), _usual_width(rows[1:]))
    header = [cell or f"column {n}" for n, cell in enumerate(cells + [""] * (width - name_count), start=1)]
    if width > name_count:
        counts = f"its header has {name_count} names, most rows {width} cells"
        warnings.append(f"{counts}: the last columns are named by number")
    if len(rows) == 1:
        yield ", ".join(filter(None, cells))
    wider = []
    for row in rows[1:]:
        cells = row.cells
        while len(cells) > width and not cells[-1]:
            cells.pop()
        if len(cells) > width:
            wider.append(row)
            yield _row_text(row, glue)
            continue
        room.take(sum(len(name) + len(cell) + 3 for name, cell in zip(header, cells, strict=False) if cell))
        yield "\n".join(f"{name}: {cell}" for name, cell in zip(header, cells, strict=False) if cell)
    counts = f"{len(wider[0].cells)} cells, its header {name_count}" if wider else ""
    _warn(warnings, wider, "{} " + f"has more cells than the table ({counts}): kept as text, without column names")


def _split_title(rows: list[CsvRow]) -> tuple[list[CsvRow], list[CsvRow]]:
    """Split off title lines above the header, by their few cells."""
    usual = _usual_cell_count(rows)
    for at, row in enumerate(rows):
        filled = sum(map(bool, row.cells))
        if 2 * filled > usual or (filled and len(row.cells) > 1 and not _is_header(rows[at + 1 : at + 2])):
            return rows[:at], rows[at:]
    return [], rows


def _is_header(rows: list[CsvRow]) -> bool:
    """Return whether the row looks like a header: names, no number."""
    return any(sum(map(bool, row.cells)) > 1 and not any(map(_NUMBER.fullmatch, row.cells)) for row in rows)


def _split_footer(rows: list[CsvRow]) -> tuple[list[CsvRow], list[CsvRow]]:
    """Split off notes below the last full row, by their single cell."""
    usual, end = _usual_cell_count(rows), len(rows)
    while end > 1 and usual > 1 and _is_note(rows[end - 1], usual):
        end -= 1
    return (rows[:end], rows[end:]) if end > 1 else (rows, [])


def _is_note(row: CsvRow, usual: int) -> bool:
    return bool(row.cells[0]) and not any(row.cells[1:]) and (len(row.cells) == 1 or usual > 2)


def _usual_cell_count(rows: list[CsvRow]) -> int:
    """Return the usual number of filled cells."""
    counts = Counter(sum(map(bool, row.cells)) for row in rows)
    return max(counts, key=lambda filled: (counts[filled], filled), default=0)


def _usual_width(rows: list[CsvRow]) -> int:
    """Return the width of most rows without trailing blanks; 0 without majority."""
    counts = Counter(max((n for n, cell in enumerate(row.cells, start=1) if cell), default=0) for row in rows)
    width, count = counts.most_common(1)[0] if counts else (0, 0)
    return width if 2 * count > len(rows) > 1 else 0


def _row_text(row: CsvRow, glue: str) -> str:
    return glue.join(row.cells).strip(f" {glue}")


def _line_range(rows: list[CsvRow]) -> str:
    return f"line {rows[0].line:,} is" if len(rows) == 1 else f"{len(rows)} lines from line {rows[0].line:,} on are"


def _warn(warnings: list[str], rows: list[CsvRow], sentence: str) -> None:
    if rows:
        more = f" (and {len(rows) - 1:,} more)" if len(rows) > 1 else ""
        warnings.append(sentence.format(f"line {rows[0].line:,}{more}"))

"""Writer of Markdown text from the events of a document walk.

Tables become `| a | b |` rows with a separator line below the first; tables of one row or one column become
paragraphs. Text that looks like a heading, fence or table row by accident is escaped.
"""

from __future__ import annotations

import re
from bisect import bisect_left

_MAX_SPANNED = 100_000
"""Cells added by spans to one table: `rowspan` times `colspan` is unbounded in a small file."""
_MAX_INDENT = 20
"""Indented levels of lists: each level adds blanks to each item, unbounded in a small file."""
_REPEATED = 200
"""Characters up to which a cell spanning rows is repeated in each row."""
_ACCIDENTAL = re.compile(r"^(?=#{1,6}(?:\s|$)|```|~~~|\|)")
_BLANKS = re.compile(r"[ \t\n\r\f\v\u00a0]+")
_WORDLESS = "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1a20-\u1aaf\uaa60-\uaa7f"
"""Scripts without blanks between words (Thai, Lao, Tibetan, Burmese, Khmer): U+200B is their word border."""
_WIDTHLESS = re.compile(
    f"[\u00ad\u2060\ufeff]|(?<![{_WORDLESS}])\u200b|\u200b(?![{_WORDLESS}])|(?<=[!-~])[\u200c-\u200f]+(?=[!-~])"
)
"""Zero-width signs for line breaks and joining: they would split an identifier."""


class MarkdownTable:
    """Cells of a table under construction."""

    def __init__(self) -> None:
        self.rows: list[list[str]] = []
        self._down: dict[int, tuple[int, str]] = {}
        self._budget = _MAX_SPANNED

    def start_row(self) -> None:
        """Open a row."""
        self._fill()
        self.rows.append([])

    def add(self, text: str, columns: int = 1, rows: int = 1, *, continued: bool = False) -> None:
        """Add a cell with its spans.

        A column span leaves its further cells blank; a row span repeats a short text below.

        Args:
            continued: the cell continues the one above it (row span in DOCX).
        """
        if not self.rows:
            self.rows.append([])
        self._fill_next()
        row = self.rows[-1]
        if continued and not text and len(self.rows) > 1 and len(row) < len(self.rows[-2]):
            above = self.rows[-2][len(row)]
            text = above if len(above) <= _REPEATED else ""
        columns = max(1, min(columns, self._budget, 1000))
        self._budget -= columns - 1
        for number in range(columns):
            cell = text if number == 0 else ""
            if rows > 1:
                self._down[len(row)] = (rows - 1, cell if len(cell) <= _REPEATED else "")
            row.append(cell)

    def _fill_next(self) -> None:
        """Insert row spans from above at the current column."""
        row = self.rows[-1]
        if self._budget <= 0:
            self._down.clear()
        while len(row) in self._down:
            self._budget -= 1
            left, text = self._down.pop(len(row))
            if left > 1:
                self._down[len(row)] = (left - 1, text)
            row.append(text)

    def _fill(self) -> None:
        """End a row: continue row spans to its right."""
        if not self.rows:
            return
        row = self.rows[-1]
        for column in sorted(column for column in self._down if column >= len(row)):
            while len(row) < column and self._budget > 0:
                row.append("")
                self._budget -= 1
            self._fill_next()

    def text(self) -> str:
        """Render the rows without blank rows and columns."""
        self._fill()
        used = sorted({column for row in self.rows for column, cell in enumerate(row) if cell})
        # Short rows stay short: padding to the longest row is unbounded in a small file.
        rows = [[row[column] for column in used[: bisect_left(used, len(row))]] for row in self.rows if any(row)]
        if not rows:
            return ""
        if len(rows) == 1 or len(used) == 1:
            return "\n".join(" ".join(filter(None, row)) for row in rows)
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
        return "\n".join([lines[0], "| " + " | ".join(["---"] * len(used)) + " |", *lines[1:]])


class MarkdownWriter:
    """Writer of blocks, lists, tables, code and headings from inline text."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, str]] = []  # line ends before it, text
        self._inline: list[str] = []
        self._blocks = 0  # ended so far
        self._heading = 0
        self._code = 0
        self._list_depth = 0
        self._markers: list[str] = []
        self._table: MarkdownTable | None = None
        self._cell: list[str] | None = None
        self._spans = (1, 1)
        self._continued = False
        self._close = False

    def add(self, text: str) -> None:
        """Add inline text."""
        text = _WIDTHLESS.sub("", text)
        self._inline.append(text.replace("\u00a0", " ") if self._code else _BLANKS.sub(" ", text))

    def last_character(self) -> str:
        """Return the last character of the current block, or empty text."""
        return next((part[-1] for part in reversed(self._inline) if part), "")

    def mark(self) -> tuple[int, int]:
        """Mark a place in the inline text, for `take`."""
        return self._blocks, len(self._inline)

    def take(self, mark: tuple[int, int]) -> str | None:
        """Remove and return inline text after a mark; None across blocks."""
        blocks, at = mark
        if blocks != self._blocks:
            return None
        text = "".join(self._inline[at:])
        del self._inline[at:]
        return text

    def code_line(self) -> None:
        """Begin a new line within code."""
        if self.last_character() not in ("", "\n"):
            self._inline.append("\n")

    def insert(self, text: str) -> None:
        """Add rendered blocks."""
        self.end_block()
        if self._cell is not None:
            self._cell.append(" ".join(text.split()))
        else:
            self._parts += [(2, text), (2, "")]

    def line_break(self) -> None:
        """Break the line within a block."""
        self._inline.append("\n")

    def end_block(self, *, close: bool = False) -> None:
        """End the current block; `close` keeps the next one adjacent."""
        text = "".join(self._inline)
        self._inline.clear()
        self._blocks += 1
        if self._code:
            text = text.strip("\n")
        else:
            text = "\n".join(filter(None, (" ".join(line.split()) for line in text.split("\n"))))
        if text:
            self._emit(text, 1 if self._close else 2)
            self._close = False
        self._close = self._close or close

    def _emit(self, text: str, gap: int) -> None:
        if self._cell is not None:
            if self._markers and self._cell:
                self._cell[-1] += ";"  # the items of a list, on one line
            number = "".join(marker for marker in self._markers if marker != "- ")
            self._markers = ["- "] if number else self._markers
            self._cell.append(number + " ".join(text.split()))
        elif self._heading:
            self._parts.append((2, f"{'#' * self._heading} {' '.join(text.split())}"))
        elif self._code:
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
            self._parts.append((2, f"{fence}\n{text}\n{fence}"))
        else:
            text = "\n".join(_ACCIDENTAL.sub(r"\\", line) for line in text.split("\n"))
            if self._list_depth:
                indent = "  " * min(self._list_depth - 1, _MAX_INDENT)
                opens = bool(self._markers)
                marker = self._markers.pop() if opens else "  "
                text, gap = f"{indent}{marker}" + text.replace("\n", f"\n{indent}  "), 1
            self._parts.append((gap, text))

    def start_heading(self, level: int) -> None:
        """Open a heading of level 1 to 6; 0 means ordinary text."""
        if level:
            self.end_block()
        self._heading = level

    def end_heading(self) -> None:
        """Close a heading."""
        self.end_block()
        self._heading = 0

    def start_list(self) -> None:
        """Open a list."""
        self.end_block()
        if not self._list_depth:
            self._parts.append((2, ""))
        self._list_depth += 1

    def end_list(self) -> None:
        """Close a list."""
        self.end_block()
        self._list_depth = max(0, self._list_depth - 1)
        if not self._list_depth:
            self._markers.clear()
            self._parts.append((2, ""))

    def start_item(self, marker: str) -> None:
        """Open an item of the innermost list, with its number or bullet."""
        self.end_block()
        self._list_depth = max(1, self._list_depth)  # an item outside any list
        self._markers = [marker]

    def end_item(self) -> None:
        """Close an item."""
        self.end_block()
        self._markers.clear()

    def start_code(self) -> None:
        """Open a code block; blanks and lines are kept."""
        self.end_block()
        self._code += 1

    def end_code(self) -> None:
        """Close a code block."""
        self.end_block()
        self._code = max(0, self._code - 1)

    def start_table(self) -> None:
        """Open a table."""
        self.end_block()
        self._table = MarkdownTable()

    def start_row(self) -> None:
        """Open a row of the open table."""
        self.end_cell()
        if self._table is not None:
            self._table.start_row()

    def start_cell(self, columns: int = 1, rows: int = 1, *, continued: bool = False) -> None:
        """Open a cell and end the previous one; a block outside tables."""
        self.end_cell()
        if self._table is not None:
            self._cell, self._spans, self._continued = [], (columns, rows), continued

    def end_cell(self) -> None:
        """Close a cell."""
        self.end_block()
        if self._table is not None and self._cell is not None:
            self._table.add(" ".join(self._cell), *self._spans, continued=self._continued)
        self._cell = None

    def end_table(self) -> None:
        """Close a table and renders it."""
        self.end_cell()
        if self._table is not None and (text := self._table.text()):
            self._parts.append((2, text))
        self._table = None

    def text(self) -> str:
        """End the document and returns its text."""
        self.end_block()
        chunks: list[str] = []
        pending = 0
        for gap, text in self._parts:
            pending = max(pending, gap)
            if text:
                chunks += ["\n" * (pending if chunks else 0), text]
                pending = 0
        return "".join(chunks)

"""Tables that fit the screen; columns are left out by rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ragloom.core.redaction import redact

if TYPE_CHECKING:
    from rich.console import Console

    from ragloom.core.records import DocumentWarning, Skipped, Unreadable

_BETWEEN = 2  # blanks between columns
_SHORTEST = 8  # cells that a shortened text column keeps at least
MOST_LISTED = 20
"""Problems of one kind that are printed; the rest is counted."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        cells: a text each row.
        number: whether it is aligned to the right and never shortened.
        whole: whether a text is never shortened.
        rank: 0 = always shown; otherwise columns of the highest rank are left out first.
    """

    name: str
    cells: list[str]
    number: bool = False
    rank: int = 0
    whole: bool = False

    @property
    def width(self) -> int:
        """Terminal cells that the widest row takes."""
        from rich.cells import cell_len

        return max(map(cell_len, [self.name, *self.cells]))


def fit_columns(columns: Sequence[Column], width: int) -> tuple[list[Column], list[str]]:
    """Choose the columns for a width, and shorten the widest texts.

    Returns:
        the columns, and the names of those left out.
    """
    shown = list(columns)
    while _total(shown) > width and (optional := [column for column in shown if column.rank]):
        last = max(optional, key=lambda column: (column.rank, shown.index(column)))
        shown.remove(last)
    chosen = {id(column) for column in shown}
    left_out = [column.name for column in columns if id(column) not in chosen]
    while (over := _total(shown) - width) > 0:
        texts = [column for column in shown if not (column.number or column.whole) and column.width > _SHORTEST]
        if not texts:
            break
        widest = max(texts, key=lambda column: column.width)
        limit = max(_SHORTEST, widest.width - over)
        cells = [_shortened(cell, limit) for cell in widest.cells]
        shown[shown.index(widest)] = replace(widest, name=_shortened(widest.name, limit), cells=cells)
    return shown, left_out


def print_columns(screen: Console, columns: Sequence[Column], elsewhere: str = "") -> None:
    """Print a table within the screen's width.

    A last line names the columns left out, and where they are.
    """
    from rich.markup import escape
    from rich.table import Table

    shown, left_out = fit_columns(columns, screen.width)
    table = Table(box=None, padding=(0, _BETWEEN, 0, 0), pad_edge=False, header_style="bold")
    for column in shown:
        table.add_column(escape(column.name), justify="right" if column.number else "left", no_wrap=True)
    for row in zip(*(column.cells for column in shown), strict=True):
        table.add_row(*map(escape, row))
    screen.print(table, soft_wrap=False)
    if left_out:
        screen.print(f"not shown in {screen.width} columns: {', '.join(left_out)}{elsewhere}", markup=False)


def print_rows(screen: Console, rows: Mapping[str, str], *, soft_wrap: bool = False) -> None:
    """Print names and texts, which may have markup, one row each."""
    from rich.table import Table

    table = Table.grid(padding=(0, _BETWEEN))
    for name, text in rows.items():
        table.add_row(f"[bold]{name}[/]", text)
    screen.print(table, soft_wrap=soft_wrap)


def print_problems(
    screen: Console,
    title: str,
    items: Sequence[Unreadable | Skipped | DocumentWarning],
    count: int,
    elsewhere: str = "",
) -> None:
    """Print the first problems of documents, and count the rest.

    Args:
        count: of all, also of those that `items` leaves out.
        elsewhere: where more of them are listed.
    """
    from rich.markup import escape

    for item in items[:MOST_LISTED]:
        screen.print(f"[yellow]{title}:[/] {escape(redact(f'{item.location}: {item.reason}'))}")
    if count > MOST_LISTED:
        screen.print(f"... and {count - MOST_LISTED} more{elsewhere}")


def _total(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + _BETWEEN * len(columns)


def _shortened(text: str, limit: int) -> str:
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= limit else f"{set_cell_size(text, limit - 1).rstrip()}…"

"""Sections as Markdown and on a terminal. Knows sections, nothing of what they say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ragloom.comparison.report import Section

if TYPE_CHECKING:
    from rich.console import Console

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")


def markdown(sections: Iterable[Section]) -> str:
    """Writes sections as Markdown; whatever a question or a chunk holds stays text."""
    parts = []
    for section in sections:
        if section.title:
            parts.append(f"## {_escaped(section.title)}")
        parts += [_escaped(line) for line in section.lines]
        if section.head:
            marks = ["---:" if at in section.numbers else "---" for at in range(len(section.head))]
            rows = [_row(map(_escaped, section.head)), _row(marks)]
            rows += [_row(map(_escaped, row)) for row in section.rows]
            parts.append("\n".join(rows))
    return "\n\n".join(parts) + "\n"


def show(screen: Console, sections: Iterable[Section]) -> None:
    """Prints sections on a terminal."""
    from rich.markup import escape
    from rich.table import Table

    for section in sections:
        if section.title:
            screen.print(f"\n[bold]{escape(section.title)}[/]", soft_wrap=True)
        for line in section.lines:
            screen.print(escape(line), soft_wrap=True)
        if section.head:
            table = Table(box=None, header_style="bold", pad_edge=False)
            for at, name in enumerate(section.head):
                right = at in section.numbers
                table.add_column(
                    escape(name), overflow="fold", justify="right" if right else "left", no_wrap=right and len(name) < 9
                )
            for row in section.rows:
                table.add_row(*map(escape, row))
            screen.print(table)


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"

"""Sections of a report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ragloom.comparison.report import Section

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")


def markdown(sections: Iterable[Section]) -> str:
    """Render sections as Markdown; text of questions and chunks is escaped."""
    parts = []
    for section in sections:
        if section.title:
            parts.append(f"## {_escaped(section.title)}")
        parts += [_escaped(line) for line in section.lines]
        if section.head:
            marks = ["---:" if at in section.numbers else "---" for at in range(len(section.head))]
            rows = [map(_escaped, section.head), marks, *(map(_escaped, row) for row in section.rows)]
            parts.append("\n".join(map(_row, rows)))
    return "\n\n".join(parts) + "\n"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"

"""Text and values of charts and SmartArt diagrams in a Word document."""

from __future__ import annotations

import re
from typing import Any

from ragloom.components.source.base import CannotRead
from ragloom.components.source.readers.docx_xml import attribute, child, local_name
from ragloom.components.source.readers.markdown_writer import MarkdownWriter

_MAX_CELLS = 100_000
"""Series times categories: a small file can have a huge product."""
_CATEGORIES, _VALUES = ("cat", "xVal"), ("val", "yVal", "bubbleSize")


def chart_text(root: Any) -> str:
    """Render a chart as a title and a table of series.

    Raises:
        CannotRead: the table would be too large.
    """
    series = list(root.iter("{*}ser"))
    names = [" ".join(_points(child(element, "tx")).values()) for element in series]
    values = [_first_points(element, _VALUES) for element in series]
    categories = {at: text for each in reversed(series) for at, text in _first_points(each, _CATEGORIES).items()}
    out = MarkdownWriter()
    out.add(_text(root.find("{*}chart/{*}title")))
    out.start_table()
    rows = [["", *names]]
    places = {*categories, *(at for column in values for at in column)}
    if (cells := len(places) * len(series)) > _MAX_CELLS:
        raise CannotRead(f"it has {cells:,} cells; the limit is {_MAX_CELLS:,}")
    rows += ([categories.get(at, str(at + 1)), *(column.get(at, "") for column in values)] for at in sorted(places))
    for row in rows:
        out.start_row()
        for cell in row:
            out.start_cell()
            out.add(cell)
    out.end_table()
    return out.text()


def diagram_text(root: Any) -> str:
    """Render a diagram: the text of each shape on a line."""
    texts = (_text(child(point, "t")) for point in root.iter("{*}pt"))
    return "\n".join(text for text in texts if text)


def _first_points(series: Any, names: tuple[str, ...]) -> dict[int, str]:
    return next((points for name in names if (points := _points(child(series, name)))), {})


def _points(element: Any | None) -> dict[int, str]:
    """Read values by place, after the categories of further levels."""
    points: dict[int, str] = {}
    if element is None:
        return points
    for point in element.iter("{*}pt"):
        place, value = attribute(point, "idx") or "", child(point, "v")
        if place.isascii() and place.isdigit() and len(place) < 7 and value is not None:
            text = _round_as_office((value.text or "").strip())
            points[int(place)] = " ".join(filter(None, (text, points.get(int(place)))))
    if not points and (value := child(element, "v")) is not None:
        points[0] = value.text or ""
    return points


def _round_as_office(value: str) -> str:
    """Round a number to the 15 digits shown by Office."""
    return f"{float(value):.15g}" if re.fullmatch(r"-?\d+\.\d{14,}", value, re.ASCII) else value


def _text(element: Any | None) -> str:
    """Join the texts of an element, paragraphs by blanks."""
    if element is None:
        return ""
    parts = (" " if local_name(part) == "p" else part.text or "" for part in element.iter("{*}p", "{*}t"))
    return " ".join("".join(parts).split())

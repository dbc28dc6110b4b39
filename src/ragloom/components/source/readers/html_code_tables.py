"""Code listings in tables with line numbers, by syntax highlighters.

Rouge, Hugo, Sphinx, Hexo and Pandoc put all numbers in one cell and the code in the next; GitHub, GitLab, Trac and
highlight.js have a row for each line.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

_GUTTER = re.compile(
    r"(?:^|[\s_-])(?:gutter|line-?numbers?|lines?-num|linenos?|linenodiv|lineno|linenr|blob-num|hljs-ln-n|lnt|rouge-gutter)"
    r"(?=$|[\s_-])",
    re.IGNORECASE,
)
_GUTTER_IN_CODE = re.compile(r"(?:^|\s)(?:ln|normal|special)(?=$|\s)")
_CODE = re.compile(r"(?:^|[\s_-])(?:code|blob|hljs|highlight|source|sourcecode|lines)(?=$|[\s_-])", re.IGNORECASE)
_BREAKS = frozenset(["br", "div", "li", "p", "tr", "pre"])
_CELLS = ("td", "th")
_MAX_TEXT = 200_000
"""Characters of a cell searched for line numbers."""


def is_line_number(element: Any, *, in_code: bool) -> bool:
    """Return whether class and text mark an element as line numbers."""
    name = element.attributes.get("class") or ""
    if not name or not (_GUTTER.search(name) or (in_code and _GUTTER_IN_CODE.search(name))):
        return False
    text = element.text()
    return len(text) < _MAX_TEXT and all(part.isdecimal() for part in text.split())


def code_listing_cells(table: Any) -> tuple[set[int], set[int]]:
    """Find the code of a table.

    Returns:
        The `mem_id` of every cell with line numbers, and of code elements other than `<pre>`; both empty for a table
        without code.
    """
    rows = list(_rows(table))
    pairs = [pair for cells in rows for pair in itertools.pairwise(cells) if _numbers_of(*pair)]
    if pairs and not (len(rows) > 1 and all(len(_lines(code)) == 1 for _, code in pairs)):
        bare = {code.mem_id for _, code in pairs if code.css_first("pre") is None}
        return {gutter.mem_id for gutter, _ in pairs}, bare
    gutters = _line_rows(table, rows)
    return gutters, {table.mem_id} if gutters else set()


def _rows(table: Any) -> Iterator[list[Any]]:
    for row in table.css("tr"):
        yield [child for child in row.iter() if child.tag in _CELLS]


def _numbers_of(gutter: Any, code: Any) -> bool:
    """Return whether one cell numbers the lines of the next."""
    if gutter.css_first("pre,code,div,span,a") is None or code.css_first("pre,code") is None:
        return False
    numbers = [line for line in _lines(gutter) if line]
    if not _consecutive(numbers):
        return False
    lines = _lines(code)
    is_marked = bool(_GUTTER.search(_classes(gutter)))
    return abs(len(lines) - len(numbers)) <= 1 and (len(numbers) > 1 or is_marked)


def _line_rows(table: Any, rows: list[list[Any]]) -> set[int]:
    """Find the number cells of a listing with a row per line."""
    number_cells: set[int] = set()
    for at, cells in enumerate(filter(None, rows)):
        gutter, code = cells[0], cells[-1]
        number = gutter.text().strip()
        if at == 0 and len(rows) > 1 and all(cell.tag == "th" for cell in cells) and not number.isdecimal():
            number_cells.update(cell.mem_id for cell in cells)  # the header of Trac's listings
            continue
        if len(cells) < 2 or not _is_gutter(gutter) or (number and not number.isdecimal()):
            return set()
        if not _CODE.search(f"{_classes(code)} {_classes(table)}") and code.css_first("pre,code") is None:
            return set()
        number_cells.update(cell.mem_id for cell in cells[:-1])
    return number_cells


def _is_gutter(cell: Any) -> bool:
    """Return whether a cell is marked as one for line numbers."""
    attributes = cell.attributes
    numbered = "data-line-number" in attributes or re.fullmatch(r"[Ll]-?\d+", attributes.get("id") or "")
    return bool(numbered or _GUTTER.search(_classes(cell)))


def _classes(element: Any) -> str:
    """Join the classes of an element and its first inner one."""
    elements = itertools.islice(element.css("[class]"), 2)
    return " ".join(inner.attributes.get("class") or "" for inner in elements)


def _consecutive(numbers: list[str]) -> bool:
    if not numbers or not all(number.isdecimal() and len(number) < 8 for number in numbers):
        return False
    first = int(numbers[0])
    return all(int(number) == first + at for at, number in enumerate(numbers))


def _lines(element: Any) -> list[str]:
    """Read a cell's lines, without the blank ones at its ends."""
    parts: list[str] = []
    for node in element.traverse(include_text=True):
        if node.is_text_node:
            parts.append(node.text())
        elif node.tag in _BREAKS:
            parts.append("\n" if node.tag == "br" else "\r")
    text = re.sub(r"\n?\r+\n?", "\n", "".join(parts))[:_MAX_TEXT]
    return [line.strip() for line in text.strip().split("\n")]

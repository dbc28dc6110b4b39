"""HTML to the markdown-like text that is stored: headings `#`, lists, tables, code. Knows no other format.

It keeps what a browser shows and nothing else: no scripts, styles, hidden elements, link targets or alternative
texts. A walk over events, not a recursion, so that nesting costs nothing.
"""

from __future__ import annotations

import re
from typing import Any

from lxml import etree

from ragloom.source.base import CannotRead
from ragloom.source.rendering import Renderer

# fmt: off
_SKIPPED = frozenset([
    "script", "style", "head", "template", "noscript", "iframe", "object", "embed", "applet", "svg", "canvas", "audio",
    "video", "map", "datalist", "select", "textarea", "input", "annotation", "annotation-xml", "ix:header",
])
_BLOCKS = frozenset([
    "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "dialog", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html", "legend", "main", "nav",
    "p", "search", "section", "summary", "caption",
])
# fmt: on
_SPACED = frozenset(["button", "label", "output", "meter", "progress"])
"""Elements that a browser sets apart from the text around them, within the line."""
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_INVISIBLE = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)
_CHARSET = re.compile(
    rb"""<meta[^>]{0,500}?charset\s*=\s*["']?\s*([\w.:-]+)|<\?xml[^>]{0,200}?encoding=["']([\w.:-]+)""", re.I
)


def declared_encoding(content: bytes) -> str | None:
    """Reads the encoding that an HTML document names in its first 4,096 bytes; None where it names none."""
    found = _CHARSET.search(content[:4096])
    return next(name for name in found.groups() if name).decode("ascii") if found else None


def html_text(html: str) -> tuple[str, str | None]:
    """Renders an HTML document.

    Returns:
        The visible text as markdown, and the content of `<title>`.

    Raises:
        CannotRead: elements are nested so deeply that the parser drops some, or there is no element at all.
    """
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True)
    try:
        root = etree.fromstring(html.encode("utf-8"), parser)
    except etree.XMLSyntaxError:
        root = None
    if any(error.type == etree.ErrorTypes.ERR_NO_MEMORY for error in parser.error_log):
        raise MemoryError  # lxml 6.1 calls it an error of the document
    # libxml2 stops at 2,048 levels and returns what it has, as if that were all.
    if any("depth" in error.message for error in parser.error_log):
        raise CannotRead("its HTML is nested over 2,048 levels deep, more than the parser (libxml2) can read")
    if root is None:
        raise CannotRead("it is empty: it has no text")
    title = root.findtext(".//title")
    return _Walk(root).text(), " ".join(title.split()) if title and title.strip() else None


class _Walk:
    """One pass over a parsed document."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._out = Renderer()
        self._layout = _layout_tables(root)

    def text(self) -> str:
        out = self._out
        walk = etree.iterwalk(self._root, events=("start", "end", "comment", "pi"))
        for event, element in walk:
            if event == "start":
                if _hidden(element):
                    walk.skip_subtree()
                    continue
                self._start(element)
                if element.text:
                    out.add(element.text)
            else:
                if event == "end" and not _hidden(element):
                    self._end(element)
                if element.tail and element is not self._root:
                    out.add(element.tail)
        return out.text()

    def _start(self, element: Any) -> None:
        out, tag = self._out, element.tag
        if tag == "br":
            out.line_break()
        elif tag in _HEADINGS:
            out.start_heading(_HEADINGS[tag])
        elif tag in ("ul", "ol", "menu", "dir"):
            out.start_list(first=_number(element.get("start"), 1) if tag == "ol" else None)
        elif tag == "li":
            out.start_item(_number(element.get("value"), None))
        elif tag in ("pre", "listing", "xmp"):
            out.start_code()
        elif tag == "table":
            out.end_block()
            if element not in self._layout:
                out.start_table()
        elif tag == "tr":
            out.start_row()
        elif tag in ("td", "th"):
            out.start_cell(_number(element.get("colspan"), 1) or 1, _number(element.get("rowspan"), 1) or 1)
        elif tag in _BLOCKS:
            out.end_block(close=tag == "dd")
        elif tag in _SPACED:
            out.add(" ")

    def _end(self, element: Any) -> None:
        out, tag = self._out, element.tag
        if tag in _HEADINGS:
            out.end_heading()
        elif tag in ("ul", "ol", "menu", "dir"):
            out.end_list()
        elif tag == "li":
            out.end_item()
        elif tag in ("pre", "listing", "xmp"):
            out.end_code()
        elif tag == "table":
            out.end_block()
            if element not in self._layout:
                out.end_table()
        elif tag in ("td", "th"):
            out.end_cell()
        elif tag in _BLOCKS:
            out.end_block()
        elif tag in _SPACED:
            out.add(" ")


def _hidden(element: Any) -> bool:
    if element.tag in _SKIPPED or element.get("hidden") is not None:
        return True
    style = element.get("style")
    return bool(style and _INVISIBLE.search(style))


def _layout_tables(root: Any) -> set[Any]:
    """Finds tables that hold tables or headings: these arrange a page, and their cells are read as blocks."""
    layout: set[Any] = set()
    for inner in root.iter("table", *_HEADINGS):
        for outer in inner.iterancestors("table"):
            if outer in layout:
                break
            layout.add(outer)
    return layout


def _number(value: str | None, otherwise: int | None) -> int | None:
    digits = re.match(r"\s*(\d{1,5})", value or "")
    return int(digits.group(1)) if digits else otherwise

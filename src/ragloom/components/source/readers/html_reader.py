"""Reader of HTML files: visible text as Markdown.

Headings, lists, tables and code keep their structure. The page is parsed like in a browser (Lexbor, WHATWG HTML), and
only visible content is kept: no scripts, styles, hidden elements, link targets or alternative texts. The walk uses a
stack instead of recursion, so that nesting has no limit.
"""

from __future__ import annotations

import re
from typing import Any

from selectolax.lexbor import LexborDocumentOptions, LexborHTMLParser, SelectolaxError

from ragloom.components.source.base import CannotRead
from ragloom.components.source.readers import text_reader
from ragloom.components.source.readers.html_code_tables import code_listing_cells, is_line_number
from ragloom.components.source.readers.html_forms import input_text, visible_options
from ragloom.components.source.readers.html_inline import InlineWriter, tex_text
from ragloom.components.source.readers.html_list_numbers import OpenLists, int_attribute
from ragloom.components.source.readers.html_visibility import Slots, is_hidden
from ragloom.components.source.readers.markdown_writer import MarkdownWriter
from ragloom.components.source.readers.mathml import is_math, math_text
from ragloom.components.source.readers.xhtml_to_html import xhtml_to_html
from ragloom.core.text_normalization import normalize_text

# fmt: off
_BLOCKS = frozenset([
    "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "dialog", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html", "iframe", "legend", "main",
    "nav", "option", "p", "search", "section", "summary", "caption", "textarea",
])
# fmt: on
_SPACED = frozenset(["button", "label", "output", "meter", "progress", "text", "select", "input"])
"""Inline elements separated from the text around them by browsers; `text` is SVG's."""
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LISTS = frozenset(["ul", "ol", "menu", "dir"])
_CODE = frozenset(["pre", "listing", "xmp", "plaintext"])
_TABLES = frozenset(["table", "tbody", "thead", "tfoot", "tr", "colgroup"])
_KEPT_LINES = re.compile(r"(?:^|;)\s*white-space(?:-collapse)?\s*:\s*(?:pre|break-spaces)", re.IGNORECASE)
_MAX_FRAMES = 4
"""Levels of nested pages (`iframe srcdoc`) that are read."""
_CHARSET = re.compile(
    rb"""<meta[^>]{0,500}?charset\s*=\s*["']?\s*([\w.:-]+)|<\?xml[^>]{0,200}?encoding=["']([\w.:-]+)""", re.I
)


def read(content: bytes, metadata: dict[str, Any], warnings: list[str]) -> str:
    """Read an HTML file; its title becomes metadata.

    Raises:
        CannotRead: it is a frameset.
    """
    html = text_reader.read(content, metadata, warnings, declared_encoding(content))
    try:
        page = _parse(xhtml_to_html(html))
        titles = (title.text() for title in page.css("title") if title.parent is None or title.parent.tag != "svg")
        if title := " ".join(next(titles, "").split()):
            metadata["title"] = normalize_text(title)
        text = _HtmlWalk().text(page)
    except SelectolaxError as error:  # Lexbor parses any text; it fails only without memory
        raise MemoryError from error
    if not text and page.css_first("frameset") is not None:
        raise CannotRead("it has no text: it is a frameset of other files")
    return normalize_text(text)


def declared_encoding(content: bytes) -> str | None:
    """Return the encoding declared in the first 4,096 bytes, or None."""
    match = _CHARSET.search(content[:4096])
    return next(name for name in match.groups() if name).decode("ascii") if match else None


def _parse(html: str) -> LexborHTMLParser:
    return LexborHTMLParser(html, scripting=True, options=LexborDocumentOptions.WO_EVENTS)


def _holds_table(table: Any) -> bool:
    # A search begins with the element itself.
    return any(child.is_element_node and child.css_first("table") is not None for child in table.iter())


def _is_one_line(code: Any) -> bool:
    return "\n" not in code.text().strip() and len(code.css("br,div,p")) < 2


def _stands_between_blocks(blanks: Any) -> bool:
    """Return whether blanks only lay out the source.

    They stand between rows and cells, or between lines of code.
    """
    outer, neighbour = blanks.parent, blanks.next or blanks.prev
    if outer is None or outer.tag in _TABLES:
        return True
    return outer.tag in ("div", "td") and neighbour is not None and neighbour.tag == "div"


class _HtmlWalk:
    """One pass over a parsed document."""

    def __init__(self) -> None:
        self._out = MarkdownWriter()
        self._layout: set[int] = set()  # layout tables
        self._gutters: set[int] = set()  # cells with line numbers
        self._listings: set[int] = set()  # tables and cells that are code
        self._lists = OpenLists()
        self._scripts = InlineWriter(self._out)
        self._slots = Slots()
        self._code = 0
        self._kept_lines: list[int] = []  # open elements whose line ends are shown
        self._drawings: list[bool] = []  # open SVG elements: whether their text is shown
        self._frames = [0]
        self._pages: list[Any] = []  # a page's nodes live as long as it does

    def text(self, page: LexborHTMLParser) -> str:
        """Render the page with a stack of nodes.

        Each node is on it twice: to be opened and to be closed.
        """
        stack = [(node, False) for node in self._open_page(page)]
        while stack:
            node, closes = stack.pop()
            if closes:
                self._end(node)
            elif node.is_text_node:
                self._add(node)
            elif node.is_element_node and not self._is_hidden(node):
                children = self._start(node)
                stack.append((node, True))
                stack.extend((child, False) for child in reversed(children))
        return self._out.text()

    def _open_page(self, page: LexborHTMLParser) -> list[Any]:
        self._pages.append(page)
        root = page.root
        if root is None:
            return []
        self._survey(root)
        return [root]

    def _survey(self, root: Any) -> None:
        """Find layout tables and code listings; layout cells become blocks.

        A layout table contains tables, headings or code of several lines.
        """
        climbed: set[int] = set()
        for inner in root.css("table,h1,h2,h3,h4,h5,h6,pre"):
            outer, code = inner.parent, inner.tag == "pre"
            if code and (outer is None or outer.mem_id not in climbed) and _is_one_line(inner):
                continue
            if code:
                climbed.add(inner.mem_id)  # code within it adds no information
            while outer is not None and outer.mem_id not in climbed:
                climbed.add(outer.mem_id)
                if outer.tag == "table":
                    self._layout.add(outer.mem_id)
                outer = outer.parent
        for table in root.css("table"):
            if not _holds_table(table):
                gutters, listings = code_listing_cells(table)
                self._gutters |= gutters
                self._listings |= listings
                if gutters:
                    self._layout.add(table.mem_id)

    def _is_hidden(self, element: Any) -> bool:
        hidden = is_hidden(element) or element.mem_id in self._gutters
        return hidden or is_line_number(element, in_code=self._code > 0)

    def _add(self, node: Any) -> None:
        text = node.text()
        if (self._drawings and not self._drawings[-1]) or (text.isspace() and _stands_between_blocks(node)):
            return
        self._scripts.add(text, kept_lines=bool(self._kept_lines) and not self._code)

    def _start(self, element: Any) -> list[Any]:
        """Open an element and gives the nodes to be read inside it."""
        tag = element.tag.lower()
        if is_math(tag):
            self._add_formula(element)
            return []
        if tag == "select":
            self._scripts.add(f" {', '.join(visible_options(element))} ")
            return []
        if tag in ("img", "input"):
            text = input_text(element) if tag == "input" else tex_text(element.attributes.get("alt") or "")
            self._scripts.add(f" {text} ")
            return []
        if element.tag == "textarea" or _KEPT_LINES.search(element.attributes.get("style") or ""):
            self._kept_lines.append(element.mem_id)
        if tag == "svg" or self._drawings:
            self._drawings.append(tag in ("text", "foreignobject") or (tag != "svg" and self._drawings[-1]))
        if self._is_code(element, tag):
            self._start_code()
        elif self._code:
            self._start_in_code(tag)
        else:
            self._start_block(element, tag)
        return self._nodes_inside(element, tag)

    def _nodes_inside(self, element: Any, tag: str) -> list[Any]:
        if tag == "iframe":
            source = element.attributes.get("srcdoc")
            if not source or len(self._pages) > 100 or self._frames[-1] >= _MAX_FRAMES:
                self._frames.append(self._frames[-1])
                return []
            self._frames.append(self._frames[-1] + 1)
            return self._open_page(_parse(source))
        nodes, fragment = self._slots.visible_nodes(element)
        if fragment is not None:
            self._survey(fragment)
        return nodes

    def _start_block(self, element: Any, tag: str) -> None:
        out = self._out
        if tag == "br":
            out.line_break()
        elif tag in _HEADINGS:
            out.start_heading(_HEADINGS[tag])
        elif tag in _LISTS:
            self._lists.start(element)
            out.start_list()
        elif tag == "li":
            out.start_item(self._lists.marker(element))
        elif tag in _TABLES or tag in ("td", "th"):
            self._start_table(element, tag)
        elif tag in _BLOCKS:
            out.end_block(close=tag == "dd")
        elif tag in _SPACED:
            out.add(" ")
        else:
            self._scripts.start(element)

    def _start_table(self, element: Any, tag: str) -> None:
        out = self._out
        if tag == "table":
            out.end_block()
            if element.mem_id not in self._layout:
                out.start_table()
        elif tag == "tr":
            out.start_row()
        elif tag in ("td", "th"):
            spans = (int_attribute(element.attributes.get(name)) or 1 for name in ("colspan", "rowspan"))
            out.start_cell(*(max(1, span) for span in spans))

    def _start_code(self) -> None:
        if self._code:
            self._out.code_line()
        else:
            self._out.start_code()
        self._code += 1

    def _start_in_code(self, tag: str) -> None:
        if tag == "br":
            self._out.line_break()
        elif tag in _BLOCKS or tag in _LISTS or tag in _HEADINGS or tag in ("li", "tr", "table"):
            self._out.code_line()

    def _is_code(self, element: Any, tag: str) -> bool:
        doxygen = tag == "div" and element.attributes.get("class") == "fragment"
        return doxygen or tag in _CODE or element.mem_id in self._listings

    def _add_formula(self, element: Any) -> None:
        display = element.attributes.get("display") == "block" and not self._code
        if display:
            self._out.end_block()
        self._scripts.add_formula(math_text(element))
        if display:
            self._out.end_block()

    def _end(self, element: Any) -> None:
        tag = element.tag.lower()
        if is_math(tag) or tag in ("select", "img", "input"):
            return
        if self._kept_lines and self._kept_lines[-1] == element.mem_id:
            self._kept_lines.pop()
        if self._drawings:
            self._drawings.pop()
        if tag == "iframe":
            self._frames.pop()
        self._slots.end(element)
        if self._is_code(element, tag):
            self._end_code()
        elif self._code:
            self._start_in_code("" if tag == "br" else tag)
        else:
            self._end_block(element, tag)

    def _end_code(self) -> None:
        self._code -= 1
        if self._code:
            self._out.code_line()
        else:
            self._out.end_code()

    def _end_block(self, element: Any, tag: str) -> None:
        out = self._out
        if tag in _HEADINGS:
            out.end_heading()
        elif tag in _LISTS:
            self._lists.end()
            out.end_list()
        elif tag == "li":
            out.end_item()
        elif tag == "table":
            out.end_block()
            if element.mem_id not in self._layout:
                out.end_table()
        elif tag in ("td", "th"):
            out.end_cell()
        elif tag in _BLOCKS:
            out.end_block()
        elif tag in _SPACED:
            out.add(" ")
        else:
            self._scripts.end(element)

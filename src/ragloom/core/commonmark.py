"""Block structure of Markdown: headings, code, HTML (CommonMark 0.31).

Only what chunks need is kept: the lines of headings and fenced code, and the lines of code and HTML, in which marks
have no meaning. Block quotes and lists nest; a line costs at most `_MAX_DEPTH` steps.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ragloom.core.markdown_lines import (
    ATX,
    BLANK_LINE,
    FENCE,
    ITEM,
    RULE,
    TABLE_RULE,
    UNDERLINE,
    atx_title,
    fence_end,
    front_matter_length,
    html_end,
    title_lines,
)

LeafKind = Literal["heading", "code", "opaque"]

_MAX_DEPTH = 50
"""Levels of quotes and lists; deeper marks are text."""


@dataclass(frozen=True, slots=True)
class LeafBlock:
    """Lines `first` to `last` (inclusive) of one leaf block.

    Attributes:
        level, title: of a heading; its lines are joined.
    """

    kind: LeafKind
    first: int
    last: int
    level: int = 0
    title: str = ""


@dataclass(frozen=True, slots=True)
class MarkdownStructure:
    """Leaf blocks and block quotes of a document.

    Attributes:
        parts: the leaf blocks in order.
        quotes: first and last line of each outermost block quote.
    """

    parts: list[LeafBlock]
    quotes: list[tuple[int, int]]


@dataclass(slots=True)
class _Container:
    """A block quote (`width` 0), or a list item with its indent."""

    width: int
    first: int
    empty: bool = False  # an item whose first line is blank


@dataclass(slots=True)
class _OpenLeaf:
    """The open leaf block."""

    kind: Literal["paragraph", "table", "fence", "html", "indented"]
    first: int
    lines: list[str] = field(default_factory=list)
    end: re.Pattern[str] = BLANK_LINE  # of fenced code and HTML
    last: int = 0


def parse_structure(lines: Sequence[str]) -> MarkdownStructure:
    """Find the parts of a document.

    Args:
        lines: without their line ends.
    """
    parser = _MarkdownParser()
    start = front_matter_length(lines)
    if start:
        parser.parts.append(LeafBlock("opaque", 0, start - 1))
    for number in range(start, len(lines)):
        parser.read(number, lines[number].expandtabs(4) if "\t" in lines[number] else lines[number])
    parser.finish(len(lines))
    return MarkdownStructure(parser.parts, parser.quotes)


class _MarkdownParser:
    def __init__(self) -> None:
        self.parts: list[LeafBlock] = []
        self.quotes: list[tuple[int, int]] = []
        self._containers: list[_Container] = []
        self._leaf: _OpenLeaf | None = None
        self._opened = False  # whether this line has opened a container

    def read(self, number: int, line: str) -> None:
        """Take the next line."""
        at, matched = self._match(number, line)
        whole = matched == len(self._containers)
        if whole and self._leaf is not None and self._continues(self._leaf, number, line[at:]):
            return
        if line[at:].strip():
            self._start(number, line, at, matched)
        else:
            self._close(matched, number)

    def finish(self, number: int) -> None:
        """End the document."""
        self._close(0, number)

    def _match(self, number: int, line: str) -> tuple[int, int]:
        """Match open containers: return the column behind them and their number."""
        at = 0
        for matched, container in enumerate(self._containers):
            indent = _indent(line, at)
            blank = at + indent >= len(line)
            if not container.width:
                if indent > 3 or not line.startswith(">", at + indent):
                    return at, matched
                at += indent + 1
                at += line.startswith(" ", at)
            elif blank:
                if container.empty and number == container.first + 1:
                    return at, matched
            elif indent >= container.width:
                at += container.width
            else:
                return at, matched
        return at, len(self._containers)

    def _continues(self, leaf: _OpenLeaf, number: int, text: str) -> bool:
        """Continue an open code or HTML block with the line."""
        blank, indent = not text.strip(), _indent(text, 0)
        if leaf.kind == "fence":
            continues, ends = True, indent <= 3 and leaf.end.match(text.strip()) is not None
        elif leaf.kind == "html":
            ends = leaf.end.search(text) is not None
            continues = not (ends and blank)
        else:
            continues = leaf.kind == "indented" and (blank or indent > 3)
            ends = leaf.kind == "indented" and not continues
        if continues and not blank:
            leaf.last = number
        if ends:
            self._end_leaf()
        return continues

    def _close(self, matched: int, number: int) -> None:
        """Close the leaf block, and the containers from `matched` on."""
        self._end_leaf()
        outermost = next((at for at, container in enumerate(self._containers) if not container.width), None)
        if outermost is not None and outermost >= matched:
            self.quotes.append((self._containers[outermost].first, number - 1))
        del self._containers[matched:]

    def _end_leaf(self) -> None:
        leaf, self._leaf = self._leaf, None
        if leaf is not None and leaf.kind in ("fence", "html", "indented"):
            self.parts.append(LeafBlock("code" if leaf.kind == "fence" else "opaque", leaf.first, leaf.last))

    def _start(self, number: int, line: str, at: int, matched: int) -> None:
        """Open containers and a leaf block on a non-blank line."""
        self._opened = False
        while len(self._containers) < _MAX_DEPTH or matched < len(self._containers):
            indent = _indent(line, at)
            if indent > 3:
                break
            text = line[at + indent :]
            if text.startswith(">"):
                container = _Container(0, number)
                at += indent + 1
                at += line.startswith(" ", at)
            elif (item := self._item(text, matched)) is not None:
                marker = len(item[0])
                rest = line[at + indent + marker :]
                padding = len(rest) - len(rest.lstrip(" "))
                empty = not rest.strip()
                width = indent + marker + (1 if empty or padding > 4 else padding)
                container = _Container(width, number, empty)
                at = min(len(line), at + width)
            else:
                break
            self._close(matched, number)
            self._containers.append(container)
            self._opened = True
            matched = len(self._containers)
        self._start_leaf(number, line, at, matched)

    def _paragraph(self, matched: int) -> _OpenLeaf | None:
        """Return the paragraph continued by a line, if any."""
        if self._leaf is None or self._leaf.kind != "paragraph" or self._opened or matched < len(self._containers):
            return None
        return self._leaf

    def _item(self, text: str, matched: int) -> re.Match[str] | None:
        """Match a list marker; not a rule or paragraph text."""
        item = ITEM.match(text)
        if item is None or RULE.match(text):
            return None
        paragraph = self._paragraph(matched)
        if paragraph is None:
            return item
        if not text[item.end() :].strip() or (item[1] and int(item[1]) != 1):
            return None  # it does not interrupt a paragraph
        return item

    def _start_leaf(self, number: int, line: str, at: int, matched: int) -> None:
        indent = _indent(line, at)
        text = line[at + indent :].rstrip()
        if not text:
            return  # the line opens containers only
        if indent <= 3 and self._start_marked(number, text, matched):
            return
        leaf = self._leaf
        whole = matched == len(self._containers)
        if leaf is not None and not self._opened and (leaf.kind == "paragraph" or (leaf.kind == "table" and whole)):
            # also a lazy line, without the marks of its containers
            if "|" in text and "|" in leaf.lines[-1] and TABLE_RULE.match(text):
                leaf.kind = "table"
            leaf.lines.append(text)
            return
        self._close(matched, number)
        self._leaf = _OpenLeaf("indented" if indent > 3 else "paragraph", number, [text], last=number)

    def _start_marked(self, number: int, text: str, matched: int) -> bool:
        """Process headings, rules, and starts of fenced code or HTML."""
        if atx := ATX.match(text):
            self._close(matched, number)
            self.parts.append(LeafBlock("heading", number, number, len(atx[1]), atx_title(atx[2] or "")))
            return True
        paragraph = self._paragraph(matched)
        if paragraph and UNDERLINE.match(text) and (title := title_lines(paragraph.lines)):
            references = len(paragraph.lines) - len(title)
            level = 1 if text[0] == "=" else 2
            self.parts.append(LeafBlock("heading", paragraph.first + references, number, level, " ".join(title)))
            self._leaf = None
            return True
        if RULE.match(text):
            self._close(matched, number)
            return True
        if fence := FENCE.match(text):
            self._close(matched, number)
            self._leaf = _OpenLeaf("fence", number, end=fence_end(fence[1]), last=number)
            return True
        lazy = self._leaf is not None and self._leaf.kind == "paragraph" and not self._opened
        end = html_end(text, interrupts=lazy) if text.startswith("<") else None
        if end is None:
            return False
        self._close(matched, number)
        self._leaf = _OpenLeaf("html", number, end=end, last=number)
        if end.search(text):
            self._end_leaf()
        return True


def _indent(line: str, at: int) -> int:
    """Count the blanks at a column."""
    end = at
    while end < len(line) and line[end] == " ":
        end += 1
    return end - at

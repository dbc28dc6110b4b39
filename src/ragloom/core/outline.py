"""Structure of a document's text: pages, headings, blocks.

Structure follows from the text and its format, so it is never stored: pages are separated by `records.PAGE_BREAK`
(PDF); headings, tables and fenced code are Markdown (Markdown, HTML, DOCX); rows are lines (CSV, JSON); other text has
paragraphs separated by blank lines.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Literal

from ragloom.core.commonmark import LeafBlock, MarkdownStructure, parse_structure
from ragloom.core.markdown_lines import ATX, FENCE, TABLE_RULE, atx_title, fence_end
from ragloom.core.records import HEADING_FORMATS, HEADING_SEPARATOR, PAGE_BREAK

BlockKind = Literal["heading", "text", "table", "code"]

_LINE = re.compile(r"[^\n\f]*[\n\f]?")
_MAX_TITLE = 300
"""Characters of a title; each chunk below the heading repeats it, and embeds it."""
_ROW_FORMATS: dict[str, BlockKind] = {"csv": "table", "json": "code"}


@dataclass(frozen=True, slots=True)
class OutlineBlock:
    """A paragraph, heading, table or code block: `text[start:end]`.

    Without surrounding blank lines and trailing blanks.

    Attributes:
        level: 1 to 6 for headings, otherwise 0.
        title: text of a heading without marks, cut after 300 characters; otherwise empty.
    """

    kind: BlockKind
    start: int
    end: int
    level: int = 0
    title: str = ""


@dataclass(frozen=True, slots=True)
class _TextLine:
    start: int
    end: int  # without blanks
    text: str

    @property
    def blank(self) -> bool:
        return not self.text or self.text.isspace()


class Outline:
    """Pages, headings and blocks of one document.

    Args:
        text: the document's stored text.
        format: the value of its `records.FORMAT_KEY` metadata; None is plain text.
    """

    def __init__(self, text: str, format: str | None) -> None:
        self.text = text
        self.format = format

    def page_at(self, offset: int) -> int | None:
        """Return the page (from 1) of a character, or None.

        Only PDF has pages.
        """
        if self.format != "pdf":
            return None
        return bisect_right(self._page_breaks, offset - 1) + 1

    def heading_at(self, offset: int) -> str | None:
        """Return the heading path of a character as `A > B`.

        The outermost heading comes first.

        A heading line belongs to its own section. None before the first heading, or in a format without headings.
        """
        if self.format not in HEADING_FORMATS:
            return None
        starts, paths = self._sections
        index = bisect_right(starts, offset) - 1
        return paths[index] if index >= 0 else None

    def blocks(self) -> Iterator[OutlineBlock]:
        """Yield the blocks in order; every character outside them is blank."""
        if self.format in HEADING_FORMATS:
            return iter(self._marked_blocks)
        return self._plain_blocks(_ROW_FORMATS.get(self.format or "", "text"))

    @cached_property
    def _page_breaks(self) -> list[int]:
        return [match.start() for match in re.finditer(PAGE_BREAK, self.text)]

    @cached_property
    def _sections(self) -> tuple[list[int], list[str | None]]:
        starts: list[int] = []
        paths: list[str | None] = []
        trail: list[OutlineBlock] = []
        headings = [block for block in self._marked_blocks if block.kind == "heading" and block.title]
        for quote, quoted in groupby(headings, key=lambda block: self._scanner.quote_end(block.start)):
            outside, under = trail, 0 if quote is None else len(trail)
            for block in quoted:
                trail = trail[:under] + [open for open in trail[under:] if open.level < block.level] + [block]
                starts.append(block.start)
                paths.append(_path(trail))
            if quote is not None:  # its headings do not apply after it
                trail = outside
                starts.append(quote)
                paths.append(_path(trail))
        return starts, paths

    @cached_property
    def _scanner(self) -> _OutlineScanner:
        return _OutlineScanner(self.text, markdown=self.format == "markdown")

    @cached_property
    def _marked_blocks(self) -> list[OutlineBlock]:
        return list(self._scanner.blocks())

    def _plain_blocks(self, kind: BlockKind) -> Iterator[OutlineBlock]:
        text, start, end = self.text, -1, -1
        for line in _LINE.finditer(text):
            body = line.group()
            if body and not body.isspace():
                start = line.start() if start < 0 else start
                end = line.start() + len(body.rstrip())
                if body[-1] != PAGE_BREAK:
                    continue
            if start >= 0:
                yield OutlineBlock(kind, start, end)
            start = -1


def _path(headings: list[OutlineBlock]) -> str | None:
    return HEADING_SEPARATOR.join(heading.title for heading in headings) or None


def _lines(text: str) -> Iterator[_TextLine]:
    for match in _LINE.finditer(text):
        if line := match.group():
            body = line.rstrip("\r\n\f")
            yield _TextLine(match.start(), match.start() + len(body.rstrip()), body)


class _OutlineScanner:
    """Scanner of marked text: headings, fences, tables, paragraphs.

    Args:
        markdown: whether the marks follow CommonMark; otherwise those of `MarkdownWriter`, at the start of a line.
    """

    def __init__(self, text: str, *, markdown: bool) -> None:
        self._lines = list(_lines(text))
        lines = [line.text for line in self._lines]
        structure = parse_structure(lines) if markdown else MarkdownStructure(list(_written_parts(lines)), [])
        parts = structure.parts
        self._parts = {part.first: part for part in parts if part.kind != "opaque"}
        self._opaque = {n for part in parts if part.kind == "opaque" for n in range(part.first, part.last + 1)}
        self._quotes = [(self._lines[first].start, self._lines[last].end) for first, last in structure.quotes]

    def quote_end(self, offset: int) -> int | None:
        """Return the end of the outermost quote around a character, or None."""
        at = bisect_right(self._quotes, offset, key=lambda quote: quote[0]) - 1
        return self._quotes[at][1] if at >= 0 and offset < self._quotes[at][1] else None

    def blocks(self) -> Iterator[OutlineBlock]:
        lines, at = self._lines, 0
        while at < len(lines):
            if lines[at].blank:
                at += 1
                continue
            block, at = self._block(at)
            yield block

    def _block(self, at: int) -> tuple[OutlineBlock, int]:
        part = self._parts.get(at)
        if part is not None:
            kind: BlockKind = "heading" if part.kind == "heading" else "code"
            start, end = self._lines[at].start, self._lines[part.last].end
            return OutlineBlock(kind, start, end, part.level, _shorten(part.title)), part.last + 1
        kind, end = "table", self._table_end(at)
        if end == at:
            kind, end = "text", at + 1
            while end < len(self._lines) and not self._interrupts(end):
                end += 1
        return OutlineBlock(kind, self._lines[at].start, self._lines[end - 1].end), end

    def _interrupts(self, at: int) -> bool:
        return self._lines[at].blank or at in self._parts or self._table_end(at) > at

    def _table_end(self, at: int) -> int:
        """Return the line after the table at `at`; `at` without one."""
        lines = self._lines
        if at + 1 >= len(lines) or "|" not in lines[at].text or at + 1 in self._parts or at in self._opaque:
            return at
        rows = lines[at].text.lstrip().startswith("|") and lines[at + 1].text.lstrip().startswith("|")
        if not rows and not ("|" in lines[at + 1].text and TABLE_RULE.match(lines[at + 1].text)):
            return at
        end = at + 2
        while end < len(lines) and "|" in lines[end].text and end not in self._parts:
            end += 1
        return end


def _written_parts(lines: list[str]) -> Iterator[LeafBlock]:
    """Find the headings and fences written by `MarkdownWriter`.

    An unclosed fence runs to the end (CommonMark).
    """
    marks = [line.lstrip(" ") if line[:4].strip(" ") else line for line in lines]  # a deeper indent is text
    at = 0
    while at < len(marks):
        last = at
        if heading := ATX.match(marks[at]):
            yield LeafBlock("heading", at, at, len(heading[1]), atx_title(heading[2] or ""))
        elif fence := FENCE.match(marks[at]):
            closing = fence_end(fence[1])
            end = next((n for n in range(at + 1, len(marks)) if closing.match(marks[n])), None)
            last = end if end is not None else max(n for n, mark in enumerate(marks) if mark.strip())
            yield LeafBlock("code", at, last)
        at = last + 1


def _shorten(title: str) -> str:
    return title if len(title) <= _MAX_TITLE else title[: _MAX_TITLE - 1].rstrip() + "…"

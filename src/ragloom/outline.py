"""The structure of a document's stored text: pages, headings, blocks. Knows no chunker and no source.

Structure is a function of the text and its format alone, so that it is never stored: pages are separated by
`records.PAGE_BREAK` (PDF), headings, tables and fenced code are marked as in markdown (markdown, HTML, DOCX), rows
are lines (CSV, JSON); any other text has paragraphs, separated by blank lines.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ragloom.records import HEADING_FORMATS, HEADING_SEPARATOR, PAGE_BREAK

Kind = Literal["heading", "text", "table", "code"]

_LINE = re.compile(r"[^\n\f]*[\n\f]?")
_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*))?$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)$")
_TABLE_RULE = re.compile(r"[ \t]*+\|?[ \t]*+:?-++:?[ \t]*+(?:\|[ \t]*+:?-++:?[ \t]*+)*+\|?[ \t]*+$")
"""Possessive, since a line of a million blanks would otherwise take the square of that."""
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_NO_TITLE = re.compile(r"[ \t]*(?:[-*+>|#]|\d+[.)])")
_MAX_TITLE = 300
"""Characters of a heading that are its title: each chunk below it repeats them, and sends them to the embedding."""
_ROW_FORMATS: dict[str, Kind] = {"csv": "table", "json": "code"}


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, heading, table or code block: `text[start:end]`, without blank lines around it or blanks at its end.

    Attributes:
        level: 1 to 6 for headings, otherwise 0.
        title: what a heading says, without its marks, cut after 300 characters; otherwise empty.
    """

    kind: Kind
    start: int
    end: int
    level: int = 0
    title: str = ""


@dataclass(frozen=True, slots=True)
class _Line:
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
        """Gives the page (from 1) of a character, or None where the format has no pages."""
        if self.format != "pdf":
            return None
        return bisect_right(self._page_breaks, offset - 1) + 1

    def heading_at(self, offset: int) -> str | None:
        """Gives the heading path of a character, outermost first, as `A > B`.

        A heading line belongs to the section that it opens. None before the first heading, or where the format has
        no headings.
        """
        if self.format not in HEADING_FORMATS:
            return None
        starts, paths = self._sections
        index = bisect_right(starts, offset) - 1
        return paths[index] if index >= 0 else None

    def blocks(self) -> Iterator[Block]:
        """Yields the blocks in order; every character outside them is blank."""
        if self.format in HEADING_FORMATS:
            return iter(self._marked_blocks)
        return self._plain_blocks(_ROW_FORMATS.get(self.format or "", "text"))

    @cached_property
    def _page_breaks(self) -> list[int]:
        return [match.start() for match in re.finditer(PAGE_BREAK, self.text)]

    @cached_property
    def _sections(self) -> tuple[list[int], list[str]]:
        starts, paths = [], []
        open_headings: list[Block] = []
        for block in self._marked_blocks:
            if block.kind != "heading" or not block.title:
                continue
            open_headings = [heading for heading in open_headings if heading.level < block.level] + [block]
            starts.append(block.start)
            paths.append(HEADING_SEPARATOR.join(heading.title for heading in open_headings))
        return starts, paths

    @cached_property
    def _marked_blocks(self) -> list[Block]:
        return list(_MarkdownScanner(self.text, setext=self.format == "markdown").blocks())

    def _plain_blocks(self, kind: Kind) -> Iterator[Block]:
        text, start, end = self.text, -1, -1
        for line in _LINE.finditer(text):
            body = line.group()
            if body and not body.isspace():
                start = line.start() if start < 0 else start
                end = line.start() + len(body.rstrip())
                if body[-1] != PAGE_BREAK:
                    continue
            if start >= 0:
                yield Block(kind, start, end)
            start = -1


def _lines(text: str) -> Iterator[_Line]:
    for match in _LINE.finditer(text):
        line = match.group()
        if line:
            body = line.rstrip("\r\n\f")
            yield _Line(match.start(), match.start() + len(body.rstrip()), body)


class _MarkdownScanner:
    """One pass over lines; only what chunks need of CommonMark: ATX and setext headings, fences, tables."""

    def __init__(self, text: str, *, setext: bool) -> None:
        self._lines = list(_lines(text))
        self._setext = setext

    def blocks(self) -> Iterator[Block]:
        lines, at = self._lines, 0
        while at < len(lines):
            if lines[at].blank:
                at += 1
                continue
            block, at = self._block(at)
            yield block

    def _block(self, at: int) -> tuple[Block, int]:
        line = self._lines[at]
        if heading := _heading(line):
            return heading, at + 1
        if _opens_fence(line):
            end = self._fence_end(at)
            return Block("code", line.start, self._lines[end - 1].end), end
        if (end := self._table_end(at)) > at:
            return Block("table", line.start, self._lines[end - 1].end), end
        if self._underlined(at):
            level = 1 if "=" in self._lines[at + 1].text else 2
            return Block("heading", line.start, self._lines[at + 1].end, level, _shortened(line.text.strip())), at + 2
        end = at + 1
        while end < len(self._lines) and not self._interrupts(end):
            end += 1
        return Block("text", line.start, self._lines[end - 1].end), end

    def _interrupts(self, at: int) -> bool:
        line = self._lines[at]
        return line.blank or bool(_heading(line)) or _opens_fence(line) or self._table_end(at) > at

    def _fence_end(self, at: int) -> int:
        """Index after the closing fence; an unclosed fence runs to the end, as CommonMark says."""
        opening = _FENCE.match(self._lines[at].text)
        assert opening is not None
        closing = re.compile(rf" {{0,3}}{re.escape(opening[1][0])}{{{len(opening[1])},}}[ \t]*$")
        for end in range(at + 1, len(self._lines)):
            if closing.match(self._lines[end].text):
                return end + 1
        end = len(self._lines)
        while self._lines[end - 1].blank:
            end -= 1
        return end

    def _table_end(self, at: int) -> int:
        """Index after the table that begins at a line, or `at` where none does."""
        lines = self._lines
        if at + 1 >= len(lines) or "|" not in lines[at].text:
            return at
        rows = lines[at].text.lstrip().startswith("|") and lines[at + 1].text.lstrip().startswith("|")
        if not rows and not ("|" in lines[at + 1].text and _TABLE_RULE.match(lines[at + 1].text)):
            return at
        end = at + 2
        while end < len(lines) and "|" in lines[end].text:
            end += 1
        return end

    def _underlined(self, at: int) -> bool:
        if not self._setext or at + 1 >= len(self._lines) or _NO_TITLE.match(self._lines[at].text):
            return False
        return bool(_UNDERLINE.match(self._lines[at + 1].text))


def _heading(line: _Line) -> Block | None:
    if "#" not in line.text[:4]:
        return None
    match = _HEADING.match(line.text)
    if match is None:
        return None
    title = (match[2] or "").strip()
    open = title.rstrip("#")
    if not open or open[-1] in " \t":  # hashes at the end close the heading, where a blank stands before them
        title = open.strip()
    return Block("heading", line.start, line.end, len(match[1]), _shortened(title))


def _shortened(title: str) -> str:
    return title if len(title) <= _MAX_TITLE else title[: _MAX_TITLE - 1].rstrip() + "…"


def _opens_fence(line: _Line) -> bool:
    if "```" not in line.text and "~~~" not in line.text:
        return False
    match = _FENCE.match(line.text)
    return match is not None and not (match[1][0] == "`" and "`" in match[2])

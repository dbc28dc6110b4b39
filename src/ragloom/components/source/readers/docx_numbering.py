"""Automatic numbers of Word paragraphs and headings (ECMA-376 Part 1, 17.9).

Lists of one definition (`abstractNum`) share a count; the start of a list applies at its first use.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ragloom.components.source.readers.docx_number_formats import numeral, padded_number
from ragloom.components.source.readers.docx_styles import Style, font_of
from ragloom.components.source.readers.docx_symbol_fonts import symbol_text
from ragloom.components.source.readers.docx_xml import attribute, child, int_value, is_on

_DEPTHS = 9
_MAX_LINKS = 5
"""Definitions that refer to a style for their list."""
_LONGEST = 200
"""Characters of the text of a level, repeated before each paragraph."""
_MEANINGFUL_BULLET = re.compile(r"[☐☑☒✓✔✗✘※]|\w{2}|[^\W_oOㅇㅁ]")
"""Meaningful bullets: boxes, ticks, reference marks, words, numbers (not letters used as bullets)."""


@dataclass(frozen=True, slots=True)
class ParagraphLabel:
    """Number or bullet before a paragraph.

    Attributes:
        depth: from 0.
        text: as shown, with the blank before the paragraph; empty for a plain bullet.
        numbered: whether it counts.
    """

    depth: int
    text: str
    numbered: bool


@dataclass(frozen=True, slots=True)
class _Level:
    start: int
    format: str
    custom: str | None
    text: str
    suffix: str
    restart: int | None
    legal: bool
    hidden: bool
    font: str | None
    style: str | None


@dataclass(frozen=True, slots=True)
class _NumberedList:
    definition: str | None
    levels: list[_Level]
    starts: dict[int, int]


class Numbering:
    """The lists of a document, and how far each has counted.

    Args:
        root: the numbering part.
        style: resolves a style by its id.
        unknown: collects unsupported number formats.
    """

    def __init__(self, root: Any | None, style: Callable[[str | None], Style], unknown: set[str]) -> None:
        definitions = root.iterfind("{*}abstractNum") if root is not None else ()
        numbers = root.iterfind("{*}num") if root is not None else ()
        self._definitions = {attribute(a, "abstractNumId"): a for a in definitions}
        self._numbers = {attribute(n, "numId"): n for n in numbers}
        self._style = style
        self._unknown = unknown
        self._lists: dict[str | None, _NumberedList | None] = {}
        self._counts: dict[tuple[str, str | None], list[int | None]] = {}
        self._started: set[tuple[str, str]] = set()

    def label(self, id: str | None, depth: int | None, style: Style, story: str) -> ParagraphLabel | None:
        """Count one paragraph.

        Args:
            id: the list; None or `0` for none.
            depth: of the paragraph itself, from 0; None if the style decides.
            style: of the paragraph; a level linked to it precedes the depth in the style.
            story: body, notes and text boxes count separately.

        Returns:
            Its label; None without one.
        """
        if id is None or (numbered_list := self._list(id)) is None:
            return None
        if depth is None:
            linked = (n for name in style.names for n, level in enumerate(numbered_list.levels) if level.style == name)
            depth = next(linked, style.depth or 0)
        depth = min(depth, _DEPTHS - 1)
        level = numbered_list.levels[depth]
        counts = self._count(id, numbered_list, depth, story)
        if level.format == "bullet":
            text = symbol_text(level.text, level.font)
            return ParagraphLabel(depth, f"{text} " if _MEANINGFUL_BULLET.search(text) else "", numbered=False)
        text = "" if level.hidden else self._text(numbered_list.levels, depth, counts)
        return ParagraphLabel(depth, text + ("" if level.suffix == "nothing" else " "), numbered=True) if text else None

    def _count(self, id: str, numbered_list: _NumberedList, depth: int, story: str) -> list[int | None]:
        """Count a paragraph; unused levels above it stand at their start.

        The start of a list (`startOverride`) applies at its first use, and at each restart of the level.
        """
        counts = self._counts.setdefault((story, numbered_list.definition), [None] * _DEPTHS)
        first = (story, id) not in self._started
        self._started.add((story, id))
        for at in range(depth + 1):
            start = numbered_list.starts.get(at)
            if counts[at] is None or (at == depth and first and start is not None):
                counts[at] = numbered_list.levels[at].start if start is None else start
            elif at == depth:
                counts[at] = (counts[at] or 0) + 1
        for deeper in range(depth + 1, _DEPTHS):
            restart = numbered_list.levels[deeper].restart
            if restart is None or restart > deeper or depth < restart:
                counts[deeper] = None
        return counts

    def _text(self, levels: list[_Level], depth: int, counts: list[int | None]) -> str:
        """Format the text of a level: `%n` is its n-th count."""

        def count_text(place: re.Match[str]) -> str:
            at = int(place.group(1)) - 1
            return self._number(levels[at], counts[at] or 0, legal=levels[depth].legal) if at <= depth else ""

        return re.sub(r"%([1-9])", count_text, symbol_text(levels[depth].text, levels[depth].font))

    def _number(self, level: _Level, value: int, *, legal: bool) -> str:
        if level.custom and (text := padded_number(value, level.custom)):
            return text
        format = "decimal" if legal and level.format not in ("none", "bullet", "decimalZero") else level.format
        text = numeral(value, format)
        if text is None:
            self._unknown.add(format)
        return str(value) if text is None else text

    def _list(self, id: str | None) -> _NumberedList | None:
        if id not in self._lists:
            self._lists[id] = self._resolve(id)
        return self._lists[id]

    def _resolve(self, id: str | None) -> _NumberedList | None:
        number = self._numbers.get(id)
        if number is None:
            return None
        definition, key = self._definition(number)
        overrides = {attribute(o, "ilvl"): o for o in number.iterfind("{*}lvlOverride")}
        levels = {} if definition is None else {attribute(lv, "ilvl"): lv for lv in definition.iterfind("{*}lvl")}
        resolved, starts = [], {}
        for depth in range(_DEPTHS):
            override = overrides.get(str(depth))
            own = child(override, "lvl")
            resolved.append(_read_level(own if own is not None else levels.get(str(depth))))
            if (start := child(override, "startOverride")) is not None:
                starts[depth] = int_value(start, 0)
        return _NumberedList(key, resolved, starts)

    def _definition(self, number: Any) -> tuple[Any | None, str | None]:
        """Find the definition of a list, also through a style (`numStyleLink`)."""
        key = attribute(child(number, "abstractNumId"), "val")
        definition = self._definitions.get(key)
        for _ in range(_MAX_LINKS):
            link = attribute(child(definition, "numStyleLink"), "val")
            linked = self._numbers.get(self._style(link).number) if link else None
            if linked is None:
                break
            key = attribute(child(linked, "abstractNumId"), "val")
            definition = self._definitions.get(key)
        return definition, key


def _read_level(element: Any | None) -> _Level:
    """Read a level; a missing one shows nothing."""
    format = child(element, "numFmt")
    if format is None and element is not None:  # newer versions of Word write a newer format before an older one
        format = element.find("{*}AlternateContent/{*}Choice/{*}numFmt")
    text, restart, run = child(element, "lvlText"), child(element, "lvlRestart"), child(element, "rPr")
    return _Level(
        start=int_value(child(element, "start"), 0),
        format=attribute(format, "val") or "decimal",
        custom=attribute(format, "format"),
        text=(attribute(text, "val") or "")[:_LONGEST],
        suffix=attribute(child(element, "suff"), "val") or "tab",
        restart=None if restart is None else int_value(restart, 0),
        legal=is_on(child(element, "isLgl")),
        hidden=is_on(child(run, "vanish")),
        font=font_of(run),
        style=attribute(child(element, "pStyle"), "val"),
    )

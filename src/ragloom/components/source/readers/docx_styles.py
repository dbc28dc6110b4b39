"""Styles of a Word document: headings, titles, numbers, hidden text, fonts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ragloom.components.source.readers.docx_xml import attribute, child, int_value, is_on

_MAX_CHAIN = 20
"""Length of a chain of base styles: damaged files have loops."""


def font_of(properties: Any | None) -> str | None:
    """Return the font of Latin and symbol characters; None if unset."""
    fonts = child(properties, "rFonts")
    return attribute(fonts, "ascii") or attribute(fonts, "hAnsi")


@dataclass(frozen=True, slots=True)
class Style:
    """Properties of a style, with inherited ones.

    Attributes:
        level: of a heading, from 1; 0 for other paragraphs.
        title: whether it is the document's title.
        number: the list (`numId`); None without one, `0` to remove one.
        depth: of the list, from 0; None if unset.
        names: ids of the style and its base styles, nearest first.
        hidden: whether it hides text; None if unset.
        font: for Latin and symbol characters.
    """

    level: int = 0
    title: bool = False
    number: str | None = None
    depth: int | None = None
    names: tuple[str | None, ...] = ()
    hidden: bool | None = None
    font: str | None = None


class Styles:
    """The styles of a document."""

    def __init__(self, root: Any | None) -> None:
        styles = list(root.iterfind("{*}style")) if root is not None else []
        self._by_id = {attribute(style, "styleId"): style for style in styles}
        self._defaults = {
            attribute(style, "type"): attribute(style, "styleId")
            for style in styles
            if attribute(style, "default") in ("1", "true", "on")
        }
        default = child(child(child(root, "docDefaults"), "rPrDefault"), "rPr")
        self._hidden = is_on(child(default, "vanish"))
        self._known: dict[str | None, Style] = {}

    def of(self, paragraph: Any | None) -> Style:
        """Resolve the style of a paragraph."""
        id = attribute(child(child(paragraph, "pPr"), "pStyle"), "val")
        return self.by_id(id if id in self._by_id else self._defaults.get("paragraph"))

    def by_id(self, id: str | None) -> Style:
        """Resolve a style by its id."""
        if id not in self._known:
            self._known[id] = self._resolve(id)
        return self._known[id]

    def heading(self, paragraph: Any) -> int:
        """Return the heading level from 1, or 0."""
        own = child(child(paragraph, "pPr"), "outlineLvl")
        level = int_value(own, 9) + 1 if own is not None else self.of(paragraph).level
        return level if level <= 9 else 0

    def list_reference(self, paragraph: Any) -> tuple[str | None, int | None]:
        """Return list id (`numId`) and own depth of a paragraph."""
        numbering = child(child(paragraph, "pPr"), "numPr")
        own, depth = child(numbering, "numId"), child(numbering, "ilvl")
        number = self.of(paragraph).number if own is None else attribute(own, "val")
        return number, None if depth is None else int_value(depth, 0)

    def hides(self, run: Any, paragraph: Any | None) -> bool:
        """Return whether a run is hidden; toggles in styles cancel (17.7.3)."""
        properties = child(run, "rPr")
        own = child(properties, "vanish")
        if own is not None:
            return is_on(own)
        of_characters = self.by_id(attribute(child(properties, "rStyle"), "val")).hidden
        return self._hidden or bool(self.of(paragraph).hidden) != bool(of_characters)

    def font(self, run: Any, paragraph: Any | None) -> str | None:
        """Return the font of the symbols in a run."""
        properties = child(run, "rPr")
        style = attribute(child(properties, "rStyle"), "val")
        return font_of(properties) or (style and self.by_id(style).font) or self.of(paragraph).font

    def _resolve(self, id: str | None) -> Style:
        """Resolve a style along its base styles; the nearest value wins."""
        properties: dict[str, Any] = {}
        names: list[str | None] = []
        title = False
        while len(names) < _MAX_CHAIN and (style := self._by_id.get(id)) is not None:
            names.append(id)
            name = (attribute(child(style, "name"), "val") or "").strip().lower()
            title = title or name == "title"
            for key, value in _own_properties(style, name):
                properties.setdefault(key, value)
            id = attribute(child(style, "basedOn"), "val")
        if properties.get("level", 0) > 9:
            properties["level"] = 0
        return Style(title=title, names=tuple(names), **properties)


def _own_properties(style: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the properties set by one style itself."""
    paragraph, run = child(style, "pPr"), child(style, "rPr")
    outline, heading = child(paragraph, "outlineLvl"), re.fullmatch(r"heading ([1-9])", name)
    if outline is not None:
        yield "level", int_value(outline, 9) + 1
    elif heading:
        yield "level", int(heading.group(1))
    numbering = child(paragraph, "numPr")
    number, depth = child(numbering, "numId"), child(numbering, "ilvl")
    if number is not None:
        yield "number", attribute(number, "val")
    if depth is not None:
        yield "depth", int_value(depth, 0)
    if (hidden := child(run, "vanish")) is not None:
        yield "hidden", is_on(hidden)
    if font := font_of(run):
        yield "font", font

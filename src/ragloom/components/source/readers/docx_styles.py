"""The styles of a Word document: headings, titles, numbers, hidden text and fonts that paragraphs and runs inherit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ragloom.components.source.readers.docx_xml import attribute, child, int_value, is_on

_MAX_CHAIN = 20
"""Styles based on styles: Word allows no loops, damaged files have them."""


def font_of(properties: Any | None) -> str | None:
    """Name the font that run properties set for Latin and symbol characters; None where they set none."""
    fonts = child(properties, "rFonts")
    return attribute(fonts, "ascii") or attribute(fonts, "hAnsi")


@dataclass(frozen=True, slots=True)
class Style:
    """What a style and those it is based on say.

    Attributes:
        level: of a heading, from 1; 0 for other paragraphs.
        title: whether it is the document's title.
        number: the list (`numId`); None where the style has none, `0` where it removes one.
        depth: of the list, from 0; None where it does not say.
        names: ids of the style and of those it is based on, nearest first.
        hidden: whether it hides text; None where it does not say.
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
        found = list(root.iterfind("{*}style")) if root is not None else []
        self._by_id = {attribute(style, "styleId"): style for style in found}
        self._defaults = {
            attribute(style, "type"): attribute(style, "styleId")
            for style in found
            if attribute(style, "default") in ("1", "true", "on")
        }
        default = child(child(child(root, "docDefaults"), "rPrDefault"), "rPr")
        self._hidden = is_on(child(default, "vanish"))
        self._known: dict[str | None, Style] = {}

    def of(self, paragraph: Any | None) -> Style:
        """Resolve the style of a paragraph."""
        id = attribute(child(child(paragraph, "pPr"), "pStyle"), "val")
        return self.named(id if id in self._by_id else self._defaults.get("paragraph"))

    def named(self, id: str | None) -> Style:
        """Resolve a style by its id."""
        if id not in self._known:
            self._known[id] = self._resolved(id)
        return self._known[id]

    def heading(self, paragraph: Any) -> int:
        """Return the heading level from 1, or 0."""
        own = child(child(paragraph, "pPr"), "outlineLvl")
        level = int_value(own, 9) + 1 if own is not None else self.of(paragraph).level
        return level if level <= 9 else 0

    def list_place(self, paragraph: Any) -> tuple[str | None, int | None]:
        """Return the list (`numId`) of a paragraph, and its depth where the paragraph itself says it."""
        numbering = child(child(paragraph, "pPr"), "numPr")
        own, depth = child(numbering, "numId"), child(numbering, "ilvl")
        number = self.of(paragraph).number if own is None else attribute(own, "val")
        return number, None if depth is None else int_value(depth, 0)

    def hides(self, run: Any, paragraph: Any | None) -> bool:
        """Return whether a run is hidden: by itself, or by its styles, which cancel each other (17.7.3, toggles)."""
        properties = child(run, "rPr")
        own = child(properties, "vanish")
        if own is not None:
            return is_on(own)
        of_characters = self.named(attribute(child(properties, "rStyle"), "val")).hidden
        return self._hidden or bool(self.of(paragraph).hidden) != bool(of_characters)

    def font(self, run: Any, paragraph: Any | None) -> str | None:
        """Name the font that a run's symbols are from."""
        properties = child(run, "rPr")
        style = attribute(child(properties, "rStyle"), "val")
        return font_of(properties) or (style and self.named(style).font) or self.of(paragraph).font

    def _resolved(self, id: str | None) -> Style:
        """Follow a style to those it is based on; the nearest that says something wins."""
        found: dict[str, Any] = {}
        names: list[str | None] = []
        title = False
        while len(names) < _MAX_CHAIN and (style := self._by_id.get(id)) is not None:
            names.append(id)
            name = (attribute(child(style, "name"), "val") or "").strip().lower()
            title = title or name == "title"
            for key, value in _own_properties(style, name):
                found.setdefault(key, value)
            id = attribute(child(style, "basedOn"), "val")
        if found.get("level", 0) > 9:
            found["level"] = 0
        return Style(title=title, names=tuple(names), **found)


def _own_properties(style: Any, name: str) -> list[tuple[str, Any]]:
    """List what one style says by itself."""
    stated: list[tuple[str, Any]] = []
    paragraph, run = child(style, "pPr"), child(style, "rPr")
    outline, named = child(paragraph, "outlineLvl"), re.fullmatch(r"heading ([1-9])", name)
    if outline is not None:
        stated.append(("level", int_value(outline, 9) + 1))
    elif named:
        stated.append(("level", int(named.group(1))))
    numbering = child(paragraph, "numPr")
    number, depth = child(numbering, "numId"), child(numbering, "ilvl")
    if number is not None:
        stated.append(("number", attribute(number, "val")))
    if depth is not None:
        stated.append(("depth", int_value(depth, 0)))
    if (hidden := child(run, "vanish")) is not None:
        stated.append(("hidden", is_on(hidden)))
    if font := font_of(run):
        stated.append(("font", font))
    return stated

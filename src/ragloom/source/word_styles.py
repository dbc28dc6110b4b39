"""What paragraphs of a Word document are by their style: headings, titles, list items. Knows nothing of their text."""

from __future__ import annotations

import re
from typing import Any

_MAX_CHAIN = 20
"""Styles based on styles: Word allows no loops, damaged files have them."""


def local(element: Any) -> str:
    """Names an element without its namespace (transitional and strict files differ in it only)."""
    return str(element.tag).rpartition("}")[2]


def child(element: Any | None, name: str) -> Any | None:
    """Finds the first child of this name."""
    return None if element is None else element.find(f"{{*}}{name}")


def attribute(element: Any | None, name: str) -> str | None:
    """Reads an attribute whatever its namespace."""
    if element is None:
        return None
    return next((str(value) for key, value in element.items() if key.rpartition("}")[2] == name), None)


def whole(element: Any | None, otherwise: int) -> int:
    """Reads `val` as a number from 0 to 99999."""
    value = attribute(element, "val") or ""
    return int(value) if re.fullmatch(r"\d{1,5}", value) else otherwise


def is_on(element: Any | None) -> bool:
    """Says whether a switch such as `<w:vanish/>` is there and not turned off."""
    return element is not None and attribute(element, "val") not in ("0", "false", "off")


class Styles:
    """The paragraph styles of a document."""

    def __init__(self, root: Any | None) -> None:
        found = root.iterfind("{*}style") if root is not None else ()
        self._by_id = {attribute(style, "styleId"): style for style in found}
        self._known: dict[str | None, tuple[int, bool, tuple[str | None, int]]] = {}

    def is_title(self, paragraph: Any) -> bool:
        """Says whether a paragraph is the document's title."""
        return self._of(paragraph)[1]

    def heading(self, paragraph: Any) -> int:
        """Gives the heading level from 1, or 0."""
        own = child(child(paragraph, "pPr"), "outlineLvl")
        level = whole(own, 9) + 1 if own is not None else self._of(paragraph)[0]
        return level if level <= 9 else 0

    def list_place(self, paragraph: Any) -> tuple[str | None, int]:
        """Gives the number definition (`numId`) and the depth from 0 of a list item; None where it is none."""
        numbering = child(child(paragraph, "pPr"), "numPr")
        id, depth = self._of(paragraph)[2]
        if numbering is not None:
            own = attribute(child(numbering, "numId"), "val")
            return own or id, whole(child(numbering, "ilvl"), depth if own is None else 0)
        return id, depth

    def _of(self, paragraph: Any) -> tuple[int, bool, tuple[str | None, int]]:
        id = attribute(child(child(paragraph, "pPr"), "pStyle"), "val")
        if id not in self._known:
            self._known[id] = self._resolved(id)
        return self._known[id]

    def _resolved(self, id: str | None) -> tuple[int, bool, tuple[str | None, int]]:
        """Follows a style to those it is based on: its heading level, whether it is the title, its list."""
        level: int | None = None
        title = False
        place: tuple[str | None, int] | None = None
        for _ in range(_MAX_CHAIN):
            style = self._by_id.get(id)
            if style is None:
                break
            name = (attribute(child(style, "name"), "val") or "").strip().lower()
            title = title or name == "title"
            properties = child(style, "pPr")
            outline = child(properties, "outlineLvl")
            named = re.fullmatch(r"heading ([1-9])", name)
            if level is None and outline is not None:
                level = whole(outline, 9) + 1
            elif level is None and named:
                level = int(named.group(1))
            numbering = child(properties, "numPr")
            if place is None and numbering is not None:
                place = attribute(child(numbering, "numId"), "val"), whole(child(numbering, "ilvl"), 0)
            id = attribute(child(style, "basedOn"), "val")
        return (level or 0) if (level or 0) <= 9 else 0, title, place or (None, 0)


class Numbering:
    """The list definitions of a document, and how far each list has counted."""

    def __init__(self, root: Any | None) -> None:
        self._abstract = (
            {} if root is None else {attribute(a, "abstractNumId"): a for a in root.iterfind("{*}abstractNum")}
        )
        self._numbers = {} if root is None else {attribute(n, "numId"): n for n in root.iterfind("{*}num")}
        self._counts: dict[tuple[str | None, int], int] = {}

    def item(self, id: str | None, depth: int) -> tuple[int, int | None] | None:
        """Counts one item.

        Returns:
            Depth from 0, and its number or None for a bullet; None where the paragraph is no list item.
        """
        number = self._numbers.get(id)
        if number is None:
            return None
        depth = min(depth, 8)
        abstract_id = attribute(child(number, "abstractNumId"), "val")
        level = self._level(self._abstract.get(abstract_id), depth)
        override = next((o for o in number.iterfind("{*}lvlOverride") if attribute(o, "ilvl") == str(depth)), None)
        kind = attribute(child(level, "numFmt"), "val")
        if kind == "none":
            return None
        if kind is None or kind == "bullet":
            return depth, None
        start = child(override, "startOverride")
        # Numbers that share a definition count on, unless one of them starts anew.
        key = f"num {id}" if start is not None else f"abstract {abstract_id}"
        first = whole(start if start is not None else child(level, "start"), 1)
        self._counts[key, depth] = self._counts.get((key, depth), first - 1) + 1
        for deeper in range(depth + 1, 9):
            self._counts.pop((key, deeper), None)
        return depth, self._counts[key, depth]

    def _level(self, abstract: Any | None, depth: int) -> Any | None:
        if abstract is None:
            return None
        return next((lv for lv in abstract.iterfind("{*}lvl") if attribute(lv, "ilvl") == str(depth)), None)

"""Visibility of HTML elements: hidden ones, shadow trees, slots."""

from __future__ import annotations

import re
from typing import Any

# fmt: off
_HIDDEN = frozenset([
    "script", "style", "head", "template", "noscript", "object", "embed", "applet", "canvas", "audio", "video", "map",
    "datalist", "annotation", "annotation-xml", "ix:header", "title", "noembed", "noframes", "rp", "defs", "symbol",
    "desc", "metadata", "clippath", "mask", "pattern", "marker", "frameset",
])
_HOSTS = frozenset([
    "article", "aside", "blockquote", "body", "div", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "main",
    "nav", "p", "section", "span",
])
# fmt: on
"""Elements with a possible shadow tree, besides names with a hyphen (DOM Standard)."""
_INVISIBLE = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse))", re.IGNORECASE)
_MATH_CLASS = re.compile(r"(?:^|[\s_-])(?:math|latex|tex|katex|mathjax|formula|equation)", re.IGNORECASE)


def is_hidden(element: Any) -> bool:
    """Return whether an element is invisible, or duplicates its MathML."""
    tag, attributes = element.tag.lower(), element.attributes
    if tag in _HIDDEN or "popover" in attributes or (tag == "dialog" and "open" not in attributes):
        return True
    if "hidden" in attributes and (attributes.get("hidden") or "").strip().lower() != "until-found":
        return True
    if tag == "img":
        return not _shows_alternative(element)
    if tag == "rt":
        return not any(not node.text().isspace() for node in element.traverse(include_text=True) if node.is_text_node)
    style = attributes.get("style")
    if style and _INVISIBLE.search(style):
        return not _is_shown_as_image(element)
    return attributes.get("aria-hidden") == "true" and any(map(_holds_math, _neighbours(element)))


def _neighbours(element: Any) -> list[Any]:
    """Return the adjacent elements."""
    neighbours = []
    for step in ("prev", "next"):
        node = getattr(element, step)
        while node is not None and not node.is_element_node:
            node = getattr(node, step)
        if node is not None:
            neighbours.append(node)
    return neighbours


def _holds_math(element: Any) -> bool:
    return element.css_first("math") is not None  # the element itself, or one inside it


def _shows_alternative(image: Any) -> bool:
    """Return whether a browser shows an image's alternative text.

    There is no image, or it is the picture of a formula.
    """
    attributes = image.attributes
    if _MATH_CLASS.search(attributes.get("class") or ""):
        return not any(map(_holds_math, _neighbours(image)))
    return not (attributes.get("src") or attributes.get("srcset"))


def _is_shown_as_image(element: Any) -> bool:
    """Return whether hidden MathML has a picture next to it (MediaWiki)."""
    return _holds_math(element) and any(
        near.tag == "img" and _MATH_CLASS.search(near.attributes.get("class") or "") for near in _neighbours(element)
    )


class Slots:
    """Declarative shadow trees and their slots.

    The tree stands in the place of its host; the content of the host in the slots.
    """

    def __init__(self) -> None:
        self._hosts: list[tuple[int, dict[str, list[Any]]]] = []  # host, its children by slot
        self._away: list[tuple[int, tuple[int, dict[str, list[Any]]]]] = []  # slot, the host whose tree it is in

    def visible_nodes(self, element: Any) -> tuple[list[Any], Any | None]:
        """Return the visible nodes inside an element, and its shadow tree."""
        children = _children(element)
        if element.tag == "slot" and self._hosts:
            host = self._hosts[-1]
            assigned = host[1].pop(element.attributes.get("name") or "", [])
            if assigned:  # they belong to the page around the host
                self._away.append((element.mem_id, self._hosts.pop()))
                return assigned, None
            return children, None
        template = next(filter(_is_shadow_root, children), None) if _may_host(element) else None
        fragment = next(iter(template.template_fragments()), None) if template is not None else None
        if fragment is None:
            return children, None
        by_slot: dict[str, list[Any]] = {}
        for child in children:
            name = child.attributes.get("slot") if child.is_element_node else None
            by_slot.setdefault(name or "", []).append(child)
        self._hosts.append((element.mem_id, by_slot))
        return _children(fragment), fragment

    def end(self, element: Any) -> None:
        """Leave an element."""
        if self._away and self._away[-1][0] == element.mem_id:
            self._hosts.append(self._away.pop()[1])
        elif self._hosts and self._hosts[-1][0] == element.mem_id:
            self._hosts.pop()


def _children(element: Any) -> list[Any]:
    return list(element.iter(include_text=True))


def _may_host(element: Any) -> bool:
    return element.tag in _HOSTS or "-" in element.tag


def _is_shadow_root(node: Any) -> bool:
    mode = node.attributes.get("shadowrootmode") if node.is_element_node and node.tag == "template" else None
    return (mode or "").strip().lower() in ("open", "closed")

"""Content Word hides or joins: deletions, moves, hidden text, joined paragraphs."""

from __future__ import annotations

from typing import Any

from ragloom.components.source.readers.docx_styles import Styles
from ragloom.components.source.readers.docx_xml import attribute, child, is_on, local_name

_REMOVED = frozenset(["del", "moveFrom"])
_WITHOUT_TEXT = frozenset(["del", "moveFrom", "pPr", "rPr", "sectPr", "instrText", "delText", "delInstrText"])
_SHOWN = frozenset(["t", "sym", "drawing", "pict", "object", "tab", "footnoteReference", "endnoteReference", "oMath"])
_PASSED = frozenset(
    ["bookmarkStart", "bookmarkEnd", "proofErr", "permStart", "permEnd", "commentRangeStart", "commentRangeEnd"]
    + [f"{kind}Range{end}" for kind in ("moveFrom", "moveTo") for end in ("Start", "End")]
)
_WRAPPERS = frozenset(["sdt", "sdtContent", "customXml", "ins", "moveTo"])


def is_mark_removed(paragraph: Any) -> bool:
    """Return whether the paragraph mark is deleted or moved away.

    The next paragraph then joins this one.
    """
    mark = child(child(paragraph, "pPr"), "rPr")
    return mark is not None and any(local_name(change) in _REMOVED for change in mark)


def paragraph_chain(paragraph: Any) -> list[Any]:
    """List the paragraphs joined after all changes, in order.

    The last one determines the format.
    """
    chain = [paragraph]
    while _continues(chain[-1]) and (following := _next_paragraph(chain[-1])) is not None:
        chain.append(following)
    return chain


def _continues(paragraph: Any) -> bool:
    """Return whether the next paragraph joins: mark removed, or drop cap."""
    frame = child(child(paragraph, "pPr"), "framePr")
    return attribute(frame, "dropCap") in ("drop", "margin") or is_mark_removed(paragraph)


def is_hidden(paragraph: Any, styles: Styles) -> bool:
    """Return whether mark and text of a paragraph are both hidden."""
    mark = child(child(child(paragraph, "pPr"), "rPr"), "vanish")
    if not (is_on(mark) if mark is not None else styles.of(paragraph).hidden):
        return False
    return not has_visible_text(paragraph, styles)


def has_visible_text(paragraph: Any, styles: Styles) -> bool:
    """Return whether any run of a paragraph is visible."""
    opened = [paragraph]
    while opened:
        for element in opened.pop():
            name = local_name(element)
            if name in _SHOWN:
                return True
            if name not in _WITHOUT_TEXT and not (name == "r" and styles.hides(element, paragraph)):
                opened.append(element)
    return False


def is_removed_or_unused(name: str, element: Any) -> bool:
    """Return whether a row, cell or alternative is deleted, hidden or unused."""
    if name == "tr":
        properties = child(element, "trPr")
        return child(properties, "del") is not None or is_on(child(properties, "hidden"))
    if name == "tc":
        return child(child(element, "tcPr"), "cellDel") is not None
    return name == "Choice" and any(local_name(before) == "Choice" for before in element.itersiblings(preceding=True))


def _next_paragraph(paragraph: Any) -> Any | None:
    """Find the adjacent next paragraph; None before a table or the end.

    Looks into and out of content controls.
    """
    element = paragraph
    while True:
        following = element.getnext()
        if following is None:
            element = element.getparent()
            if element is None or local_name(element) not in _WRAPPERS:
                return None
            continue
        element = following
        while local_name(element) in _WRAPPERS and len(element):
            element = element[-1] if local_name(element) == "sdt" else element[0]
        if local_name(element) == "p":
            return element
        if local_name(element) not in _PASSED:
            return None

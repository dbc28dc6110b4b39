"""Inline text of HTML: `<sup>`, `<sub>`, `<ruby>`, `<q>`, formulas.

Nothing may fuse into another number or word: `10<sup>3</sup>` is `10^3`, not `103`.
"""

from __future__ import annotations

import re
from typing import Any

from ragloom.components.source.readers import formula_text
from ragloom.components.source.readers.markdown_writer import MarkdownWriter

_ORDINAL_AFTER_DIGIT = re.compile(r"(?:st|nd|rd|th|er|ers|re|res|e|es|eme|ème|ère|nde?|o|a|os|as|º|ª|°|ter|bis)", re.I)
_ORDINAL_AFTER_WORD = re.compile(r"(?:th|tm|sm|mc|md|r|o|os|e|er|re|lles?|mes?|rs?|gr|st|ste|t|te)", re.I)
_SIGNS = re.compile(r"[^\w\s]+")
_TEX = re.compile(r"\{\\(?:display|text|script)style\s*(.*)\}", re.DOTALL)
_BRACKETS = {"rt": "()", "q": "“”"}
_MAX_LEVELS = 10
"""Marked levels of raised and lowered text; deeper text is added unchanged."""
_NOTE = re.compile(r"[\w*†‡§¶]{1,5}")


class InlineWriter:
    """Writer of inline text in front of a Markdown writer.

    Args:
        out: receives the text.
    """

    def __init__(self, out: MarkdownWriter) -> None:
        self._out = out
        self._open: list[tuple[Any, str]] = []  # mark, the character before it
        self._levels = 0  # of raised and lowered text
        self._guard = ""  # must not follow directly: `digit` or `word`

    def add(self, text: str, *, kept_lines: bool = False) -> None:
        """Add text; its line ends are kept on demand."""
        if not text:
            return
        self._separate(text)
        for number, line in enumerate(text.split("\n") if kept_lines else [text]):
            if number:
                self._out.line_break()
            self._out.add(line)

    def add_formula(self, text: str) -> None:
        """Add a formula, separated from an adjacent letter or digit."""
        if not text:
            return
        self._separate(text)
        before = self._out.last_character()
        if before.isalnum() and text[0].isalnum():
            self._out.add(" ")
        self._out.add(text)
        self._guard = "word" if text[-1].isalnum() else ""

    def _separate(self, text: str) -> None:
        if self._guard and self._out.last_character().isalnum():
            first = text[0]
            if first.isdigit() or (self._guard == "word" and first.isalnum()):
                self._out.add(" ")
        self._guard = ""

    def start(self, element: Any) -> None:
        """Open an inline element."""
        tag = element.tag
        if tag in ("sup", "sub"):
            self._levels += 1
            if self._levels <= _MAX_LEVELS:
                self._open.append((self._out.mark(), self._out.last_character()))
        elif tag in _BRACKETS:
            self._out.add(_BRACKETS[tag][0])

    def end(self, element: Any) -> None:
        """Close an inline element."""
        tag = element.tag
        if tag in ("sup", "sub"):
            self._levels -= 1
            if self._levels < _MAX_LEVELS:
                mark, before = self._open.pop()
                text = self._out.take(mark)
                if text is not None:
                    self._set(element, text, before)
        elif tag in _BRACKETS:
            self._out.add(_BRACKETS[tag][1])

    def _set(self, element: Any, text: str, before: str) -> None:
        bare = text.strip()
        if not bare or not before.strip():
            self._out.add(text)
            self._guard = "word" if bare[-1:].isdigit() else ""
            return
        if element.tag == "sup":
            self._raise(element, text, before)
        else:
            self._lower(text, before)

    def _raise(self, element: Any, text: str, before: str) -> None:
        bare = text.strip()
        if _NOTE.fullmatch(bare) and _is_reference(element):
            self._out.add(f"[^{bare}]")
        elif _is_numerator(element) and before.isdigit() and bare.isdigit():
            self._out.add(f" {bare}")  # 2<sup>1</sup>/<sub>2</sub> is a mixed number
        elif _stays_fused(bare, before):
            self._out.add(text)
        else:
            self._out.add(formula_text.power("", bare) if bare[0] not in "[(" else text)
            self._guard = "word"

    def _lower(self, text: str, before: str) -> None:
        bare = text.strip()
        if before.isalpha() and re.fullmatch(r"[\d.,]+", bare):  # H2O
            self._out.add(text)
            self._guard = "digit"
        elif before.isalnum() or before in ")]}":
            self._out.add(formula_text.subscript("", bare))
            self._guard = "word"
        else:
            self._out.add(text)
            self._guard = "digit"


def _stays_fused(text: str, before: str) -> bool:
    """Return whether raised letters belong to the word before: `1st`, `TM`."""
    if _SIGNS.fullmatch(text):
        return not any(sign in "+-−±" for sign in text) or not before.isalnum()
    if before.isdigit():
        return bool(_ORDINAL_AFTER_DIGIT.fullmatch(text))
    return before.isalpha() and bool(_ORDINAL_AFTER_WORD.fullmatch(text)) and text != before


def _is_reference(element: Any) -> bool:
    """Return whether raised text links within the page, like footnote marks."""
    link = element.css_first("a[href]") if element.css_first("a[href]") is not None else element.parent
    return link is not None and link.tag == "a" and "#" in (link.attributes.get("href") or "")


def _is_numerator(element: Any) -> bool:
    """Return whether a slash and a subscript follow."""
    slash = element.next
    if slash is None or not slash.is_text_node or slash.text().strip() not in ("/", "⁄", "∕"):
        return False
    below = slash.next
    return below is not None and below.is_element_node and below.tag == "sub"


def tex_text(alternative: str) -> str:
    """Unwrap the formula in alternative text by MediaWiki."""
    match = _TEX.fullmatch(alternative.strip())
    return match[1].strip() if match else alternative.strip()

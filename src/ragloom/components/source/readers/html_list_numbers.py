"""Numbers of HTML list items: types, starts, values, reversed lists."""

from __future__ import annotations

import re
from typing import Any

from ragloom.components.source.readers.docx_number_formats import roman_numeral

_LISTS = frozenset(["ol", "ul", "menu", "dir"])
_STYLE = re.compile(r"(?:^|;)\s*list-style(?:-type)?\s*:([^;]*)", re.IGNORECASE)
_TYPES = {"1": "decimal", "a": "lower-alpha", "A": "upper-alpha", "i": "lower-roman", "I": "upper-roman"}
_ALPHABETS = {
    "lower-alpha": "abcdefghijklmnopqrstuvwxyz",
    "lower-latin": "abcdefghijklmnopqrstuvwxyz",
    "lower-greek": "αβγδεζηθικλμνξοπρστυφχψω",
    "hangul": "가나다라마바사아자차카타파하",
    "cjk-earthly-branch": "子丑寅卯辰巳午未申酉戌亥",
    "cjk-heavenly-stem": "甲乙丙丁戊己庚辛壬癸",
    "katakana": "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワヰヱヲン",
    "hiragana": "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわゐゑをん",
}
_BULLETS = frozenset(["none", "disc", "circle", "square", "disclosure-open", "disclosure-closed"])
_MAX_NUMBER = 1 << 31


class OpenLists:
    """The open lists at a position, with their next numbers."""

    def __init__(self) -> None:
        self._open: list[tuple[str, int, int]] = []  # style, next number, step

    def start(self, element: Any) -> None:
        """Open the list of an `ol`, `ul`, `menu` or `dir` element."""
        attributes = element.attributes
        style = _style_of(element) or ("decimal" if element.tag == "ol" else "disc")
        backwards = element.tag == "ol" and "reversed" in attributes
        first = int_attribute(attributes.get("start")) if element.tag == "ol" else None
        if first is None:
            first = _items(element) if backwards else 1
        self._open.append((style, first, -1 if backwards else 1))

    def end(self) -> None:
        """Close the innermost list."""
        if self._open:
            self._open.pop()

    def marker(self, element: Any) -> str:
        """Count an `li` element; return its marker, such as `a. `."""
        if not self._open:
            return "- "  # an item outside any list
        style, number, step = self._open[-1]
        value = int_attribute(element.attributes.get("value"))
        number = number if value is None else value
        self._open[-1] = (style, number + step, step)
        style = _style_of(element) or style
        return "- " if style in _BULLETS else f"{_format_number(number, style)}. "


def int_attribute(value: str | None) -> int | None:
    """Parse an integer attribute like HTML; None without one."""
    digits = re.match(r"\s*([+-]?\d{1,10})", value or "")
    return int(digits[1]) if digits and abs(int(digits[1])) < _MAX_NUMBER else None


def _style_of(element: Any) -> str | None:
    """Return the style of a list or item, from `style` or `type`."""
    declared = _STYLE.findall(element.attributes.get("style") or "")
    for word in reversed(" ".join(declared).lower().split()):
        if word in _BULLETS or word in _ALPHABETS or word.startswith(("decimal", "lower-", "upper-")):
            return str(word)
    type = (element.attributes.get("type") or "").strip()
    return _TYPES.get(type, type.lower() if type.lower() in _BULLETS else None)


def _items(element: Any) -> int:
    """Count the direct items of a list."""
    count, nodes = 0, [element]
    while nodes:
        children = list(nodes.pop().iter())
        count += sum(child.tag == "li" for child in children)
        nodes += [child for child in children if child.tag not in _LISTS]
    return count


def _format_number(number: int, style: str) -> str:
    capital = style.startswith("upper-")
    name = style.replace("upper-", "lower-")
    text = str(number)
    if name in _ALPHABETS and number > 0:
        text = _alphabetic(number, _ALPHABETS[name])
    elif name == "lower-roman" and 0 < number < 4000:
        text = roman_numeral(number).lower()
    elif style == "decimal-leading-zero":
        text = f"{number:03d}" if number < 0 else f"{number:02d}"
    return text.upper() if capital else text


def _alphabetic(number: int, letters: str) -> str:
    text = ""
    while number:
        number, at = divmod(number - 1, len(letters))
        text = letters[at] + text
    return text

"""Fields of a Word document: hidden codes, and missing results."""

from __future__ import annotations

import re
from typing import Any

from ragloom.components.source.readers.docx_eq_fields import eq_text
from ragloom.components.source.readers.docx_symbol_fonts import symbol_character
from ragloom.components.source.readers.docx_xml import attribute, child, int_value, is_on, local_name

_RUNNING_NUMBERS = frozenset(["AUTONUM", "AUTONUMLGL", "AUTONUMOUT", "LISTNUM"])
"""Numbers computed by Word on opening a file."""


class FieldStack:
    """Stack of the fields open at a position.

    Args:
        lost: collects the names of fields without a stored result.

    Attributes:
        formula: whether the field that ended last shows a formula.
    """

    def __init__(self, lost: set[str]) -> None:
        self._lost = lost
        self.formula = False
        self._ends: dict[Any, bool] = {}  # begin of a complete field: whether it has a result
        self._open: list[Any] = []
        self._code: list[list[str]] = []  # codes of the open fields

    def prepare(self, root: Any) -> None:
        """Find fields with an end; others would hide all further text."""
        begun: list[tuple[Any, bool]] = []
        for mark in root.iter("{*}fldChar"):
            kind = attribute(mark, "fldCharType")
            if kind == "begin":
                begun.append((mark, False))
            elif begun and kind == "separate":
                begun[-1] = begun[-1][0], True
            elif begun and kind == "end":
                begin, result = begun.pop()
                self._ends[begin] = result

    @property
    def in_code(self) -> bool:
        """Whether the position is inside hidden field code."""
        return bool(self._code)

    def add_code(self, text: str) -> None:
        """Collect a field's code."""
        if self._code:
            self._code[-1].append(text)

    def mark(self, element: Any) -> str:
        """Process a field mark; return the text visible there."""
        kind = attribute(element, "fldCharType")
        self.formula = False
        if kind == "begin" and element in self._ends:
            self._open.append(element)
            value = "" if self.in_code else form_value(child(element, "ffData"))
            self._code.append([])
            return value
        if kind == "separate" and self._open and self._ends[self._open[-1]] and self._code:
            self._code.pop()
        elif kind == "end" and self._open and not self._ends[self._open.pop()] and self._code:
            code = "".join(self._code.pop())
            return "" if self.in_code else self._result(code)
        return ""

    def _result(self, code: str) -> str:
        """Compute the text of a field without a stored result."""
        name, _, rest = code.strip().partition(" ")
        name = name.upper()
        self.formula = name == "EQ"
        if name == "SYMBOL":
            font = re.search(r'\\f\s+(?:"([^"]*)"|(\S+))', rest)
            number = re.match(r"\s*(0x[0-9a-fA-F]{1,6}|\d{1,6})", rest)
            point = f"{int(number.group(1), 0 if number.group(1).startswith('0x') else 10):X}" if number else None
            return symbol_character(next(filter(None, font.groups()), None) if font else None, point) or ""
        if name == "EQ":
            return eq_text(rest)
        if name == "MACROBUTTON":
            return rest.strip().partition(" ")[2]
        if name in _RUNNING_NUMBERS:
            self._lost.add(name)
        return ""


def form_value(data: Any | None) -> str:
    """Return the value of a check box or drop-down list."""
    if (box := child(data, "checkBox")) is not None:
        ticked = child(box, "checked")
        return "☒" if is_on(ticked if ticked is not None else child(box, "default")) else "☐"
    if (choice := child(data, "ddList")) is not None:
        entries = [attribute(entry, "val") or "" for entry in choice if local_name(entry) == "listEntry"]
        result = child(choice, "result")
        at = int_value(result if result is not None else child(choice, "default"), 0)
        return entries[at] if at < len(entries) else ""
    return ""

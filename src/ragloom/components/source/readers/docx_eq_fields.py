"""Formulas of EQ fields (Word 97 to 2003): `EQ \\f(1,2)` is 1/2."""

from __future__ import annotations

import re
from collections.abc import Callable

from ragloom.components.source.readers import formula_text

_MAX_DEPTH = 50
"""Nested formulas; deeper ones are shown as written."""
_SWITCH = re.compile(r"\\([abdfilorsx])((?:\s*\\(?:[lrb]c\\.|[a-z]{2}\d*|[a-z]c\S?))*)\s*\(", re.IGNORECASE)
_SHOWN = re.compile(r"[^\\(),;]+")
_CIRCLES = frozenset("○◯⭕O0")


def eq_text(code: str) -> str:
    """Render the code of an EQ field as one line."""
    return _terms(code, 0, 0)[0].strip()


def _terms(code: str, at: int, depth: int) -> tuple[str, int]:
    """Render up to the end of an argument; return that position."""
    terms: list[str] = []
    level = 0  # of literal brackets
    while at < len(code):
        if (switch := _SWITCH.match(code, at)) and depth < _MAX_DEPTH:
            arguments, at = _arguments(code, switch.end(), depth + 1)
            terms.append(_RULES[switch.group(1).lower()](switch.group(2), arguments))
        elif code[at] == "\\":
            terms.append(code[at + 1 : at + 2])
            at += 2
        elif characters := _SHOWN.match(code, at):
            terms.append(characters.group())
            at = characters.end()
        elif not level and depth and code[at] in "),;":
            break
        else:
            level += {"(": 1, ")": -1}.get(code[at], 0)
            terms.append(code[at])
            at += 1
    return formula_text.join_terms(terms), at


def _arguments(code: str, at: int, depth: int) -> tuple[list[str], int]:
    """Render bracketed arguments; return the position behind them."""
    arguments = []
    while True:
        text, at = _terms(code, at, depth)
        arguments.append(text.strip())
        if at >= len(code) or code[at] == ")":
            return arguments, at + 1
        at += 1


def _list(options: str, arguments: list[str]) -> str:
    return ",".join(arguments)


def _script(options: str, arguments: list[str]) -> str:
    if "\\do" in options:
        return formula_text.subscript("", arguments[0])
    above = formula_text.power("", arguments[0])
    return above if len(arguments) == 1 else f"{above} {_list(options, arguments[1:])}"


def _overstrike(options: str, arguments: list[str]) -> str:
    """Render overstruck characters: a circled number, otherwise all of them."""
    if len(arguments) == 2 and arguments[0] in _CIRCLES and re.fullmatch(r"[1-9]|1\d|20", arguments[1], re.ASCII):
        return chr(0x245F + int(arguments[1]))
    return arguments[-1] if len(arguments) == 2 and arguments[0] in "○◯□△◇" else "".join(arguments)


def _brackets(options: str, arguments: list[str]) -> str:
    sign = dict(re.findall(r"\\([lrb])c\\(.)", options))
    opening = sign.get("l", sign.get("b", "" if "r" in sign else "("))
    closing = {"(": ")", "[": "]", "{": "}", "<": ">"}
    closing_sign = sign.get("r", closing.get(sign["b"], sign["b"]) if "b" in sign else "" if "l" in sign else ")")
    return f"{opening}{_list(options, arguments)}{closing_sign}"


def _integral(options: str, arguments: list[str]) -> str:
    operator = "∑" if "\\su" in options else "∏" if "\\pr" in options else "∫"
    below, above, operand = (*arguments, "", "", "")[:3]
    return f"{formula_text.scripts(operator, below, above)} {operand}".rstrip()


def _array(options: str, arguments: list[str]) -> str:
    match = re.search(r"\\co(\d{1,2})", options)
    columns = max(1, int(match.group(1))) if match else 1
    return formula_text.matrix([arguments[at : at + columns] for at in range(0, len(arguments), columns)])


_RULES: dict[str, Callable[[str, list[str]], str]] = {
    "a": _array,
    "b": _brackets,
    "d": lambda options, arguments: "",
    "f": lambda options, terms: formula_text.fraction(*terms) if len(terms) == 2 else _list(options, terms),
    "i": _integral,
    "l": _list,
    "o": _overstrike,
    "r": lambda options, terms: formula_text.root(terms[-1], terms[0] if len(terms) > 1 else ""),
    "s": _script,
    "x": _list,
}

"""Formulas as one line of text: fractions, powers, roots and matrices that cannot be read as another number.

The forms are those of UnicodeMath and LaTeX that people type: `1/2`, `(a+b)/(2c)`, `10^3`, `x_1`, `√2`, `√[3](x)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_ATOM = re.compile(r"[+\-−]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.?\d+|\w|\w′+)%?|[^\W\d_]{2,}|[+\-−±*]", re.UNICODE)
"""A number, a letter or a word: what needs no brackets as a part of something larger."""
_CLOSED = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}|√\w|√\([^()]*\)")
TIMES = "\u2062"
"""Invisible times: a product whose sign is not shown; `join_terms` writes `·` where the factors would fuse."""
_RAISED = frozenset("′″‴⁗'°*†‡∗∘")
"""Signs that stand raised by themselves: `x′`, `90°`."""
_COMBINING = {
    "¯": "\u0304", "‾": "\u0304", "_": "\u0304", "ˉ": "\u0304", "^": "\u0302", "ˆ": "\u0302", "~": "\u0303",
    "˜": "\u0303", "→": "\u20d7", "⃗": "\u20d7", "˙": "\u0307", ".": "\u0307", "¨": "\u0308", "ˇ": "\u030c",
}  # fmt: skip
_STRETCHED = frozenset("⏞⏟︷︸⎴⎵⏜⏝")
"""Brackets over or under a term; the label beyond them says what they mean."""
_TAIL = re.compile(r"[/^_√][+\-−]?[\w.,]+$")
"""An operand that a following letter would seem to belong to: `x^2` before `y`."""
_BINARY = re.compile(r"(?<=[\w)\]}])[+\-−±∓·×⋅*/=<>≤≥≠,]")


def bracket(term: str) -> str:
    """Put a term in brackets where it would fall apart without them."""
    term = term.strip()
    if not term or _ATOM.fullmatch(term) or _CLOSED.fullmatch(term):
        return term
    return f"({term})"


def fraction(above: str, below: str, *, bar: bool = True) -> str:
    """Render a fraction; without a bar (a binomial) the parts are stacked."""
    return f"{bracket(above)}/{bracket(below)}" if bar else f"({above.strip()} over {below.strip()})"


def power(base: str, exponent: str) -> str:
    """Render a raised term: `10^3`, `x^(n+1)`, `x′`, `90°`."""
    exponent = exponent.strip()
    if exponent and all(sign in _RAISED for sign in exponent):
        return _bracket_base(base) + exponent.replace("∘", "°")
    return f"{_bracket_base(base)}^{bracket(exponent)}" if exponent else base


def subscript(base: str, below: str) -> str:
    """Render a lowered term: `x_1`, `a_(i,j)`."""
    return f"{_bracket_base(base)}_{bracket(below)}" if below.strip() else base


def scripts(base: str, below: str, above: str) -> str:
    """Render a base with a subscript and an exponent; either may be empty."""
    return power(subscript(base, below), above)


def _bracket_base(base: str) -> str:
    """Bracket a base that consists of several terms, so that the exponent belongs to all of it."""
    base = base.strip()
    outside = _outside_brackets(base)
    return f"({base})" if _BINARY.search(outside) or set(outside) & set("^√/") else base


def _outside_brackets(term: str) -> str:
    """Leave out what stands in brackets, so that only the outermost signs remain."""
    depth, kept = 0, []
    for sign in term:
        depth += sign in "([{"
        if not depth:
            kept.append(sign)
        elif sign in ")]}":
            depth -= 1
            kept.append(")" if not depth else "")
    return "".join(kept)


def root(radicand: str, degree: str = "") -> str:
    """Render a root: `√2`, `√(x+1)`, `√[3](x)`."""
    degree = degree.strip()
    if degree in ("", "2"):
        return f"√{bracket(radicand)}"
    return f"√[{degree}]({radicand.strip()})"


def accent(base: str, sign: str) -> str:
    """Render a sign over a term: combined with a single letter, otherwise before the term in brackets."""
    base, sign = base.strip(), sign.strip()
    if sign in _STRETCHED or not sign:
        return base
    if sign in _COMBINING and len(base) == 1:
        return base + _COMBINING[sign]
    return f"{sign}({base})" if sign in _COMBINING else power(base, sign)


def matrix(rows: Iterable[Iterable[str]], *, fenced: bool = False) -> str:
    """Render rows of cells: `[1, 2; 3, 4]`; `fenced` where brackets stand around it already."""
    text = "; ".join(", ".join(cell.strip() for cell in row) for row in rows)
    return text if fenced else f"[{text}]"


def join_terms(parts: Iterable[str]) -> str:
    """Join neighbouring terms, with a blank where they would fuse into another number or word.

    A mixed number stays one: `2` and `1/2` give `2 1/2`; `sin` and `x` give `sin x`; `x^2` and `y` give `x^2 y`.
    """
    made: list[str] = []
    separator = " "
    for part in filter(None, parts):
        if part == TIMES:
            separator = "·"
            continue
        if made and _fuses(made[-1], part):
            made.append(separator)
        made.append(part)
        separator = " "
    return "".join(made)


def _fuses(before: str, part: str) -> bool:
    """Return whether two neighbouring terms would read as one."""
    if not (before[-1].isalnum() and part[0].isalnum()):
        return False
    if part[0].isdigit() or _TAIL.search(before):
        return True
    words = re.search(r"[^\W\d_]*$", before), re.match(r"[^\W\d_]*", part)
    return all(word and word[0] for word in words) and any(word and len(word[0]) > 1 for word in words)

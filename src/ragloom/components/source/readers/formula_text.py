"""Formulas as one line of text: fractions, powers, roots, matrices.

No form can be read as another number. The forms follow UnicodeMath and LaTeX: `1/2`, `(a+b)/(2c)`, `10^3`, `x_1`,
`√2`, `√[3](x)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_ATOM = re.compile(r"[+\-−]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.?\d+|\w|\w′+)%?|[^\W\d_]{2,}|[+\-−±*]", re.UNICODE)
"""A number, letter or word: needs no brackets within a larger term."""
_CLOSED = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}|√\w|√\([^()]*\)")
TIMES = "\u2062"
"""Invisible multiplication sign; `join_terms` writes `·` between factors that would fuse."""
_RAISED = frozenset("′″‴⁗'°*†‡∗∘")
"""Raised signs: `x′`, `90°`."""
_COMBINING = {
    "¯": "\u0304", "‾": "\u0304", "_": "\u0304", "ˉ": "\u0304", "^": "\u0302", "ˆ": "\u0302", "~": "\u0303",
    "˜": "\u0303", "→": "\u20d7", "⃗": "\u20d7", "˙": "\u0307", ".": "\u0307", "¨": "\u0308", "ˇ": "\u030c",
}  # fmt: skip
_STRETCHED = frozenset("⏞⏟︷︸⎴⎵⏜⏝")
"""Brackets over or under a term, explained by the label beyond them."""
_TAIL = re.compile(r"[/^_√][+\-−]?[\w.,]+$")
"""An operand that would absorb a following letter: `x^2` before `y`."""
_BINARY = re.compile(r"(?<=[\w)\]}])[+\-−±∓·×⋅*/=<>≤≥≠,]")


def bracket(term: str) -> str:
    """Bracket a term, unless it is a single number or word."""
    term = term.strip()
    if not term or _ATOM.fullmatch(term) or _CLOSED.fullmatch(term):
        return term
    return f"({term})"


def fraction(above: str, below: str, *, bar: bool = True) -> str:
    """Render a fraction; without a bar a binomial."""
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
    """Render a base with subscript and exponent; either may be empty."""
    return power(subscript(base, below), above)


def _bracket_base(base: str) -> str:
    """Bracket a base of several terms.

    The exponent then belongs to all of it.
    """
    base = base.strip()
    outside = _outside_brackets(base)
    return f"({base})" if _BINARY.search(outside) or set(outside) & set("^√/") else base


def _outside_brackets(term: str) -> str:
    """Remove bracketed parts of a term; keep the outer signs."""
    depth, signs = 0, []
    for sign in term:
        depth += sign in "([{"
        if not depth:
            signs.append(sign)
        elif sign in ")]}":
            depth -= 1
            signs.append(")" if not depth else "")
    return "".join(signs)


def root(radicand: str, degree: str = "") -> str:
    """Render a root: `√2`, `√(x+1)`, `√[3](x)`."""
    degree = degree.strip()
    if degree in ("", "2"):
        return f"√{bracket(radicand)}"
    return f"√[{degree}]({radicand.strip()})"


def accent(base: str, sign: str) -> str:
    """Render an accent: combined with a letter, before a longer term."""
    base, sign = base.strip(), sign.strip()
    if sign in _STRETCHED or not sign:
        return base
    if sign in _COMBINING and len(base) == 1:
        return base + _COMBINING[sign]
    return f"{sign}({base})" if sign in _COMBINING else power(base, sign)


def matrix(rows: Iterable[Iterable[str]], *, fenced: bool = False) -> str:
    """Render rows of cells: `[1, 2; 3, 4]`; without brackets if `fenced`."""
    text = "; ".join(", ".join(cell.strip() for cell in row) for row in rows)
    return text if fenced else f"[{text}]"


def join_terms(parts: Iterable[str]) -> str:
    """Join adjacent terms; separate those that would fuse.

    A mixed number stays one: `2` and `1/2` give `2 1/2`; `sin` and `x` give `sin x`; `x^2` and `y` give `x^2 y`.
    """
    terms: list[str] = []
    separator = " "
    for part in filter(None, parts):
        if part == TIMES:
            separator = "·"
            continue
        if terms and _fuses(terms[-1], part):
            terms.append(separator)
        terms.append(part)
        separator = " "
    return "".join(terms)


def _fuses(before: str, part: str) -> bool:
    """Return whether two adjacent terms would read as one."""
    if not (before[-1].isalnum() and part[0].isalnum()):
        return False
    if part[0].isdigit() or _TAIL.search(before):
        return True
    words = re.search(r"[^\W\d_]*$", before), re.match(r"[^\W\d_]*", part)
    return all(word and word[0] for word in words) and any(word and len(word[0]) > 1 for word in words)

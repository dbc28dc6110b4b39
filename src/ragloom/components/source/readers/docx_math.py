"""Formulas of Word documents (OMML, ECMA-376 Part 1, 22.1) as a line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

from ragloom.components.source.readers import formula_text
from ragloom.components.source.readers.docx_xml import attribute, child, is_on, local_name, walk

_SKIPPED = frozenset(["del", "moveFrom", "rPr", "ctrlPr", "pPr"])
_INVISIBLE = str.maketrans({"\u2061": "", "\u2062": " ", "\u2063": " ", "\u2064": " ", "\u200b": ""})
"""Signs that only group their neighbours."""

_MAX_LENGTH = 10_000
"""Characters of a rendered formula; the terms of a longer one are shown in a row."""

Parts = list[tuple[str, str]]
"""Names and texts of an element's children."""


def math_text(formula: Any) -> str:
    """Render `m:oMath` from the innermost element outwards, without recursion."""
    texts = [text.text or "" for text in formula.iter("{*}t")]
    if sum(map(len, texts)) > _MAX_LENGTH:
        return " ".join(texts)
    opened: list[Parts] = [[]]
    for starts, name, element in walk(formula, lambda name, _: name in _SKIPPED or name.endswith("Pr")):
        if starts:
            opened.append([])
        else:
            parts = opened.pop()
            opened[-1].append((name, _render(name, element, parts)))
    return " ".join(opened[0][0][1].split())


def _render(name: str, element: Any, parts: Parts) -> str:
    if name == "t":
        return (element.text or "").translate(_INVISIBLE)
    if name in ("br", "cr", "tab"):
        return " "
    rule = _RULES.get(name)
    return rule(element, parts) if rule is not None else formula_text.join_terms(_terms(parts))


def _terms(parts: Parts) -> Iterator[str]:
    """Yield the terms of a row; adjacent runs are one.

    Word cuts runs anywhere.
    """
    for is_run, group in groupby(parts, key=lambda part: part[0] == "r"):
        texts = [text for _, text in group]
        yield from ["".join(texts)] if is_run else texts


def _part(parts: Parts, name: str) -> str:
    return next((text for kind, text in parts if kind == name), "")


def _property(element: Any, name: str) -> Any | None:
    return child(child(element, f"{local_name(element)}Pr"), name)


def _sign(element: Any, name: str, otherwise: str) -> str:
    """Return a character set by properties; an empty one means none."""
    value = attribute(_property(element, name), "val")
    return otherwise if value is None else value


def _fraction(element: Any, parts: Parts) -> str:
    bar = attribute(_property(element, "type"), "val") != "noBar"
    return formula_text.fraction(_part(parts, "num"), _part(parts, "den"), bar=bar)


def _scripts(base: str, parts: Parts) -> str:
    return formula_text.scripts(base, _part(parts, "sub"), _part(parts, "sup"))


def _root(element: Any, parts: Parts) -> str:
    hidden = is_on(_property(element, "degHide"))
    return formula_text.root(_part(parts, "e"), "" if hidden else _part(parts, "deg"))


def _delimiters(element: Any, parts: Parts) -> str:
    opening, closing = _sign(element, "begChr", "("), _sign(element, "endChr", ")")
    inner = _sign(element, "sepChr", "|").join(text.strip() for name, text in parts if name == "e")
    if len(parts) == 1 and _stands_alone(element, "m"):
        inner = inner.removeprefix("[").removesuffix("]")  # a matrix has its brackets already
    elif len(parts) == 1 and _stands_alone(element, "f") and re.fullmatch(r"\(.* over .*\)", inner):
        inner = inner[1:-1]  # and so has a binomial
    return f"{opening}{inner}{closing}"


def _stands_alone(element: Any, name: str) -> bool:
    """Return whether delimiters enclose a single element of this name."""
    return [local_name(part) for part in element.iterfind("{*}e/*") if not local_name(part).endswith("Pr")] == [name]


def _large_operator(element: Any, parts: Parts) -> str:
    operator = _scripts(_sign(element, "chr", "∫"), parts)
    operand = _part(parts, "e").strip()
    return f"{operator} {formula_text.bracket(operand) if _is_sum(operand) else operand}".rstrip()


def _is_sum(term: str) -> bool:
    """Return whether a term has a plus or minus outside brackets.

    It would end the operand before it.
    """
    flat, previous = term, None
    while flat != previous:
        previous, flat = flat, re.sub(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}", "", flat)
    return bool(re.search(r"\S\s*[+\-−±∓=<>≤≥]", flat))


def _function(element: Any, parts: Parts) -> str:
    name, argument = _part(parts, "fName").strip(), _part(parts, "e").strip()
    bare = re.fullmatch(r"[\w.∞]+(?:\([^()]*\))?|[(\[{|⌊⌈‖].*", argument)
    if not argument or not name:
        return name + argument
    return f"{name}{argument}" if argument.startswith("(") else f"{name} {argument}" if bare else f"{name}({argument})"


def _accent(element: Any, parts: Parts) -> str:
    sign = _sign(element, "chr", "\u0302")
    base = _part(parts, "e").strip()
    return base + sign if len(base) == 1 else formula_text.accent(base, _SPACING.get(sign, sign))


_SPACING = {
    "\u0302": "^", "\u0303": "~", "\u0304": "¯", "\u0305": "¯", "\u0307": "˙", "\u0308": "¨", "\u030c": "ˇ",
    "\u20d7": "→",
}  # fmt: skip


def _bar(element: Any, parts: Parts) -> str:
    above = attribute(_property(element, "pos"), "val") == "top"
    base = _part(parts, "e").strip()
    return formula_text.accent(base, "¯") if above else base


def _equations(element: Any, parts: Parts) -> str:
    """Render aligned equations without the alignment mark `&`."""
    return "; ".join(text.replace("&", "").strip() for name, text in parts if name == "e")


def _phantom(element: Any, parts: Parts) -> str:
    visible = _property(element, "show")
    return _part(parts, "e") if visible is None or is_on(visible) else ""


_RULES: dict[str, Callable[[Any, Parts], str]] = {
    **dict.fromkeys(("sSup", "sSub", "sSubSup"), lambda element, parts: _scripts(_part(parts, "e"), parts)),
    "r": lambda element, parts: "".join(text for _, text in parts),
    "f": _fraction,
    "sPre": lambda element, parts: f"{_scripts('', parts)} {_part(parts, 'e')}",
    "rad": _root,
    "d": _delimiters,
    "nary": _large_operator,
    "func": _function,
    "limLow": lambda element, parts: formula_text.subscript(_part(parts, "e"), _part(parts, "lim")),
    "limUpp": lambda element, parts: formula_text.power(_part(parts, "e"), _part(parts, "lim")),
    "acc": _accent,
    "bar": _bar,
    "m": lambda element, parts: formula_text.matrix([[text] for name, text in parts if name == "mr"]),
    "mr": lambda element, parts: ", ".join(text.strip() for name, text in parts if name == "e"),
    "eqArr": _equations,
    "phant": _phantom,
}

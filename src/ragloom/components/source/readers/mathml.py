"""MathML elements of an HTML page as a line of text.

Presentation elements of MathML Core and MathML 3 are read, annotations are not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from ragloom.components.source.readers import formula_text

_MAX_DEPTH = 100
"""Rendered levels of nested formulas; deeper ones are plain text."""
_INVISIBLE = {"\u2063": ",", "\u2064": " "}
"""Invisible separator and plus."""
_APPLIED = re.compile("\u2061(?=[(\\[])")
"""Function application before a bracket; elsewhere it becomes a blank."""
_HIDDEN = frozenset(["annotation", "annotation-xml", "mphantom", "mprescripts", "none", "script", "style", "template"])
_OPENING = frozenset("([{|‖⟨⌊⌈")
_STRETCHED_BELOW = frozenset("_⏟︸⎵¯̲")
_LIMITS = re.compile(r"[∑∏∐∫∮⋃⋂⋁⋀⨁⨂]|lim|max|min|sup|inf|argmax|argmin", re.IGNORECASE)


def math_text(element: Any) -> str:
    """Render a `<math>` element as one line."""
    text = _APPLIED.sub("", _render(element, 0)).replace("\u2061", " ").replace(formula_text.TIMES, "")
    return " ".join(text.split())


def is_math(tag: str) -> bool:
    """Return whether a tag is `math` in any namespace."""
    return tag == "math" or tag.endswith(":math")


def _name(element: Any) -> str:
    """Return an element's name without a prefix."""
    return str(element.tag).rpartition(":")[2]


def _children(element: Any) -> Iterator[Any]:
    return (child for child in element.iter() if child.is_element_node)


def _render(element: Any, depth: int) -> str:
    tag = _name(element)
    if tag in _HIDDEN:
        return ""
    if depth > _MAX_DEPTH:
        return str(element.text())
    if tag in _LEAVES:
        return _LEAVES[tag](element)
    parts = [_render(child, depth + 1) for child in _children(element)]
    if tag in _FORMS:
        return _FORMS[tag](element, parts)
    if not parts and element.first_child is not None:
        return str(element.text())  # a formula of text alone
    return formula_text.join_terms(parts)


def _token(element: Any) -> str:
    """Return a leaf's text without the blanks around it."""
    return " ".join(element.text().split())


def _space(element: Any) -> str:
    width = (element.attributes.get("width") or "").strip()
    return " " if re.match(r"(?:0*[1-9]|0?\.\d*[1-9])", width) else ""


def _fraction(element: Any, parts: list[str]) -> str:
    if len(parts) != 2:
        return " ".join(parts)
    thickness = (element.attributes.get("linethickness") or "").strip()
    return formula_text.fraction(*parts, bar=not re.fullmatch(r"0+(?:\.0*)?\s*(?:[a-z%]*)", thickness))


def _scripts(element: Any, parts: list[str]) -> str:
    """Render `msub`, `msup`, `msubsup`, `munder`, `mover` and `munderover`."""
    tag = _name(element)
    if len(parts) != (3 if tag in ("msubsup", "munderover") else 2):
        return " ".join(parts)
    base = parts[0]
    below = parts[1] if "sub" in tag or "under" in tag else ""
    above = "" if tag in ("msub", "munder") else parts[-1]
    if tag.startswith(("mu", "mo")) and not _LIMITS.search(base):
        base = formula_text.accent(base, above) if above.strip() else base
        return formula_text.subscript(base, "" if below.strip() in _STRETCHED_BELOW else below)
    return formula_text.scripts(base, below, above)


def _multiscripts(element: Any, parts: list[str]) -> str:
    """Render indices on both sides: `_6^14 C` for carbon 14."""
    kinds = [_name(child) for child in _children(element)]
    at = kinds.index("mprescripts") if "mprescripts" in kinds else len(kinds)
    base, after, before = parts[0] if parts else "", parts[1:at], parts[at + 1 :]
    for below, above in zip(after[::2], after[1::2], strict=False):
        base = formula_text.scripts(base, below, above)
    pairs = zip(before[::2], before[1::2], strict=False)
    front = "".join(formula_text.scripts("", below, above) for below, above in pairs)
    return f"{front} {base}".strip()


def _fence(element: Any, parts: list[str]) -> str:
    attributes = element.attributes
    opening, closing = attributes.get("open", "("), attributes.get("close", ")")
    separators = "".join((attributes.get("separators", ",") or "").split())
    text = ""
    for number, part in enumerate(parts):
        text += (separators[min(number, len(separators)) - 1] if number and separators else "") + part
    return f"{opening or ''}{text}{closing or ''}"


def _table(element: Any, parts: list[str]) -> str:
    """Render a matrix from its rendered rows."""
    before = element.prev
    while before is not None and not before.is_element_node:
        before = before.prev
    fenced = before is not None and _name(before) == "mo" and before.text().strip() in _OPENING
    return formula_text.matrix([[part] for part in parts], fenced=fenced or len(parts) < 2)


def _table_row(element: Any, parts: list[str]) -> str:
    """Render a row; a cell with a leading relation needs no comma."""
    text = ""
    for part in parts:
        separator = " " if re.match(r"\s*[=<>≤≥≈≡≠∼→⇒+\-−]", part) or not text.strip() else ", "
        text += (separator if text else "") + part.strip()
    return text


def _enclosure(element: Any, parts: list[str]) -> str:
    text = formula_text.join_terms(parts)
    notation = (element.attributes.get("notation") or "longdiv").split()
    return formula_text.root(text) if "radical" in notation else f"({text})" if "longdiv" in notation else text


_LEAVES: dict[str, Callable[[Any], str]] = {
    "mi": _token,
    "mn": _token,
    "mo": lambda element: _INVISIBLE.get(_token(element), _token(element)),
    "ms": lambda element: f'"{_token(element)}"',
    "mtext": lambda element: re.sub(r"[ \t\n\u00a0]+", " ", element.text()),  # with the blanks at its ends
    "mspace": _space,
}
_FORMS: dict[str, Callable[[Any, list[str]], str]] = {
    **dict.fromkeys(("msup", "msub", "msubsup", "mover", "munder", "munderover"), _scripts),
    **dict.fromkeys(("mtr", "mlabeledtr"), _table_row),
    **dict.fromkeys(("semantics", "maction"), lambda element, parts: parts[0] if parts else ""),
    **dict.fromkeys(("mstack", "mlongdiv", "msrow"), lambda element, parts: " ".join(parts)),
    "mfrac": _fraction,
    "mmultiscripts": _multiscripts,
    "msqrt": lambda element, parts: formula_text.root(formula_text.join_terms(parts)),
    "mroot": lambda element, parts: formula_text.root(*parts) if len(parts) == 2 else " ".join(parts),
    "mfenced": _fence,
    "mtable": _table,
    "menclose": _enclosure,
}

"""Visible values of HTML form fields: text, chosen options, ticks."""

from __future__ import annotations

import re
from typing import Any

_VALUED = frozenset([
    "text", "search", "url", "tel", "email", "number", "date", "time", "datetime-local", "month", "week", "submit",
    "reset", "button",
])  # fmt: skip
_VALUELESS = frozenset(["hidden", "password", "file", "range", "color", "image"])
_MARKS = {("checkbox", True): "☒", ("checkbox", False): "☐", ("radio", True): "◉", ("radio", False): "○"}


def input_text(element: Any) -> str:
    """Return the visible value of an `<input>`: text or box sign."""
    attributes = element.attributes
    kind = (attributes.get("type") or "text").strip().lower()
    if kind in ("checkbox", "radio"):
        return _MARKS[kind, "checked" in attributes]
    return (attributes.get("value") or "") if kind in _VALUED or kind not in _VALUELESS else ""


def visible_options(element: Any) -> list[str]:
    """List the visible options of a `<select>` element.

    A list box shows all of them, a menu the chosen one.
    """
    options = [option for option in element.css("option") if "hidden" not in option.attributes]
    size = re.match(r"\s*0*([1-9]\d{0,5})", element.attributes.get("size") or "")
    if "multiple" not in element.attributes and (size is None or size[1] == "1"):
        chosen = [option for option in options if "selected" in option.attributes][-1:]
        options = chosen or [option for option in options if "disabled" not in option.attributes][:1]
    return [" ".join((option.attributes.get("label") or option.text()).split()) for option in options]

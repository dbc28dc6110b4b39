"""Access to the XML elements of a Word document, independent of namespaces."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from lxml import etree


def local_name(element: Any) -> str:
    """Return the local name of an element (strict and transitional alike)."""
    return str(element.tag).rpartition("}")[2]


def child(element: Any | None, name: str) -> Any | None:
    """Find the first child of this name."""
    return None if element is None else element.find(f"{{*}}{name}")


def attribute(element: Any | None, name: str) -> str | None:
    """Read an attribute in any namespace."""
    if element is None:
        return None
    return next((str(value) for key, value in element.items() if key.rpartition("}")[2] == name), None)


def int_value(element: Any | None, otherwise: int) -> int:
    """Read `val` as a number from 0 to 99999."""
    value = attribute(element, "val") or ""
    return int(value) if re.fullmatch(r"\d{1,5}", value, re.ASCII) else otherwise


def is_on(element: Any | None) -> bool:
    """Return whether a switch like `<w:vanish/>` is on."""
    return element is not None and attribute(element, "val") not in ("0", "false", "off")


def walk(root: Any, skips: Callable[[str, Any], bool]) -> Iterator[tuple[bool, str, Any]]:
    """Walk a tree without recursion.

    Args:
        skips: takes local name and element at its start; whether it is left out with all inside.

    Yields:
        Whether an element starts (or ends), its local name, and the element.
    """
    steps = etree.iterwalk(root, events=("start", "end"))
    skipped = None
    for event, element in steps:
        name = local_name(element)
        if event == "start" and skips(name, element):
            skipped = element
            steps.skip_subtree()
        elif element is not skipped:
            yield event == "start", name, element

"""Metrics of answers and rankings, as pure functions over plain data.

`spans` counts characters, `ranking` orders, `answers` compares words, `judge` asks an LLM. A chunk is a `Passage`, and
a list's order is its rank. Every query counts: the caller passes an empty list for one that failed, which
scores zero; a query without gold is refused, since it has no score.
"""

from __future__ import annotations

from typing import NamedTuple


class Passage(NamedTuple):
    """Retrieved characters `[start, end)` of a document's stored text."""

    document: str
    start: int
    end: int

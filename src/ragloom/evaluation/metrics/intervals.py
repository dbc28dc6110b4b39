"""Sets of characters as sorted, disjoint ranges: union, intersection, length."""

from __future__ import annotations

from collections.abc import Iterable

from ragloom.core.gold import Range


def union(ranges: Iterable[Range]) -> list[Range]:
    """Merge ranges into sorted, disjoint ones; empty ranges vanish."""
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def intersection(left: Iterable[Range], right: Iterable[Range]) -> list[Range]:
    """Intersect two sorted, disjoint sets of ranges."""
    mine, other = list(left), list(right)
    shared: list[Range] = []
    i = j = 0
    while i < len(mine) and j < len(other):
        start, end = max(mine[i][0], other[j][0]), min(mine[i][1], other[j][1])
        if start < end:
            shared.append((start, end))
        if mine[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return shared


def length(ranges: Iterable[Range]) -> int:
    """Count the characters of ranges, each on its own."""
    return sum(end - start for start, end in ranges)

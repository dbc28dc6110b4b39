"""Advice for a comparison without a winner."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ragloom.comparison import Comparison, significance
from ragloom.comparison.significance import SPLIT_GROUPS


def grouping(comparison: Comparison) -> str:
    """Describe the resampled units and the key that decides them.

    For example `30 questions in 9 groups, dataset.group=document`.
    """
    verdict, group = comparison.verdict, comparison.runs[0].config.get("dataset", {}).get("group")
    unit = "windows of neighbouring questions" if comparison.table.windowed else "groups"
    key = f", dataset.group={group}" if group is not None else ""
    return f"{verdict.queries} questions in {verdict.groups} {unit}{key}"


def advice(comparison: Comparison) -> list[str]:
    """List one sentence per remedy; empty when there is a winner."""
    if comparison.verdict.winner is not None:
        return []
    return [*_groups(comparison), *_tests(comparison)]


def _groups(comparison: Comparison) -> Iterator[str]:
    verdict, table = comparison.verdict, comparison.table
    tests = len(verdict.findings)
    if not significance.can_show(verdict.groups, tests):
        yield (
            f"more groups: at least {significance.least_groups(tests)} for {tests} test{'s' if tests > 1 else ''} "
            f"(now {verdict.groups})"
        )
    elif table.windowed:
        yield f"more groups: at least {SPLIT_GROUPS} are resampled as they are (now {table.named_groups})"
    group = comparison.runs[0].config.get("dataset", {}).get("group")
    if group not in (None, "query") and table.named_groups < len(table.rows):
        yield (
            f"dataset.group=query counts each of the {len(table.rows)} questions as a group: right where questions of "
            "one document are independent of each other, and too sure where they are not"
        )


def _tests(comparison: Comparison) -> Iterator[str]:
    verdict = comparison.verdict
    tests = len(verdict.findings)
    configs = (1 + math.isqrt(1 + 8 * tests)) // 2  # that differ: each pair of them is a test
    if verdict.plan != "pairs" or configs < 3:
        return
    most = significance.most_tests(verdict.groups)
    enough = (
        "" if significance.can_show(verdict.groups, tests) else f"; these groups can show something in {most} at most"
    )
    yield f"a named baseline: comparison.baseline=RUN makes {configs - 1} tests of {tests}{enough}"
    yield "fewer configs: leave out those that cannot win, before looking at their scores"

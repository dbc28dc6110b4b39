"""Where a difference comes from: means by tag, and the questions that moved most with their chunks. Tests nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ragloom.comparison import paired_statistics, significance
from ragloom.comparison import run_loader as folders
from ragloom.comparison.run_loader import Run
from ragloom.comparison.score_table import Sheet
from ragloom.comparison.significance import Pair

_MOST_VALUES = 20  # of a tag that is broken down; more are no breakdown
_CHUNKS = 5  # shown of each config for a question


@dataclass(frozen=True)
class Part:
    """The questions that share a tag's value.

    Attributes:
        means: of every config, `[k]`.
        difference, low, high: of the shown pair; a t interval by group, of these questions alone.
    """

    tag: str
    value: str
    queries: int
    means: list[float]
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Example:
    """A question that one config of the shown pair answers better.

    Attributes:
        scores: of the first and the second config.
        chunks: the first ones that each of them found.
    """

    query: str
    text: str
    group: str
    scores: tuple[float, float]
    chunks: tuple[list[dict[str, Any]], list[dict[str, Any]]]


def parts(sheet: Sheet, pair: Pair) -> list[Part]:
    """Breaks the scores down by every tag that has 2 to 20 values; a question without the tag is in none of them."""
    found = []
    for tag in dict.fromkeys(tag for row in sheet.rows for tag in row.tags):
        values = sorted({row.tags[tag] for row in sheet.rows if tag in row.tags})
        if not 2 <= len(values) <= _MOST_VALUES:
            continue
        for value in values:
            found.append(_part(sheet, pair, tag, value))
    return found


def _part(sheet: Sheet, pair: Pair, tag: str, value: str) -> Part:
    inside = np.array([row.tags.get(tag) == value for row in sheet.rows])
    groups = significance.numbered([str(group) for group in sheet.groups[inside]])
    data = paired_statistics.paired(significance.differences(sheet.scores[:, inside], [pair]), groups)
    low, high = paired_statistics.t_intervals(data)
    return Part(
        tag=tag,
        value=value,
        queries=int(inside.sum()),
        means=sheet.scores[:, inside].mean(axis=1).tolist(),
        difference=float(data.mean[0]),
        low=float(low[0]),
        high=float(high[0]),
    )


def moved(runs: Sequence[Run], sheet: Sheet, pair: Pair, most: int) -> tuple[list[Example], list[Example]]:
    """Returns the questions for which the first config of a pair is most worse, and most better, than the second."""
    first, second = pair
    gained = sheet.scores[first] - sheet.scores[second]
    order = np.argsort(gained, kind="stable")
    worse = [int(at) for at in order[:most] if gained[at] < 0]
    better = [int(at) for at in order[::-1][:most] if gained[at] > 0]
    wanted = {sheet.rows[at].id for at in (*worse, *better)}
    theirs = [folders.chunks(runs[row], wanted, _CHUNKS) if wanted else {} for row in pair]

    def example(at: int) -> Example:
        row = sheet.rows[at]
        return Example(
            query=row.id,
            text=row.text,
            group=row.group,
            scores=(float(sheet.scores[first, at]), float(sheet.scores[second, at])),
            chunks=(theirs[0].get(row.id, []), theirs[1].get(row.id, [])),
        )

    return [example(at) for at in worse], [example(at) for at in better]

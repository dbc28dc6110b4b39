"""Breakdown of a difference by tag, and the most changed questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ragloom.comparison import paired_statistics, significance
from ragloom.comparison import run_loader as folders
from ragloom.comparison.run_loader import EvaluatedRun
from ragloom.comparison.score_table import ScoreTable
from ragloom.comparison.significance import Pair

_MOST_VALUES = 20  # of a tag that is broken down; more are no breakdown
_CHUNKS = 5  # shown of each config for a question


@dataclass(frozen=True)
class TagScores:
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
class ChangedQuestion:
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


def tag_scores(table: ScoreTable, pair: Pair) -> list[TagScores]:
    """Break the scores down by every tag of 2 to 20 values.

    A question without the tag is in none of its parts.
    """
    tags = dict.fromkeys(tag for row in table.rows for tag in row.tags)
    values = {tag: sorted({row.tags[tag] for row in table.rows if tag in row.tags}) for tag in tags}
    return [
        _part(table, pair, tag, value)
        for tag, of_tag in values.items()
        if 2 <= len(of_tag) <= _MOST_VALUES
        for value in of_tag
    ]


def _part(table: ScoreTable, pair: Pair, tag: str, value: str) -> TagScores:
    inside = np.array([row.tags.get(tag) == value for row in table.rows])
    groups = significance.numbered([str(group) for group in table.groups[inside]])
    data = paired_statistics.paired(significance.differences(table.scores[:, inside], [pair]), groups)
    low, high = paired_statistics.t_intervals(data)
    return TagScores(
        tag=tag,
        value=value,
        queries=int(inside.sum()),
        means=table.scores[:, inside].mean(axis=1).tolist(),
        difference=float(data.mean[0]),
        low=float(low[0]),
        high=float(high[0]),
    )


def largest_changes(
    runs: Sequence[EvaluatedRun], table: ScoreTable, pair: Pair, most: int
) -> tuple[list[ChangedQuestion], list[ChangedQuestion]]:
    """Return the questions with the largest losses and gains of a pair."""
    first, second = pair
    gained = table.scores[first] - table.scores[second]
    order = np.argsort(gained, kind="stable")
    worse = [int(at) for at in order[:most] if gained[at] < 0]
    better = [int(at) for at in order[::-1][:most] if gained[at] > 0]
    wanted = {table.rows[at].id for at in (*worse, *better)}
    theirs = [folders.chunks(runs[row], wanted, _CHUNKS) if wanted else {} for row in pair]

    def example(at: int) -> ChangedQuestion:
        row = table.rows[at]
        return ChangedQuestion(
            query=row.id,
            text=row.text,
            group=row.group,
            scores=(float(table.scores[first, at]), float(table.scores[second, at])),
            chunks=(theirs[0].get(row.id, []), theirs[1].get(row.id, [])),
        )

    return [example(at) for at in worse], [example(at) for at in better]

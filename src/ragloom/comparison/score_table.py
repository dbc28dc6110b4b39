"""Table of scores: a row per run, a column per query.

Every query that a metric suits counts in every run: one that failed is a zero, and so is one for which a judge gave
no verdict, or that a run did not answer where a judge says how others did. So nobody wins by what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ragloom.comparison.paired_statistics import Groups, Numbers
from ragloom.comparison.run_loader import EvaluatedRun, QueryRow
from ragloom.comparison.significance import SPLIT_GROUPS, numbered, windows
from ragloom.core.metric_names import JUDGED
from ragloom.errors import DataError, nearest


@dataclass(frozen=True)
class ScoreTable:
    """Scores of k runs on n queries.

    Attributes:
        metric: its name.
        scores: `[k, n]`.
        rows: what is known of each query (of the first run).
        groups: `[n]`, what is resampled.
        named_groups: how many groups the dataset names.
        windowed: whether these were too few, and windows take their place.
        failed: `[k]` queries that failed.
        not_judged: `[k]` queries for which a judge gave no verdict.
        not_answered: `[k]` queries that were not answered, so that there was nothing to judge.
    """

    metric: str
    scores: Numbers
    rows: tuple[QueryRow, ...]
    groups: Groups
    named_groups: int
    windowed: bool
    failed: list[int]
    not_judged: list[int]
    not_answered: list[int]

    @property
    def count(self) -> int:
        """Groups that are resampled."""
        return int(self.groups.max()) + 1

    @property
    def means(self) -> Numbers:
        """`[k]` mean scores on all queries."""
        return np.asarray(self.scores.mean(axis=1))


def default_metric(run: EvaluatedRun) -> str:
    """Return the first requested metric that the gold supports.

    Without a request it is the first metric of the run.
    """
    settings = run.config.get("metrics") or {}
    spans, graded = any(row.by_spans for row in run.rows), any(row.judged and not row.by_spans for row in run.rows)
    names = [*(settings.get("spans", ()) if spans else ()), *(settings.get("documents", ()) if graded else ())]
    names += settings.get("answers", ())
    return next((name for name in [*names, *run.means] if name in run.means), "a metric")


def build_table(runs: Sequence[EvaluatedRun], metric: str) -> ScoreTable:
    """Lays the scores of comparable runs side by side.

    Raises:
        DataError: no run has the metric, or one lacks it for a query that did not fail.
    """
    suits = [at for at in range(len(runs[0].rows)) if _suits([run.rows[at] for run in runs], metric)]
    if not suits or not any(metric in run.rows[at].metrics for run in runs for at in suits):
        known = {name for run in runs for row in run.rows for name in row.metrics}
        raise DataError(
            f"compare: comparison.metric={metric} must be a metric that the runs have{nearest(metric, known)}"
        )
    scores = np.array([[_score(run, run.rows[at], metric) for at in suits] for run in runs], dtype=np.float64)
    rows = tuple(runs[0].rows[at] for at in suits)
    named = numbered([row.group for row in rows])
    count = int(named.max()) + 1
    windowed = count < SPLIT_GROUPS
    positions = np.array([at if row.position is None else row.position for at, row in enumerate(rows)], np.float64)
    return ScoreTable(
        metric=metric,
        scores=scores,
        rows=rows,
        groups=windows(named, positions) if windowed else named,
        named_groups=count,
        windowed=windowed,
        failed=[sum(run.rows[at].failed for at in suits) for run in runs],
        not_judged=[sum(run.rows[at].metrics.get(metric, 0.0) is None for at in suits) for run in runs],
        not_answered=[sum(_not_answered(run.rows[at], metric) for at in suits) for run in runs],
    )


def same_scores(scores: Numbers) -> list[int]:
    """Return for each config the first with equal scores, `[k]`."""
    first: dict[bytes, int] = {}
    return [first.setdefault(row.tobytes(), at) for at, row in enumerate(scores + 0.0)]  # -0.0 is 0.0


def _suits(rows: Sequence[QueryRow], metric: str) -> bool:
    """Return whether a metric applies to a query.

    Some run has it, or none can since all failed.
    """
    return any(metric in row.metrics for row in rows) or all(row.judged and row.failed for row in rows)


def _not_answered(row: QueryRow, metric: str) -> bool:
    return metric in JUDGED and metric not in row.metrics and not row.failed


def _score(run: EvaluatedRun, row: QueryRow, metric: str) -> float:
    if row.failed or _not_answered(row, metric):
        return 0.0
    if metric not in row.metrics:
        raise DataError(
            f"compare: {run.name} must have {metric} of query {row.id!r}, which did not fail; evaluate it again"
        )
    value = row.metrics[metric]
    return 0.0 if value is None else float(value)

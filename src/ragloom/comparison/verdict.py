"""Verdict of a comparison: plan, findings and the claims they support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ragloom.comparison import significance
from ragloom.comparison.paired_statistics import Numbers
from ragloom.comparison.score_table import ScoreTable, same_scores
from ragloom.comparison.significance import SPLIT_GROUPS, Finding, Pair, Plan
from ragloom.config.settings import ComparisonSettings
from ragloom.errors import ConfigError

ALL, DEV, TEST = "all questions", "dev half", "test half"
_MANY = 1_000_000


@dataclass(frozen=True)
class ComparisonVerdict:
    """Tests of a comparison and the claims they support.

    Attributes:
        plan: that was followed.
        baseline: row of the baseline; None with `pairs`.
        best: row of the best of the dev half; with `split` only.
        half: what the findings are about.
        findings: a test each.
        sentences: what may be said, first of all whether there is a winner.
        notes: what a reader has to know about how it was tested.
        winner: row of a config that is shown to be better than the baseline, or than every other; else None.
        beaten: rows that are shown to be worse than another.
        pair: the two rows that matter most; what is shown of questions and tags is about them.
        dev: mean scores on the dev half, `[k]`, with `split` only; `test` on the other.
        queries, groups: that the findings rest on.
    """

    plan: Plan
    baseline: int | None
    best: int | None
    half: str
    findings: list[Finding]
    sentences: list[str]
    notes: list[str]
    winner: int | None
    beaten: list[int]
    pair: Pair
    queries: int
    groups: int
    dev: list[float]
    test: list[float]


def decide(
    table: ScoreTable, labels: Sequence[str], settings: ComparisonSettings, named: int | None, stand_in: int
) -> ComparisonVerdict:
    """Test the pairs that the settings fix; say what is shown.

    Configs with the same score on every query are tested once.

    Args:
        settings: the plan `auto` takes `baseline` where one is named, `split` for more than two configs, else `pairs`.
        named: row of the named baseline; None where none is named.
        stand_in: row that stands for the baseline in a split where none is named.

    Raises:
        ConfigError: a split is asked for with too few groups, or a plan that needs a baseline has none.
    """
    plan, notes = _plan(table, settings["plan"], named)
    baseline = None if plan == "pairs" else stand_in if named is None else named
    same = same_scores(table.scores)
    rows_tested = sorted(set(same))
    if baseline is not None:  # of equals the baseline speaks for all
        rows_tested = sorted({baseline if row == same[baseline] else row for row in rows_tested})
    notes += _equals(same, rows_tested, labels)
    part, best, means = np.ones(table.scores.shape[1], dtype=bool), None, table.means
    if plan == "split":
        part = ~significance.halves(table.groups, settings["seed"])
        means = table.scores[:, ~part].mean(axis=1)
        best = max(rows_tested, key=lambda row: (means[row], row == baseline, -row))
    groups = significance.numbered([str(group) for group in table.groups[part]])
    findings = significance.run_tests(
        table.scores[:, part],
        groups,
        significance.pairs(plan, rows_tested, baseline, best),
        resamples=settings["resamples"],
        seed=settings["seed"],
        worth=settings["tolerance"],
    )
    verdict = ComparisonVerdict(
        plan=plan,
        baseline=baseline,
        best=best,
        half=TEST if plan == "split" else ALL,
        findings=findings,
        sentences=[],
        notes=notes,
        winner=_winner(findings, rows_tested, baseline, table.means),
        beaten=sorted({finding.pair[1 if finding.difference > 0 else 0] for finding in findings if finding.shown}),
        pair=_pair(means, rows_tested, baseline, best),
        queries=int(part.sum()),
        groups=int(groups.max()) + 1,
        dev=means.tolist() if plan == "split" else [],
        test=table.scores[:, part].mean(axis=1).tolist() if plan == "split" else [],
    )
    verdict.sentences.extend(_sentences(verdict, table, labels, settings["tolerance"]))
    return verdict


def number(value: float) -> str:
    """Write a score or a difference: `.041`, `-.002`, `1.000`."""
    text = f"{value:.3f}"
    text = "0.000" if text == "-0.000" else text
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def _plan(table: ScoreTable, plan: Literal["auto"] | Plan, baseline: int | None) -> tuple[Plan, list[str]]:
    notes = []
    if table.windowed:
        notes.append(
            f"the dataset has {table.named_groups} groups, fewer than {SPLIT_GROUPS}: there is no split, and windows "
            f"of neighbouring questions ({table.count} of them) are resampled instead of groups"
        )
    if plan == "split" and table.windowed:
        raise ConfigError(
            f"config: comparison.plan=split must have at least {SPLIT_GROUPS} groups to split, and the dataset has "
            f"{table.named_groups}; name a baseline, or set comparison.plan=pairs"
        )
    if plan == "baseline" and baseline is None:
        raise ConfigError("config: comparison.plan=baseline must have a baseline; set comparison.baseline=RUN")
    if plan == "pairs" and baseline is not None:
        raise ConfigError("config: comparison.plan=pairs must have no baseline; it tests every pair")
    if plan != "auto":
        return plan, notes
    if baseline is not None:
        return "baseline", notes
    return ("split" if len(table.scores) > 2 and not table.windowed else "pairs"), notes


def _equals(same: list[int], rows_tested: list[int], labels: Sequence[str]) -> list[str]:
    return [
        f"{labels[row]} has the same score on every question as {' and '.join(others)}: tested once"
        for row in rows_tested
        if (others := [labels[twin] for twin in range(len(same)) if twin != row and same[twin] == same[row]])
    ]


def _winner(findings: list[Finding], rows_tested: list[int], baseline: int | None, means: Numbers) -> int | None:
    better = {(finding.pair if finding.difference > 0 else finding.pair[::-1]) for finding in findings if finding.shown}
    if baseline is None:
        alone = [row for row in rows_tested if all((row, other) in better for other in rows_tested if other != row)]
        return alone[0] if alone and len(rows_tested) > 1 else None
    if better and all(first == baseline for first, _ in better) and len(better) == len(rows_tested) - 1:
        return baseline
    gained = [first for first, second in better if second == baseline]
    return max(gained, key=lambda row: (means[row], -row), default=None)


def _pair(means: Numbers, rows_tested: list[int], baseline: int | None, best: int | None) -> Pair:
    """Choose the configs for examples: the leader, and baseline or runner-up."""
    order = sorted(range(len(means)), key=lambda row: (row in rows_tested, means[row], -row), reverse=True)
    if baseline is None:
        return order[0], order[1]
    if best is not None and best != baseline:
        return best, baseline
    return next(row for row in order if row != baseline), baseline


def _sentences(verdict: ComparisonVerdict, table: ScoreTable, labels: Sequence[str], tolerance: float) -> list[str]:
    if not any(same_scores(table.scores)):
        return [
            f"no clear winner: all configs have the same score on every question; {table.metric} cannot tell them apart"
        ]
    if not significance.can_show(verdict.groups, len(verdict.findings)):
        return [
            f"no clear winner: {verdict.groups} groups are too few for any difference to be significant in "
            f"{_tests(len(verdict.findings))}"
        ]
    claims = [_claim(finding, verdict, table.metric, labels) for finding in verdict.findings if finding.shown]
    if verdict.winner is None:
        return [f"no clear winner: {_open(verdict, table, labels, tolerance)}", *claims]
    if verdict.plan == "baseline" and verdict.winner != verdict.baseline and len(claims) > 1:
        claims.append("which of those that beat the baseline is best was not tested")
    return claims


def _claim(finding: Finding, verdict: ComparisonVerdict, metric: str, labels: Sequence[str]) -> str:
    first, second = finding.pair if finding.difference > 0 else finding.pair[::-1]
    ends = sorted((abs(finding.low), abs(finding.high)))
    marks = [f"{labels[row]}{' (baseline)' if row == verdict.baseline else ''}" for row in (first, second)]
    p = "p < .001" if finding.adjusted < 0.001 else f"p {number(finding.adjusted)}"
    corrected = f", Holm over {_tests(len(verdict.findings))}" if len(verdict.findings) > 1 else ""
    return (
        f"{marks[0]} is better than {marks[1]} by {number(abs(finding.difference))} {metric} "
        f"[{number(ends[0])}, {number(ends[1])}] ({verdict.half}, {p}{corrected})"
    )


def _open(verdict: ComparisonVerdict, table: ScoreTable, labels: Sequence[str], tolerance: float) -> str:
    """Describe the open question, and how many queries would settle it."""
    if not verdict.findings and verdict.baseline is not None:  # of a split: other plans test configs that differ
        return (
            f"on the dev half none is better than the baseline {labels[verdict.baseline]}, so that nothing was tested"
        )
    pair = set(verdict.pair)
    finding = next((item for item in verdict.findings if set(item.pair) == pair), None)
    if finding is None or finding.shown:
        finding = max((item for item in verdict.findings if not item.shown), key=lambda item: abs(item.difference))
    first, second = finding.pair
    seen = (
        f"{labels[first]} minus {labels[second]} is {number(finding.difference)} {table.metric} "
        f"[{number(finding.low)}, {number(finding.high)}] ({verdict.half})"
    )
    worth = max(abs(finding.difference), tolerance)
    if finding.needed is not None and finding.needed <= verdict.queries and worth > abs(finding.difference):
        return f"{seen}; these {verdict.queries} questions would have shown a difference of {number(worth)}"
    return f"{seen}; {_needed(finding, verdict)} would settle whether a difference of {number(worth)} is real"


def _needed(finding: Finding, verdict: ComparisonVerdict) -> str:
    if finding.needed is None or finding.needed > _MANY:
        return "more than a million questions"
    if verdict.plan == "split":
        return f"about {2 * finding.needed} questions (half of them to test; now {verdict.queries})"
    return f"about {finding.needed} questions (now {verdict.queries})"


def _tests(count: int) -> str:
    return f"{count} test{'s' if count != 1 else ''}"

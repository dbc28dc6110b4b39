"""Selection of the config to ship: noninferior, cheap and fast."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ragloom.comparison import paired_statistics
from ragloom.comparison.paired_statistics import Numbers
from ragloom.comparison.query_times import query_times
from ragloom.comparison.run_loader import EvaluatedRun
from ragloom.comparison.score_table import ScoreTable
from ragloom.comparison.significance import differences
from ragloom.comparison.verdict import ComparisonVerdict
from ragloom.config.settings import ComparisonSettings


@dataclass(frozen=True)
class Standing:
    """Standing of one config among all, over all questions.

    Attributes:
        mean: of the metric.
        loss: largest observed mean loss to another config; 0 or less for the best.
        most: upper end of the 95 % interval of the loss to any other config.
        as_good: whether that is below the tolerance; otherwise it is not shown to be as good.
        cost: by `Selection.cost_of`; None where unknown.
        milliseconds: of a whole question, by `Selection.time_of`; None where these may not be compared.
        best_for_cost, best_for_time: no other is at least as good and cheaper (faster), or better and as cheap.
    """

    mean: float
    loss: float
    most: float
    as_good: bool
    cost: float | None
    milliseconds: float | None
    best_for_cost: bool
    best_for_time: bool


@dataclass(frozen=True)
class Selection:
    """Candidates for shipping, and the recommendation.

    Attributes:
        standings: one for each config.
        cost_of: what the cost counts, in words; empty where it is unknown.
        time_of: what the milliseconds are, or why no config is called fastest, in words.
        cheapest, fastest: rows among those shown to be as good; None where none is, or where it is not known.
        recommended: row; None where nothing speaks for one.
        reason: in words.
    """

    standings: list[Standing]
    cost_of: str
    time_of: str
    cheapest: int | None
    fastest: int | None
    recommended: int | None
    reason: str


def select(
    runs: Sequence[EvaluatedRun], table: ScoreTable, verdict: ComparisonVerdict, settings: ComparisonSettings
) -> Selection:
    """Compare every config with every other one, and recommends.

    A config is shown to be as good when for each other one the upper end of the 95 % interval of its loss is below the
    tolerance: whichever is truly best, the loss to it is among these (intersection-union: Berger, "Multiparameter
    hypothesis testing and acceptance sampling", Technometrics 24, 1982). So the observed best needs no test, and
    nothing has to be corrected for the number of configs.
    """
    observed, most = _losses(table, settings)
    costs, cost_of = _costs(runs)
    timed = query_times([run.latency for run in runs], [run.benchmarks for run in runs])
    times = timed.milliseconds
    means = table.means.tolist()
    for_cost, for_time = _undominated(means, costs), _undominated(means, times)
    standings = [
        Standing(
            mean=means[row],
            loss=float(observed[row]),
            most=float(most[row]),
            as_good=bool(most[row] < settings["tolerance"]),
            cost=costs[row],
            milliseconds=times[row],
            best_for_cost=row in for_cost,
            best_for_time=row in for_time,
        )
        for row in range(len(runs))
    ]
    good = [row for row in range(len(runs)) if standings[row].as_good]
    cheapest = _least(good, costs, times, means)
    fastest = _least(good, times, costs, means)
    recommended, reason = _recommended(good, cheapest, fastest, verdict, means)
    return Selection(standings, cost_of, timed.meaning, cheapest, fastest, recommended, reason)


def _losses(table: ScoreTable, settings: ComparisonSettings) -> tuple[Numbers, Numbers]:
    """Return each config's largest loss to another, `[k]` observed and upper bounds."""
    count = len(table.scores)
    pairs = list(itertools.combinations(range(count), 2))
    data = paired_statistics.paired(differences(table.scores, pairs), table.groups)
    low, high = paired_statistics.intervals(data, settings["resamples"], np.random.default_rng(settings["seed"]))
    observed, most = np.full(count, -np.inf), np.full(count, -np.inf)
    for at, (first, second) in enumerate(pairs):
        observed[first], observed[second] = max(observed[first], -data.mean[at]), max(observed[second], data.mean[at])
        most[first], most[second] = max(most[first], -low[at]), max(most[second], high[at])
    return observed, most


def _costs(runs: Sequence[EvaluatedRun]) -> tuple[list[float | None], str]:
    """Compute costs in the first unit known for every run."""
    dollars = [_sum(run.cost.get("usd")) for run in runs]
    ways = {
        "US dollars for the index and all questions": [_sum(run.index.get("usd"), run.cost.get("usd")) for run in runs],
        "US dollars for all questions": dollars,
        "tokens for the index and all questions": [
            _sum(run.index.get("embedding_tokens"), *_tokens(run)) for run in runs
        ],
        "tokens for all questions": [_sum(*_tokens(run)) for run in runs],
    }
    for text, costs in ways.items():
        if None not in costs and any(costs):
            return costs, text
    return (dollars, "US dollars for all questions") if None not in dollars else ([None] * len(runs), "")


def _tokens(run: EvaluatedRun) -> list[float | None]:
    return [
        run.cost.get(name) for name in ("embedding_tokens", "llm_input_tokens", "llm_output_tokens") if name in run.cost
    ]


def _sum(*parts: float | None) -> float | None:
    known = [part for part in parts if part is not None]
    return float(sum(known)) if parts and len(known) == len(parts) else None


def _undominated(means: list[float], costs: list[float | None]) -> set[int]:
    """Return the rows of the Pareto front of mean and cost."""
    if len({cost for cost in costs if cost is not None}) < 2:
        return set()  # nothing is traded for nothing
    known = [(row, means[row], cost) for row, cost in enumerate(costs) if cost is not None]
    return {
        row
        for row, mean, cost in known
        if not any(m >= mean and c <= cost and (m > mean or c < cost) for _, m, c in known)
    }


def _least(rows: list[int], first: list[float | None], then: list[float | None], means: list[float]) -> int | None:
    known = [row for row in rows if first[row] is not None]
    if len(known) < len(rows) or len({first[row] for row in range(len(first))}) < 2:
        return None
    return min(known, key=lambda row: (first[row] or 0.0, then[row] or 0.0, -means[row], row), default=None)


def _recommended(
    good: list[int], cheapest: int | None, fastest: int | None, verdict: ComparisonVerdict, means: list[float]
) -> tuple[int | None, str]:
    if cheapest is not None:
        return cheapest, "the cheapest of those shown to be as good as any"
    if fastest is not None:
        return fastest, "the fastest of those shown to be as good as any"
    if good:
        return max(good, key=lambda row: (means[row], -row)), "the best of those shown to be as good as any"
    if verdict.winner is not None:
        than = "the baseline" if verdict.winner != verdict.baseline and verdict.baseline is not None else "every other"
        return verdict.winner, f"shown to be better than {than}"
    if verdict.baseline is not None and verdict.baseline not in verdict.beaten:
        return verdict.baseline, "the baseline stays: nothing was shown to be better, and none to be as good as any"
    return None, "nothing was shown to be better than every other, and none to be as good as any"

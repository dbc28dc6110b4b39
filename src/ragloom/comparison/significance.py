"""Significance tests fixed before looking at scores: plans, split, tests.

* `baseline`: a named config against every other, on all queries; Holm over k - 1.
* `split`: the best of the dev half against the baseline, tested once, on the test half.
* `pairs`: every pair, on all queries; Holm over k (k - 1) / 2.

The observed best is never tested against the others on the queries that made it the best: of 27 equally good configs
that names a winner in more than a quarter of all sweeps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ragloom.comparison import paired_statistics
from ragloom.comparison.paired_statistics import ALPHA, Groups, Numbers

Plan = Literal["baseline", "split", "pairs"]
Pair = tuple[int, int]
"""Rows of two configs: the difference is the first one's score less the second one's."""

SPLIT_GROUPS = 20
"""Groups from which on they are split into halves; below, they are cut into windows."""
_WINDOWS, _WINDOW_QUERIES = 20, 10
"""About how many windows, and how many queries each at least. Measured (benchmarks/significance.py: five KorQuAD
articles, configs alike within a paragraph of six queries): 20 of 10 name a false winner in .05 of all sweeps, 50 of 5
in .18."""


@dataclass(frozen=True)
class Finding:
    """Result of one test.

    Attributes:
        pair: rows of the configs.
        difference, low, high: mean of the first less the second, with its 95 % interval.
        error: standard error of the difference.
        p, adjusted: p value of the test, and its value corrected for the number of tests.
        detectable: smallest true difference that this test would have shown with a chance of .8.
        needed: queries that would show a difference as large (or as large as asked for) with that chance.
    """

    pair: Pair
    difference: float
    low: float
    high: float
    error: float
    p: float
    adjusted: float
    detectable: float
    needed: int | None

    @property
    def shown(self) -> bool:
        """Whether the difference is significant, and its interval excludes zero."""
        return self.adjusted <= ALPHA and (self.low > 0 or self.high < 0)


def numbered(names: Sequence[str]) -> Groups:
    """Numbers groups by their first appearance: `[n]`."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)


def windows(groups: Groups, positions: Numbers) -> Groups:
    """Cuts few groups into windows of neighbours, to resample instead: `[n]`.

    A window is a run of queries of one group in the order of their positions. There are about 20 in all, of at least
    10 queries where the group has them: neighbours share passages, windows hardly do.
    """
    size = max(_WINDOW_QUERIES, math.ceil(len(groups) / _WINDOWS))
    result, count = np.zeros(len(groups), dtype=np.int64), 0
    for group in range(int(groups.max()) + 1):
        members = np.flatnonzero(groups == group)
        ordered = members[np.argsort(positions[members], kind="stable")]
        for part in np.array_split(ordered, max(1, len(ordered) // size)):
            result[part] = count
            count += 1
    return result


def halves(groups: Groups, seed: int) -> npt.NDArray[np.bool_]:
    """Split groups into halves of about equal size: `[n]`, true for dev."""
    sizes = np.bincount(groups)
    dev, counts = np.zeros(len(sizes), dtype=bool), [0, 0]
    for group in np.random.default_rng(seed).permutation(len(sizes)):
        dev[group] = counts[0] <= counts[1]
        counts[0 if dev[group] else 1] += int(sizes[group])
    return np.asarray(dev[groups])


def pairs(plan: Plan, rows: Sequence[int], baseline: int | None, best: int | None = None) -> list[Pair]:
    """List what a plan tests.

    Args:
        plan: of the three.
        rows: of the configs.
        baseline: row of the named config; None with `pairs` only.
        best: row of the best of the dev half; with `split` only.
    """
    if plan == "pairs" or baseline is None:
        return list(itertools.combinations(rows, 2))
    if plan == "split":
        return [] if best is None or best == baseline else [(best, baseline)]
    return [(row, baseline) for row in rows if row != baseline]


def differences(scores: Numbers, chosen: Sequence[Pair]) -> Numbers:
    """Subtracts: `[k, n]` scores -> `[n, m]` differences."""
    first, second = np.array(chosen, dtype=np.int64).reshape(-1, 2).T
    return np.asarray(scores[first] - scores[second]).T


def p_values(scores: Numbers, groups: Groups, chosen: Sequence[Pair], resamples: int, seed: int) -> Numbers:
    """Test pairs: `[m]` p values, not adjusted."""
    data = paired_statistics.paired(differences(scores, chosen), groups)
    return paired_statistics.refined_p(data, resamples, np.random.default_rng(seed))


def run_tests(
    scores: Numbers, groups: Groups, chosen: Sequence[Pair], *, resamples: int, seed: int, worth: float
) -> list[Finding]:
    """Test pairs, and says what was found, in their order.

    Args:
        scores: `[k, n]`.
        groups: `[n]`, from 0 without gaps.
        chosen: what to test, fixed before looking at these scores.
        resamples: of the bootstrap and of the test.
        seed: of both.
        worth: difference below which nobody cares: `needed` is the queries that show at least as much.
    """
    if not chosen:
        return []
    data = paired_statistics.paired(differences(scores, chosen), groups)
    low, high = paired_statistics.intervals(data, resamples, np.random.default_rng(seed))
    p = p_values(scores, groups, chosen, resamples, seed)
    adjusted, alpha = paired_statistics.holm(p), ALPHA / len(chosen)
    return [
        Finding(
            pair=pair,
            difference=float(data.mean[at]),
            low=float(low[at]),
            high=float(high[at]),
            error=float(data.error[at]),
            p=float(p[at]),
            adjusted=float(adjusted[at]),
            detectable=paired_statistics.detectable(float(data.error[at]), data.groups, alpha),
            needed=paired_statistics.queries_needed(max(abs(float(data.mean[at])), worth), data, at, alpha),
        )
        for at, pair in enumerate(chosen)
    ]


def can_show(groups: int, tests: int) -> bool:
    """Return whether so many groups can show a difference.

    The smallest p value is 2 of 2^groups changes of sign.
    """
    return tests == 0 or least_p(groups) <= ALPHA / tests


def least_p(groups: int) -> float:
    """Return the smallest p value that exchanging labels within groups can give."""
    return min(1.0, 2.0 ** (1 - groups))


def most_tests(groups: int) -> int:
    """Return the largest number of tests with a reachable level."""
    return math.floor(ALPHA / least_p(groups))


def least_groups(tests: int) -> int:
    """Return the fewest groups in which a difference can be significant."""
    return 1 + math.ceil(math.log2(max(tests, 1) / ALPHA))

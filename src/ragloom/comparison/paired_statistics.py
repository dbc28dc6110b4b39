"""Paired differences of scores by group: intervals, p values, power.

Queries about one document share its difficulty, so that a group of queries is what is resampled and what changes sign,
never a query. The mean is over queries (a group counts by its queries): a ratio of two sums over groups, whose standard
error is that of a ratio estimator (Cochran, "Sampling Techniques", 3rd ed. 1977, 6.3 and 9A).
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

Numbers = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]

LEVEL = 0.95
ALPHA = 0.05
POWER = 0.8
BOOTSTRAP_GROUPS, BOOTSTRAP_QUERIES = 50, 100
"""From how many on the interval is a bootstrap's; below, resampling so few underrates how they vary."""
_MOST_GROUPS = 2**29  # asked for at most
_ROWS = 4096  # resamples at once, which bounds the memory in use
REFINED = 20
"""Resamples in which a p value at its limit is expected to be exceeded, at least."""
NEAR = 10.0
"""Times its limit from which on a p value is not refined: more resamples would not bring it below."""


@dataclass(frozen=True)
class Paired:
    """Differences of m config pairs on n queries, summed within g groups.

    Attributes:
        sums: `[g, m]` sums of differences.
        sizes: `[g]` queries of each group.
    """

    sums: Numbers
    sizes: Numbers

    @property
    def groups(self) -> int:
        """Groups that have a query."""
        return len(self.sizes)

    @property
    def queries(self) -> int:
        """Queries."""
        return int(self.sizes.sum())

    @property
    def mean(self) -> Numbers:
        """`[m]` mean differences over queries."""
        return np.asarray(self.sums.sum(axis=0) / self.sizes.sum())

    @property
    def error(self) -> Numbers:
        """`[m]` standard errors of the means; infinite with a single group."""
        if self.groups < 2:
            return np.full(self.sums.shape[1], np.inf)
        residuals = self.sums - self.sizes[:, None] * self.mean
        return np.sqrt(_clean((residuals**2).sum(axis=0), self) * self._scale)

    @property
    def _scale(self) -> float:
        return self.groups / max(self.groups - 1, 1) / float(self.sizes.sum()) ** 2

    def only(self, pairs: npt.NDArray[np.intp]) -> Paired:
        """Take some of the pairs."""
        return Paired(self.sums[:, pairs], self.sizes)


def paired(differences: Numbers, groups: Groups) -> Paired:
    """Sum differences by group.

    Args:
        differences: `[n, m]`, a column for each pair of configs.
        groups: `[n]` the group of each query, from 0 without gaps.
    """
    count = int(groups.max()) + 1
    sums = np.zeros((count, differences.shape[1]))
    np.add.at(sums, groups, differences)
    return Paired(sums, np.bincount(groups, minlength=count).astype(np.float64))


def intervals(data: Paired, resamples: int, rng: np.random.Generator) -> tuple[Numbers, Numbers]:
    """Return 95 % intervals of mean differences, `[m]` low and high.

    With enough groups and queries a bootstrap of whole groups (Efron, "Bootstrap methods: another look at the
    jackknife", Annals of Statistics 7, 1979; clusters: Davison and Hinkley, "Bootstrap Methods", 1997, 3.8), its
    percentiles taken a little further out, as t and the missing degree of freedom ask (Hesterberg, "What Teachers
    Should Know About the Bootstrap", The American Statistician 69, 2015, 4.1); below, t times the standard error.
    """
    if data.groups < BOOTSTRAP_GROUPS or data.queries < BOOTSTRAP_QUERIES:
        return t_intervals(data)
    reach = _reach(data)
    means = np.concatenate(
        [counts @ data.sums / (counts @ data.sizes)[:, None] for counts in _counts(data.groups, resamples, rng)]
    )
    tail = 0.5 * math.erfc(reach * math.sqrt(data.groups / (data.groups - 1)) / math.sqrt(2))
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return low, high


def t_intervals(data: Paired) -> tuple[Numbers, Numbers]:
    """Return 95 % t intervals with groups - 1 degrees of freedom.

    `[m]` low and high; infinite for one group.
    """
    reach = _reach(data)
    return data.mean - reach * data.error, data.mean + reach * data.error


def flip_p(data: Paired, resamples: int, rng: np.random.Generator) -> Numbers:
    """Return two-sided p values of sign-flip tests, `[m]`.

    If two configs are as good, their labels may be exchanged in any group, which changes the sign of its differences
    (Fisher's randomization test; as the test to use in retrieval: Smucker, Allan and Carterette, CIKM 2007). The
    statistic is mean / standard error, so that groups of unequal size, and equal means of unequal spread, do no harm
    (Janssen, "Studentized permutation tests", Statistics and Probability Letters 36, 1997). All sign changes are
    counted when they are few, else `resamples` random ones, p = (1 + as large) / (1 + resamples) (Phipson and Smyth,
    2010), which keeps the test's level exactly.
    """
    every = 2**data.groups <= resamples
    extreme, drawn = np.zeros(data.sums.shape[1]), 0
    observed = _t(data.sums.sum(axis=0), (data.sums**2).sum(axis=0), data.sums.T @ data.sizes, data)
    for signs in _every_sign(data.groups) if every else _signs(data.groups, resamples, rng):
        t = _t(signs @ data.sums, (data.sums**2).sum(axis=0), signs @ (data.sums * data.sizes[:, None]), data)
        extreme += (t >= observed * (1 - 1e-9)).sum(axis=0)
        drawn += len(signs)
    return extreme / drawn if every else (1 + extreme) / (1 + drawn)


def refined_p(data: Paired, resamples: int, rng: np.random.Generator) -> Numbers:
    """Return p values as `flip_p`, resampled further near their limit.

    A p value near its first limit, `ALPHA` / m, is drawn again with so many resamples that the limit is a count of 20;
    the second value replaces the first, so that a level is kept whatever the first was.
    """
    tests = data.sums.shape[1]
    p = flip_p(data, resamples, rng)
    wanted = math.ceil(REFINED * tests / ALPHA)
    near = np.flatnonzero(p <= max(NEAR * ALPHA / tests, 2 / (resamples + 1)))
    if wanted > resamples and near.size:
        p[near] = flip_p(data.only(near), wanted, rng)
    return p


def holm(p: Numbers) -> Numbers:
    """Adjust p values for the number of tests.

    Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    order = np.argsort(p, kind="stable")
    factors = np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors))
    return adjusted


def power(effect: float, error: float, groups: int, alpha: float = ALPHA) -> float:
    """Return the power of a two-sided test for a true difference.

    1 - F(t(1 - alpha / 2) - effect / error) and the other tail, F of t with groups - 1 degrees of freedom.
    """
    if groups < 2 or math.isinf(error):
        return 0.0
    if error == 0:
        return 1.0 if effect else alpha
    freedom, shift = groups - 1, abs(effect) / error
    critical = stdtrit(freedom, 1 - alpha / 2)
    return float(stdtr(freedom, shift - critical) + stdtr(freedom, -critical - shift))


def detectable(error: float, groups: int, alpha: float = ALPHA) -> float:
    """Return the smallest true difference detectable with power `POWER`.

    (t(1 - alpha / 2) + t(POWER)) x standard error (Bloom, "Minimum Detectable Effects", Evaluation Review 19, 1995;
    for retrieval: Sakai, "Topic set size design", Information Retrieval Journal 19, 2016).
    """
    if groups < 2:
        return math.inf
    return float(stdtrit(groups - 1, 1 - alpha / 2) + stdtrit(groups - 1, POWER)) * error


def queries_needed(effect: float, data: Paired, pair: int, alpha: float = ALPHA) -> int | None:
    """Return the number of queries that detect `effect` with power `POWER`.

    None when no number does.

    The standard error falls with the square root of the number of groups; a group has as many queries as here. At
    least two groups.
    """
    error = float(data.error[pair])
    if effect == 0 or math.isinf(error):
        return None
    spread, each = error * math.sqrt(data.groups), data.queries / data.groups
    groups = bisect.bisect_left(
        range(_MOST_GROUPS + 1),
        True,
        lo=2,
        key=lambda groups: detectable(spread / math.sqrt(groups), groups, alpha) <= abs(effect),
    )
    return math.ceil(groups * each) if groups <= _MOST_GROUPS else None


def _reach(data: Paired) -> float:
    return float(stdtrit(data.groups - 1, (1 + LEVEL) / 2)) if data.groups > 1 else math.inf


def _t(sums: Numbers, squares: Numbers, weighed: Numbers, data: Paired) -> Numbers:
    """Compute |mean| / standard error from sums over groups.

    The sums are of s, s^2 and s x size.
    """
    total = data.sizes.sum()
    mean = sums / total
    residual = squares - 2 * mean * weighed + mean**2 * (data.sizes**2).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(mean) / np.sqrt(_clean(residual, data) * data._scale)
    return np.where(mean == 0, 0.0, t)


def _clean(residual: Numbers, data: Paired) -> Numbers:
    """Replace residuals that are zero but for rounding by exact zeros."""
    floor = 1e-12 * (data.sums**2).sum(axis=0)
    return np.where(residual <= floor, 0.0, residual)


def _counts(groups: int, resamples: int, rng: np.random.Generator) -> Iterator[Numbers]:
    """Draw how often each resample contains each group: blocks of `[rows, g]`."""
    for at in range(0, resamples, _ROWS):
        rows = min(_ROWS, resamples - at)
        drawn = rng.integers(groups, size=(rows, groups)) + np.arange(rows)[:, None] * groups
        yield np.bincount(drawn.ravel(), minlength=rows * groups).reshape(rows, groups).astype(np.float64)


def _signs(groups: int, resamples: int, rng: np.random.Generator) -> Iterator[Numbers]:
    for at in range(0, resamples, _ROWS):
        rows = min(_ROWS, resamples - at)
        drawn = rng.integers(256, size=(rows, -(-groups // 8)), dtype=np.uint8)  # a bit for each group
        yield np.unpackbits(drawn, axis=1, count=groups).astype(np.float64) * 2 - 1


def _every_sign(groups: int) -> Iterator[Numbers]:
    numbers = np.arange(2**groups)
    for at in range(0, len(numbers), _ROWS):
        bits = numbers[at : at + _ROWS, None] >> np.arange(groups) & 1
        yield bits.astype(np.float64) * 2 - 1

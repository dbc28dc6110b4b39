"""Percentiles of a latency histogram, with confidence intervals.

The interval of a percentile is between two order statistics, by the binomial distribution of the number of values
below it (David and Nagaraja, "Order Statistics", 3rd ed., section 7.1): it assumes no distribution of latencies, but
independent ones. Requests that waited in one queue are not independent, so that it is rather too narrow under load.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ragloom.errors import require

EXTRA = {"extra": "benchmark", "option": "benchmark"}
CONFIDENCE = 0.95
FEWEST_P99 = 1000
"""Requests below which no p99 is reported."""
FEWEST_P999 = 10_000
_DIGITS = 3
"""Significant digits of a histogram: values are right to 0.1 %."""


def histogram_of(milliseconds: np.ndarray, longest: float) -> Any:
    """Record latencies in a histogram of microseconds.

    Args:
        milliseconds: `[n]`.
        longest: milliseconds; longer ones count as this.
    """
    histogram = require("hdrh.histogram", **EXTRA).HdrHistogram(1, max(2, round(longest * 1000)), _DIGITS)
    for value in np.clip(np.rint(milliseconds * 1000), 1, round(longest * 1000)).astype(int).tolist():
        histogram.record_value(value)
    return histogram


def percentiles(histogram: Any) -> dict[str, Any]:
    """Return the percentiles that so many values allow.

    Returns:
        n, mean, max, histogram (HdrHistogram V2, base64), and for p50, p90, p95, p99, p99.9: milliseconds, with `low`
        and `high` of the 95 % interval; `high` is None where no value is surely above the percentile.
    """
    count = histogram.get_total_count()
    names = {"p50": 0.5, "p90": 0.9, "p95": 0.95}
    names |= {"p99": 0.99} if count >= FEWEST_P99 else {}
    names |= {"p99.9": 0.999} if count >= FEWEST_P999 else {}
    return {
        "n": count,
        "mean": round(histogram.get_mean_value() / 1000, 3),
        "max": histogram.get_max_value() / 1000,
        **{name: _with_interval(histogram, count, share) for name, share in names.items()},
        "histogram": histogram.encode().decode("ascii"),
    }


def interval_ranks(count: int, share: float) -> tuple[int, int | None]:
    """Return the ranks of the order statistics around a percentile, from 1.

    The upper one is None where `count` values do not reach so far.
    """
    from scipy.stats import binom

    low = int(binom.ppf((1 - CONFIDENCE) / 2, count, share))
    high = int(binom.ppf((1 + CONFIDENCE) / 2, count, share)) + 1
    return max(1, low), high if high <= count else None


def _with_interval(histogram: Any, count: int, share: float) -> dict[str, float | None]:
    def at(rank: int) -> float:
        return float(histogram.get_value_at_percentile(100 * rank / count)) / 1000

    low, high = interval_ranks(count, share)
    nearest = max(1, math.ceil(share * count - 1e-9))
    return {"ms": at(nearest), "low": at(low), "high": None if high is None else at(high)}

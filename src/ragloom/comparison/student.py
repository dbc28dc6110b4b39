"""Student's t distribution: its distribution function and quantiles. Knows no data.

SciPy has both; it would be 35 MB for two functions, and Ragloom needs nothing else of it.
"""

from __future__ import annotations

import functools
import math

_TINY, _EPSILON, _MOST_STEPS = 1e-300, 1e-15, 1000


def cdf(t: float, freedom: float) -> float:
    """Returns P(T <= t) for `freedom` degrees of freedom, to about 1e-13.

    By the regularised incomplete beta function: P(|T| > t) = I_x(v / 2, 1 / 2), x = v / (v + t^2) (Abramowitz and
    Stegun, "Handbook of Mathematical Functions", 1964, 26.7.1 and 26.5.27).
    """
    if math.isinf(t):
        return 1.0 if t > 0 else 0.0
    tail = 0.5 * _incomplete_beta(freedom / (freedom + t * t), t * t / (freedom + t * t), freedom / 2, 0.5)
    return 1 - tail if t > 0 else tail


@functools.lru_cache(maxsize=4096)
def quantile(share: float, freedom: float) -> float:
    """Returns the t below which `share` (between 0 and 1) of the distribution lies."""
    if share == 0.5:
        return 0.0
    if share < 0.5:
        return -quantile(1 - share, freedom)
    low, high = 0.0, 1.0
    while cdf(high, freedom) < share:
        low, high = high, high * 2
    while high - low > 1e-12 * max(1.0, high):
        middle = (low + high) / 2
        low, high = (middle, high) if cdf(middle, freedom) < share else (low, middle)
    return (low + high) / 2


def _incomplete_beta(x: float, rest: float, a: float, b: float) -> float:
    """Returns I_x(a, b), given x and 1 - x (each exact where it is small)."""
    if x <= 0 or rest <= 0:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side only
        return 1 - _incomplete_beta(rest, x, b, a)
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    return math.exp(logarithm) * _fraction(x, a, b) / a


def _fraction(x: float, a: float, b: float) -> float:
    """Evaluates the continued fraction of I_x (Abramowitz and Stegun, 26.5.8) by Lentz's method."""
    upper, lower = 1.0, 1 - (a + b) * x / (a + 1)
    lower = 1 / (lower if abs(lower) > _TINY else _TINY)
    value = lower
    for step in range(1, _MOST_STEPS):
        for term in (
            step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step)),
            -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1)),
        ):
            lower = 1 + term * lower
            lower = 1 / (lower if abs(lower) > _TINY else _TINY)
            upper = 1 + term / upper
            upper = upper if abs(upper) > _TINY else _TINY
            value *= upper * lower
        if abs(upper * lower - 1) < _EPSILON:
            return value
    return value  # pragma: no cover - it converges in some sqrt(max(a, b)) steps

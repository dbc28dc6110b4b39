"""Capacity: the highest rate at which the backlog does not grow."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ragloom.errors import ServiceError
from ragloom.evaluation.benchmark.request_log import RequestLog

_STEP = 1.25
"""Factor between the first rates, until one holds and one does not."""
_SHARE = 0.02
"""Growth of the backlog that counts, as a share of the requests: a rate 3 % above what is answered grows by that."""
_FEWEST = 3
"""Requests by which a backlog varies without growing."""
_SLOWEST = 0.01
"""Requests per second; a config that answers fewer has no capacity to search for."""


@dataclass(frozen=True)
class Window:
    """One trial of a rate.

    Attributes:
        rate: requests per second.
        growth: of the backlog over the window, in requests.
        failed: requests that failed or timed out.
        lateness_p99_ms: of the load generator.
        holds: whether the rate held.
    """

    rate: float
    growth: float
    failed: int
    lateness_p99_ms: float
    holds: bool


def backlog_growth(log: RequestLog) -> float:
    """Return the growth of the backlog from first to last third."""
    backlog = log.backlog()
    third = len(backlog) // 3
    return float(np.median(backlog[-third:]) - np.median(backlog[:third]))


def grows(log: RequestLog, planned: int) -> bool:
    """Tell whether the backlog grew, or the load ended early.

    Args:
        planned: requests that the load had.
    """
    return len(log.planned) < planned or backlog_growth(log) > max(_FEWEST, _SHARE * planned)


def _between(low: float, high: float) -> float:
    """Return the rate between two, or a step beyond one."""
    if not low:
        return high / _STEP
    return math.sqrt(low * high) if math.isfinite(high) else low * _STEP


def search_capacity(start: float, precision: float, holds: Callable[[float], bool]) -> float:
    """Search for the highest rate that holds, by bisection.

    Args:
        start: first rate, requests per second.
        precision: relative distance to a rate that does not hold at which the search ends.
        holds: tries a rate.

    Raises:
        ServiceError: not even the lowest rate holds.
    """
    low, high, rate = 0.0, math.inf, start
    while high > low * (1 + precision):
        if holds(rate):
            low = rate
        else:
            high = rate
        rate = _between(low, high)
        if rate < _SLOWEST:
            raise ServiceError(
                f"benchmark: the backlog grows even at {high:g} requests/s; a capacity below {_SLOWEST:g} is not "
                "searched: give rates by benchmark.rates"
            )
    return low

"""Figures of one measured rate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ragloom.evaluation.benchmark.capacity import backlog_growth, grows
from ragloom.evaluation.benchmark.percentiles import histogram_of, percentiles
from ragloom.evaluation.benchmark.request_log import RequestLog

MAX_LATENESS_MS = 5.0
"""Lateness of the load generator (p99) above which a measurement is invalid."""
WAIT = "wait"
"""Stage of a request before and after the work: from its planned time to the start, and the way back."""
TOTAL = "total"
"""Stage of the whole work, as the serving side measures it."""
_SLOW_SHARE = 0.05
"""Share of the requests whose stages are averaged as the slow ones."""


def lateness_p99_ms(log: RequestLog) -> float:
    """Return the p99 of the load generator's own lateness."""
    ordered = np.sort(log.lateness[~np.isnan(log.lateness)])
    return float(ordered[max(0, math.ceil(0.99 * len(ordered)) - 1)]) * 1000 if len(ordered) else 0.0


def summarize(rate: float, questions: list[str], log: RequestLog, slo_ms: float) -> dict[str, Any]:
    """Compute the figures of one rate.

    Failed and timed-out requests count as the time-out, which is over the limit.

    Args:
        rate: requests per second that were planned.
        questions: of the load.
        log: of the load.
        slo_ms: limit for the p99.
    """
    count, good = len(log.planned), log.good
    milliseconds = np.where(good, log.latency * 1000, log.timeout * 1000)
    lateness = lateness_p99_ms(log)
    stages = _stages(log, milliseconds)
    seconds = float(np.nanmax(log.done) - log.planned[0]) if (~np.isnan(log.done)).any() else log.timeout
    return {
        "rate": rate,
        "valid": lateness <= MAX_LATENESS_MS,
        "lateness_p99_ms": round(lateness, 3),
        "requests": count,
        "distinct_questions": len(set(questions[:count])),
        "seconds": round(seconds, 3),
        "answered_per_second": round(float(good.sum()) / seconds, 3),
        "errors": int((log.failed & ~log.timed_out).sum()),
        "timeouts": int(log.timed_out.sum()),
        "error_texts": log.errors,
        "within_slo": float((good & (milliseconds <= slo_ms)).mean()),
        "saturated": grows(log, len(questions)),
        "backlog_growth": backlog_growth(log),
        "latency_ms": percentiles(histogram_of(milliseconds, log.timeout * 1000)),
        "stages_ms": {
            stage: _without_histogram(percentiles(histogram_of(values[good], log.timeout * 1000)))
            for stage, values in stages.items()
        }
        if good.any()
        else {},
        "slow_ms": _slow(stages, milliseconds, good),
    }


def _stages(log: RequestLog, milliseconds: np.ndarray) -> dict[str, np.ndarray]:
    """Return each stage's milliseconds, `[n] float64`; 0 where a request had none."""
    names = dict.fromkeys(name for timings in log.timings_ms for name in timings)
    stages = {name: np.array([timings.get(name, 0.0) for timings in log.timings_ms]) for name in names}
    return {WAIT: np.maximum(0.0, milliseconds - stages[TOTAL]), **stages} if TOTAL in stages else stages


def _slow(stages: dict[str, np.ndarray], milliseconds: np.ndarray, good: np.ndarray) -> dict[str, float]:
    """Average the slowest answered requests; `latency` is their whole time."""
    rows = np.flatnonzero(good)
    slowest = rows[np.argsort(milliseconds[rows])][-max(1, math.ceil(_SLOW_SHARE * len(rows))) :]
    if not len(slowest):
        return {}
    means = {name: round(float(values[slowest].mean()), 3) for name, values in stages.items()}
    return {"latency": round(float(milliseconds[slowest].mean()), 3), **means}


def _without_histogram(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if name != "histogram"}

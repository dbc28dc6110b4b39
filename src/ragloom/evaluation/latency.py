"""How long a question takes, stage by stage, in a pass that does nothing else. Knows an engine by one method.

Warm, caches bypassed, the number of questions stated: a latency is never a by-product of a sweep or of a cache's hit.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ragloom.cache.embeddings import bypassed
from ragloom.core.timing import in_context
from ragloom.core.usage import BudgetSpent

Value = TypeVar("Value")

QUANTILES = (50, 95, 99)
_WARM = 5
"""Questions asked before the clock counts: they load models, open files and fill the system's caches."""


def latency(
    ask: Callable[[str], dict[str, float]], questions: Sequence[str], *, concurrency: int, total: int
) -> dict[str, Any]:
    """Asks questions and says how long each stage took.

    Args:
        ask: asks one and returns stage -> milliseconds.
        questions: at least one; repeated where `total` is more.
        concurrency: asked at the same time.
        total: questions that are timed.

    Returns:
        n, concurrency, warm (questions before), errors, questions_per_second, and for each stage p50, p95 and p99 in
        milliseconds. A question that fails is counted and not timed.
    """
    warming = min(_WARM, total)
    asked = timed(questions, total)[warming:]
    with bypassed():
        for question in asked[:warming]:
            _timed(ask, question)
        began = time.perf_counter()
        found = _all(lambda question: _timed(ask, question), asked, concurrency)
        seconds = time.perf_counter() - began
    stages: dict[str, list[float]] = defaultdict(list)
    for timings in found:
        for stage, milliseconds in (timings or {}).items():
            stages[stage].append(milliseconds)
    return {
        "n": total,
        "concurrency": concurrency,
        "warm": warming,
        "errors": sum(timings is None for timings in found),
        "questions_per_second": round(total / seconds, 3),
        "stages": {stage: quantiles(values) for stage, values in stages.items()},
    }


def timed(questions: Sequence[str], total: int) -> list[str]:
    """Lists what a pass asks: the first questions to warm up, then so many in order, from the first again and again."""
    asked = [questions[at % len(questions)] for at in range(total)]
    return [*asked[:_WARM], *asked]


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Returns p50, p95 and p99: the smallest value that so many percent of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return {f"p{share}": ordered[max(0, math.ceil(share * len(ordered) / 100) - 1)] for share in QUANTILES}


def _timed(ask: Callable[[str], dict[str, float]], question: str) -> dict[str, float] | None:
    try:
        return ask(question)
    except BudgetSpent:
        raise
    except Exception:  # noqa: BLE001 - counted as an error; a crash was named when the question was scored
        return None


def _all(function: Callable[[str], Value], items: Sequence[str], concurrency: int) -> list[Value]:
    if concurrency == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(concurrency, thread_name_prefix="ragloom-latency") as pool:
        return [future.result() for future in [pool.submit(in_context(function), item) for item in items]]

"""Closed-loop latency of queries, stage by stage, in a separate pass.

A question is asked when an earlier one has been answered: it never waits, so that a stall delays one question only.
What users see under load is measured by `ragloom.evaluation.benchmark`, open loop.

The pass is warm and bypasses caches: a latency is never a by-product of a sweep or of a cache hit.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ragloom.cache.embeddings import bypassed
from ragloom.core.budget import BudgetSpent
from ragloom.evaluation.query_executor import map_concurrently

TimedQuery = Callable[[str], dict[str, float]]
"""Runs one query and returns stage -> milliseconds."""
QUANTILES = (50, 95, 99)
_WARM = 5
"""Warm-up queries before the clock starts: they load models, open files and fill the system's caches."""


def latency_passes(
    run: TimedQuery, questions: Sequence[str], settings: Mapping[str, Any], note: Callable[[str], None]
) -> dict[str, Any] | None:
    """Measure latency once for each configured concurrency.

    Args:
        run: as for `latency`.
        questions: at least one.
        settings: `latency` of the config.
        note: receives a line before each pass.

    Returns:
        the first pass, with the others in `further`; None where `latency.questions=0`.
    """
    if not (total := settings["questions"]):
        return None
    passes = []
    for concurrency in settings["concurrency"]:
        note(f"timing {total} questions, {concurrency} at the same time")
        passes.append(latency(run, questions, concurrency=concurrency, total=total))
    return {**passes[0], "further": passes[1:]}


def latency(run: TimedQuery, questions: Sequence[str], *, concurrency: int, total: int) -> dict[str, Any]:
    """Measure the latency of queries, stage by stage.

    Args:
        run: runs one query.
        questions: at least one; repeated up to `total`.
        concurrency: queries at the same time.
        total: number of timed queries.

    Returns:
        loop (`closed`), n, concurrency, warm (warm-up queries), errors, questions_per_second, and for each stage p50,
        p95 and p99 in milliseconds. A failed query is counted and not timed.
    """
    warming = min(_WARM, total)
    queries = pass_queries(questions, total)[warming:]
    with bypassed():
        for question in queries[:warming]:
            _timings(run, question)
        began = time.perf_counter()
        timed = map_concurrently(
            queries, lambda question: _timings(run, question), lambda timings: timings is None, concurrency
        )
        seconds = time.perf_counter() - began
    stages: dict[str, list[float]] = defaultdict(list)
    for timings in timed:
        for stage, milliseconds in (timings or {}).items():
            stages[stage].append(milliseconds)
    return {
        "loop": "closed",
        "n": total,
        "concurrency": concurrency,
        "warm": warming,
        "errors": sum(timings is None for timings in timed),
        "questions_per_second": round(total / seconds, 3),
        "stages": {stage: quantiles(values) for stage, values in stages.items()},
    }


def pass_queries(questions: Sequence[str], total: int) -> list[str]:
    """Return the queries of a pass: warm-up, then `total` repeating ones."""
    queries = [questions[at % len(questions)] for at in range(total)]
    return [*queries[:_WARM], *queries]


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Return p50, p95 and p99 by the nearest-rank method."""
    ordered = sorted(values)
    return {f"p{share}": ordered[max(0, math.ceil(share * len(ordered) / 100) - 1)] for share in QUANTILES}


def _timings(run: TimedQuery, question: str) -> dict[str, float] | None:
    try:
        return run(question)
    except BudgetSpent:
        raise
    except Exception:  # noqa: BLE001 - counted as an error; scoring reports the bug
        return None

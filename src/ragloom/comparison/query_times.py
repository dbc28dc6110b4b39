"""Comparable query times of runs: of benchmarks, or of latency passes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragloom.core.records import canonical_json
from ragloom.errors import DataError

BENCHMARK = "benchmark.json"
"""File of `ragloom benchmark`, next to the run folders."""
FEWEST_TIMED = 200
"""Timed questions of a latency pass below which no config is called fastest."""
_CONDITIONS = ("target", "ingest", "rate")


@dataclass(frozen=True)
class QueryTimes:
    """Milliseconds of whole queries by which runs are ranked.

    Attributes:
        milliseconds: one for each run; None for all where they may not be compared.
        meaning: what the numbers are, or why no config is called fastest, in words.
    """

    milliseconds: list[float | None]
    meaning: str


def query_times(latencies: Sequence[dict[str, Any] | None], results: Sequence[Sequence[dict[str, Any]]]) -> QueryTimes:
    """Choose comparable times of all runs.

    Args:
        latencies: latency pass of each run.
        results: results of the benchmarks of each run.
    """
    nothing: list[float | None] = [None] * len(latencies)
    if (shared := _of_benchmarks(results)) is not None:
        return shared
    if all(latency is None for latency in latencies):
        return QueryTimes(nothing, "not timed; evaluate with latency.questions=N, or use benchmark")
    timed = [latency for latency in latencies if latency is not None]
    if len({canonical_json(latency and latency.get("concurrency")) for latency in latencies}) > 1:
        return QueryTimes(nothing, "timed in different ways, or not all: no config is called fastest")
    fewest = min(int(latency.get("n") or 0) for latency in timed)
    how = f"closed loop, {timed[0].get('concurrency')} at a time, n {fewest}"
    if fewest < FEWEST_TIMED:
        return QueryTimes(nothing, f"{how}: below {FEWEST_TIMED} timed questions no config is called fastest")
    return QueryTimes([latency["stages"].get("total", {}).get("p95") for latency in timed], f"p95, {how}")


def benchmark_results(folder: Path, run: str) -> tuple[dict[str, Any], ...]:
    """Read the valid benchmark results of a run.

    Raises:
        DataError: benchmark.json is not as it was written.
    """
    path = folder.parent / BENCHMARK
    if not path.is_file():
        return ()
    try:
        results = json.loads(path.read_text(encoding="utf-8"))["results"]
        return tuple(result for result in results if result["run"] == run and result["valid"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} must be as `benchmark` writes it ({type(error).__name__}: {error}); move it away"
        ) from None


def _of_benchmarks(results: Sequence[Sequence[dict[str, Any]]]) -> QueryTimes | None:
    """Return the p99 at the highest rate that all runs share."""
    by_condition = [{_condition(result): result for result in some} for some in results]
    shared = set.intersection(*(set(some) for some in by_condition)) if by_condition else set()
    if not shared:
        return None
    highest = max(shared, key=lambda condition: (by_condition[0][condition]["rate"], condition))
    chosen = [some[highest] for some in by_condition]
    of = chosen[0]
    times: list[float | None] = [result["latency_ms"]["p99"]["ms"] for result in chosen]
    ingest = "" if of["ingest"] == "none" else f", with ingest={of['ingest']}"
    return QueryTimes(times, f"p99 of the benchmark at {of['rate']:g} requests/s, open loop{ingest}")


def _condition(result: dict[str, Any]) -> str:
    """Identify how a result was measured; others of it are comparable."""
    how = {key: result["settings"][key] for key in ("arrival", "threads")}
    return canonical_json([result["machine"]["id"], how, *(result[key] for key in _CONDITIONS)])

"""Verdict of a benchmark: the highest rate with p99 within the limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ragloom.evaluation.benchmark.rate_summary import TOTAL, WAIT

HOLDS, FAILS, OPEN = "holds", "fails", "open"
"""Whether p99 is within the limit: its whole interval below, its whole interval above, or not settled."""
_RETRIEVE = "retrieve"
_PARTS_OF_RETRIEVE = {"embed_query", "dense", "bm25", "fuse"}


@dataclass(frozen=True)
class LatencyPromise:
    """Verdict on all measured rates.

    Attributes:
        up_to: highest rate at which the promise holds, there and at all lower ones; None: at none.
        sentence: the verdict in words.
        improve: stage with the largest part in slow requests; None where no stages are known.
        advice: why, in words; empty where no stages are known.
    """

    up_to: float | None
    sentence: str
    improve: str | None
    advice: str


def state(summary: dict[str, Any], slo_ms: float) -> str:
    """Tell whether p99 is within the limit at one rate."""
    p99 = summary["latency_ms"]["p99"]
    if p99["high"] is not None and p99["high"] <= slo_ms:
        return HOLDS
    return FAILS if p99["low"] > slo_ms else OPEN


def judge(summaries: Sequence[dict[str, Any]], slo_ms: float) -> LatencyPromise:
    """Judge all rates.

    Args:
        summaries: of `summarize`, valid, at least one.
        slo_ms: limit for the p99.
    """
    ordered = sorted(summaries, key=lambda summary: summary["rate"])
    states = [state(summary, slo_ms) for summary in ordered]
    held = next((at for at, each in enumerate(states) if each != HOLDS), len(ordered))
    limit = f"p99 <= {slo_ms:g} ms"
    next_up = "" if held == len(ordered) else _reason(ordered[held], states[held])
    if held:
        up_to = ordered[held - 1]["rate"]
        rest = f"; {next_up}" if next_up else ", the highest rate measured"
        sentence = f"{limit} holds up to {up_to:g} requests/s{rest}"
    else:
        up_to, sentence = None, f"{limit} is not shown to hold: {next_up}, the lowest rate measured"
    improve, advice = _improve(ordered[min(held, len(ordered) - 1)])
    return LatencyPromise(up_to, sentence, improve, advice)


def _reason(summary: dict[str, Any], state: str) -> str:
    p99 = summary["latency_ms"]["p99"]
    high = "unknown" if p99["high"] is None else f"{p99['high']:.0f}"
    interval = f"p99 {p99['ms']:.0f} ms, 95 % interval {p99['low']:.0f} to {high}"
    what = "it does not" if state == FAILS else "it is not settled"
    return f"{what} at {summary['rate']:g} ({interval})"


def _improve(summary: dict[str, Any]) -> tuple[str | None, str]:
    """Find the largest stage in the slow requests of a rate."""
    slow: dict[str, float] = summary["slow_ms"]
    whole = {TOTAL, WAIT, "latency"} | ({_RETRIEVE} if _PARTS_OF_RETRIEVE & slow.keys() else set())
    stages = {name: value for name, value in slow.items() if name not in whole}
    if not stages:
        return None, ""
    name = max(stages, key=lambda stage: stages[stage])
    advice = (
        f"improve {name} first: at {summary['rate']:g} requests/s it takes {stages[name]:.1f} ms of the "
        f"{slow['latency']:.1f} ms of the slowest 5 %"
    )
    if slow.get(WAIT, 0.0) > stages[name]:
        advice += f"; {slow[WAIT]:.1f} ms are queue wait, which shrinks with the work or with more threads and cores"
    return name, advice

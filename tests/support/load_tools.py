"""Logs of loads with times that a test chooses, and loads against a service."""

import os
import signal
from collections.abc import Sequence
from typing import Any

import numpy as np

from ragloom.errors import DataError
from ragloom.evaluation.benchmark.arrivals import Load, planned_offsets
from ragloom.evaluation.benchmark.child_program import ChildProgram
from ragloom.evaluation.benchmark.load_generator import generate
from ragloom.evaluation.benchmark.request_log import RequestLog
from ragloom.process_pool.messages import MessageSocket


def log_of(
    planned: Sequence[float] | np.ndarray,
    latency: Sequence[float] | np.ndarray,
    *,
    lateness: float = 0.0,
    failed: Sequence[int] = (),
    timings: dict[str, float] | None = None,
    timeout: float = 10.0,
) -> RequestLog:
    """Makes a log from planned times and latencies, in seconds; a latency of NaN is no reply."""
    times = np.asarray(planned, float)
    wrong = np.isin(np.arange(len(times)), failed)
    return RequestLog(
        times, times + lateness, times + np.asarray(latency, float), wrong, [timings or {}] * len(times), [], timeout
    )


def fifo_log(rate: float, service_seconds: float, count: int) -> RequestLog:
    """A log of a server that answers one request after the other, each in the same time."""
    planned = np.arange(count) / rate
    done, free = np.empty(count), 0.0
    for at, arrival in enumerate(planned):
        free = done[at] = max(free, arrival) + service_seconds
    return log_of(planned, done - planned)


def run_load(target: str, load: Load) -> RequestLog:
    """Runs one load of the real generator against a service."""
    with ChildProgram("load generator", generate, target, "/search") as generator:
        generator.send(load)
        while not isinstance(received := generator.receive(), RequestLog):
            pass
    return received


def open_load(rate: float, count: int, timeout: float = 10.0) -> Load:
    """An open loop of equal distances."""
    offsets = planned_offsets(rate, count, "constant", np.random.default_rng(0))
    return Load([f"question {at % 7}?" for at in range(count)], offsets, 0, timeout)


def result(run: str, rate: float, p99: float, **changed: Any) -> dict[str, Any]:
    """A result as benchmark.json has it, as far as `compare` reads it."""
    made = {
        "run": run,
        "machine": {"id": "m1"},
        "target": None,
        "ingest": "none",
        "rate": rate,
        "valid": True,
        "settings": {"arrival": "poisson", "threads": 4},
        "latency_ms": {"p99": {"ms": p99, "low": p99, "high": p99}},
    }
    return made | changed


def ends_itself(messages: object) -> None:
    """A child program that is killed."""
    os.kill(os.getpid(), signal.SIGKILL)


def raises(messages: object) -> None:
    """A child program that fails."""
    raise DataError("wrong in the child")


def waits(messages: MessageSocket) -> None:
    """A child program that waits for its parent."""
    messages.receive()

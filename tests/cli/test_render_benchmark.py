"""What a person reads of a benchmark."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from load_tools import log_of
from messages.benchmark import holds_up_to, other_programs
from ragloom.cli.render_benchmark import print_benchmark
from ragloom.evaluation.benchmark.benchmark_runner import BenchmarkResult
from ragloom.evaluation.benchmark.latency_promise import judge
from ragloom.evaluation.benchmark.rate_summary import summarize


def printed(width: int = 200, **session: Any) -> str:
    log = log_of(np.arange(1000) / 10, np.full(1000, 0.05), timings={"total": 20.0, "bm25": 20.0})
    cores = {"serving": 0.3, "machine": session.pop("busy", 0.5)}
    rate = {**summarize(10, ["a"] * 1000, log, 300), "cores": cores, "memory_mb": {"serving": 200.0}}
    made = {
        "run": "made-run",
        "machine": {"id": "m1", "cores": 2, "cpu": "a cpu", "memory_gb": 8},
        "target": None,
        "ingest": "none",
        "settings": {"arrival": "poisson", "seed": 0, "threads": 4},
        "index": {"documents": 1, "chunks": 2},
        "questions": 34,
        "start_seconds": 1.0,
        "cold_ms": {"latency": 12.0},
        "capacity": {"requests_per_second": 40.0, "windows": []},
        "recall": None,
        "concurrent_ingest": None,
        "notes": [],
    }
    stream = io.StringIO()
    screen = Console(file=stream, width=width)
    print_benchmark(screen, BenchmarkResult({**made, **session}, [rate], judge([rate], 300), Path("benchmark.json")))
    return stream.getvalue()


def test_a_line_for_each_rate_the_stages_and_the_verdict_are_printed() -> None:
    text = printed()
    for part in ("made-run", "capacity", "40 requests/s", "1000 (1)", "50.0 [50.0, 50.0]", "30.0 / 30.0"):
        assert part in text
    assert holds_up_to("300", "10") in text


def test_table_fits_the_screen_and_says_what_it_left_out() -> None:
    text = printed(width=80)
    rows = [line for line in text.splitlines() if line.lstrip().startswith(("requests/s", "10"))]
    assert all(len(line) <= 80 for line in rows)
    assert "not shown in 80 columns" in text


@pytest.mark.parametrize(
    ("busy", "session", "noted"),
    [(0.5, {}, False), (1.5, {}, True), (1.5, {"ingest": "copy", "concurrent_ingest": None}, False)],
)
def test_other_programs_that_were_busy_are_noted(busy: float, session: dict[str, Any], noted: bool) -> None:
    assert (other_programs("1.2") in printed(busy=busy, **session)) == noted

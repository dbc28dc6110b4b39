"""Terminal output of a benchmark: progress, table, verdict."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from ragloom.cli.progress import progress_bars
from ragloom.cli.table_layout import Column, print_columns, print_rows
from ragloom.core.redaction import redact
from ragloom.evaluation.benchmark.percentiles import FEWEST_P999
from ragloom.evaluation.benchmark.rate_summary import MAX_LATENESS_MS

if TYPE_CHECKING:
    from ragloom.evaluation.benchmark.benchmark_runner import BenchmarkResult, Progress

_FEW_CORES = 0.5
"""Busy cores of other programs that change no result much; the load generator's share is below it."""


@contextmanager
def benchmark_progress() -> Iterator[Progress]:
    """Yield a progress callback that shows the current step and its requests."""
    with progress_bars() as bars:
        task = bars.add_task("benchmark", total=None, text="")
        steps: list[str] = [""]

        def update(step: str, done: int, total: int) -> None:
            if step != steps[0]:
                steps[0] = step
                bars.reset(task, description=step, total=None)
            bars.update(task, completed=done, total=total or None, text=f"{done}/{total}" if total else "")

        yield update


def print_benchmark(screen: Console, result: BenchmarkResult) -> None:
    """Print the set-up, a line for each rate, and the verdict."""
    print_rows(screen, _setup(result), soft_wrap=True)
    print_columns(screen, _rates(result), "; --json has all")
    if stages := _stages(result):
        print_columns(screen, stages, "; --json has all")
    for text in _warnings(result):
        screen.print(f"[yellow]note:[/] {escape(redact(text))}", soft_wrap=True)
    if result.promise is None:
        shown = ", ".join(f"{rate:g}" for rate in result.invalid)
        screen.print(
            f"[red]invalid:[/] the load generator was late (p99 over {MAX_LATENESS_MS:g} ms) at {shown} requests/s; "
            "no verdict. End other programs, or measure lower rates",
            soft_wrap=True,
        )
    else:
        screen.print(f"[bold]{escape(result.promise.sentence)}[/]", soft_wrap=True)
        if result.promise.advice:
            screen.print(escape(result.promise.advice), soft_wrap=True)
    screen.print(f"[bold]kept as[/] {escape(str(result.path))}", soft_wrap=True)


def _setup(result: BenchmarkResult) -> dict[str, str]:
    session, settings = result.session, result.session["settings"]
    machine = session["machine"]
    rows = {
        "run": escape(session["run"] or "unknown: the index of this config is not here"),
        "index": f"{session['index']['documents']} documents, {session['index']['chunks']} chunks",
        "machine": escape(f"{machine['cores']} cores, {machine['cpu']}, {machine['memory_gb']} GB ({machine['id']})"),
        "load": f"open loop, {settings['arrival']} arrivals, seed {settings['seed']}; "
        f"{session['questions']} questions, drawn with replacement",
        "answered by": escape(session["target"] or f"a process of {settings['threads']} threads, caches bypassed"),
        "cold query": f"{session['cold_ms']['latency']:.1f} ms"
        + ("" if session["start_seconds"] is None else f", after {session['start_seconds']:.1f} s to open the index"),
    }
    if session["capacity"] is not None:
        capacity = session["capacity"]
        rows["capacity"] = f"{capacity['requests_per_second']:.3g} requests/s ({len(capacity['windows'])} windows)"
    if session["recall"] is not None:
        recall = session["recall"]
        rows["recall"] = f"recall@{recall['depth']} of dense search {recall['recall']:.3f}, n {recall['questions']}"
    if session["concurrent_ingest"] is not None:
        written = session["concurrent_ingest"]
        rows["ingest"] = f"{session['ingest']}: {written['ingests']} in {written['seconds']:.1f} s at the same time"
    return rows


def _rates(result: BenchmarkResult) -> list[Column]:
    cells: dict[str, list[str]] = {}
    for rate in result.rates:
        latency, processes = rate["latency_ms"], rate["memory_mb"]
        row = {
            "requests/s": f"{rate['rate']:g}",
            "n (distinct)": f"{rate['requests']} ({rate['distinct_questions']})",
            "p50 ms": _percentile(latency, "p50"),
            "p95": _percentile(latency, "p95"),
            "p99 [95 % interval]": _percentile(latency, "p99", interval=True),
            **({"p99.9": _percentile(latency, "p99.9", interval=True)} if latency["n"] >= FEWEST_P999 else {}),
            "within limit": f"{rate['within_slo']:.2%}",
            "failed": str(rate["errors"] + rate["timeouts"]),
            "saturated": "yes" if rate["saturated"] else "no",
            "late p99": f"{rate['lateness_p99_ms']:.1f}",
            "cores": " + ".join(f"{cores:.2f}" for name, cores in rate["cores"].items() if name != "machine") or "-",
            "MB": " + ".join(f"{megabytes:.0f}" for megabytes in processes.values()) or "-",
        }
        for name, text in row.items():
            cells.setdefault(name, []).append(text)
    ranks = {"late p99": 2, "cores": 3, "MB": 3, "n (distinct)": 1, "p95": 4}
    return [Column(name, texts, number=True, rank=ranks.get(name, 0)) for name, texts in cells.items()]


def _stages(result: BenchmarkResult) -> list[Column]:
    """Make columns of each stage's p50 and p99, by rate."""
    names = dict.fromkeys(name for rate in result.rates for name in rate["stages_ms"])
    columns = [Column("stages: p50 / p99 ms at", [f"{rate['rate']:g}" for rate in result.rates], number=True)]
    for name in names:
        cells = [
            f"{_percentile(rate['stages_ms'][name], 'p50')} / {_percentile(rate['stages_ms'][name], 'p99')}"
            if name in rate["stages_ms"]
            else "-"
            for rate in result.rates
        ]
        columns.append(Column(name, cells, number=True, rank=1))
    return columns if names else []


def _other_cores(cores: dict[str, float]) -> float:
    """Return the busy cores that the measured processes do not explain."""
    return 2 * cores.get("machine", 0.0) - sum(cores.values())


def _percentile(figures: dict[str, Any], name: str, *, interval: bool = False) -> str:
    if name not in figures:
        return "-"
    value = figures[name]
    if not interval:
        return f"{value['ms']:.1f}"
    high = "-" if value["high"] is None else f"{value['high']:.1f}"
    return f"{value['ms']:.1f} [{value['low']:.1f}, {high}]"


def _warnings(result: BenchmarkResult) -> Iterator[str]:
    session = result.session
    yield from session["notes"]
    for rate in result.rates:
        others = _other_cores(rate["cores"])
        if session["target"] is None and session["ingest"] == "none" and others > _FEW_CORES:
            yield (
                f"at {rate['rate']:g} requests/s other programs, a store's server among them, kept {others:.1f} of "
                f"{session['machine']['cores']} cores busy; what is measured holds for such a machine only"
            )
        if rate["errors"] or rate["timeouts"]:
            texts = f": {rate['error_texts'][0]}" if rate["error_texts"] else ""
            yield (
                f"at {rate['rate']:g} requests/s {rate['errors']} requests failed and {rate['timeouts']} timed out; "
                f"they count as over the limit{texts}"
            )

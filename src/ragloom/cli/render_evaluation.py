"""Terminal output of an evaluation: progress and a table of results."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from ragloom.cli.console import console, price_text, print_error
from ragloom.cli.progress import progress_bars, terminal_progress
from ragloom.cli.table_layout import MOST_LISTED, print_rows
from ragloom.core.redaction import redact
from ragloom.errors import RagloomError
from ragloom.evaluation.callbacks import EvaluationCallbacks, QueryProgress

if TYPE_CHECKING:
    from ragloom.assembly import Assembly
    from ragloom.cache.stages.stage_entries import CachedStage
    from ragloom.evaluation.evaluation_result import EvaluationResult
    from ragloom.ingestion import Progress

BELOW = " (deep)"
"""Mark of a metric that looks below the list of the reranker."""


class TerminalCallbacks(EvaluationCallbacks):
    """Progress bars and lines on standard error.

    Args:
        explain: whether to print why each stage of a finished trial was a cache hit or miss.
    """

    def __init__(self, *, explain: bool = False) -> None:
        self._explain = explain

    def ingesting(self, assembly: Assembly) -> AbstractContextManager[Progress | None]:
        """Show the progress of an ingest."""
        return terminal_progress(assembly)

    @contextmanager
    def querying(self, stage: str) -> Iterator[QueryProgress]:
        """Show how many queries are done."""
        with progress_bars() as bars:
            task = bars.add_task(stage, total=None, text="")

            def update(done: int, total: int, failed: int) -> None:
                text = f"{done}/{total}{f', {failed} failed' if failed else ''}"
                bars.update(task, completed=done, total=total, text=text)

            yield update

    def note(self, text: str) -> None:
        """Show a line on a terminal."""
        screen = console(stderr=True)
        if screen.is_terminal:
            screen.print(redact(text), markup=False)

    def shared_problem(self, text: str) -> None:
        """Show a problem of all trials."""
        console(stderr=True).print(f"all trials: {redact(text)}", markup=False, soft_wrap=True)

    def trial_started(self, label: str) -> None:
        """Show the label of a trial on a terminal."""
        screen = console(stderr=True)
        if screen.is_terminal:
            screen.print(f"[bold]{label}[/]")

    def trial_done(self, label: str, result: EvaluationResult) -> None:
        """Show the cache hits and misses of a trial, if asked to."""
        for unit in result.stages if self._explain else ():
            console(stderr=True).print(f"{label}: {unit.explanation}", markup=False, soft_wrap=True)

    def trial_failed(self, label: str, error: Exception) -> None:
        """Show an error; an unexpected one with its traceback."""
        if isinstance(error, RagloomError):
            print_error(error)
        else:
            sys.stderr.write(redact("".join(traceback.format_exception(error))))


def print_result(screen: Console, result: EvaluationResult, *, explain: bool) -> None:
    """Print the metrics of a run, and the first twenty failed queries."""
    counts, cost = result.metrics["counts"], result.metrics["cost"]
    rows = {"run": escape(result.run), **scores(result.metrics), "questions": _counted(counts), "cost": _cost(cost)}
    if result.metrics["verdicts"]:
        rows["judging"] = _judging(cost)
    if result.latency is not None:
        rows["latency"] = "\n".join(map(_latency, [result.latency, *result.latency["further"]]))
    rows["stages"] = ", ".join(_stage(unit) for unit in result.stages) or "none kept"
    print_rows(screen, {**rows, "kept as": escape(str(result.folder))}, soft_wrap=True)
    if explain:
        for unit in result.stages:
            screen.print(escape(unit.explanation), soft_wrap=True)
    for problem in result.problems:
        screen.print(f"[yellow]dataset:[/] {escape(redact(problem))}")
    for query, error in result.errors[:MOST_LISTED]:
        screen.print(f"[red]failed, scored as zero:[/] {escape(redact(f'{query}: {error}'))}")
    if len(result.errors) > MOST_LISTED:
        screen.print(f"... and {len(result.errors) - MOST_LISTED} more; queries.jsonl has them all")


def scores(metrics: Mapping[str, Any], *, bounds: bool = True) -> dict[str, str]:
    """Format each metric, with the number of queries that were not judged.

    Args:
        metrics: content of metrics.json.
        bounds: whether to add the bounds of the share that passed, and the number of queries on which a metric looks
            below the list of the reranker; otherwise a mark stands for the latter.
    """
    shown = {name: f"{value:.4f}" for name, value in metrics["metrics"].items()}
    for name, count in metrics["verdicts"].items():
        if missing := count["not_judged"]:
            between = f"; between {count['lowest']:.4f} and {count['highest']:.4f}" if bounds else ""
            shown[name] = f"{shown.get(name, '-')} (not judged: {missing}{between})"
    for name, count in metrics.get("below_reranker", {}).items():
        shown[name] += f" (looks below what the reranker ordered, on {count} questions)" if bounds else BELOW
    return shown


def _counted(counts: dict[str, Any]) -> str:
    text = f"{counts['queries']}, {counts['judged']} with gold"
    if counts["not_judged"]:
        text += f", {counts['not_judged']} without (in no mean of retrieval)"
    if counts["errors"]:
        text += f"; [red]{counts['errors']} failed[/]"
    return text


def _cost(cost: dict[str, Any]) -> str:
    tokens = cost["embedding_tokens"] + cost["llm_input_tokens"] + cost["llm_output_tokens"]
    return f"{price_text(cost['usd'])}, {tokens} tokens for all questions"


def _judging(cost: dict[str, Any]) -> str:
    tokens = cost["judge_input_tokens"] + cost["judge_output_tokens"]
    return f"{price_text(cost['judge_usd'])}, {tokens} tokens; no part of the cost above"


def _latency(measured: dict[str, Any]) -> str:
    total = measured["stages"].get("total", {})
    values = ", ".join(f"{name} {value:.1f}" for name, value in total.items())
    errors = f", {measured['errors']} failed" if measured["errors"] else ""
    return f"ms {values} (closed loop, n {measured['n']}, {measured['concurrency']} at a time{errors})"


def _stage(unit: CachedStage) -> str:
    if not unit.counts.computed:
        return f"{unit.kind} from the cache"
    cached = f" ({unit.counts.hits} of {unit.counts.hits + unit.counts.computed} cached)" if unit.counts.hits else ""
    return f"{unit.kind} computed{cached}"

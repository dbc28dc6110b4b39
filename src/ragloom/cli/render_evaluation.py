"""Shows an evaluation: how far it is on a terminal, and what it measured as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from ragloom.cli.console import console
from ragloom.cli.progress import shown_progress
from ragloom.core.redaction import redact
from ragloom.evaluation.runner import Report, Watch

if TYPE_CHECKING:
    from rich.console import Console

    from ragloom.assembly import Assembly
    from ragloom.cache.stages import Unit
    from ragloom.evaluation.query_executor import Told
    from ragloom.ingestion import Progress

_MOST_LISTED = 20
BELOW = " (deep)"
"""Marks a metric in a table that looks below what the reranker ordered."""


class TerminalWatch(Watch):
    """Shows how far a trial is: bars on a terminal, lines on standard error."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen

    def ingesting(self, assembly: Assembly) -> AbstractContextManager[Progress | None]:
        """Shows an ingest's progress."""
        return shown_progress(assembly)

    @contextmanager
    def asking(self, what: str) -> Iterator[Told]:
        """Shows how many questions are done."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[failed]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._screen, transient=True, disable=not self._screen.is_terminal) as bars:
            task = bars.add_task(what, total=None, failed="")

            def told(done: int, total: int, failed: int) -> None:
                bars.update(task, completed=done, total=total, failed=f"{failed} failed" if failed else "")

            yield told

    def note(self, text: str) -> None:
        """Shows a line."""
        if self._screen.is_terminal:
            self._screen.print(redact(text), markup=False)


@contextmanager
def watching() -> Iterator[Watch]:
    """Yields what a trial tells how far it is."""
    yield TerminalWatch(console(stderr=True))


def print_report(screen: Console, report: Report, *, explain: bool) -> None:
    """Prints what a run measured, and every question that failed (the first twenty)."""
    from rich.markup import escape
    from rich.table import Table

    counts, cost = report.metrics["counts"], report.metrics["cost"]
    table = Table.grid(padding=(0, 2))
    table.add_row("[bold]run[/]", escape(report.run))
    for name, value in scores(report.metrics).items():
        table.add_row(f"[bold]{escape(name)}[/]", value)
    table.add_row("[bold]questions[/]", _counted(counts))
    table.add_row("[bold]cost[/]", _cost(cost))
    if report.metrics["verdicts"]:
        table.add_row("[bold]judging[/]", _judging(cost))
    for each in _passes(report):
        table.add_row("[bold]latency[/]", _latency(each))
    table.add_row("[bold]stages[/]", ", ".join(_stage(unit) for unit in report.stages) or "none kept")
    table.add_row("[bold]kept as[/]", escape(str(report.folder)))
    screen.print(table, soft_wrap=True)
    if explain:
        for unit in report.stages:
            screen.print(escape(unit.explained), soft_wrap=True)
    for problem in report.problems:
        screen.print(f"[yellow]dataset:[/] {escape(redact(problem))}")
    for query, error in report.errors[:_MOST_LISTED]:
        screen.print(f"[red]failed, scored as zero:[/] {escape(redact(f'{query}: {error}'))}")
    if len(report.errors) > _MOST_LISTED:
        screen.print(f"... and {len(report.errors) - _MOST_LISTED} more; queries.jsonl has them all")


def scores(metrics: Mapping[str, Any], *, bounds: bool = True) -> dict[str, str]:
    """Writes each metric, with the questions that were not judged and what their verdicts could change.

    Args:
        metrics: as metrics.json has it.
        bounds: whether to say between which values the share lies, and how often a metric looks below what the
            reranker ordered; otherwise a mark stands for the latter.
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
    return f"{_price(cost['usd'])}, {tokens} tokens for all questions"


def _judging(cost: dict[str, Any]) -> str:
    tokens = cost["judge_input_tokens"] + cost["judge_output_tokens"]
    return f"{_price(cost['judge_usd'])}, {tokens} tokens; no part of the cost above"


def _price(usd: float | None) -> str:
    return "unknown price" if usd is None else f"${usd:.6f}"


def _passes(report: Report) -> list[dict[str, Any]]:
    if report.latency is None:
        return []
    return [report.latency, *report.latency["further"]]


def _latency(measured: dict[str, Any]) -> str:
    total = measured["stages"].get("total", {})
    values = ", ".join(f"{name} {value:.1f}" for name, value in total.items())
    errors = f", {measured['errors']} failed" if measured["errors"] else ""
    return f"ms {values} (n {measured['n']}, {measured['concurrency']} at a time{errors})"


def _stage(unit: Unit) -> str:
    if not unit.counts.made:
        return f"{unit.kind} from the cache"
    found = f" ({unit.counts.hits} of {unit.counts.hits + unit.counts.made} found)" if unit.counts.hits else ""
    return f"{unit.kind} made{found}"

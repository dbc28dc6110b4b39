"""Terminal output of sweeps: plan of a dry run, and trials."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from ragloom.cli.console import price_text
from ragloom.cli.render_evaluation import BELOW, scores
from ragloom.cli.table_layout import Column, print_columns
from ragloom.core.redaction import redact
from ragloom.evaluation.sweep import Sweep
from ragloom.evaluation.sweep_log import TrialRecord
from ragloom.evaluation.sweep_plan import BASIS, LOCAL, SweepPlan


def print_plan(screen: Console, plan: SweepPlan) -> None:
    """Print the trials, stages and cost of a dry run."""
    for label in plan.trials:
        screen.print(label, markup=False)
    screen.print(f"[bold]trials[/]    {len(plan.trials)}")
    for stage, count in plan.stages.items():
        screen.print(f"[bold]{stage:<9}[/] {count['units']} different, {count['there']} of them there already")
    embedding = f"{plan.tokens} tokens of documents in {len(plan.indexes)} indexes, {price_text(plan.embedding_usd)}"
    screen.print(f"[bold]to embed[/]  {embedding}")
    for item in plan.asked:
        screen.print(f"[bold]{item['what']:<9}[/] {_requests(item)}", highlight=False)
    if plan.asked or plan.unknown:
        most = "no bound, since not all is estimated" if plan.unknown else _at_most(plan.max_usd)
        screen.print(f"[bold]in all[/]    {most}: {BASIS}", soft_wrap=True)
    screen.print(f"[bold]hours[/]     at least {plan.min_hours:.2f}, by the providers' limits per minute")
    for text in (LOCAL, *plan.unknown):
        screen.print(f"[yellow]not estimated:[/] {text}")
    screen.print("a dry run: nothing was called, and nothing was written")


def _requests(item: dict[str, Any]) -> str:
    exact = item["what"] == "questions"
    tokens = f"{item['input_tokens']} tokens" + ("" if exact else f" sent, {item['output_tokens']} replied")
    price = price_text(item["cost_usd"]) if exact else _at_most(item["cost_usd"])
    return f"{item['requests']} requests to {item['model']}, {tokens}, {price}"


def _at_most(usd: float | None) -> str:
    return price_text(usd) if usd is None else f"at most {price_text(usd)}"


def _print_by_text(
    screen: Console, title: str, pairs: Iterable[tuple[str, str | None]], all: int, advice: str = ""
) -> None:
    """Print each text once, after the labels of its trials.

    Args:
        pairs: (label, text).
        all: trials that could have a text.
    """
    labels: dict[str, list[str]] = {}
    for label, text in pairs:
        labels.setdefault(str(text), []).append(label)
    for text, each in labels.items():
        named = "all trials" if len(each) == all > 1 else ", ".join(each)
        screen.print(f"{title} {escape(redact(f'{named}: {text}'))}{advice}", soft_wrap=True)


def print_sweep(screen: Console, sweep: Sweep) -> None:
    """Print trials, problems that not all share, and failures."""
    trials = sweep.records()
    written = {item.trial: scores(item.details, bounds=False) for item in trials if item.state == "done"}
    names = list(dict.fromkeys(name for shown in written.values() for name in shown))
    ordered = sorted(trials, key=lambda item: _sort_key(item, names))
    print_columns(screen, list(_columns(ordered, written, names, sweep)), "; the files of each run have them")
    if any(item.details.get("below_reranker") for item in trials):
        screen.print(f"{BELOW.strip()}: the metric looks below what the reranker ordered", highlight=False)
    runs = [f"{stage} {count['made']} made, {count['found']} found" for stage, count in sweep.stage_counts().items()]
    screen.print(f"stages: {'; '.join(runs)}", soft_wrap=True)
    done = [item for item in trials if item.state == "done"]
    problems = [(item.label, problem) for item in done for problem in item.details.get("problems", ())]
    own = [(label, problem) for label, problem in problems if problem not in sweep.problems]
    _print_by_text(screen, "[yellow]dataset:[/]", own, len(done))
    waiting = [(item.label, item.error) for item in trials if item.state == "waiting" and item.error]
    _print_by_text(screen, "[yellow]not run:[/]", waiting, len(trials))
    for again, advice in ((True, "; retry_failed=true tries again"), (False, "")):
        failed = [item for item in trials if item.state == "failed" and (item.trial in sweep.left_out) is again]
        _print_by_text(screen, "[red]failed:[/]", [(item.label, item.error) for item in failed], len(trials), advice)
    for folder in sorted({str(Path(item.run).parent) for item in trials if item.run is not None}):
        screen.print(f"kept in {escape(folder)}", soft_wrap=True)


def _sort_key(item: TrialRecord, names: Sequence[str]) -> tuple[bool, float]:
    """Return a sort key by the first metric, best first."""
    value = item.details.get("metrics", {}).get(names[0]) if item.state == "done" and names else None
    return (value is None, -(value or 0.0))


def _columns(
    trials: Sequence[TrialRecord], written: dict[str, dict[str, str]], names: Sequence[str], sweep: Sweep
) -> Iterator[Column]:
    """Yield the columns: varying keys, metrics, failures, seconds.

    Later metrics are left out first.
    """
    marks = ["*" if at == 0 and len(trials) > 1 and item.state == "done" else "" for at, item in enumerate(trials)]
    yield Column("", marks)
    for place, key in enumerate(sweep.keys):
        yield Column(
            key, [sweep.values.get(item.trial, {}).get(key, item.label if not place else "") for item in trials]
        )
    if not sweep.keys:
        yield Column("trial", [item.label for item in trials])
    for rank, name in enumerate(names):
        yield Column(name, [written.get(item.trial, {}).get(name, "") for item in trials], number=True, rank=rank)
    failures = [str(item.details["counts"]["errors"]) if item.state == "done" else item.state for item in trials]
    if any(text != "0" for text in failures):
        yield Column("failed", failures, number=True)
    seconds = [f"{item.details['seconds']:.1f}" if item.state == "done" else "" for item in trials]
    yield Column("seconds", seconds, number=True, rank=len(names) + 1)

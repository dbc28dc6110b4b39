"""The table of a sweep: a line a trial, what varies as columns, best first; then what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.cli.console import silenced_stdout
from ragloom.cli.tables import Column, print_fitted
from ragloom.core.redaction import redact
from ragloom.evaluation.sweep_log import Recorded

if TYPE_CHECKING:
    from rich.console import Console

    from ragloom.cli.sweep import Sweep


def stage_runs(trials: Sequence[Recorded], before: Sequence[dict[str, Any]] = ()) -> dict[str, dict[str, int]]:
    """Counts for each stage how often it was made, also before the first trial, and how often it was found."""
    made: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for stage in (*before, *(stage for item in trials for stage in item.told.get("stages", ()))):
        (found if stage["hit"] else made)[stage["stage"]] += 1
    return {stage: {"made": made[stage], "found": found[stage]} for stage in dict.fromkeys([*made, *found])}


def _together(pairs: Sequence[tuple[str, str]], all: int) -> dict[str, str]:
    """Joins the labels of trials that say the same: what is said -> labels."""
    labels: dict[str, list[str]] = {}
    for label, text in pairs:
        labels.setdefault(text, []).append(label)
    return {text: "all trials" if len(each) == all > 1 else ", ".join(each) for text, each in labels.items()}


def print_trials(screen: Console, trials: Sequence[Recorded], sweep: Sweep) -> None:
    """Print a line for each trial, what each reports that not all do, and what failed."""
    from rich.markup import escape

    with silenced_stdout():
        from ragloom.cli.render_evaluation import BELOW, scores

    written = {item.trial: scores(item.told, bounds=False) for item in trials if item.state == "done"}
    names = list(dict.fromkeys(name for shown in written.values() for name in shown))
    ordered = sorted(trials, key=lambda item: _place(item, names))
    print_fitted(screen, list(_columns(ordered, written, names, sweep)), "; the files of each run have them")
    if any(item.told.get("below_reranker") for item in trials):
        screen.print(f"{BELOW.strip()}: the metric looks below what the reranker ordered", highlight=False)
    runs = [
        f"{stage} {count['made']} made, {count['found']} found"
        for stage, count in stage_runs(trials, sweep.made).items()
    ]
    screen.print(f"stages: {'; '.join(runs)}", soft_wrap=True)
    done = [item for item in trials if item.state == "done"]
    told_here = [(item.label, problem) for item in done for problem in item.told.get("problems", ())]
    for problem, labels in _together(told_here, len(done)).items():
        if problem not in sweep.problems:
            screen.print(f"[yellow]dataset:[/] {escape(redact(f'{labels}: {problem}'))}", soft_wrap=True)
    waiting = [(item.label, item.error) for item in trials if item.state == "waiting" and item.error]
    for error, labels in _together(waiting, len(trials)).items():
        screen.print(f"[yellow]not run:[/] {escape(redact(f'{labels}: {error}'))}", soft_wrap=True)
    for again in (True, False):
        failed = [item for item in trials if item.state == "failed" and (item.trial in sweep.left_out) is again]
        advice = "; retry_failed=true tries again" if again else ""
        for error, labels in _together([(item.label, str(item.error)) for item in failed], len(trials)).items():
            screen.print(f"[red]failed:[/] {escape(redact(f'{labels}: {error}'))}{advice}", soft_wrap=True)
    folders = sorted({str(Path(item.run).parent) for item in trials if item.run is not None})
    for folder in folders:
        screen.print(f"kept in {escape(folder)}", soft_wrap=True)


def _place(item: Recorded, names: Sequence[str]) -> tuple[bool, float]:
    """Order trials by the first metric, the best first, and those without a score last."""
    value = item.told.get("metrics", {}).get(names[0]) if item.state == "done" and names else None
    return (value is None, -(value or 0.0))


def _columns(
    trials: Sequence[Recorded], written: dict[str, dict[str, str]], names: Sequence[str], sweep: Sweep
) -> Iterator[Column]:
    """Yield what varies, the metrics, failures and seconds; later metrics are left out before earlier ones."""
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
    failures = [str(item.told["counts"]["errors"]) if item.state == "done" else item.state for item in trials]
    if any(text != "0" for text in failures):
        yield Column("failed", failures, number=True)
    seconds = [f"{item.told['seconds']:.1f}" if item.state == "done" else "" for item in trials]
    yield Column("seconds", seconds, number=True, rank=len(names) + 1)

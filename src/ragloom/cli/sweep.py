"""A sweep: many trials of one command, each recorded, none lost to another's failure, and a table at the end."""

from __future__ import annotations

import functools
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.cli.terminal import FAILED, LISTED_FAILURES, OK, console, print_json, report, silenced_stdout
from ragloom.errors import RagloomError
from ragloom.secrets import redact
from ragloom.sweeping import label_of, varying
from ragloom.trials import Recorded, Trials, sweep_digest

if TYPE_CHECKING:
    from rich.console import Console

    from ragloom.config import Config
    from ragloom.trial import Report


def begun(configs: Sequence[Config]) -> Sweep:
    """Enters a sweep's trials in the ledger.

    Raises:
        DataError: the ledger cannot be written.
    """
    with silenced_stdout():
        from ragloom.trial import trial_digest

    keys = varying(configs)
    trials = {trial_digest(config): label_of(config, keys) for config in configs}
    tree = configs[0].tree
    ledger = Trials(Path(tree["runs"]).expanduser().absolute())
    sweep = sweep_digest(list(trials))
    ledger.enter(sweep, list(trials.items()))
    left_out = {item.trial for item in ledger.of(sweep) if item.state == "failed"}
    return Sweep(ledger, sweep, keys, frozenset() if tree["retry_failed"] else frozenset(left_out), tree["output"])


class Sweep:
    """A sweep that is under way.

    Args:
        ledger: where its trials are recorded.
        digest: names it.
        keys: in which its trials differ.
        left_out: trials that failed before and are not tried again.
        output: `text` or `json`.
    """

    def __init__(self, ledger: Trials, digest: str, keys: Sequence[str], left_out: frozenset[str], output: str) -> None:
        self._ledger = ledger
        self._digest = digest
        self._keys = list(keys)
        self._left_out = left_out
        self._output = output

    def task(self) -> Callable[[Config], int]:
        """Gives what runs one trial, picklable; it raises nothing but an interruption."""
        return functools.partial(
            _trial, ledger=self._ledger, sweep=self._digest, keys=self._keys, left_out=self._left_out
        )

    def finish(self) -> int:
        """Prints the table of trials; returns 0, 3 when questions failed, 1 when a trial failed or is missing."""
        trials = self._ledger.of(self._digest)
        if self._output == "json":
            shown = [{**vars(item), "left_out": item.trial in self._left_out} for item in trials]
            print_json({"event": "sweep", "sweep": self._digest, "trials": shown, "stages": stage_runs(trials)})
        else:
            print_trials(console(), trials, self._left_out)
        if any(item.state != "done" for item in trials):
            return FAILED
        return LISTED_FAILURES if any(item.told["counts"]["errors"] for item in trials) else OK


def _trial(config: Config, *, ledger: Trials, sweep: str, keys: Sequence[str], left_out: frozenset[str]) -> int:
    """Runs one trial, records it, and survives whatever it raises."""
    from ragloom.cli.evaluate import evaluated
    from ragloom.trial import trial_digest

    trial, label = trial_digest(config), label_of(config, keys)
    if trial in left_out:
        return FAILED
    ledger.begin(sweep, trial, label)
    screen, began = console(stderr=True), time.perf_counter()
    if screen.is_terminal:
        screen.print(f"[bold]{label}[/]")
    try:
        measured = evaluated(config)
    except RagloomError as error:
        report(error)
        ledger.failed(sweep, trial, redact("; ".join(error.problems)))
        return FAILED
    except Exception as error:  # noqa: BLE001 - a bug in one trial is recorded with its traceback, and loses no other
        sys.stderr.write(redact(traceback.format_exc()))
        ledger.failed(sweep, trial, redact(f"{type(error).__name__}: {error}"))
        return FAILED
    ledger.done(sweep, trial, str(measured.folder), _told(measured, time.perf_counter() - began))
    return LISTED_FAILURES if measured.errors else OK


def _told(measured: Report, seconds: float) -> dict[str, Any]:
    from ragloom.trial import unit_json

    stages = [unit_json(unit) for unit in measured.stages]
    return {**measured.metrics, "seconds": round(seconds, 3), "stages": stages}


def stage_runs(trials: Sequence[Recorded]) -> dict[str, dict[str, int]]:
    """Counts for each stage how often it was made, and how often it was found."""
    made: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for item in trials:
        for stage in item.told.get("stages", ()):
            (found if stage["hit"] else made)[stage["stage"]] += 1
    return {stage: {"made": made[stage], "found": found[stage]} for stage in dict.fromkeys([*made, *found])}


def print_trials(screen: Console, trials: Sequence[Recorded], left_out: frozenset[str]) -> None:
    """Prints a line for each trial, and what failed."""
    from rich.markup import escape
    from rich.table import Table

    names = list(dict.fromkeys(name for item in trials for name in item.told.get("metrics", {})))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("trial")
    for name in names:
        table.add_column(escape(name), justify="right")
    for name in ("failed", "seconds"):
        table.add_column(name, justify="right")
    for item in trials:
        metrics = item.told.get("metrics", {})
        values = [f"{metrics[name]:.4f}" if name in metrics else "" for name in names]
        counts = item.told.get("counts", {})
        state = [str(counts["errors"]), f"{item.told['seconds']:.1f}"] if item.state == "done" else [item.state, ""]
        table.add_row(escape(item.label), *values, *state)
    screen.print(table)
    runs = [f"{stage} {count['made']} made, {count['found']} found" for stage, count in stage_runs(trials).items()]
    screen.print(f"stages: {'; '.join(runs)}", soft_wrap=True)
    for item in trials:
        if item.state == "failed":
            again = "; retry_failed=true tries it again" if item.trial in left_out else ""
            screen.print(f"[red]failed:[/] {escape(redact(f'{item.label}: {item.error}'))}{again}", soft_wrap=True)
    folders = sorted({str(Path(item.run).parent) for item in trials if item.run is not None})
    for folder in folders:
        screen.print(f"kept in {escape(folder)}", soft_wrap=True)

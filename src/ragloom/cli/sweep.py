"""A sweep: many trials of one command, each recorded, none lost to another's failure, and a table at the end."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.cli.console import FAILED, LISTED_FAILURES, OK, console, print_json, report, silenced_stdout
from ragloom.cli.render_sweep import print_trials, stage_runs
from ragloom.config.config import Config
from ragloom.config.labels import label_of, values_of, varying
from ragloom.core.records import canonical_json
from ragloom.core.redaction import redact
from ragloom.core.usage import Budget, BudgetSpent, accounted
from ragloom.errors import RagloomError
from ragloom.evaluation.sweep_log import Trials, now, sweep_digest

if TYPE_CHECKING:
    from ragloom.evaluation.runner import Report


def begun(configs: Sequence[Config]) -> Sweep | int:
    """Enters a sweep's trials in the ledger; a dry run is shown, and there is nothing to run.

    Raises:
        DataError: the ledger cannot be written.
    """
    with silenced_stdout():
        from ragloom.evaluation.runner import trial_digest

    keys = varying(configs)
    if configs[0].tree["dry_run"]:
        from ragloom.cli.plan import show_plan

        return show_plan(configs, keys)
    problems, made = _shared(configs)
    for problem in problems:
        console(stderr=True).print(f"all trials: {redact(problem)}", markup=False, soft_wrap=True)
    trials = {trial_digest(config): label_of(config, keys) for config in configs}
    values = {trial_digest(config): values_of(config, keys) for config in configs}
    tree = configs[0].tree
    ledger = Trials(Path(tree["runs"]).expanduser().absolute())
    sweep = sweep_digest(list(trials))
    ledger.enter(sweep, list(trials.items()))
    left_out = {item.trial for item in ledger.of(sweep) if item.state == "failed"}
    return Sweep(
        ledger=ledger,
        digest=sweep,
        keys=keys,
        left_out=frozenset() if tree["retry_failed"] else frozenset(left_out),
        output=tree["output"],
        began=now(),
        problems=tuple(problems),
        made=tuple(made),
        values=values,
    )


def _shared(configs: Sequence[Config]) -> tuple[list[str], list[dict[str, Any]]]:
    """Finds the problems that all trials share, and says which stages were made meanwhile.

    Raises:
        ConfigError, DataError: every trial would fail, and for the same reason.
    """
    from ragloom.cache.stages import Stages
    from ragloom.cli.render_evaluation import watching
    from ragloom.evaluation.preflight import GoldMissing, shared_problems
    from ragloom.evaluation.runner import Trial, Watch, unit_json

    alike = ("source", "dataset", "ingest", "stages", "extensions")
    if len({canonical_json([config.tree[key] for key in alike]) for config in configs}) > 1:
        return [], []
    kept = configs[0].tree["stages"]
    stages = Stages(None if kept is None else Path(kept).expanduser())
    errors, ready, dataset = [], [], None
    for config in configs:
        with Trial(config, stages, Watch()) as trial:
            if dataset is not None:
                trial.assembly.__dict__["dataset"] = dataset  # read once for all
            try:
                trial.check()
                dataset = trial.dataset
                ready.append(config)
            except Exception as error:  # noqa: BLE001 - the trial fails with it when its turn comes
                errors.append(error)
    known = [error for error in errors if isinstance(error, RagloomError)]
    if len(known) == len(configs) and len({error.problems for error in known}) == 1:
        raise known[0]
    if not ready:
        return [], []
    with watching() as watch, Trial(ready[0], stages, watch) as trial:
        watch.note("reading the documents, which all trials share")
        try:
            problems, units = shared_problems(trial.assembly, stages)
        except GoldMissing:
            raise
        except RagloomError:
            return [], []  # of this trial alone, for all that is known: it fails with it when its turn comes
    return problems, [unit_json(unit) for unit in units]


@dataclass(frozen=True)
class Sweep:
    """A sweep that is under way. Picklable: launchers run trials in processes of their own.

    Attributes:
        ledger: where its trials are recorded.
        digest: names it.
        keys: in which its trials differ.
        left_out: trials that failed before and are not tried again.
        output: `text` or `json`.
        began: when this run of it began, as the ledger writes time.
        problems: of dataset and source, which all trials share; they are told already.
        made: stages that were made before the first trial.
        values: trial -> key -> what the trial has for it, as a person reads it.
    """

    ledger: Trials
    digest: str
    keys: list[str]
    left_out: frozenset[str]
    output: str
    began: str
    problems: tuple[str, ...] = ()
    made: tuple[dict[str, Any], ...] = ()
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def task(self) -> Callable[[Config], int]:
        """Gives what runs one trial, picklable; it raises nothing but an interruption."""
        return self.run

    def run(self, config: Config) -> int:
        """Runs one trial, records it, and survives whatever it raises."""
        with silenced_stdout():
            from ragloom.evaluation.runner import trial_digest

        trial, label = trial_digest(config), label_of(config, self.keys)
        if trial in self.left_out:
            return FAILED
        screen = console(stderr=True)
        if screen.is_terminal:
            screen.print(f"[bold]{label}[/]")
        self.ledger.begin(self.digest, trial, label)
        with accounted() as budgets:
            try:
                measured = self._measure(config, trial, budgets)
            except BudgetSpent as error:
                report(error)
                self.ledger.stopped(self.digest, trial, str(error), spent(budgets))
                return FAILED
            except RagloomError as error:
                report(error)
                self.ledger.failed(self.digest, trial, redact("; ".join(error.problems)), spent(budgets))
                return FAILED
            except Exception as error:  # noqa: BLE001 - a bug in one trial is recorded, and loses no other
                sys.stderr.write(redact(traceback.format_exc()))
                self.ledger.failed(self.digest, trial, redact(f"{type(error).__name__}: {error}"), spent(budgets))
                return FAILED
        if config.tree["explain"]:
            for unit in measured.stages:
                console(stderr=True).print(f"{label}: {unit.explained}", markup=False, soft_wrap=True)
        return OK

    def finish(self) -> int:
        """Prints the table of trials; returns 0, 3 when questions failed, 1 when a trial failed or is missing."""
        trials = self.ledger.of(self.digest)
        if self.output == "json":
            shown = [{**vars(item), "left_out": item.trial in self.left_out} for item in trials]
            stages = stage_runs(trials, self.made)
            problems = list(self.problems)
            print_json(
                {"event": "sweep", "sweep": self.digest, "trials": shown, "problems": problems, "stages": stages}
            )
        else:
            print_trials(console(), trials, self)
        if any(item.state != "done" for item in trials):
            return FAILED
        return LISTED_FAILURES if any(item.told["counts"]["errors"] for item in trials) else OK

    def _measure(self, config: Config, trial: str, budgets: Sequence[Budget]) -> Report:
        from ragloom.cli.evaluate import evaluated

        began = time.perf_counter()
        measured = evaluated(within_budget(config, self._spent()))
        shown = {**told(measured, time.perf_counter() - began), **spent(budgets)}
        self.ledger.done(self.digest, trial, str(measured.folder), shown)
        return measured

    def _spent(self) -> tuple[float, int]:
        """Sums what the trials of this run have spent, failed ones included: US dollars and tokens.

        Raises:
            BudgetSpent: a trial of this run was stopped by the budget.
        """
        now = [item for item in self.ledger.of(self.digest) if item.changed >= self.began]
        over = [item.error for item in now if item.state == "waiting" and item.error]
        if over:
            raise BudgetSpent(over[0])
        each = [item.told["spent"] for item in now if "spent" in item.told]
        return sum(item["usd"] for item in each), sum(item["tokens"] for item in each)


def spent(budgets: Sequence[Budget]) -> dict[str, Any]:
    """Says what the ledger keeps of what a trial spent, as its budget counts: what may be billed is."""
    return {"spent": {"usd": sum(item.usd for item in budgets), "tokens": sum(item.tokens for item in budgets)}}


def within_budget(config: Config, spent: tuple[float, int]) -> Config:
    """Copies a config with what a sweep's budget still holds for one trial.

    Raises:
        BudgetSpent: nothing is left.
    """
    budget = dict(config.tree["budget"])
    for key, used in zip(("max_usd", "max_tokens"), spent, strict=True):
        if budget[key] is None:
            continue
        if used and used >= budget[key]:
            raise BudgetSpent(f"budget: budget.{key}={budget[key]:g} must not be exceeded: {used:g} are spent")
        budget[key] -= used
    return Config({**config.tree, "budget": budget}, config.choices)


def told(measured: Report, seconds: float) -> dict[str, Any]:
    """Says what the ledger keeps of a trial that is done."""
    from ragloom.evaluation.runner import unit_json

    stages = [unit_json(unit) for unit in measured.stages]
    return {**measured.metrics, "seconds": round(seconds, 3), "stages": stages, "problems": measured.problems}

"""Sweeps: run many trials, record each, and survive the failure of any."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.cache.stages.stage_cache import StageCache
from ragloom.config.config import Config
from ragloom.config.labels import label_of, values_of, varying
from ragloom.core.budget import Budget, BudgetSpent, accounted
from ragloom.core.data_frame import data_frame
from ragloom.core.records import canonical_json
from ragloom.core.redaction import redact
from ragloom.errors import RagloomError
from ragloom.evaluation.callbacks import EvaluationCallbacks
from ragloom.evaluation.evaluation_result import EvaluationResult, stage_json
from ragloom.evaluation.gold_check import GoldCheck
from ragloom.evaluation.runner import Trial, evaluate, open_stages, trial_digest
from ragloom.evaluation.sweep_log import State, SweepLog, TrialRecord, now, sweep_digest
from ragloom.evaluation.sweep_preflight import GoldMissing, shared_problems

if TYPE_CHECKING:
    import pandas

_SHARED_KEYS = ("source", "dataset", "ingest", "stages", "extensions")
"""Trials that agree in these read the same documents and the same gold."""


@dataclass(frozen=True)
class Sweep:
    """A sweep in progress. Picklable: Hydra launchers run trials in other processes.

    Attributes:
        log: records every trial.
        digest: identifies the sweep.
        keys: config keys in which the trials differ.
        left_out: digests of trials that failed before and are not retried.
        began: start of this run, in the time format of the log.
        problems: problems of dataset and source that all trials share.
        prepared: stages computed before the first trial, as `stage_json` shows them.
        values: trial digest -> key -> value of the trial.
    """

    log: SweepLog
    digest: str
    keys: list[str]
    left_out: frozenset[str]
    began: str
    problems: tuple[str, ...] = ()
    prepared: tuple[dict[str, Any], ...] = ()
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    _gold: GoldCheck = field(default_factory=GoldCheck, repr=False, compare=False)

    def run_trial(self, config: Config, callbacks: EvaluationCallbacks) -> EvaluationResult | None:
        """Run and record one trial.

        None if it failed, was left out or is over budget.
        """
        trial, label = trial_digest(config), label_of(config, self.keys)
        if trial in self.left_out:
            return None
        callbacks.trial_started(label)
        self.log.begin(self.digest, trial, label)
        began = time.perf_counter()
        with accounted() as budgets:
            try:
                result = evaluate(_with_remaining_budget(config, *self._spending()), callbacks, gold=self._gold)
                details = {
                    **result.metrics,
                    "seconds": round(time.perf_counter() - began, 3),
                    "stages": [stage_json(unit) for unit in result.stages],
                    "problems": result.problems,
                    **_spent(budgets),
                }
                self.log.record(self.digest, trial, "done", details, run=str(result.folder))
            except Exception as error:  # noqa: BLE001 - a bug in one trial is recorded, and stops no other
                state: State = "waiting" if isinstance(error, BudgetSpent) else "failed"
                self.log.record(self.digest, trial, state, _spent(budgets), error=_error_text(error))
                callbacks.trial_failed(label, error)
                return None
        callbacks.trial_done(label, result)
        return result

    def records(self) -> list[TrialRecord]:
        """Return the recorded trials, in the order of the sweep."""
        return self.log.of(self.digest)

    def to_pandas(self) -> pandas.DataFrame:
        """Return one row per trial.

        Its keys: label, varying keys, state, metrics, cost, seconds, run folder, error.

        Raises:
            ConfigError: pandas is not installed.
        """
        return data_frame([self._row(record) for record in self.records()])

    def _row(self, record: TrialRecord) -> dict[str, Any]:
        details = record.details
        return {
            "label": record.label,
            **self.values.get(record.trial, {}),
            "state": record.state,
            **details.get("metrics", {}),
            "cost_usd": details.get("cost", {}).get("usd"),
            "seconds": details.get("seconds"),
            "run": record.run,
            "error": record.error,
        }

    def stage_counts(self) -> dict[str, dict[str, int]]:
        """Count computations and cache hits of each stage."""
        computed: Counter[str] = Counter()
        hits: Counter[str] = Counter()
        trials = (stage for record in self.records() for stage in record.details.get("stages", ()))
        for stage in (*self.prepared, *trials):
            (hits if stage["hit"] else computed)[stage["stage"]] += 1
        return {stage: {"made": computed[stage], "found": hits[stage]} for stage in dict.fromkeys([*computed, *hits])}

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object that `evaluate -m` prints."""
        return {
            "event": "sweep",
            "sweep": self.digest,
            "trials": [{**item.as_json(), "left_out": item.trial in self.left_out} for item in self.records()],
            "problems": list(self.problems),
            "stages": self.stage_counts(),
        }

    def _spending(self) -> tuple[float, int]:
        """Sum the US dollars and tokens of this run's trials.

        Raises:
            BudgetSpent: the budget stopped a trial of this run.
        """
        current = [item for item in self.records() if item.changed >= self.began]
        if stopped := [item.error for item in current if item.state == "waiting" and item.error]:
            raise BudgetSpent(stopped[0])
        spent = [item.details["spent"] for item in current if "spent" in item.details]
        return sum(item["usd"] for item in spent), sum(item["tokens"] for item in spent)


def prepare_sweep(configs: Sequence[Config], callbacks: EvaluationCallbacks) -> Sweep:
    """Record the trials of a sweep, and check what they share.

    Args:
        configs: validated, one for each trial.
        callbacks: receives the problems that all trials share.

    Raises:
        ConfigError, DataError: every trial would fail, for the same reason; or the log cannot be written.
    """
    keys = varying(configs)
    problems, prepared = _check_shared(configs, callbacks)
    for problem in problems:
        callbacks.shared_problem(problem)
    trials = {trial_digest(config): label_of(config, keys) for config in configs}
    tree = configs[0].tree
    log = SweepLog(Path(tree["runs"]).expanduser().absolute())
    digest = sweep_digest(list(trials))
    log.enter(digest, list(trials.items()))
    failed = {item.trial for item in log.of(digest) if item.state == "failed"}
    return Sweep(
        log=log,
        digest=digest,
        keys=keys,
        left_out=frozenset() if tree["retry_failed"] else frozenset(failed),
        began=now(),
        problems=tuple(problems),
        prepared=tuple(prepared),
        values={trial_digest(config): values_of(config, keys) for config in configs},
    )


def run_sweep(configs: Sequence[Config], callbacks: EvaluationCallbacks | None = None) -> Sweep:
    """Run all trials of a sweep in this process, one after another.

    Raises:
        ConfigError, DataError: as `prepare_sweep`; the failure of a single trial is recorded and raises nothing.
    """
    callbacks = callbacks or EvaluationCallbacks()
    sweep = prepare_sweep(configs, callbacks)
    for config in configs:
        sweep.run_trial(config, callbacks)
    return sweep


def _check_shared(configs: Sequence[Config], callbacks: EvaluationCallbacks) -> tuple[list[str], list[dict[str, Any]]]:
    """Return problems shared by all trials, and the stages computed for them.

    Raises:
        ConfigError, DataError: every trial would fail, for the same reason.
    """
    if len({canonical_json([config.tree[key] for key in _SHARED_KEYS]) for config in configs}) > 1:
        return [], []
    stages = open_stages(configs[0])
    if not (ready := _valid_trials(configs, stages)):
        return [], []
    with Trial(ready[0], stages, callbacks) as trial:
        callbacks.note("reading the documents that all trials share")
        try:
            problems, units = shared_problems(trial.assembly, stages)
        except GoldMissing:
            raise
        except RagloomError:
            return [], []  # possibly of this trial alone: it fails with it in its turn
    return problems, [stage_json(unit) for unit in units]


def _valid_trials(configs: Sequence[Config], stages: StageCache) -> list[Config]:
    """Return the configs that pass `Trial.check`; the others fail in their turn.

    Raises:
        ConfigError, DataError: no config passes, and all fail for the same reason.
    """
    valid: list[Config] = []
    errors: list[Exception] = []
    dataset = None
    for config in configs:
        with Trial(config, stages, EvaluationCallbacks()) as trial:
            if dataset is not None:
                trial.assembly.__dict__["dataset"] = dataset  # read once for all trials
            try:
                trial.check()
                dataset = trial.assembly.dataset
                valid.append(config)
            except Exception as error:  # noqa: BLE001 - the trial fails with it in its turn
                errors.append(error)
    known = [error for error in errors if isinstance(error, RagloomError)]
    if len(known) == len(configs) and len({error.problems for error in known}) == 1:
        raise known[0]
    return valid


def _error_text(error: Exception) -> str:
    return redact("; ".join(error.problems) if isinstance(error, RagloomError) else f"{type(error).__name__}: {error}")


def _spent(budgets: Sequence[Budget]) -> dict[str, Any]:
    return {"spent": {"usd": sum(item.usd for item in budgets), "tokens": sum(item.tokens for item in budgets)}}


def _with_remaining_budget(config: Config, usd: float, tokens: int) -> Config:
    """Return a config with the sweep's remaining budget for one trial.

    Raises:
        BudgetSpent: nothing is left.
    """
    budget = dict(config.tree["budget"])
    for key, used in (("max_usd", usd), ("max_tokens", tokens)):
        if budget[key] is not None:
            if used and used >= budget[key]:
                raise BudgetSpent(f"budget: budget.{key}={budget[key]:g} must not be exceeded: {used:g} are spent")
            budget[key] -= used
    return replace(config, tree={**config.tree, "budget": budget})

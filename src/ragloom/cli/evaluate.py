"""`evaluate.py`: evaluate a config or, with `-m`, each config of a sweep."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ragloom.cli.console import FAILED, LISTED_FAILURES, OK, console, print_json, run_program, stdout_to_stderr

if TYPE_CHECKING:
    from ragloom.cli.hydra_app import Multirun
    from ragloom.config.config import Config
    from ragloom.evaluation.sweep import Sweep


def main(argv: list[str] | None = None) -> int:
    """Run the program; return 0 complete, 3 failed queries, 1 failure."""
    arguments = sys.argv[1:] if argv is None else argv
    return run_program(lambda: _run(arguments))


def _run(argv: list[str]) -> int:
    from ragloom.cli.hydra_app import run

    return run("evaluate", argv, _evaluate, sweeping=_start_sweep)


def _evaluate(config: Config) -> int:
    if config.tree["dry_run"]:
        return _dry_run([config])
    with stdout_to_stderr():
        from ragloom.cli.render_evaluation import TerminalCallbacks
        from ragloom.evaluation.runner import evaluate

        result = evaluate(config, TerminalCallbacks())
    if config.tree["output"] == "json":
        print_json(result.as_json())
    else:
        from ragloom.cli.render_evaluation import print_result

        print_result(console(), result, explain=config.tree["explain"])
    return LISTED_FAILURES if result.errors else OK


def _dry_run(configs: Sequence[Config]) -> int:
    with stdout_to_stderr():
        from ragloom.evaluation.sweep_plan import plan_sweep

        plan = plan_sweep(configs)
    if configs[0].tree["output"] == "json":
        print_json(plan.as_json())
    else:
        from ragloom.cli.render_sweep import print_plan

        print_plan(console(), plan)
    return OK


def _start_sweep(configs: Sequence[Config]) -> Multirun | int:
    if configs[0].tree["dry_run"]:
        return _dry_run(configs)
    with stdout_to_stderr():
        from ragloom.cli.render_evaluation import TerminalCallbacks
        from ragloom.evaluation.sweep import prepare_sweep

        sweep = prepare_sweep(configs, TerminalCallbacks())
    return functools.partial(_run_trial, sweep), functools.partial(_finish, sweep, configs[0].tree["output"])


def _finish(sweep: Sweep, output: str) -> int:
    """Print the trials; return 0, 3 failed queries, 1 failed trials."""
    if output == "json":
        print_json(sweep.as_json())
    else:
        from ragloom.cli.render_sweep import print_sweep

        print_sweep(console(), sweep)
    records = sweep.records()
    if any(item.state != "done" for item in records):
        return FAILED
    return LISTED_FAILURES if any(item.details["counts"]["errors"] for item in records) else OK


def _run_trial(sweep: Sweep, config: Config) -> int:
    """Run one trial; raise nothing but an interruption."""
    with stdout_to_stderr():
        from ragloom.cli.render_evaluation import TerminalCallbacks

        result = sweep.run_trial(config, TerminalCallbacks(explain=config.tree["explain"]))
    return FAILED if result is None else OK

"""`evaluate.py`: measures a config on a dataset; with `-m` each config of a sweep. A Hydra program: keys, no flags."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ragloom.cli.console import LISTED_FAILURES, OK, guarded, print_json, silenced_stdout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragloom.cli.sweep import Sweep
    from ragloom.config.config import Config
    from ragloom.evaluation.runner import Report


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns 0 when complete, 3 when questions failed (they score zero), 1 when it failed."""
    return guarded(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: list[str]) -> int:
    from ragloom.cli.hydra_app import run

    return run("evaluate", argv, _task, sweeping=_sweeping)


def _sweeping(configs: Sequence[Config]) -> Sweep | int:
    from ragloom.cli.sweep import begun

    return begun(configs)


def _task(config: Any) -> int:
    if config.tree["dry_run"]:
        from ragloom.cli.plan import show_plan

        return show_plan([config], [])
    report = evaluated(config)
    if config.tree["output"] == "json":
        print_json(report_json(report))
    else:
        from ragloom.cli.console import console
        from ragloom.cli.render_evaluation import print_report

        print_report(console(), report, explain=config.tree["explain"])
    return LISTED_FAILURES if report.errors else OK


def evaluated(config: Config) -> Report:
    """Evaluates one config, with its progress on a terminal.

    Raises:
        ConfigError, DataError, ServiceError: nothing can be measured.
    """
    with silenced_stdout():
        from pathlib import Path

        from ragloom.cache.stages import Stages
        from ragloom.cli.render_evaluation import watching
        from ragloom.evaluation.runner import Trial

        kept = config.tree["stages"]
        folder = None if kept is None else Path(kept).expanduser()
        with watching() as watch, Trial(config, Stages(folder, watch.note), watch) as trial:
            return trial.run()


def report_json(report: Report) -> dict[str, Any]:
    """Shows a report as the one object that programs read."""
    from ragloom.evaluation.runner import unit_json

    return {
        "run": report.run,
        "folder": str(report.folder),
        **report.metrics,
        "latency": report.latency,
        "errors": [{"query": query, "error": error} for query, error in report.errors],
        "problems": report.problems,
        "stages": [unit_json(unit) for unit in report.stages],
    }

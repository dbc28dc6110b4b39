"""`benchmark.py`: measure a config and its index under load.

A Hydra program; `--json` is short for `output=json`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ragloom.cli.console import FAILED, LISTED_FAILURES, OK, console, print_json, run_program, stdout_to_stderr
from ragloom.core.suggested_commands import command

if TYPE_CHECKING:
    from ragloom.config.config import Config


def main(argv: list[str] | None = None) -> int:
    """Run the program; return 0, 3 failed requests, 1 invalid or failure."""
    arguments = sys.argv[1:] if argv is None else argv
    return run_program(lambda: _run(arguments))


def _run(argv: list[str]) -> int:
    from ragloom.cli.hydra_app import run

    return run("benchmark", ["output=json" if item == "--json" else item for item in argv], _benchmark)


def _benchmark(config: Config) -> int:
    with stdout_to_stderr():
        from ragloom.cli.render_benchmark import benchmark_progress
        from ragloom.components.vector_store.record_types import IndexMissing
        from ragloom.evaluation.benchmark.benchmark_runner import benchmark

        try:
            with benchmark_progress() as progress:
                result = benchmark(config, progress)
        except IndexMissing as error:
            first, *rest = error.problems
            build = command("ingest", [item for item in config.overrides if not item.startswith("benchmark.")])
            raise IndexMissing(f"{first}; build it with: {build}", *rest) from None
    if config.tree["output"] == "json":
        print_json(result.as_json())
    else:
        from ragloom.cli.render_benchmark import print_benchmark

        print_benchmark(console(), result)
    if result.promise is None:
        return FAILED
    return LISTED_FAILURES if result.failed else OK

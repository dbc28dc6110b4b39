"""`compare.py`: compare evaluated configs and recommend one."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from ragloom.cli.argument_parsing import parse_keys
from ragloom.cli.config_arguments import add_config_flags, config_of
from ragloom.cli.console import OK, console, print_json, run_program, stdout_to_stderr
from ragloom.core.run_files import demand_run
from ragloom.core.suggested_commands import program
from ragloom.errors import ConfigError
from ragloom.evaluation.benchmark.benchmark_file import FILE as BENCHMARK
from ragloom.evaluation.sweep_log import FILE as LEDGER

_OVERRIDE = re.compile(r"[+~]{0,2}[a-z_][\w./@]*=")
_INGEST = "ingest.json"  # what an ingest leaves in its own folder


def _parser() -> argparse.ArgumentParser:
    """Return the argument parser; `--help` is its documentation."""
    parser = argparse.ArgumentParser(
        prog=program("compare"),
        description="Compare runs that evaluate wrote: what is shown to be better, what is not settled, what to ship.",
        epilog=f"Overrides set what is tested: {program('compare')} RUNS/* comparison.baseline=RUN "
        "comparison.metric=R@5",
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"folder of a run, as {program('evaluate')} names it")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--markdown", action="store_true", help="print everything as Markdown, as in verdict.md")
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="where verdict.md, verdict.json and experiment/recommended.yaml are written (default: next to the runs)",
    )
    add_config_flags(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the program; return 0 for any verdict, 1 on failure."""
    return run_program(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: list[str]) -> int:
    options = parse_keys(_parser(), argv)
    folders = [item for item in options.runs if not _is_override(item) and not _is_no_run(Path(item))]
    overrides = [item for item in options.runs if _is_override(item)]
    config = config_of(options, overrides)
    if not folders:
        raise ConfigError(
            f"compare: RUN must be at least two folders of runs; {program('evaluate')} prints where it writes them"
        )
    paths = [Path(item) for item in folders]
    for path in paths:
        demand_run(path.resolve())
    with stdout_to_stderr():
        from ragloom.comparison import compare

        comparison = compare(paths, config.tree["comparison"])
    from ragloom.comparison.comparison_folder import default_folder, save_comparison

    out = Path(options.out).expanduser() if options.out else default_folder(comparison)
    notes = save_comparison(comparison, out, options.config_dir, config.project)
    if options.json or config.tree["output"] == "json":
        from ragloom.comparison.report import as_json

        print_json({**as_json(comparison), "written": str(out)})
        return OK
    if options.markdown:
        from ragloom.comparison.markdown_report import markdown
        from ragloom.comparison.report import sections

        sys.stdout.write(markdown(sections(comparison)))
        return OK
    from ragloom.cli.render_comparison import print_comparison

    print_comparison(console(), comparison, notes)
    return OK


def _is_override(text: str) -> bool:
    """Return whether an argument is an override instead of a folder."""
    return bool(_OVERRIDE.match(text)) and not Path(text).exists()


def _is_no_run(path: Path) -> bool:
    """Return whether a path matched by `RUNS/*` is no run."""
    return path.name in (LEDGER, BENCHMARK) or ((path / _INGEST).is_file() and not (path / "run.json").exists())

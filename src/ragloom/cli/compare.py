"""`compare.py`: compare evaluated configs and recommend one."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.cli.console import OK, console, parse_keys, print_json, run_program, stdout_to_stderr
from ragloom.cli.project import add_config_flags, config_of
from ragloom.core.suggested_commands import command, program
from ragloom.errors import ConfigError, DataError
from ragloom.evaluation.sweep_log import FILE as LEDGER

if TYPE_CHECKING:
    from ragloom.comparison import Comparison
    from ragloom.config.project_file import ProjectFile

_OVERRIDE = re.compile(r"[+~]{0,2}[a-z_][\w./@]*=")
_INGEST = "ingest.json"  # what an ingest leaves in its own folder
_NOT_SHIPPED = ("source", "dataset", "judge")  # groups that say what was measured on, not what is shipped


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
    with stdout_to_stderr():
        from ragloom.comparison import compare

        comparison = compare([Path(item) for item in folders], config.tree["comparison"])
    out = Path(options.out).expanduser() if options.out else _default_folder(comparison)
    notes = _write(comparison, out, options.config_dir, config.project)
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
    return path.name == LEDGER or ((path / _INGEST).is_file() and not (path / "run.json").exists())


def _default_folder(comparison: Comparison) -> Path:
    """Return the folder of a comparison, shared by equal runs and settings."""
    from ragloom.core.records import canonical_json, sha256

    named = canonical_json([sorted(run.name for run in comparison.runs), dict(comparison.settings)])
    return comparison.runs[0].folder.parent.parent / "comparisons" / sha256(named)[:12]


def _write(comparison: Comparison, out: Path, config_dir: str | None, project: ProjectFile | None) -> list[str]:
    """Write the comparison; return lines with paths and the recommended command."""
    import json

    from ragloom.comparison.experiment_file import NAME
    from ragloom.comparison.markdown_report import markdown
    from ragloom.comparison.report import as_json, sections
    from ragloom.core.redaction import redact, redact_tree

    recommended = out / "experiment" / f"{NAME}.yaml"
    try:
        recommended.parent.mkdir(parents=True, exist_ok=True)
        recommended.unlink(missing_ok=True)  # of an earlier verdict that recommended something
        text = json.dumps(redact_tree(as_json(comparison)), ensure_ascii=False, indent=1, allow_nan=False)
        (out / "verdict.json").write_text(text + "\n", encoding="utf-8")
        (out / "verdict.md").write_text(redact(markdown(sections(comparison))), encoding="utf-8")
    except OSError as error:
        raise DataError(f"compare: --out={out} must be a folder that can be written ({error.strerror})") from None
    notes = [f"tests, tags and questions: {out / 'verdict.md'} (verdict.json for programs)"]
    if comparison.choice.recommended is not None:
        _recommend(comparison, recommended, config_dir, project)
        run = command("ingest", ["--config-dir", str(out), f"experiment={NAME}"])
        notes.append(f"the recommendation is {recommended}; run it with: {run} source=...")
    return notes


def _recommend(comparison: Comparison, file: Path, config_dir: str | None, project: ProjectFile | None) -> None:
    """Write the experiment, and check that it composes the measured pipeline.

    A key may follow another one that is changed here, as `reranker.top_n` follows `retriever.top_k`, and was its
    option's own value all the same: what comes out otherwise is written out. So is what
    the project file sets otherwise.
    """
    from ragloom.comparison.experiment_file import NAME
    from ragloom.config.config import load

    _, groups = _recommended_run(comparison)
    defaults = _defaults(comparison, config_dir)
    file.write_text(_experiment(comparison, defaults), encoding="utf-8")
    (composed,) = load([f"experiment={NAME}"], extra_dir=str(file.parent.parent), project=project)
    followed = {
        group: {key: value for key, value in defaults[group].items() if composed.tree[group].get(key) == value}
        for group in groups
    }
    file.write_text(_experiment(comparison, {**defaults, **followed}), encoding="utf-8")
    _require_runnable(comparison, file.parent.parent, project)


def _defaults(comparison: Comparison, config_dir: str | None) -> dict[str, Any]:
    """Compose the recommended options without further keys."""
    from ragloom.config.config import load

    run, groups = _recommended_run(comparison)
    options = [f"{group}={run.choices[group]}" for group in groups]
    extensions = [f"extensions={run.config['extensions']}"] if run.config.get("extensions") else []
    (defaults,) = load([*options, *extensions], extra_dir=config_dir)
    return defaults.tree


def _experiment(comparison: Comparison, defaults: dict[str, Any]) -> str:
    from ragloom.comparison.experiment_file import experiment_yaml
    from ragloom.comparison.report import shortened

    run, groups = _recommended_run(comparison)
    why = [
        f"Recommended by {program('compare')} on {comparison.table.metric}: {comparison.choice.reason}.",
        *shortened(comparison.verdict.sentences),
        f"From the run {run.name} on the dataset {run.dataset.get('name')}; choose a source of your own.",
    ]
    return experiment_yaml(run.choices, run.config, defaults, groups, why)


def _require_runnable(comparison: Comparison, folder: Path, project: ProjectFile | None) -> None:
    """Require that the written experiment composes the measured pipeline."""
    from ragloom.comparison.experiment_file import NAME
    from ragloom.config.config import load

    run, groups = _recommended_run(comparison)
    (config,) = load([f"experiment={NAME}"], extra_dir=str(folder), project=project)
    composed = config.identity()
    differ = [group for group in groups if composed[group] != run.config[group]]
    if differ:
        raise DataError(
            f"compare: {run.name} must compose from the options of this version; {', '.join(differ)} changed since it "
            "was evaluated: evaluate it again"
        )


def _recommended_run(comparison: Comparison) -> tuple[Any, Sequence[str]]:
    from ragloom.config.settings import COMPONENTS

    assert comparison.choice.recommended is not None
    run = comparison.runs[comparison.choice.recommended]
    return run, [group for group in COMPONENTS if group not in _NOT_SHIPPED and group in run.choices]

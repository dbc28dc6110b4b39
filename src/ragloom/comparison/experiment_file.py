"""Export of a run's pipeline as an `experiment` option."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ragloom.comparison import Comparison
from ragloom.comparison.report import shortened
from ragloom.comparison.run_loader import EvaluatedRun
from ragloom.config.builder_keys import TARGET
from ragloom.config.config import Config, load
from ragloom.config.project_file import ProjectFile
from ragloom.config.settings import COMPONENTS
from ragloom.core.suggested_commands import program
from ragloom.errors import DataError

_NOT_SHIPPED = ("source", "dataset", "judge", "executor")  # what was measured on, and where: not what is shipped
NAME = "recommended"
"""The option's name: experiment=recommended."""


def experiment_yaml(run: EvaluatedRun, defaults: Mapping[str, Any], groups: Sequence[str], why: Sequence[str]) -> str:
    """Write the yaml of an experiment: options, and keys with other values.

    Args:
        run: whose options and keys are written.
        defaults: what its options alone compose.
        groups: what to write; documents and questions are the reader's own.
        why: comment lines, the first of which says what the option is.
    """
    chosen: dict[str, Any] = {"defaults": [{f"override /{group}": run.choices[group]} for group in groups]}
    if extensions := run.config.get("extensions"):
        chosen["extensions"] = extensions
    for group in groups:
        if changed := {
            key: value
            for key, value in run.config[group].items()
            if key != TARGET and (key not in defaults[group] or defaults[group][key] != value)
        }:
            chosen[group] = changed
    comments = [f"# {' '.join(line.split())}" for line in why]
    body = yaml.safe_dump(chosen, allow_unicode=True, sort_keys=False, width=1000)
    return "\n".join(["# @package _global_", *comments, f"# Select it with: experiment={NAME}", body])


def write_recommendation(
    comparison: Comparison, file: Path, config_dir: str | None, project: ProjectFile | None
) -> None:
    """Write the experiment, and check that it composes the measured pipeline.

    A key may follow another one that is changed here, as `reranker.top_n` follows `retriever.top_k`, and was its
    option's own value all the same: what comes out otherwise is written out. So is what
    the project file sets otherwise.

    Raises:
        DataError: the options of this version compose another pipeline.
    """
    assert comparison.choice.recommended is not None
    run = comparison.runs[comparison.choice.recommended]
    groups = [group for group in COMPONENTS if group not in _NOT_SHIPPED and group in run.choices]
    why = [
        f"Recommended by {program('compare')} on {comparison.table.metric}: {comparison.choice.reason}.",
        *shortened(comparison.verdict.sentences),
        f"From the run {run.name} on the dataset {run.dataset.get('name')}; choose a source of your own.",
    ]

    def written(defaults: Mapping[str, Any]) -> Config:
        file.write_text(experiment_yaml(run, defaults, groups, why), encoding="utf-8")
        (config,) = load([f"experiment={NAME}"], extra_dir=str(file.parent.parent), project=project)
        return config

    extensions = [f"extensions={run.config['extensions']}"] if run.config.get("extensions") else []
    (options,) = load([*(f"{group}={run.choices[group]}" for group in groups), *extensions], extra_dir=config_dir)
    tree = written(options.tree).tree
    followed = {
        group: {key: value for key, value in options.tree[group].items() if tree[group].get(key) == value}
        for group in groups
    }
    composed = written({**options.tree, **followed}).identity()
    if differ := [group for group in groups if composed[group] != run.config[group]]:
        raise DataError(
            f"compare: {run.name} must compose from the options of this version; {', '.join(differ)} changed since it "
            "was evaluated: evaluate it again"
        )

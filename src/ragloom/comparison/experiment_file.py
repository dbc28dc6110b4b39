"""Export of a run's pipeline as an `experiment` option."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from ragloom.config.builder_keys import TARGET

NAME = "recommended"
"""The option's name: experiment=recommended."""


def experiment_yaml(
    choices: Mapping[str, str],
    tree: Mapping[str, Any],
    defaults: Mapping[str, Any],
    groups: Sequence[str],
    why: Sequence[str],
) -> str:
    """Write the yaml of an experiment: options, and keys with other values.

    Args:
        choices: group -> option, of the run.
        tree: its composed config.
        defaults: what `choices` alone compose.
        groups: what to write; documents and questions are the reader's own.
        why: comment lines, the first of which says what the option is.
    """
    chosen: dict[str, Any] = {"defaults": [{f"override /{group}": choices[group]} for group in groups]}
    if extensions := tree.get("extensions"):
        chosen["extensions"] = extensions
    for group in groups:
        changed = {
            key: value
            for key, value in tree[group].items()
            if key != TARGET and (key not in defaults[group] or defaults[group][key] != value)
        }
        if changed:
            chosen[group] = changed
    comments = [f"# {' '.join(line.split())}" for line in why]
    body = yaml.safe_dump(chosen, allow_unicode=True, sort_keys=False, width=1000)
    return "\n".join(["# @package _global_", *comments, f"# Select it with: experiment={NAME}", body])

"""A validated config, and the objects that its options build."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from omegaconf import DictConfig

from ragloom.config.builder_keys import (
    ADDED_GROUPS,
    TARGET,
    added_at_default,
    at_version,
    declared_id,
    is_added,
    keys_of,
    needs_of,
    with_ids,
    without,
)
from ragloom.config.builder_lookup import locate
from ragloom.config.conf_folder import conf_folder
from ragloom.config.hydra_compose import Composed, compose_checked, own_choices
from ragloom.config.project_file import ProjectFile
from ragloom.config.project_layer import layered
from ragloom.config.settings import COMPONENTS, OPERATIONAL_KEYS, TOP_LEVEL
from ragloom.config.validation import entries_of, validate
from ragloom.core.redaction import redact_tree
from ragloom.errors import ConfigError


@dataclass(frozen=True)
class Config:
    """A validated experiment.

    Attributes:
        tree: plain values, interpolations resolved.
        choices: group -> option.
        project: its project file.
        overrides: its overrides, Hydra's own aside.
    """

    tree: dict[str, Any]
    choices: dict[str, str]
    project: ProjectFile | None = field(default=None, compare=False)
    overrides: tuple[str, ...] = field(default=(), compare=False)

    def values(self, group: str) -> dict[str, Any]:
        """Return the keys of a group's option, `_target_` aside."""
        return {key: value for key, value in self.tree[group].items() if key != TARGET}

    def builder(self, group: str) -> Callable[..., Any]:
        """Return the builder of a group's option."""
        return locate(self.tree[group][TARGET], self.tree.get("extensions", []))

    def is_neutral(self, group: str) -> bool:
        """Return whether a group was added later and has its neutral option."""
        if group not in ADDED_GROUPS or self.choices.get(group) != ADDED_GROUPS[group]:
            return False
        values = self.values(group) if self.tree.get(group) else {}
        return not values or len(added_at_default(self.builder(group), values)) == len(values)

    def added(self) -> list[str]:
        """List neutral groups and keys added later: `group`, `key` or `group.key`."""
        groups = [group for group in ADDED_GROUPS if self.is_neutral(group)]
        keys = [key for key, annotation in TOP_LEVEL.items() if is_added(annotation, self.tree.get(key))]
        entries = {
            key: [name for name, item in entries_of(annotation).items() if is_added(item, self.tree[key].get(name))]
            for key, annotation in TOP_LEVEL.items()
            if isinstance(self.tree.get(key), dict)
        }
        entries |= {group: added_at_default(self.builder(group), self.values(group)) for group in COMPONENTS}
        return [*groups, *keys, *(f"{key}.{name}" for key, names in entries.items() for name in names)]

    def public(self) -> dict[str, Any]:
        """Copy the config for saving, without secrets and neutral additions."""
        return without(redact_tree(self.tree), self.added())

    def project_record(self) -> dict[str, str]:
        """Return the project file for records, which is part of no identity."""
        return {} if self.project is None else {"project": str(self.project.path)}

    def public_choices(self) -> dict[str, str]:
        """Copy the choices for saving, without neutral groups added later."""
        return {group: option for group, option in self.choices.items() if not self.is_neutral(group)}

    def declared_ids(self) -> dict[str, str]:
        """Return the ids that builders declare: group -> id."""
        return {group: id for group in COMPONENTS if (id := declared_id(self.builder(group))) is not None}

    def identity(self) -> dict[str, Any]:
        """Copy `public` for naming: builders by their ids, wherever their modules lie."""
        return with_ids(self.public(), self.declared_ids())

    def identity_choices(self) -> dict[str, str]:
        """Copy `public_choices` for naming, without added groups that are operational."""
        operational = OPERATIONAL_KEYS & ADDED_GROUPS.keys()
        return {group: option for group, option in self.public_choices().items() if group not in operational}


def load(
    overrides: list[str],
    *,
    extra_dir: str | None = None,
    sweep: bool = False,
    project: ProjectFile | None = None,
) -> list[Config]:
    """Compose and validate; with `sweep` one config for each combination.

    Args:
        overrides: Hydra's arguments, such as `chunking=semantic` or `retriever.top_k=5`.
        extra_dir: a further folder with options (`--config-dir`).
        sweep: commas separate the values of a sweep.
        project: the project file, read (`find_project`); None: none, whatever lies in the working directory.

    Raises:
        ConfigError: all problems, one line each.
    """
    with layered(conf_folder(extra_dir), project, overrides) as conf:
        composed, problems = compose_checked(overrides, conf, sweep=sweep)
        refused = [f" {problem.partition('=')[0]} must be set" for problem in problems]
        configs: list[Config] = []
        for item in composed:
            try:
                configs.append(Config(validate(item, conf), item.choices, project, item.overrides))
            except ConfigError as error:  # that a key is not set is no news where its override was refused
                lines = [line for line in error.problems if not any(key in line for key in refused)]
                problems += [_with_file(line, project, overrides) for line in lines]
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    return configs


def _with_file(problem: str, project: ProjectFile | None, overrides: list[str]) -> str:
    """Name the project file in a problem with its key."""
    if project is None:
        return problem
    for key in project.keys:
        on_command_line = any(item.lstrip("+").startswith(f"{key}=") for item in overrides)
        if re.search(rf"[ .]{re.escape(key)}[=.]", problem) and not on_command_line:
            return f"{problem} ({key} is set in {project.path})"
    return problem


def from_hydra(tree: DictConfig, choices: Mapping[str, str | None], project: ProjectFile | None = None) -> Config:
    """Validate the config of a job whose overrides a sweeper chose."""
    chosen = own_choices(choices)
    return Config(validate(Composed(tree, chosen), conf_folder()), chosen, project)


def build(config: Config, group: str, code_version: int | None = None, **available: Any) -> Any:
    """Build a group's option.

    Args:
        config: validated, so that values are known to fit.
        group: such as `chunking`.
        code_version: of the builder's code; None: this release's.
        available: objects that builders take, by name (`embedding`, `analyzer`, `llm`, `index`); `group` is added.
    """
    builder, values = config.builder(group), config.values(group)
    if code_version is not None:
        builder = at_version(builder, code_version)
        values = {key: values[key] for key in keys_of(builder)}
    needs = {name: {"group": group, **available}[name] for name in needs_of(builder)}
    return builder(**needs, **values)


def deepened(config: Config, *, top_k: int | None = None, top_n: int | None = None) -> Config:
    """Copy a config with other depths; `candidates` is at least `top_k`."""
    tree = dict(config.tree)
    if top_k is not None:
        tree["retriever"] = {**tree["retriever"], "top_k": top_k}
        if (candidates := tree["retriever"].get("candidates")) is not None:
            tree["retriever"]["candidates"] = max(candidates, top_k)
    if top_n is not None:
        tree["reranker"] = {**tree["reranker"], "top_n": top_n}
    return replace(config, tree=tree)

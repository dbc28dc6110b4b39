"""Origins of config values, as comments in the yaml of `--cfg job`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from omegaconf import OmegaConf

from ragloom.config.builder_keys import TARGET
from ragloom.config.conf_folder import ConfFolder, conf_folder
from ragloom.config.hydra_compose import Composed, compose_checked
from ragloom.config.project_file import ProjectFile
from ragloom.config.project_layer import brings_source, layered
from ragloom.core.redaction import redact_tree
from ragloom.errors import ConfigError

_DEFAULT = "conf default"
_COMMAND_LINE = "command line"


class Origins:
    """The layers that a config is composed of.

    Args:
        conf: the folder of configs, without the project file.
        composed: the config.
        project: the project file.
    """

    def __init__(self, conf: ConfFolder, composed: Composed, project: ProjectFile | None) -> None:
        self._conf, self._project, self._choices = conf, project, composed.choices
        self._file = "" if project is None else str(project.path)
        self._overridden = {text.lstrip("+~").partition("=")[0].partition("@")[0] for text in composed.overrides}
        self._experiment = f"experiment {composed.choices.get('experiment')}"
        self._experiment_tree = conf.load("experiment", composed.choices.get("experiment", ""))
        entries = [entry for entry in self._experiment_tree.get("defaults") or [] if not isinstance(entry, str)]
        names = [str(name) for entry in entries for name in entry]
        self._experiment_groups = {name.removeprefix("override /").partition("@")[0] for name in names}

    def layers(self) -> list[str]:
        """Name the layers, the strongest first."""
        used = {
            _COMMAND_LINE: bool(self._overridden),
            self._experiment: "experiment" in self._choices,
            self._file: self._project is not None,
            _DEFAULT: True,
        }
        return [layer for layer, is_used in used.items() if is_used]

    def option(self, group: str) -> str:
        """Say which layer chose a group's option."""
        if group in self._overridden:
            return _COMMAND_LINE
        if group in self._experiment_groups:
            return self._experiment
        if group == "source" and self._brought():
            return f"dataset {self._choices['dataset']}"
        if self._project is not None and group in self._project.options:
            return self._file
        return _DEFAULT

    def key(self, key: str) -> str:
        """Say which layer set a dotted key."""
        group = key.partition(".")[0]
        if key.endswith(f".{TARGET}"):
            return self.option(group)
        if any(key == name or key.startswith(f"{name}.") for name in self._overridden):
            return _COMMAND_LINE
        if OmegaConf.select(self._experiment_tree, key, throw_on_missing=False) is not None:
            return self._experiment
        if self._project is not None and self._project.sets(key) and self._applies(self._project, group):
            return self._file
        return _DEFAULT

    def _brought(self) -> bool:
        """Say whether the source is the dataset's own."""
        own = brings_source(self._conf, self._choices.get("dataset", ""))
        in_file = self._project is not None and "source" in self._project.options
        by_other = self.option("dataset") in (_COMMAND_LINE, self._experiment)
        return own is not None and own == self._choices.get("source") and (by_other or not in_file)

    def _applies(self, project: ProjectFile, group: str) -> bool:
        """Return whether the file's keys belong to the chosen option."""
        chosen = project.options.get(group)
        return chosen is None or (chosen == self._choices.get(group) and not (group == "source" and self._brought()))


def annotated_yaml(
    overrides: list[str], extra_dir: str | None, project: ProjectFile | None, *, resolve: bool = False
) -> str:
    """Write a composed config as YAML, with each value's origin as comment.

    Args:
        overrides: of the command line, one config's.
        extra_dir: a further folder with options.
        project: the project file.
        resolve: write what interpolations stand for.

    Raises:
        ConfigError: the overrides do not compose.
    """
    plain = conf_folder(extra_dir)
    with layered(plain, project, overrides) as conf:
        (composed, *_), problems = compose_checked(overrides, conf)
    if problems:
        raise ConfigError(*problems)
    origins = Origins(plain, composed, project)
    tree = redact_tree(OmegaConf.to_container(composed.tree, resolve=resolve))
    lines = [f"# composed of: {', '.join(origins.layers())}"]
    for key, value in tree.items():
        if key in composed.choices and isinstance(value, dict):
            lines.append(f"{key}: # {key}={composed.choices[key]}, {origins.option(key)}")
            lines += _block(value, f"{key}.", origins)
        else:
            lines += _block({key: value}, "", origins)
    return "\n".join(lines) + "\n"


def _block(tree: Mapping[str, Any], prefix: str, origins: Origins) -> list[str]:
    """Write a mapping, with a comment behind or above each value."""
    lines: list[str] = []
    indent = "  " * prefix.count(".")
    for key, value in tree.items():
        origin = origins.key(f"{prefix}{key}")
        if isinstance(value, dict) and value:
            nested = _block(value, f"{prefix}{key}.", origins)
            lines += [f"{indent}{key}:", *nested]
            continue
        text = _entry(key, value)
        first, *rest = text.rstrip("\n").splitlines()
        lines += [f"{indent}# {origin}", f"{indent}{first}"] if rest else [f"{indent}{first} # {origin}"]
        lines += [f"{indent}{line}" if line else line for line in rest]
    return lines


def _entry(key: str, value: Any) -> str:
    style: dict[str, Any] = {"allow_unicode": True, "sort_keys": False, "width": 100_000}
    if isinstance(value, list):
        return f"{key}: {yaml.safe_dump(value, default_flow_style=True, **style)}"
    if isinstance(value, str) and "\n" in value and not value.startswith((" ", "\n")):
        lines = [f"  {line}" for line in value.splitlines()]
        return "\n".join([f"{key}: |{'' if value.endswith(chr(10)) else '-'}", *lines])
    text: str = yaml.safe_dump({key: value}, **style)
    return text

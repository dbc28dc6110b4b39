"""Project file `ragloom.yaml`: settings shared by every command of a project.

A line `KEY: VALUE` means what `KEY=VALUE` means on the command line. An experiment and the command line come before
it, and it comes before `conf/`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ragloom.config.conf_folder import ConfFolder
from ragloom.core.redaction import MASK, redact, redact_override
from ragloom.errors import ConfigError, nearest

FILE = "ragloom.yaml"
"""Its name in the working directory."""
VARIABLE = "RAGLOOM_PROJECT"
"""Environment variable that stands for `--project`."""
NONE = "none"
"""What `--project` takes for no file at all."""
_PATHS = ("path", "binary_path", "cache_dir")
"""Keys of options that are paths."""
_TOP_PATHS = ("runs", "stages", "cache.path")
"""Top-level keys that are paths."""
_MAYBE_PATHS = ("model", "tokenizer", "length")
"""Keys of options that are paths where they begin with a dot, and names otherwise."""


@dataclass(frozen=True)
class ProjectFile:
    """A project file whose keys and options exist.

    Attributes:
        path: as it was given.
        options: group -> option.
        keys: dotted key -> value, such as `source.path`.
    """

    path: Path
    options: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, Any] = field(default_factory=dict)

    def of_group(self, group: str) -> dict[str, Any]:
        """Return the keys of a group, without its name."""
        return {key.partition(".")[2]: value for key, value in self.keys.items() if key.startswith(f"{group}.")}

    def sets(self, key: str) -> bool:
        """Tell whether the file sets a key or its parent."""
        return any(key == own or key.startswith(f"{own}.") for own in self.keys)


def find_project(requested: str | None, conf: ConfFolder) -> ProjectFile | None:
    """Read the project file of a command.

    Args:
        requested: `--project`: a path, or `none`; None: `RAGLOOM_PROJECT`, or `ragloom.yaml` in the working directory.
        conf: the folder of configs that it chooses from.

    Raises:
        ConfigError: there is no such file, or it is wrong; all problems, one line each.
    """
    named = requested if requested is not None else os.environ.get(VARIABLE) or None
    if named == NONE or (named is None and not Path(FILE).is_file()):
        return None
    path = Path(named or FILE).expanduser()
    if not path.is_file():
        raise ConfigError(f"--project={redact(str(path))} must be a project file; there is no file of this name")
    entries, groups, top = _entries(path), conf.default_groups(), conf.top_level()
    problems: list[str] = []
    options: dict[str, str] = {}
    keys: dict[str, Any] = {}
    for key, value in entries.items():
        if secrets := list(_secrets(key, value)):
            problems += [f"{path}: {line}" for line in secrets]
        elif key in groups and isinstance(value, str):
            options[key] = value
            if value not in conf.options(key):
                problems.append(f"{path}: {key}={value} must be an option of {key}{conf.nearest_option(key, value)}")
        elif key in groups and not isinstance(value, dict):
            problems.append(f"{path}: {key}={value!r} must be an option of {key}, or a mapping of its keys")
        elif isinstance(value, dict) and "." not in key and (key in groups or key in top):
            keys |= {f"{key}.{name}": item for name, item in value.items()}
        else:
            keys[key] = value
    for key, value in keys.items():
        in_group = key.partition(".")[0] in groups
        unknown = _unknown_key(key, options, conf) if in_group else _unknown_top_key(key, top, groups)
        problems += [f"{path}: {key}={redact(repr(value))} {line}" for line in unknown]
    if problems:
        raise ConfigError(*problems)
    return ProjectFile(path, options, {key: _placed(key, value, path.parent) for key, value in keys.items()})


def _entries(path: Path) -> dict[str, Any]:
    """Load the file: a mapping, in which no key stands twice.

    Raises:
        ConfigError: it cannot be read, or is no such mapping; names the line.
    """
    try:
        tree = OmegaConf.load(path)
        entries = OmegaConf.to_container(tree, resolve=False) if tree is not None else {}
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f" (line {error.problem_mark.line + 1})"
        raise ConfigError(f"{path}: must be YAML; {redact(str(error.problem))}{line}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path}: must be YAML in UTF-8; {redact(str(error).splitlines()[0])}") from None
    if not isinstance(entries, dict):
        raise ConfigError(f"{path}: must hold lines KEY: VALUE, such as `source: folder`")
    return {str(key): value for key, value in entries.items()}


def _secrets(key: str, value: Any) -> Iterator[str]:
    """Name the keys whose value is a secret, never the value."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _secrets(f"{key}.{name}", item)
    elif value is not None and (
        redact_override(f"{key}={value}").endswith(f"={MASK}") or redact(str(value)) != str(value)
    ):
        yield (
            f"{key} must not hold a secret; put it into an environment variable, and the variable's name into a key "
            "such as llm.api_key_env"
        )


def _unknown_key(key: str, options: Mapping[str, str], conf: ConfFolder) -> Iterator[str]:
    """Suggest the key of a group nearest to an unknown one."""
    group, _, rest = key.partition(".")
    chosen = [options[group]] if options.get(group) in conf.options(group) else conf.options(group)
    known = {name for option in chosen for name in conf.keys(group, option)} - {"_target_"}
    if rest.partition(".")[0] not in known:
        option = f"{group}={chosen[0]}" if len(chosen) == 1 else group
        yield f"must name a key of {option}{nearest(key, (f'{group}.{name}' for name in known))}"


def _unknown_top_key(key: str, top: Mapping[str, Any], groups: Sequence[str]) -> Iterator[str]:
    """Suggest the top-level key or group nearest to an unknown one."""
    first, _, rest = key.partition(".")
    known = top.get(first)
    if first not in top:
        yield f"must name a group or a top-level key{nearest(first, {*top, *groups})}"
    elif rest and (not isinstance(known, dict) or rest.partition(".")[0] not in known):
        yield f"must name a key of {first}{nearest(key, (f'{first}.{name}' for name in known or ()))}"


def _placed(key: str, value: Any, folder: Path) -> Any:
    """Return a value, a relative path as seen from the working directory."""
    last = key.rpartition(".")[2]
    is_path = key in _TOP_PATHS or ("." in key and last in _PATHS and not key.startswith("cache."))
    if not isinstance(value, str) or not value or folder.resolve() == Path.cwd():
        return value
    if not is_path and not (last in _MAYBE_PATHS and value.startswith(("./", "../"))):
        return value
    if value.startswith(("/", "~", "${")):
        return value
    return str(folder.resolve() / value)

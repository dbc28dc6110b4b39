"""Composition by Hydra, after checks of every override.

All problems are reported at once, one line each, without secrets.

Hydra itself stops at the first wrong override, prints several lines for it and repeats secrets.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.core.singleton import Singleton
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ragloom.config.conf_folder import ConfFolder, conf_folder
from ragloom.core.redaction import MASK, redact, redact_override
from ragloom.errors import ConfigError, nearest

CONFIG_NAME = "config"
_SWEEPS = (
    ValueType.CHOICE_SWEEP,
    ValueType.SIMPLE_CHOICE_SWEEP,
    ValueType.GLOB_CHOICE_SWEEP,
    ValueType.RANGE_SWEEP,
)
# A sweep's combinations are composed and checked one by one; beyond this many, each value with the others' first.
_MOST_COMBINATIONS = 256
_ESCAPE = re.compile(r"\\[abfnrtvxuUN0-7]")


@dataclass(frozen=True)
class Composed:
    """A composed config, not yet validated.

    Attributes:
        tree: the config without the `hydra` node.
        choices: group -> option.
        overrides: those that it is composed of, Hydra's own aside, as a job of Hydra has them.
    """

    tree: DictConfig
    choices: dict[str, str]
    overrides: tuple[str, ...] = ()


def compose_checked(overrides: list[str], conf: ConfFolder, *, sweep: bool = False) -> tuple[list[Composed], list[str]]:
    """Compose the configs of all combinations of overrides.

    Args:
        overrides: Hydra's arguments, such as `chunking=semantic` or `retriever.top_k=5`.
        conf: the folder of configs.
        sweep: commas separate the values of a sweep, as with Hydra's `--multirun`.

    Returns:
        what the right overrides compose, so that their values can be checked too, and every wrong override, one line
        each.

    Raises:
        ConfigError: the yamls themselves do not compose.
    """
    with _hydra(conf):
        parsed, problems = _parse(overrides, conf, sweep=sweep)
        groups = set(conf.groups())
        for item in list(parsed):
            if item.key_or_group in groups and (wrong := _wrong_options(item, conf)):
                problems += wrong
                parsed.remove(item)
        reason = ConfigError()
        if not any(item.is_add() or item.is_force_add() or item.package for item in parsed):
            try:
                return [_composed(conf, texts) for texts in _texts(parsed, sweep=sweep)], problems
            except ConfigError as error:  # Hydra names one problem; ask each override
                reason = error
        choices = [item for item in parsed if item.key_or_group in groups]
        bases = [_compose(conf, texts) for texts in _texts(choices, sweep=sweep)]
        for item in [item for item in parsed if item not in choices]:
            if wrong := [line for base in bases for line in _wrong_key(item, base, conf)]:
                problems += dict.fromkeys(wrong)
                parsed.remove(item)
        try:
            return [_composed(conf, texts) for texts in _texts(parsed, sweep=sweep)], problems
        except ConfigError as error:
            raise ConfigError(*(problems or reason.problems or error.problems)) from None


def demand_countable(overrides: list[str]) -> None:
    """Refuse a sweep of which `compose_checked` would compose a part only.

    Raises:
        ConfigError: it has an interval, whose values only a sweeper knows, or too many combinations.
    """
    parsed, _ = _parse(overrides, conf_folder(), sweep=True)
    count = 1
    for item in parsed:
        if item.value_type == ValueType.INTERVAL_SWEEP:
            raise ConfigError(f"{redact_override(item.input_line or '')} must list its values; an interval has no last")
        if item.value_type in _SWEEPS:
            count *= len(list(item.sweep_iterator()))
    if count > _MOST_COMBINATIONS:
        raise ConfigError(
            f"{' '.join(map(redact_override, overrides))} expands to {count} combinations; the limit is "
            f"{_MOST_COMBINATIONS}: split the sweep"
        )


def own_choices(choices: Mapping[str, str | None]) -> dict[str, str]:
    """Return the choices of groups, without Hydra's and extended ones."""
    return {
        group: str(option)
        for group, option in choices.items()
        if option is not None and not group.startswith("hydra/") and "@" not in group
    }


@contextmanager
def _hydra(conf: ConfFolder) -> Iterator[None]:
    """Open Hydra on a folder of configs, and restore the caller's Hydra."""
    before = Singleton.get_state()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf.path), job_name="ragloom", version_base=None):
            yield
    finally:
        Singleton.set_state(before)


def _parse(overrides: list[str], conf: ConfFolder, *, sweep: bool) -> tuple[list[Override], list[str]]:
    parser = OverridesParser.create(config_loader=conf)  # type: ignore[arg-type] # for `glob(...)`
    parsed: list[Override] = []
    problems: list[str] = []
    for text in overrides:
        if redact_override(text).endswith(f"={MASK}"):
            problems.append(
                f"{redact_override(text)} must not be in the configuration; "
                "secrets come from environment variables (such as OPENAI_API_KEY) only"
            )
            continue
        if escape := _ESCAPE.search(text):
            problems.append(_escaped(text, escape[0]))
            continue
        try:
            item = parser.parse_override(text)
        except HydraException:
            problems.append(_unparsable(text))
            continue
        if item.is_sweep_override() and not sweep:
            problems.append(
                f"{redact(text)} must be one value; add -m to run each value in turn (evaluate, ingest), or "
                f"quote the value if the comma belongs to it: {_quoted(text)}"
            )
            continue
        parsed.append(item)
    return parsed, problems


def _escaped(text: str, escape: str) -> str:
    """Format the refusal of an escape, kept literally by Hydra's grammar."""
    shown = redact_override(text)
    ansi = shown.replace("'", "\\'")
    return (
        f"{shown} must not hold the escape {escape}, which stays two characters; write $'{ansi}' (bash, zsh), so that "
        "the shell makes it one, or set the key in a yaml; in a path write / for \\"
    )


def _unparsable(text: str) -> str:
    if "=" not in text:
        return f"{redact(text)} must be KEY=VALUE; for example chunking=paragraph or retriever.top_k=5"
    return f"{redact_override(text)} must follow Hydra's grammar; quote the value: {_quoted(text)}"


def _quoted(text: str) -> str:
    """Quote an override for the shell and for Hydra."""
    key, _, value = _unquoted(redact(text)).partition("=")
    shell = f"{key}={_quoted_value(_unquoted(value.strip()))}".replace("'", "'\\''")
    return f"'{shell}'"


def _quoted_value(text: str) -> str:
    """Quote a text for Hydra's grammar."""
    inner = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"'


def _unquoted(text: str) -> str:
    """Remove one pair of quotes around a text."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _option_names(item: Override) -> list[str]:
    """List the options that a group override chooses."""
    if item.value_type in _SWEEPS:
        return [str(value) for value in item.sweep_iterator()]
    value = item.value()
    return [] if value is None else [str(value)]


def _wrong_options(item: Override, conf: ConfFolder) -> list[str]:
    if item.is_add() or item.is_force_add() or item.package is not None:
        shown = redact_override(item.input_line or item.key_or_group)
        return [f"{shown} must not add or name a package; write {item.key_or_group}=OPTION"]
    known = conf.options(item.key_or_group)
    if isinstance(item.value(), list):
        return [f"{item.key_or_group}={redact(str(item.value()))} must be one option, not a list"]
    if item.value() is None and not item.is_delete():
        return [f"{item.key_or_group}=null must be an option of {item.key_or_group}{nearest('null', known)}"]
    return [
        f"{item.key_or_group}={redact(name)} must be an option of {item.key_or_group}"
        f"{_instead_of_path(item.key_or_group, name, conf) or conf.nearest_option(item.key_or_group, name)}"
        for name in _option_names(item)
        if name not in known
    ]


def _instead_of_path(group: str, name: str, conf: ConfFolder) -> str:
    """Say how a path in an option's place is written."""
    is_path = name.startswith((".", "~")) or "/" in name or "\\" in name or name.endswith((".json", ".jsonl"))
    if not is_path and not Path(name).exists():
        return ""
    for key in ("path", "model"):
        if match := conf.options_with(group, key):
            option = Path(name).suffix[1:] if Path(name).suffix[1:] in match else match[0]
            value = f"{group}.{key}={redact(name)}"
            shown = value if re.fullmatch(r"[\w./~=-]+", value, re.ASCII) else _quoted(value)
            return f"; for what is at a path give both: {group}={option} {shown}"
    return ""


def _wrong_key(item: Override, base: DictConfig, conf: ConfFolder) -> list[str]:
    key, groups = item.key_or_group, set(conf.groups())
    shown = redact_override(item.input_line or key)
    if key.startswith(("hydra.", "hydra/")):
        return []
    if item.package is not None:
        return [f"{shown} must not name a package; write {key}={redact(str(item.value()))}"]
    if item.is_force_add() or item.is_add():
        top = key.partition(".")[0]
        if top not in base:
            return [f"{shown} must name a group or a top-level key{nearest(top, groups | _names(base))}"]
        return []  # a further key of a group is checked with the others against its builder's signature
    if "." not in key and key not in base:
        return [f"{shown} must name a group or a top-level key{nearest(key, groups | _names(base))}"]
    known = _dotted(OmegaConf.to_container(base, resolve=False))
    if key in known or any(name.startswith(key + ".") for name in known):
        return []
    if OmegaConf.select(base, key.rpartition(".")[0]) is None and key.partition(".")[0] not in base:
        return [f"{shown} must name a group that exists{nearest(key.partition('.')[0], _names(base))}"]
    group = key.partition(".")[0]
    siblings = {name for name in known if name.startswith(group + ".") and "_target_" not in name}
    if group in groups and (others := conf.options_with(group, key.split(".")[1])):
        option = base.hydra.runtime.choices.get(group)
        if option in others:  # it has the key, and something below it is wrong
            return [f"{shown} must name a key of {group}{nearest(key, siblings)}"]
        return [
            f"{shown} must name a key of {group}={option}; it is one of {group}={', '.join(others)}: "
            f"add {group}={others[0]}"
        ]
    return [f"{shown} must name a key of {group}{nearest(key, siblings)}"]


def _names(base: DictConfig) -> set[str]:
    return {str(name) for name in base}


def _dotted(tree: Any, prefix: str = "") -> set[str]:
    """List the dotted keys of a config that is not resolved."""
    names = {f"{prefix}{name}" for name in tree}
    for name, value in tree.items():
        if isinstance(value, dict):
            names |= _dotted(value, f"{prefix}{name}.")
    return names


def _texts(parsed: list[Override], *, sweep: bool) -> list[list[str]]:
    """Format the overrides of each combination, as Hydra does for jobs."""
    axes = []
    for item in parsed:
        line = item.input_line or ""
        if item.value_type in _SWEEPS:
            axes.append([f"{item.get_key_element()}={value}" for value in item.sweep_string_iterator()])
        elif item.value_type == ValueType.INTERVAL_SWEEP:
            axes.append([])  # only a sweeper can say which values an interval yields
        else:
            value = item.get_value_element_as_str() if sweep and not item.is_delete() else None
            axes.append([line if value is None else f"{item.get_key_element()}={value}"])
    axes = [axis for axis in axes if axis]
    if math.prod(map(len, axes)) <= _MOST_COMBINATIONS:
        return [list(texts) for texts in itertools.product(*axes)]
    firsts = [axis[0] for axis in axes]
    return [firsts] + [[*firsts[:at], value, *firsts[at + 1 :]] for at, axis in enumerate(axes) for value in axis[1:]]


def _compose(conf: ConfFolder, overrides: list[str]) -> DictConfig:
    extra = [] if conf.extra is None else [f"hydra.searchpath=[{_quoted_value(f'file://{conf.extra}')}]"]
    try:
        return compose(CONFIG_NAME, [*overrides, *extra], return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        lines = [line.strip() for line in str(error.__cause__ or error).splitlines() if line.strip()]
        raise ConfigError(redact(re.sub(r"\s+", " ", lines[0] if lines else str(error)))) from None


def _composed(conf: ConfFolder, overrides: list[str]) -> Composed:
    tree = _compose(conf, overrides)
    own = OmegaConf.masked_copy(tree, [str(name) for name in tree if name != "hydra"])
    choices = own_choices(tree.hydra.runtime.choices)
    return Composed(own, choices, tuple(text for text in overrides if not text.lstrip("+~").startswith("hydra")))

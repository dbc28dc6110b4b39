"""Composes, validates and builds: the only place that turns config into objects. Knows builders by their names only.

A yaml's `_target_` names a builder of ours (or of a package that `extensions` lists). The builder's parameters
before the `*` are what it is given (an embedding, an analyzer ...); those after it are the yaml's keys, and their
annotations are the rule that values are checked against, all of them at once and without building anything.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException
from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict, get_type_hints, is_typeddict

from ragloom.config import cross_group_rules
from ragloom.config.builder_keys import (
    TARGET,
    Name,
    NonNegative,
    added_at_default,
    at_version,
    declared_id,
    keys_of,
    needs_of,
    with_ids,
    without,
)
from ragloom.config.hydra_compose import Composed, compose_checked, is_own, options
from ragloom.core import metric_names
from ragloom.core.redaction import MASK, holds_a_secret, names_a_secret, redact, redact_tree
from ragloom.errors import ConfigError, nearest

COMPONENTS = (
    "source",
    "chunking",
    "analyzer",
    "embedding",
    "vector_store",
    "retriever",
    "reranker",
    "llm",
    "prompt",
    "dataset",
    "judge",
)
"""The groups whose option is built; each must be chosen."""


class Price(TypedDict):
    """US dollars per million tokens."""

    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]


class Prices(TypedDict):
    """What providers charge, from when and where that is known."""

    date: str
    source: str
    models: dict[str, Price]


class CacheSettings(TypedDict):
    """Where vectors that were made before are kept, and how many."""

    path: Name
    max_gb: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    enabled: bool


class WorkerSettings(TypedDict):
    """The processes that read, parse and cut documents, and what they may use."""

    processes: Annotated[int, Field(ge=0, le=256)] | None
    seconds_per_file: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    seconds_per_mb: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    memory_mb: Annotated[float, Field(ge=100, allow_inf_nan=False)]
    in_flight_mb: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class BudgetSettings(TypedDict):
    """What one ingest, evaluation or sweep may spend; None = no limit."""

    max_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    max_tokens: Annotated[int, Field(ge=0)] | None


class Latency(TypedDict):
    """The pass that measures latency: how many questions, and how many at the same time."""

    questions: Annotated[int, Field(ge=0)]
    concurrency: list[Annotated[int, Field(ge=1, le=256)]]


class ComparisonSettings(TypedDict):
    """What `compare` tests, fixed before looking."""

    metric: Name | None
    baseline: Name | None
    plan: Literal["auto", "baseline", "split", "pairs"]
    tolerance: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    seed: NonNegative
    resamples: Annotated[int, Field(ge=1000, le=1_000_000)]
    examples: Annotated[int, Field(ge=0, le=1000)]


_TOP_LEVEL: dict[str, Any] = {
    "output": Literal["text", "json"],
    "cache": CacheSettings,
    "workers": WorkerSettings,
    "dry_run": bool,
    "budget": BudgetSettings,
    "comparison": ComparisonSettings,
    "runs": Name,
    "stages": Name | None,
    "max_delete_fraction": Annotated[float, Field(ge=0, le=1)],
    "allow_mass_delete": bool,
    "extensions": list[Name],
    "prices": Prices | None,
    "metrics": metric_names.MetricSettings,
    "ingest": Literal["auto", "never"],
    "answers": bool,
    "concurrency": Annotated[int, Field(ge=1, le=256)],
    "latency": Latency,
    "explain": bool,
    "retry_failed": bool,
}


@dataclass(frozen=True)
class Config:
    """A validated experiment.

    Attributes:
        tree: plain values, interpolations resolved.
        choices: group -> option.
    """

    tree: dict[str, Any]
    choices: dict[str, str]

    def values(self, group: str) -> dict[str, Any]:
        """Returns the keys of a group's option, `_target_` aside."""
        return {key: value for key, value in self.tree[group].items() if key != TARGET}

    def builder(self, group: str) -> Callable[..., Any]:
        """Returns the builder that a group's option names."""
        return locate(self.tree[group][TARGET], self.tree.get("extensions", []))

    def added(self) -> list[str]:
        """Lists keys that were added later and are at their default, as `group.key`: no part of any identity."""
        return [
            f"{group}.{key}"
            for group in COMPONENTS
            for key in added_at_default(self.builder(group), self.values(group))
        ]

    def public(self) -> dict[str, Any]:
        """Copies the config for saving and naming: without secrets, and without keys `Added` later at their default."""
        return without(redact_tree(self.tree), self.added())

    def declared_ids(self) -> dict[str, str]:
        """Return the ids that builders declare: group -> id."""
        ids = {group: declared_id(self.builder(group)) for group in COMPONENTS}
        return {group: id for group, id in ids.items() if id is not None}

    def identity(self) -> dict[str, Any]:
        """Copy `public` for naming: builders by their ids, wherever their modules lie."""
        return with_ids(self.public(), self.declared_ids())


def load(overrides: list[str], *, extra_dir: str | None = None, sweep: bool = False) -> list[Config]:
    """Composes and validates; with `sweep` one config for each combination.

    Raises:
        ConfigError: all problems, one line each.
    """
    composed, problems = compose_checked(overrides, extra_dir=extra_dir, sweep=sweep)
    refused = [f" {problem.partition('=')[0]} must be set" for problem in problems]
    configs: list[Config] = []
    for item in composed:
        try:
            configs.append(validated(item, extra_dir=extra_dir))
        except ConfigError as error:  # that a key is not set is no news where its override was refused
            problems += [line for line in error.problems if not any(key in line for key in refused)]
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    return configs


def validated(composed: Composed, *, extra_dir: str | None = None) -> Config:
    """Checks a composed config against its builders' signatures and the groups' own cross-key rules.

    Raises:
        ConfigError: all problems, one line each.
    """
    tree, problems = _resolve(composed.tree)
    for key, annotation in _TOP_LEVEL.items():
        problems += _wrong_value("", key, tree.get(key), annotation)
    allowed = [] if problems else tree["extensions"]
    problems += [] if problems else metric_names.problems(tree["metrics"])
    for key in set(tree) - set(COMPONENTS) - set(_TOP_LEVEL):
        problems.append(f"config: {key} must name a group or a top-level key{nearest(str(key), tree)}")
    for group in COMPONENTS:
        node = tree.get(group)
        if not isinstance(node, dict) or TARGET not in node:
            known = ", ".join(options(group, extra_dir))
            problems.append(f"{group}: an option must be chosen; set {group}= to one of: {known}")
            continue
        problems += _check_group(group, node, allowed, composed)
    config = Config(tree, composed.choices)
    problems += cross_group_rules.problems(config)
    if problems:
        raise ConfigError(*problems)
    return config


def from_hydra(tree: DictConfig, choices: Mapping[str, str | None]) -> Config:
    """Takes over the config that `@hydra.main` hands to a task, validated anew."""
    chosen = {group: option for group, option in choices.items() if option is not None and is_own(group)}
    return validated(Composed(tree, chosen))


def locate(target: str, extensions: list[str]) -> Callable[..., Any]:
    """Imports a builder by its dotted name.

    Raises:
        ConfigError: it is not below `ragloom` or a listed extension, is missing, or is no builder.
    """
    allowed = ["ragloom", *extensions]
    if target.split(".")[0] not in {name.split(".")[0] for name in allowed}:
        raise ConfigError(
            f"{TARGET}={target} must name a builder of {' or '.join(allowed)}; "
            "add its package to `extensions` if it is yours"
        )
    module_name, _, name = target.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{TARGET}={target} must be importable; no module named {error.name!r}") from None
    builder = getattr(module, name, None)
    if not inspect.isfunction(builder):
        known = [item for item, value in vars(module).items() if inspect.isfunction(value)]
        raise ConfigError(f"{TARGET}={target} must name a function{nearest(name, known)}")
    return builder


def build(config: Config, group: str, code_version: int | None = None, **available: Any) -> Any:
    """Builds a group's chosen option, giving it what it asks for.

    Args:
        config: validated, so that values are known to fit.
        group: such as `chunking`.
        code_version: of the code that builds it; None: this release's.
        available: what may be given, by the names that builders use (`embedding`, `analyzer`, `llm`, `index`); the
            group's own name is given as `group`.
    """
    builder, values = config.builder(group), config.values(group)
    if code_version is not None:
        builder = at_version(builder, code_version)
        values = {key: values[key] for key in keys_of(builder)}
    given = {name: {"group": group, **available}[name] for name in needs_of(builder)}
    return builder(**given, **values)


def deepened(config: Config, *, top_k: int | None = None, top_n: int | None = None) -> Config:
    """Copies a config with other depths; lists that are fused are at least as long as what leaves the retriever."""
    tree = dict(config.tree)
    if top_k is not None:
        tree["retriever"] = {**tree["retriever"], "top_k": top_k}
        if (candidates := tree["retriever"].get("candidates")) is not None:
            tree["retriever"]["candidates"] = max(candidates, top_k)
    if top_n is not None:
        tree["reranker"] = {**tree["reranker"], "top_n": top_n}
    return Config(tree, config.choices)


def _resolve(tree: DictConfig) -> tuple[dict[str, Any], list[str]]:
    """Resolves interpolations key by key, so that each one that fails is named."""
    problems: list[str] = []

    def plain(node: Any, path: str) -> Any:
        if isinstance(node, DictConfig):
            values = {}
            for key in map(str, node):
                name = f"{path}.{key}" if path else key
                try:
                    values[key] = plain(node[key], name)
                except OmegaConfBaseException as error:
                    if isinstance(error, InterpolationToMissingValueError):
                        continue  # the key that it follows is told to be set
                    if OmegaConf.is_missing(node, key) or _follows_dataset(node, key):
                        problems.append(f"{name.partition('.')[0]}: {name} must be set; give {name}=VALUE")
                    else:
                        reason = str(error).splitlines()[0]
                        problems.append(f"{name.partition('.')[0]}: {name} cannot be resolved: {reason}")
            return values
        if OmegaConf.is_config(node):
            try:
                return OmegaConf.to_container(node, resolve=True)
            except OmegaConfBaseException as error:
                problems.append(f"{path} cannot be resolved: {str(error).splitlines()[0]}")
                return None
        return node

    return plain(tree, ""), problems


def _follows_dataset(node: DictConfig, key: str) -> bool:
    """Says whether a key is the dataset's where one is chosen: without one it is simply not set."""
    return str(OmegaConf.to_container(node, resolve=False)[key]).startswith("${dataset.")  # type: ignore[index,call-overload]


def _check_group(group: str, node: dict[str, Any], allowed: list[str], composed: Composed) -> list[str]:
    try:
        builder = locate(str(node[TARGET]), allowed)
    except ConfigError as error:
        return [f"{group}: {problem}" for problem in error.problems]
    keys = keys_of(builder)
    values = {key: value for key, value in node.items() if key != TARGET}
    declared = composed.tree[group]
    problems = []
    for key in values:
        if key not in keys:
            shown = MASK if names_a_secret(key) or holds_a_secret(values[key]) else redact(repr(values[key]))
            problems.append(
                f"{group}: {group}.{key}={shown} must name a key of {composed.choices.get(group, group)}"
                f"{nearest(key, keys)}"
            )
    for key in keys:
        if key not in values and key not in declared and not OmegaConf.is_missing(declared, key):
            problems.append(f"{group}: {group}.{key} must be set; the yaml lacks it or an override removed it")
    for key, value in values.items():
        if redact(str(value)) != str(value):
            problems.append(
                f"{group}: {group}.{key}={redact(str(value))} must not hold a secret; it would be saved with the index"
            )
    for key, parameter in keys.items():
        # A key that follows another one's value is wrong only because that one is: one line says it.
        if key in values and not OmegaConf.is_interpolation(declared, key):
            problems += _wrong_value(group, key, values[key], parameter.annotation)
    check = getattr(importlib.import_module(builder.__module__), "check", None)
    if check is not None and not problems and set(keys) == set(values):
        given = {"group": group} if "group" in needs_of(builder) else {}
        problems += check(builder.__name__, values, **given)
    return problems


def _wrong_value(group: str, key: str, value: Any, annotation: Any) -> list[str]:
    """Says in one line why a value does not fit its annotation (a line for each entry of a mapping)."""
    entries = _entries(annotation)
    if group and entries and isinstance(value, dict):
        return _wrong_entries(group, key, value, entries)
    try:
        TypeAdapter(annotation).validate_python(value, strict=True)
    except ValidationError as error:
        errors = [item for item in error.errors(include_url=False) if item["type"] != "none_required"]
        if not group and errors[0]["loc"]:  # a top-level mapping: name the entry, not the whole
            key, value = ".".join([key, *map(str, errors[0]["loc"])]), errors[0]["input"]
        rules = [_rule(item, value) for item in errors]
        shown = MASK if names_a_secret(key) or holds_a_secret(value) else redact(repr(value))
        name = f"{group}: {group}.{key}" if group else f"config: {key}"
        return [f"{name}={shown} must {' or '.join(dict.fromkeys(rules))}"]
    return []


def _entries(annotation: Any) -> dict[str, Any]:
    """Returns the annotations of a `TypedDict`'s entries by their names; nothing for any other type."""
    plain = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return get_type_hints(plain, include_extras=True) if is_typeddict(plain) else {}


def _wrong_entries(group: str, key: str, value: dict[str, Any], entries: dict[str, Any]) -> list[str]:
    problems = []
    for name, item in value.items():
        if name in entries:
            problems += _wrong_value(group, f"{key}.{name}", item, entries[name])
        else:
            shown = MASK if names_a_secret(str(name)) or holds_a_secret(item) else redact(repr(item))
            problems.append(
                f"{group}: {group}.{key}.{name}={shown} must name an entry of {group}.{key}"
                f"{nearest(str(name), entries)}"
            )
    problems += [
        f"{group}: {group}.{key}.{name} must be set; the yaml lacks it or an override removed it"
        for name in entries
        if name not in value
    ]
    return problems


def _rule(item: Any, value: Any) -> str:
    """Words one pydantic error as the rule that the value breaks."""
    context = item.get("ctx", {})
    place = "".join(f"[{part}]" for part in item["loc"] if isinstance(part, int))
    rules = {
        "greater_than": "be greater than {gt}",
        "greater_than_equal": "be at least {ge}",
        "less_than": "be less than {lt}",
        "less_than_equal": "be at most {le}",
        "finite_number": "be a finite number",
        "int_type": "be a whole number",
        "int_from_float": "be a whole number",
        "float_type": "be a number",
        "bool_type": "be true or false",
        "string_type": "be text (quote a number: '\"5\"')",
        "string_too_short": "not be empty",
        "too_short": "not be empty",
        "list_type": "be a list such as [a,b]",
        "dict_type": "be a mapping such as {{a: 1}}",
        "literal_error": "be {expected}",
    }
    rule = rules.get(item["type"], item["msg"][:1].lower() + item["msg"][1:]).format(**context)
    if item["type"] == "literal_error":
        expected = [part.strip(" '") for part in str(context["expected"]).replace(" or ", ", ").split(",")]
        close = nearest(str(value), expected)
        rule += close if "did you mean" in close else ""
    return f"{rule}{f' (item {place})' if place else ''}"

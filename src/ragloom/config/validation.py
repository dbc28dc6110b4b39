"""Validation of a composed config: types, then rules between keys and groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, get_args, get_origin

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError
from typing_extensions import get_type_hints, is_typeddict

from ragloom.config import cross_group_rules
from ragloom.config.builder_keys import TARGET, keys_of, needs_of
from ragloom.config.builder_lookup import locate
from ragloom.config.conf_folder import ConfFolder
from ragloom.config.hydra_compose import Composed
from ragloom.config.key_rules import key_problems
from ragloom.config.settings import COMPONENTS, TOP_LEVEL
from ragloom.core import metric_names
from ragloom.core.redaction import MASK, holds_a_secret, names_a_secret, redact
from ragloom.errors import ConfigError, nearest

_BEFORE_THE_STAR = "; its builder has it as a part: write * before the keys, as in def builder(*, key: Positive)"


def validate(composed: Composed, conf: ConfFolder) -> dict[str, Any]:
    """Validate a composed config without building anything.

    Returns:
        the config as plain values, interpolations resolved.

    Raises:
        ConfigError: all problems, one line each.
    """
    tree, problems = _resolve(composed.tree)
    for key, annotation in TOP_LEVEL.items():
        problems += _wrong_value("", key, tree.get(key), annotation)
    extensions = [] if problems else tree["extensions"]
    problems += [] if problems else metric_names.problems(tree["metrics"])
    for key in set(tree) - set(COMPONENTS) - set(TOP_LEVEL):
        problems.append(f"config: {key} must name a group or a top-level key{nearest(str(key), tree)}")
    builders: dict[str, Callable[..., Any]] = {}
    for group in COMPONENTS:
        node = tree.get(group)
        if not isinstance(node, dict) or TARGET not in node:
            known = ", ".join(conf.options(group))
            problems.append(f"{group}: an option must be chosen; set {group}= to one of: {known}")
            continue
        try:
            builders[group] = locate(str(node[TARGET]), extensions)
        except ConfigError as error:
            problems += [f"{group}: {problem}" for problem in error.problems]
            continue
        problems += _group_problems(group, builders[group], node, composed)
    problems += cross_group_rules.problems(tree, composed.choices, builders)
    if problems:
        raise ConfigError(*problems)
    return tree


def _resolve(tree: DictConfig) -> tuple[dict[str, Any], list[str]]:
    """Resolve interpolations key by key, and name each that fails."""
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
                        continue  # the key that it follows has its own line
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
    """Tell whether a key follows one of the dataset."""
    return str(OmegaConf.to_container(node, resolve=False)[key]).startswith("${dataset.")  # type: ignore[index,call-overload]


def _group_problems(group: str, builder: Callable[..., Any], node: dict[str, Any], composed: Composed) -> list[str]:
    """List what is wrong with the keys of a group's option."""
    keys = keys_of(builder)
    values = {key: value for key, value in node.items() if key != TARGET}
    declared = composed.tree[group]
    problems = []
    for key in values:
        if key not in keys:
            fix = _BEFORE_THE_STAR if key in needs_of(builder) else nearest(key, keys)
            option = composed.choices.get(group, group)
            problems.append(f"{group}: {group}.{key}={_shown(key, values[key])} must name a key of {option}{fix}")
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
    if not problems and set(keys) == set(values):
        problems += key_problems(builder, {"group": group, **values})
    return problems


def _wrong_value(group: str, key: str, value: Any, annotation: Any) -> Iterator[str]:
    """Explain why a value does not fit its annotation, line by line."""
    entries = entries_of(annotation)
    if group and entries and isinstance(value, dict):
        yield from _wrong_entries(group, key, value, entries)
        return
    try:
        TypeAdapter(annotation).validate_python(value, strict=True)
    except ValidationError as error:
        errors = [item for item in error.errors(include_url=False) if item["type"] != "none_required"]
        if not group and errors[0]["loc"]:  # a top-level mapping: name the entry, not the whole
            key, value = ".".join([key, *map(str, errors[0]["loc"])]), errors[0]["input"]
        rules = dict.fromkeys(_rule(item, value) for item in errors)
        name = f"{group}: {group}.{key}" if group else f"config: {key}"
        yield f"{name}={_shown(key, value)} must {' or '.join(rules)}"


def _shown(key: str, value: Any) -> str:
    """Write a value without secrets."""
    return MASK if names_a_secret(key) or holds_a_secret(value) else redact(repr(value))


def entries_of(annotation: Any) -> dict[str, Any]:
    """Return the annotations of a `TypedDict`'s entries; nothing for any other type."""
    plain = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return get_type_hints(plain, include_extras=True) if is_typeddict(plain) else {}


def _wrong_entries(group: str, key: str, value: dict[str, Any], entries: dict[str, Any]) -> Iterator[str]:
    for name, item in value.items():
        if name in entries:
            yield from _wrong_value(group, f"{key}.{name}", item, entries[name])
        else:
            yield (
                f"{group}: {group}.{key}.{name}={_shown(str(name), item)} must name an entry of {group}.{key}"
                f"{nearest(str(name), entries)}"
            )
    for name in [name for name in entries if name not in value]:
        yield f"{group}: {group}.{key}.{name} must be set; the yaml lacks it or an override removed it"


def _rule(item: Any, value: Any) -> str:
    """Word a pydantic error as the rule that the value breaks."""
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

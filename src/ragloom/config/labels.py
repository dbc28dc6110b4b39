"""In what the configs of a sweep differ, as a person would name each. Knows no group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ragloom.config.builder_keys import TARGET
from ragloom.core.records import canonical_json

if TYPE_CHECKING:
    from ragloom.config.config import Config


def varying(configs: Sequence[Config]) -> list[str]:
    """Lists the groups whose option differs, and the dotted keys that differ between configs of the same option."""
    groups = list(dict.fromkeys(group for config in configs for group in config.choices))
    differing = [group for group in groups if len({config.choices.get(group) for config in configs}) > 1]
    values: dict[tuple[str, str | None], set[str]] = defaultdict(set)
    for config in configs:
        for key, value in _flat(config.tree).items():
            values[key, config.choices.get(key.partition(".")[0])].add(canonical_json(value))
    keys = dict.fromkeys(key for (key, _), found in values.items() if len(found) > 1)
    return [*differing, *(key for key in keys if key not in differing)]


def label_of(config: Config, keys: Sequence[str]) -> str:
    """Names a config by what it has for these groups and keys; `base` where there is none."""
    return " ".join(f"{key}={value}" for key, value in values_of(config, keys).items()) or "base"


def values_of(config: Config, keys: Sequence[str]) -> dict[str, str]:
    """Return what a config has for these groups and keys, as texts; keys that its options lack are left out."""
    flat = _flat(config.tree)
    return {key: str(config.choices.get(key, flat.get(key))) for key in keys if key in config.choices or key in flat}


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        elif key != TARGET:
            found[f"{prefix}{key}"] = value
    return found

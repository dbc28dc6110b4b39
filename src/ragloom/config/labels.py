"""Labels of the configs of a sweep: the groups and keys in which they differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ragloom.config.builder_keys import TARGET
from ragloom.core.records import canonical_json

if TYPE_CHECKING:
    from ragloom.config.config import Config


def varying(configs: Sequence[Config]) -> list[str]:
    """List the groups whose option differs, and the keys that differ between configs of the same option."""
    groups = list(dict.fromkeys(group for config in configs for group in config.choices))
    differing = [group for group in groups if len({config.choices.get(group) for config in configs}) > 1]
    values: dict[tuple[str, str | None], set[str]] = defaultdict(set)
    for config in configs:
        for key, value in _flat(config.tree).items():
            values[key, config.choices.get(key.partition(".")[0])].add(canonical_json(value))
    keys = dict.fromkeys(key for (key, _), texts in values.items() if len(texts) > 1)
    return [*differing, *(key for key in keys if key not in differing)]


def label_of(config: Config, keys: Sequence[str]) -> str:
    """Label a config by its values of some groups and keys; `base` without any."""
    return " ".join(f"{key}={value}" for key, value in values_of(config, keys).items()) or "base"


def values_of(config: Config, keys: Sequence[str]) -> dict[str, str]:
    """Return a config's values of some groups and keys, as texts; keys that its options lack are left out."""
    flat = _flat(config.tree)
    return {key: str(config.choices.get(key, flat.get(key))) for key in keys if key in config.choices or key in flat}


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        elif key != TARGET:
            flat[f"{prefix}{key}"] = value
    return flat

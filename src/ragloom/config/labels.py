"""Labels of configs: the options and keys in which they differ.

Trials of a sweep are labelled `chunking=fixed retriever.top_k=5`, runs of a comparison `fixed chunk_size=200 + mmr`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.config.builder_keys import ADDED_GROUPS, TARGET
from ragloom.config.fingerprint import flat
from ragloom.core.records import canonical_json

if TYPE_CHECKING:
    from ragloom.config.config import Config

_ORDER = ("dataset", "source", "chunking", "analyzer", "embedding", "vector_store", "retriever", "reranker", "llm")
"""Order of the groups in a run label, as the pipeline runs; others follow in the order of the config."""


@dataclass(frozen=True)
class ConfiguredRun:
    """A run with its config.

    Attributes:
        name: as `evaluate` named it.
        folder: where it is.
        choices: group -> option.
        config: composed config, with the ids of builders in place of their paths.
    """

    name: str
    folder: Path
    choices: dict[str, str]
    config: dict[str, Any]


def varying(configs: Sequence[Config]) -> list[str]:
    """Return groups with differing options, and differing keys of equal options."""
    groups = list(dict.fromkeys(group for config in configs for group in config.choices))
    differing = [group for group in groups if len({config.choices.get(group) for config in configs}) > 1]
    values: dict[tuple[str, str | None], set[str]] = defaultdict(set)
    for config in configs:
        for key, value in _values_of(config.tree).items():
            values[key, config.choices.get(key.partition(".")[0])].add(canonical_json(value))
    keys = dict.fromkeys(key for (key, _), texts in values.items() if len(texts) > 1)
    return [*differing, *(key for key in keys if key not in differing)]


def label_of(config: Config, keys: Sequence[str]) -> str:
    """Return the label of a trial; `base` where no key varies."""
    return " ".join(f"{key}={value}" for key, value in values_of(config, keys).items()) or "base"


def values_of(config: Config, keys: Sequence[str]) -> dict[str, str]:
    """Return the texts of groups and keys; missing keys are left out."""
    values = _values_of(config.tree)
    return {
        key: str(config.choices.get(key, values.get(key))) for key in keys if key in config.choices or key in values
    }


def run_labels(runs: Sequence[ConfiguredRun]) -> list[str]:
    """Return a label per run: the options and keys that differ.

    A key counts if two runs with the same option differ in it. Equal labels are replaced by names, then by folders.
    """
    parts = differing_options(runs).values()
    labels = [" + ".join(text for text in texts if text) for texts in zip(*parts, strict=True)]
    labels = [label or run.name for label, run in zip(labels or [""] * len(runs), runs, strict=True)]
    for attribute in ("name", "folder"):
        counts = Counter(labels)
        labels = [
            str(getattr(run, attribute)) if counts[label] > 1 else label
            for run, label in zip(runs, labels, strict=True)
        ]
    return labels


def differing_options(runs: Sequence[ConfiguredRun]) -> dict[str, list[str]]:
    """Return options and differing keys by group, for groups that differ."""
    groups = dict.fromkeys((*_ORDER, *(group for run in runs for group in run.config)))
    parts = {group: _option_texts(runs, group) for group in groups if any(_has_option(run, group) for run in runs)}
    return {group: texts for group, texts in parts.items() if any(texts)}


def _option_texts(runs: Sequence[ConfiguredRun], group: str) -> list[str]:
    """Return each run's option with differing keys; empty if none differ."""
    options = [str(run.choices.get(group, ADDED_GROUPS.get(group, "-"))) for run in runs]
    differs = len(set(options)) > 1
    texts = []
    for run, option in zip(runs, options, strict=True):
        same = [_option_values(other, group) for other, name in zip(runs, options, strict=True) if name == option]
        own = _option_values(run, group)
        keys = [key for key in own if len({repr(values.get(key)) for values in same}) > 1]
        words = [f"{key}={own[key]}" for key in keys]
        texts.append(" ".join([option, *words]) if differs or words else "")
    return texts


def _has_option(run: ConfiguredRun, group: str) -> bool:
    return isinstance(run.config.get(group), dict) and TARGET in run.config[group]


def _option_values(run: ConfiguredRun, group: str) -> dict[str, Any]:
    node = run.config.get(group)
    return {key: value for key, value in node.items() if key != TARGET} if isinstance(node, dict) else {}


def _values_of(tree: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in flat(tree).items() if key.rpartition(".")[2] != TARGET}

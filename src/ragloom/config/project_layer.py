"""Layer of the project file in Hydra's composition, above `conf/`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from ragloom.config.conf_folder import ConfFolder
from ragloom.config.project_file import ProjectFile

_LAYER = "hydra/project"
"""Group, hidden from help, of the keys that the file sets for an option."""


@contextmanager
def layered(conf: ConfFolder, project: ProjectFile | None, overrides: Sequence[str]) -> Iterator[ConfFolder]:
    """Yield the folder of configs with a project file merged in.

    Choices stand in the defaults list of `config.yaml`. Keys of a group are options of a hidden group each, which the
    defaults list selects by the group's own option: so they apply only to the option that the file means.

    Args:
        conf: the folder of configs.
        project: the file.
        overrides: of the command line: a dataset chosen there brings its own source.
    """
    if project is None:
        yield conf
        return
    with TemporaryDirectory(prefix="ragloom-conf-") as place:
        merged = replace(conf, path=Path(place) / "conf")
        shutil.copytree(conf.path, merged.path)
        _merge(merged, project, any(item.startswith("dataset=") for item in overrides))
        yield merged


def _merge(conf: ConfFolder, project: ProjectFile, other_dataset: bool) -> None:
    """Write a project file into a copy of the folder of configs.

    Args:
        conf: the copy.
        project: the file.
        other_dataset: whether the command line chooses the dataset.
    """
    tree = conf.primary()
    choices = {name: option for entry in tree.defaults if entry != "_self_" for name, option in entry.items()}
    dataset = None if other_dataset else project.options.get("dataset", choices["dataset"])
    if dataset is not None and "source" in project.options:
        _detach_source(conf, dataset)
    entries: list[Any] = ["_self_"]
    for name, option in choices.items():
        if name == "experiment":
            groups = sorted({key.partition(".")[0] for key in project.keys} & set(choices))
            entries += [_layer(conf, project, group, dataset) for group in groups]
        entries.append({name: project.options.get(name, option)})
    tree.defaults = ListConfig(entries)
    for key, value in project.keys.items():
        if key.partition(".")[0] not in choices:
            OmegaConf.update(tree, key, value)
    OmegaConf.save(tree, conf.path / "config.yaml")


def brings_source(conf: ConfFolder, dataset: str) -> str | None:
    """Return the source that a dataset brings, or None."""
    for entry in conf.load("dataset", dataset).get("defaults") or []:
        for name, option in entry.items() if isinstance(entry, DictConfig) else ():
            if str(name).startswith("override /source"):
                return str(option)
    return None


def _layer(conf: ConfFolder, project: ProjectFile, group: str, dataset: str | None) -> dict[str, str]:
    """Write a group's keys as options of its hidden group.

    Returns:
        the entry of the defaults list that selects one of them.
    """
    keys = project.of_group(group)
    chosen = project.options.get(group)
    for option in conf.options(group) if chosen is None else [chosen]:
        known = conf.keys(group, option)
        tree = OmegaConf.create()
        for key, value in keys.items():
            if key.partition(".")[0] in known:
                OmegaConf.update(tree, key, value)
        for name in [option] if group != "source" else _with_datasets(conf, option, chosen, dataset):
            file = conf.path / _LAYER / group / f"{name}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            OmegaConf.save(tree, file)
    selected = f"${{{group}}}" if group != "source" else "${dataset}-${source}"
    return {f"optional {_LAYER}/{group}@{group}": selected}


def _with_datasets(conf: ConfFolder, source: str, chosen: str | None, dataset: str | None) -> list[str]:
    """Set a source for each dataset without its own."""
    return [
        f"{name}-{source}"
        for name in conf.options("dataset")
        if chosen is None or name == dataset or brings_source(conf, name) is None
    ]


def _detach_source(conf: ConfFolder, dataset: str) -> None:
    """Remove the source of the file's dataset; experiments bring it back."""
    source = brings_source(conf, dataset)
    if source is None:
        return
    tree = conf.load("dataset", dataset)
    del tree["defaults"]
    OmegaConf.save(tree, conf.path / "dataset" / f"{dataset}.yaml")
    for name in conf.options("experiment"):
        experiment = conf.load("experiment", name)
        entries = list(experiment.get("defaults") or [])
        if {"override /dataset": dataset} in entries and not any("override /source" in entry for entry in entries):
            experiment.defaults = ListConfig([{"override /source": source}, *entries])
            file = conf.path / "experiment" / f"{name}.yaml"
            file.write_text(f"# @package _global_\n{OmegaConf.to_yaml(experiment)}", encoding="utf-8")

"""What names a builder stays when its module moves, and what is added later is in no name while it changes nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ragloom.assembly import Assembly
from ragloom.comparison.run_loader import load_run
from ragloom.config.builder_keys import builder_id, code_version, stable_target
from ragloom.config.config import Config, load
from ragloom.config.fingerprint import describe
from ragloom.evaluation.query_cache import method
from ragloom.evaluation.runner import trial_digest
from run_folders import write

OURS = "ragloom"
"""Apart from what follows it, so that no tool that renames modules takes a recorded name for one."""


def standing_in(module: str, **declared: Any) -> Callable[..., Any]:
    """A builder called `fixed`, as a module of this name would define it."""

    @code_version(1, **declared)
    def fixed(*, size: int) -> None: ...

    fixed.__module__ = module
    return fixed


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (f"{OURS}.chunking", f"{OURS}.chunking.fixed"),
        (f"{OURS}.components.chunking", f"{OURS}.chunking.fixed"),
        (f"{OURS}.components.chunking.fixed_chunker", f"{OURS}.chunking.fixed"),
        ("my_rag", "my_rag.fixed"),
        ("my_rag.components.chunking", "my_rag.components.chunking.fixed"),
        ("ragloom_extra.components.chunking", "ragloom_extra.components.chunking.fixed"),
    ],
)
def test_id_of_a_builder_is_that_of_its_group_wherever_our_module_stands(module: str, name: str) -> None:
    builder = standing_in(module)
    assert builder_id(builder) == stable_target(f"{module}.fixed") == name
    assert describe(builder, {"size": 1})["builder"] == name


def test_builder_that_declares_an_id_is_called_that_wherever_it_stands() -> None:
    moved = standing_in("my_rag.chunkers.fixed", id="my_rag.fixed")
    assert builder_id(moved) == "my_rag.fixed"
    assert describe(moved, {"size": 1}) == describe(standing_in("my_rag"), {"size": 1})


EXTENSION = """
from typing import Annotated
from pydantic import Field
from ragloom.config.builder_keys import code_version

@code_version(1{declared})
def own(*, chunk_size: Annotated[int, Field(gt=0)]) -> object:
    return object()
"""


def extended(place: Path, monkeypatch: pytest.MonkeyPatch, module: str, group: str, declared: str = "") -> Config:
    """A config whose option `own` of a group is built by a module of an extension."""
    (place / module).mkdir(parents=True)
    (place / module / "__init__.py").write_text(EXTENSION.format(declared=declared), encoding="utf-8")
    (place / "conf" / group).mkdir(parents=True)
    keys = f"_target_: {module}.own\nchunk_size: 9\n"
    (place / "conf" / group / "own.yaml").write_text(keys, encoding="utf-8")
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, module, raising=False)
    (config,) = load([f"{group}=own", "extensions=[my_old_rag,my_new_rag,my_other_rag]"], extra_dir=str(place / "conf"))
    return config


@pytest.mark.parametrize("group", ["chunking", "vector_store"])
def test_extension_that_moves_keeps_index_and_run_by_the_id_that_it_declares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    old = extended(tmp_path / "old", monkeypatch, "my_old_rag", group)
    new = extended(tmp_path / "new", monkeypatch, "my_new_rag", group, ', id="my_old_rag.own"')
    assert new.public()[group]["_target_"] == "my_new_rag.own", "what is saved can be run again"
    assert Assembly(new).fingerprint == Assembly(old).fingerprint
    assert (trial_digest(new), method(new)) == (trial_digest(old), method(old))
    other = extended(tmp_path / "other", monkeypatch, "my_other_rag", group)
    assert Assembly(other).fingerprint != Assembly(old).fingerprint
    assert trial_digest(other) != trial_digest(old)


def test_run_of_before_and_after_a_move_are_runs_of_one_config(tmp_path: Path) -> None:
    before, after = (write(tmp_path / name, [0.5, 1.0]) for name in ("before", "after"))
    record = json.loads((after / "run.json").read_text(encoding="utf-8"))
    for group, node in record["config"].items():
        if isinstance(node, dict) and "_target_" in node:
            _, *_, option = node["_target_"].split(".")
            node["_target_"] = f"{OURS}.components.{'llm' if group == 'judge' and option != 'none' else group}.{option}"
    (after / "run.json").write_text(json.dumps(record), encoding="utf-8")
    assert load_run(after).identity == load_run(before).identity
    record["config"]["chunking"]["_target_"] = "my_rag.fixed"
    (after / "run.json").write_text(json.dumps(record), encoding="utf-8")
    assert load_run(after).identity != load_run(before).identity
    record["builders"] = {"chunking": f"{OURS}.chunking.fixed"}
    (after / "run.json").write_text(json.dumps(record), encoding="utf-8")
    assert load_run(after).identity == load_run(before).identity

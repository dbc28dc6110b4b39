"""Names from before the move: a config or extension that has one gets an error that names the new one."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import yaml

from messages import wording
from messages.config import moved_builder, moved_name
from places import CONF
from ragloom.config.builder_keys import ADDED_GROUPS
from ragloom.config.builder_lookup import locate
from ragloom.config.config import load
from ragloom.config.moved_names import MODULES, new_name
from ragloom.config.settings import COMPONENTS
from ragloom.errors import ConfigError

TARGETS = sorted(
    {
        yaml.safe_load(path.read_text(encoding="utf-8"))["_target_"]
        for group in COMPONENTS
        if group not in ADDED_GROUPS
        for path in (CONF / group).glob("*.yaml")
    }
)
MOVED = {
    "ragloom.analyzer.base.Analyzer": "ragloom.components.analyzer.base.Analyzer",
    "ragloom.chunking.parser.SpanParser": "ragloom.components.chunking.base.SpanParser",
    "ragloom.source.base.Source": "ragloom.components.source.base.Source",
    "ragloom.embedding.base.Embedding": "ragloom.components.embedding.base.Embedding",
    "ragloom.vector_store.interface.Database": "ragloom.components.vector_store.protocols.Database",
    "ragloom.llm.remote.OpenAIChat": "ragloom.components.llm.openai_llm.OpenAIChat",
    "ragloom.retriever.ranked.Ranked": "ragloom.components.retriever.scored_nodes.Ranked",
    "ragloom.values.code_version": "ragloom.config.builder_keys.code_version",
    "ragloom.records.Chunk": "ragloom.core.records.Chunk",
    "ragloom.messages.language_of": "ragloom.core.prompt_and_reply.language_of",
    "ragloom.vector_store.index_records.IndexInfo": "ragloom.components.vector_store.record_types.IndexInfo",
    "ragloom.components.vector_store.index_records.IndexInfo": "ragloom.components.vector_store.record_types.IndexInfo",
    "ragloom.providers.failed_batch.BatchFailed": "ragloom.providers.batch_errors.BatchFailed",
}


@pytest.mark.parametrize("target", TARGETS)
def test_old_target_of_every_option_names_the_new_one(target: str) -> None:
    old = target.replace(".components.", ".")
    with pytest.raises(ConfigError, match=wording(moved_builder(old, target)) + "$"):
        locate(old, [])
    assert new_name(target) is None
    assert locate(target, []).__name__ == target.rpartition(".")[2]


def test_old_target_in_a_users_yaml_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "chunking").mkdir()
    (tmp_path / "chunking" / "mine.yaml").write_text(
        "_target_: ragloom.chunking.fixed\nchunk_size: 256\nchunk_overlap: 0\ntokenizer: cl100k_base\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(["chunking=mine"], extra_dir=str(tmp_path))
    (line,) = caught.value.problems
    assert line.startswith("chunking: _target_=ragloom.chunking.fixed")
    assert line.endswith("write ragloom.components.chunking.fixed")


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_extension_that_imports_a_moved_name_is_told_the_new_one(
    old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _, name = new.rpartition(".")
    getattr(importlib.import_module(module), name)
    package = f"old_{name.lower()}"
    monkeypatch.syspath_prepend(str(tmp_path))
    for imported in (f"from {old.rpartition('.')[0]} import {name}", f"import {old.rpartition('.')[0]} as _"):
        (tmp_path / f"{package}.py").write_text(f"{imported}\n\n\ndef own():\n    pass\n")
        importlib.invalidate_caches()
        with pytest.raises(ConfigError, match=wording(moved_name(old.rpartition(".")[0], module)) + "$"):
            locate(f"{package}.own", [package])


def test_own_missing_module_of_an_extension_stays_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lacks_module.py").write_text("import nowhere_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match="no module named 'nowhere_at_all'"):
        locate("lacks_module.own", ["lacks_module"])


@pytest.mark.parametrize("module", sorted(MODULES.values()))
def test_new_name_of_a_module_is_one_that_exists(module: str) -> None:
    assert importlib.import_module(f"ragloom.{module}")

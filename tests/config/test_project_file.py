"""The project file: what comes before it and after it, what it refuses, and where its paths lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from messages import wording
from messages.config import (
    did_you_mean,
    greater_than,
    no_option_and_no_mapping,
    no_project_file,
    no_secret,
    set_in_project_file,
    unknown_key,
    unknown_name,
    unknown_option,
)
from ragloom.assembly import Assembly
from ragloom.config.conf_folder import conf_folder
from ragloom.config.config import Config, load
from ragloom.config.key_origins import annotated_yaml
from ragloom.config.project_file import FILE, ProjectFile, find_project
from ragloom.errors import ConfigError

LINES = """\
source: folder
source.path: 내 문서
dataset: squad
dataset.path: 질문.json
embedding: openai_compatible
embedding.model: "모델 a"
embedding.dimensions: 8
vector_store.path: .ragloom/own
retriever: {top_k: 8}
llm.max_tokens: 77
workers: {processes: 2}
metrics.answers: [f1]
"""
EXPERIMENT = "# @package _global_\n# Mine.\n# Select it with: experiment=mine\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAGLOOM_PROJECT")
    return tmp_path


def read(text: str, path: str = FILE) -> ProjectFile:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")
    project = find_project(None if path == FILE else path, conf_folder())
    assert project is not None
    return project


def composed(project: ProjectFile | None, *overrides: str, extra_dir: str | None = None) -> Config:
    (config,) = load(list(overrides), project=project, extra_dir=extra_dir)
    return config


def value(config: Config, key: str) -> Any:
    if key in config.choices:
        return config.choices[key]
    node: Any = config.tree
    for part in key.split("."):
        node = node.get(part)
    return node


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        # the file, over conf/
        ([], {"source": "folder", "source.path": "내 문서", "dataset": "squad", "dataset.path": "질문.json"}),
        ([], {"embedding.model": "모델 a", "retriever.top_k": 8, "workers.processes": 2, "metrics.answers": ["f1"]}),
        ([], {"chunking": "fixed", "chunking.chunk_size": 256, "vector_store.path": ".ragloom/own"}),
        # the command line, over the file
        (["retriever.top_k=3", "workers.processes=0"], {"retriever.top_k": 3, "workers.processes": 0}),
        (["source.path=other"], {"source": "folder", "source.path": "other"}),
        (["embedding=openai_compatible"], {"embedding.model": "모델 a"}),
        # keys of the file's option do not reach another option; those without an option reach all that have them
        (["embedding=openai"], {"embedding.model": "text-embedding-3-small", "embedding.dimensions": 1536}),
        (["embedding=hashing"], {"embedding.dimensions": 2048}),
        (["source=sample"], {"source": "sample", "source.path": None}),
        (["retriever=bm25"], {"retriever.top_k": 8}),
        (["llm=openai"], {"llm.max_tokens": 77}),
        (["llm=extractive"], {"llm.max_tokens": None}),
        # a judge extends the LLM's option, and is not what the file sets for the LLM
        (["judge=openai", "answers=true", "metrics.answers=[f1,correctness]"], {"judge.max_tokens": 1024}),
        # an experiment, over the file and below the command line
        (["experiment=baseline"], {"embedding": "openai", "embedding.model": "text-embedding-3-small"}),
        (["experiment=baseline"], {"retriever.top_k": 3, "source": "folder", "source.path": "내 문서"}),
        (["experiment=baseline", "retriever.top_k=4"], {"retriever.top_k": 4}),
        # a dataset chosen on the command line or by an experiment brings its own source
        (["dataset=squad", "dataset.path=b.json"], {"source": "squad", "source.path": "b.json"}),
        (["dataset=sample"], {"source": "sample"}),
        (["dataset=jsonl", "dataset.path=q.jsonl"], {"source": "folder", "source.path": "내 문서"}),
        (["dataset=squad", "source=folder"], {"source": "folder"}),
        (["experiment=korquad_contexts"], {"dataset": "squad", "source": "squad", "source.path": "질문.json"}),
        (["experiment=scifact", "dataset.path=s", "embedding.model=m"], {"source": "beir", "source.path": "s"}),
    ],
)
def test_precedence(folder: Path, overrides: list[str], expected: dict[str, Any]) -> None:
    if "source=folder" in overrides:
        overrides = [*overrides, "source.path=x"]
    config = composed(read(LINES), *overrides)
    assert {key: value(config, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("overrides", "source"), [([], "folder"), (["dataset=sample"], "sample"), (["dataset=beir"], "beir")]
)
def test_source_of_the_file_stands_with_the_default_dataset(folder: Path, overrides: list[str], source: str) -> None:
    config = composed(
        read("source: folder\nsource.path: docs\n"), *overrides, *(["dataset.path=b"] if len(source) == 4 else [])
    )
    assert config.choices["source"] == source


@pytest.mark.parametrize(("overrides", "path"), [([], "a.json"), (["dataset=squad", "dataset.path=b.json"], "b.json")])
def test_source_of_the_files_own_dataset_needs_no_line(folder: Path, overrides: list[str], path: str) -> None:
    config = composed(read("dataset: squad\ndataset.path: a.json\n"), *overrides)
    assert (config.choices["source"], value(config, "source.path")) == ("squad", path)


def test_source_key_of_the_file_is_not_that_of_a_dataset_of_the_same_kind(folder: Path) -> None:
    project = read("source: squad\nsource.path: mine.json\nsource.document: article\nsource.max_file_mb: 5\n")
    assert value(composed(project), "source.path") == "mine.json"
    config = composed(project, "dataset=squad", "dataset.path=b.json")
    assert (value(config, "source.path"), value(config, "source.document")) == ("b.json", "context")


def test_experiment_may_be_chosen_in_the_file(folder: Path) -> None:
    project = read("experiment: baseline_offline\nretriever.top_k: 8\n")
    assert value(composed(project), "retriever.top_k") == 3
    assert value(composed(project, "retriever.top_k=5"), "retriever.top_k") == 5


def test_sweep_of_experiments_and_datasets_composes_each_with_the_file(folder: Path) -> None:
    configs = load(["dataset=sample,squad", "chunking=fixed,paragraph"], sweep=True, project=read(LINES))
    assert [(item.choices["source"], item.choices["chunking"], value(item, "retriever.top_k")) for item in configs] == [
        ("sample", "fixed", 8),
        ("sample", "paragraph", 8),
        ("squad", "fixed", 8),
        ("squad", "paragraph", 8),
    ]
    swept = load(["experiment=baseline,korquad_contexts", "dataset.path=q"], sweep=True, project=read(LINES))
    assert [(value(item, "retriever.top_k"), item.choices["source"]) for item in swept] == [
        (3, "folder"),
        (10, "squad"),
    ]


def test_options_of_a_further_folder_can_be_chosen(folder: Path) -> None:
    (folder / "mine" / "chunking").mkdir(parents=True)
    (folder / "mine" / "chunking" / "small.yaml").write_text(
        "_target_: ragloom.components.chunking.fixed\nchunk_size: 64\nchunk_overlap: 0\ntokenizer: cl100k_base\n"
    )
    Path(FILE).write_text("chunking: small\nchunking.chunk_overlap: 4\n")
    project = find_project(None, conf_folder("mine"))
    config = composed(project, extra_dir="mine")
    assert (value(config, "chunking.chunk_size"), value(config, "chunking.chunk_overlap")) == (64, 4)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sorce: folder", unknown_name("sorce='folder'") + did_you_mean("source")),
        ("source: foldr", unknown_option("source=foldr", "source") + did_you_mean("folder")),
        (
            "source: folder\nsource.pth: x",
            unknown_key("source.pth='x'", "source=folder") + did_you_mean("source.path"),
        ),
        ("source: folder\nsource.split: x", unknown_key("source.split='x'", "source=folder")),
        ("retriever: {top_kk: 3}", unknown_key("retriever.top_kk=3", "retriever") + did_you_mean("retriever.top_k")),
        ("workers.proceses: 3", unknown_key("workers.proceses=3", "workers") + did_you_mean("workers.processes")),
        ("output.x: 3", unknown_key("output.x=3", "output")),
        ("hydra.run.dir: x", unknown_name("hydra.run.dir='x'")),
        ("source._target_: os.system", unknown_key("source._target_='os.system'", "source")),
        ("source: null", no_option_and_no_mapping("source=None", "source")),
        ("source: [folder]", no_option_and_no_mapping("source=['folder']", "source")),
        ("llm.api_key: sk-planted-123456", no_secret("llm.api_key")),
        ("llm: {api_key: planted}", no_secret("llm.api_key")),
        ("embedding.headers_env: {X-Key: planted}", no_secret("embedding.headers_env.X-Key")),
        ("llm.base_url: https://me:planted@host/v1", no_secret("llm.base_url")),
        ("- source", "must hold lines KEY: VALUE"),
        ("source: folder\nsource: sample", "must be YAML; found duplicate key source (line 2)"),
        ("a: [", "must be YAML; "),
    ],
)
def test_wrong_line_is_named_with_file_key_and_nearest(folder: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    (line,) = caught.value.problems
    assert line.startswith(f"ragloom.yaml: {problem}")
    assert "planted" not in line


def test_all_wrong_lines_are_named_at_once(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read("sorce: folder\nllm.api_key: planted\nretriever.top_kk: 3\nembedding: opnai\n")
    assert len(caught.value.problems) == 4


def test_wrong_value_names_the_file_unless_the_command_line_has_the_key(folder: Path) -> None:
    project = read("retriever.top_k: none\nvector_store.path: 5\n")
    with pytest.raises(ConfigError) as caught:
        composed(project)
    assert sorted(line.rpartition(" (")[2] for line in caught.value.problems) == [
        set_in_project_file("retriever.top_k"),
        set_in_project_file("vector_store.path"),
    ]
    with pytest.raises(ConfigError) as caught:
        composed(project, "retriever.top_k=0", "vector_store.path=x")
    assert caught.value.problems == ("retriever: " + greater_than("retriever.top_k=0", 0),)


def test_names_of_environment_variables_are_no_secrets(folder: Path) -> None:
    project = read(
        "embedding: openai_compatible\nembedding.api_key_env: MY_KEY\nembedding.headers_env: {X-Api-Key: MY_HEADER}\n"
    )
    assert value(composed(project), "embedding.headers_env") == {"X-Api-Key": "MY_HEADER"}


@pytest.mark.parametrize("text", ["", "# nothing yet\n"])
def test_empty_file_changes_nothing(folder: Path, text: str) -> None:
    assert composed(read(text)) == composed(None)


@pytest.mark.parametrize("name", ["ragloom.yml", "ragloom.yaml.bak", "../ragloom.yaml", "sub/ragloom.yaml"])
def test_no_other_place_is_searched(folder: Path, name: str) -> None:
    (folder / "work").mkdir()
    (folder / "work" / name).parent.mkdir(exist_ok=True)
    (folder / "work" / name).write_text("sorce: wrong\n")
    import os

    os.chdir(folder / "work")
    assert find_project(None, conf_folder()) is None


def test_flag_variable_and_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read("retriever.top_k: 1\n")
    Path("other.yaml").write_text("retriever.top_k: 2\n")
    Path("third.yaml").write_text("retriever.top_k: 3\n")

    def top_k(given: str | None) -> Any:
        project = find_project(given, conf_folder())
        return None if project is None else project.keys["retriever.top_k"]

    assert [top_k(None), top_k("other.yaml"), top_k("none")] == [1, 2, None]
    monkeypatch.setenv("RAGLOOM_PROJECT", "third.yaml")
    assert [top_k(None), top_k("other.yaml"), top_k("none")] == [3, 2, None]
    monkeypatch.setenv("RAGLOOM_PROJECT", "none")
    assert [top_k(None), top_k(FILE)] == [None, 1]
    with pytest.raises(ConfigError, match=wording(no_project_file("gone.yaml"))):
        top_k("gone.yaml")


def test_relative_paths_are_relative_to_the_file(folder: Path) -> None:
    text = (
        "source: folder\nsource.path: 문서\ndataset: jsonl\ndataset.path: ~/q.jsonl\nruns: runs\nstages: null\n"
        "cache: {path: cache}\nembedding: fastembed\nembedding.model: ./model\nembedding.cache_dir: /models\n"
        "vector_store.path: ${oc.env:HOME}/store\nreranker: none\nchunking.tokenizer: cl100k_base\n"
    )
    elsewhere, here = read(text, "다른 곳/ragloom.yaml").keys, read(text).keys
    place = folder / "다른 곳"
    assert {key: item for key, item in elsewhere.items() if here[key] != item} == {
        "source.path": str(place / "문서"),
        "runs": str(place / "runs"),
        "cache.path": str(place / "cache"),
        "embedding.model": str(place / "model"),
    }
    assert here["source.path"] == "문서"


def test_file_is_part_of_no_identity(folder: Path) -> None:
    overrides = ["source=folder", "source.path=docs", "retriever.top_k=5"]
    with_file = composed(read("source: folder\nsource.path: docs\nretriever.top_k: 5\n"))
    without = composed(None, *overrides)
    assert with_file == without
    assert with_file.identity() == without.identity()
    assert Assembly(with_file).index_name == Assembly(without).index_name
    assert (with_file.project_record(), without.project_record()) == ({"project": "ragloom.yaml"}, {})


def test_origin_of_each_value_is_a_comment_and_the_rest_the_same_yaml(folder: Path) -> None:
    import yaml

    project = read(LINES)
    overrides = ["experiment=korquad_contexts", "chunking.chunk_size=5000"]
    text = annotated_yaml(overrides, None, project)
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "# composed of: command line, experiment korquad_contexts, ragloom.yaml, conf default"
    for line in (
        "source: # source=squad, dataset squad",
        "dataset: # dataset=squad, experiment korquad_contexts",
        "path: 질문.json # ragloom.yaml",
        "embedding: # embedding=openai_compatible, ragloom.yaml",
        "dimensions: 8 # ragloom.yaml",
        "chunk_size: 5000 # command line",
        "chunk_overlap: 0 # experiment korquad_contexts",
        "top_k: 10 # experiment korquad_contexts",
        "analyzer: # analyzer=multilingual, conf default",
        "processes: 2 # ragloom.yaml",
        "seconds_per_file: 60 # conf default",
        "answers: [f1] # ragloom.yaml",
    ):
        assert line in lines
    resolved = yaml.safe_load(annotated_yaml(overrides, None, project, resolve=True))
    assert resolved == composed(project, *overrides).tree
    assert "path: 내 문서 # ragloom.yaml" in annotated_yaml([], None, project)
    assert "ragloom.yaml" not in annotated_yaml([], None, None)

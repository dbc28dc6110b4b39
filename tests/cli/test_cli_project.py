"""Programs and the project file: each honours it, names it and records it; `ragloom init` writes one."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

import ragloom
from messages.cli import no_dataset_file, nothing_at, project_file_exists, source_not_given
from messages.config import (
    did_you_mean,
    greater_than,
    no_key_value,
    no_secret,
    set_in_project_file,
    unknown_key,
    unknown_name,
    unknown_option,
)
from places import ROOT
from programs import run
from ragloom.cli import init
from ragloom.config import validation
from ragloom.config.conf_folder import conf_folder
from ragloom.config.project_file import find_project

QUESTION = {"id": "q1", "question": "How long is the frame covered?"} | {
    "gold": [{"document": "보증.txt", "quote": "covered for five years"}]
}
LINES = "source: folder\nsource.path: 내 문서\ndataset: jsonl\ndataset.path: 질문.jsonl\nworkers.processes: 0\n"
AUTO = {"RAGLOOM_PROJECT": ""}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with documents, questions and a project file."""
    (tmp_path / "내 문서").mkdir()
    (tmp_path / "내 문서" / "보증.txt").write_text("The frame is covered for five years.\n", encoding="utf-8")
    (tmp_path / "질문.jsonl").write_text(json.dumps(QUESTION, ensure_ascii=False) + "\n", encoding="utf-8")
    (tmp_path / "ragloom.yaml").write_text(LINES, encoding="utf-8")
    return tmp_path


def recorded(folder: Path, file: str) -> list[str | None]:
    return [json.loads(path.read_text()).get("project") for path in sorted(folder.glob(f".ragloom/runs/*/{file}"))]


def test_every_program_honours_names_and_records_the_file(project: Path) -> None:
    ingested = run("ingest", "output=json", cwd=project, **AUTO)
    assert (ingested.returncode, ingested.summary["documents"]) == (0, 1)
    assert ingested.summary["project"] == "ragloom.yaml"
    assert recorded(project, "ingest.json") == ["ragloom.yaml"]
    answered = run("run_query", "How long is the frame covered?", "--json", cwd=project, **AUTO)
    assert "five years" in json.loads(answered.stdout)["answer"]
    evaluated = run("evaluate", cwd=project, **AUTO)
    assert evaluated.returncode == 0
    assert recorded(project, "run.json") == ["ragloom.yaml"]
    listed = run("indexes", "list", "--json", cwd=project, **AUTO)
    shown = run("indexes", "show", json.loads(listed.stdout)[0]["name"], "--json", cwd=project, **AUTO)
    assert json.loads(shown.stdout)["summary"]["config"]["project"] == "ragloom.yaml"
    cached = run("cache", "show", cwd=project, **AUTO)
    for done in (ingested, answered, evaluated, listed, shown, cached):
        assert done.stderr.count("project file: ragloom.yaml\n") == 1


def test_run_without_the_file_is_the_same_and_records_none(project: Path) -> None:
    assert run("evaluate", cwd=project, **AUTO).returncode == 0
    arguments = ["source=folder", 'source.path="내 문서"', "dataset=jsonl", 'dataset.path="질문.jsonl"']
    done = run("evaluate", "--project", "none", *arguments, "workers.processes=0", cwd=project, **AUTO)
    assert done.returncode == 0
    assert "project file" not in done.stderr
    assert recorded(project, "run.json") == [None]  # the same run took the folder's place: the file is in no name


def test_sweep_honours_the_file_and_validates_each_config_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    validated: list[dict[str, str]] = []
    problems = validation.cross_group_rules.problems
    monkeypatch.setattr(
        validation.cross_group_rules,
        "problems",
        lambda tree, choices, builders: validated.append(dict(choices)) or problems(tree, choices, builders),
    )
    swept = run("evaluate", "-m", "chunking=fixed,paragraph", "retriever.top_k=5,7", cwd=project, **AUTO)
    assert swept.returncode == 0, swept.stderr
    assert [item["chunking"] for item in validated] == ["fixed", "fixed", "paragraph", "paragraph"]
    assert recorded(project, "run.json") == ["ragloom.yaml"] * 4
    validated.clear()
    assert run("ingest", "--project=ragloom.yaml", "-m", "chunking=fixed,hybrid", cwd=project).returncode == 0
    assert run("ingest", "chunking.chunk_size=99", cwd=project, **AUTO).returncode == 0
    assert len(validated) == 3


def test_dataset_of_the_command_line_brings_its_documents_in_a_sweep(project: Path) -> None:
    assert run("evaluate", "-m", "dataset=sample,jsonl", cwd=project, **AUTO).returncode == 0
    runs = [json.loads(path.read_text()) for path in project.glob(".ragloom/runs/*/run.json")]
    assert {(item["choices"]["dataset"], item["choices"]["source"]) for item in runs} == {
        ("sample", "sample"),
        ("jsonl", "folder"),
    }


def test_flag_names_a_file_elsewhere_and_paths_are_relative_to_it(project: Path, tmp_path_factory: Any) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    file = os.path.relpath(project / "ragloom.yaml", elsewhere)
    for arguments in (["--project", file, "output=json"], [f"--project={file}", "output=json"], ["--proj", file]):
        done = run("ingest", *arguments, cwd=elsewhere)
        assert done.returncode == 0, done.stderr
    done = run("run_query", "--project", file, "frame?", "chunking=paragraph", cwd=elsewhere)
    assert f"--project {file}" in done.stderr  # the command that builds the index that is missing


@pytest.mark.parametrize("script", ["ingest", "evaluate", "indexes", "cache", "compare", "run_query"])
def test_wrong_file_stops_every_program_with_its_line(script: str, tmp_path: Path) -> None:
    (tmp_path / "ragloom.yaml").write_text("retriver.top_k: 5\nllm.api_key: sk-planted-12345678\n")
    first = {"indexes": ["list"], "cache": ["show"], "run_query": ["why?"], "compare": ["a", "b"]}.get(script, [])
    done = run(script, *first, cwd=tmp_path, **AUTO)
    assert done.returncode == 1
    assert "ragloom.yaml: " + unknown_name("retriver.top_k=5") + did_you_mean("retriever") in done.stderr
    assert "planted" not in done.stdout + done.stderr


def test_cfg_job_shows_where_each_value_comes_from(project: Path) -> None:
    done = run("ingest", "--cfg", "job", "retriever.top_k=5", cwd=project, **AUTO)
    assert "path: 내 문서 # ragloom.yaml" in done.stdout
    assert "top_k: 5 # command line" in done.stdout
    assert yaml.safe_load(done.stdout)["source"]["path"] == "내 문서"
    part = run("ingest", "--cfg", "job", "--package", "source", cwd=project, **AUTO)
    assert yaml.safe_load(part.stdout)["path"] == "내 문서"


def test_help_of_a_hydra_program_shows_the_composed_file(project: Path) -> None:
    done = run("ingest", "--help", cwd=project, **AUTO)
    assert "path: 내 문서" in done.stdout
    assert "hydra/project" not in done.stdout


def test_tests_and_demo_use_no_project_file(project: Path) -> None:
    assert "project" not in run("ingest", "source=sample", "output=json", cwd=project).summary
    assert "export RAGLOOM_PROJECT := none" in (ROOT / "Makefile").read_text()


def test_python_api_reads_the_file_of_the_working_directory(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.delenv("RAGLOOM_PROJECT")
    assert ragloom.load_config().choices["source"] == "folder"
    assert ragloom.load_config(project="none").choices["source"] == "sample"
    assert ragloom.load_config(project="ragloom.yaml").choices["source"] == "folder"


# ---- ragloom init ----------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """Standard input on which a person answers."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def bare(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (project / "ragloom.yaml").unlink()
    monkeypatch.chdir(project)
    return project


def lines_of(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_init_writes_what_the_flags_say_with_a_comment_on_each_line(bare: Path) -> None:
    arguments = [
        "--source",
        "내 문서",
        "--dataset",
        "질문.jsonl",
        "--embedding",
        "hashing",
        "--vector-store",
        "weaviate",
    ]
    assert init.main([*arguments, "retriever.top_k=5", "workers={processes: 0}"]) == 0
    text = (bare / "ragloom.yaml").read_text(encoding="utf-8")
    assert lines_of(bare / "ragloom.yaml") == {
        "source": "folder",
        "source.path": "내 문서",
        "dataset": "jsonl",
        "dataset.path": "질문.jsonl",
        "embedding": "hashing",
        "vector_store": "weaviate",
        "retriever.top_k": 5,
        "workers": {"processes": 0},
    }
    assert "retriever.top_k: 5 # chunks that leave the retriever" in text
    assert text.startswith("# Ragloom's project file")
    assert find_project("ragloom.yaml", conf_folder()) is not None


def test_init_overwrites_only_by_force(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bare / "ragloom.yaml").write_text("retriever.top_k: 1\n")
    assert init.main(["--source", "내 문서"]) == 1
    assert project_file_exists() in capsys.readouterr().err
    assert lines_of(bare / "ragloom.yaml") == {"retriever.top_k": 1}
    assert init.main(["--source", "내 문서", "--force"]) == 0
    assert lines_of(bare / "ragloom.yaml")["source"] == "folder"


def test_init_elsewhere_writes_paths_relative_to_the_file(bare: Path) -> None:
    assert init.main(["--project", "sub/mine.yaml", "--source", "내 문서", "--dataset", str(bare / "질문.jsonl")]) == 0
    keys = lines_of(bare / "sub" / "mine.yaml")
    assert (keys["source.path"], keys["dataset.path"]) == ("../내 문서", str(bare / "질문.jsonl"))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--source", "nowhere"], nothing_at("--source=nowhere")),
        (["--dataset", "내 문서"], no_dataset_file("--dataset=내 문서")),
        (
            ["--embedding", "opnai"],
            "ragloom.yaml: " + unknown_option("embedding=opnai", "embedding") + did_you_mean("openai"),
        ),
        (["retriever.top_kk=3"], "ragloom.yaml: " + unknown_key("retriever.top_kk=3", "retriever")),
        (["retriever.top_k=0"], greater_than("retriever.top_k=0", 0) + " (" + set_in_project_file("retriever.top_k")),
        (["llm.api_key=sk-planted-12345678"], "ragloom.yaml: " + no_secret("llm.api_key")),
        (["why"], no_key_value("why")),
        ([], source_not_given()),
    ],
)
def test_init_leaves_nothing_where_something_is_wrong(
    bare: Path, arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    before = sorted(bare.iterdir())
    assert init.main(arguments) == 1
    err = capsys.readouterr().err
    assert problem in err
    assert "planted" not in err
    assert sorted(bare.iterdir()) == before


def test_init_asks_on_a_terminal(
    bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("내 문서\n질문.jsonl\n\nweaviate\n"))
    assert init.main([]) == 0
    assert lines_of(bare / "ragloom.yaml") == {
        "source": "folder",
        "source.path": "내 문서",
        "dataset": "jsonl",
        "dataset.path": "질문.jsonl",
        "embedding": "hashing",
        "vector_store": "weaviate",
    }
    assert "one of lancedb, weaviate, weaviate_embedded (empty: lancedb)" in capsys.readouterr().err

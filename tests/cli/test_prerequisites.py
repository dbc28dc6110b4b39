"""What a command lacks is said at once, in the words that put it right, before anything heavy is imported."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ragloom
from messages.cli import add_option, give_both, no_documents, nobody_to_ask, option_of_key, store_is_empty
from messages.config import did_you_mean, unknown_key, unreadable_file
from messages.weaviate import index_name_wanted
from programs import run
from test_architecture import HEAVY, PROBE

MISSING = "does not exist"


@pytest.mark.parametrize(
    ("script", "arguments", "says"),
    [
        (
            "ingest",
            ["source.path=docs"],
            option_of_key("source", "folder", "beir", "jsonl", "spans", "squad") + add_option("source", "folder"),
        ),
        (
            "evaluate",
            ["dataset.path=q.jsonl"],
            option_of_key("dataset", "beir", "jsonl", "spans", "squad") + add_option("dataset", "beir"),
        ),
        (
            "ingest",
            ["embedding.base_url=http://x"],
            unknown_key("", "embedding=hashing") + "; " + option_of_key("embedding"),
        ),
        ("ingest", ["source=/a/docs"], give_both("source=folder source.path=/a/docs")),
        ("ingest", ["source=./docs"], give_both("source=folder source.path=./docs")),
        ("ingest", ["source=lines.jsonl"], give_both("source=jsonl source.path=lines.jsonl")),
        ("ingest", ['source="내 문서/x"'], give_both("source=folder 'source.path=\"내 문서/x\"'")),
        ("ingest", ["embedding=/models/x"], give_both("embedding=fastembed embedding.model=/models/x")),
        ("ingest", ["source=foldr"], did_you_mean("folder")),
        ("ingest", ["source=folder", "source.path=nowhere"], MISSING),
        ("ingest", ["source=folder", "source.path=nowhere", "dry_run=true"], MISSING),
        ("ingest", ["embedding=fastembed", "embedding.model=./nowhere"], MISSING),
        ("evaluate", ["dataset=jsonl", "dataset.path=nowhere.jsonl", "source=sample"], MISSING),
        ("evaluate", ["dataset=beir", "dataset.path=nowhere"], MISSING),
        ("evaluate", ["-m", "chunking=fixed,paragraph", "source=folder", "source.path=nowhere"], MISSING),
        ("run_query", ["q?", "--ingest", "source=folder", "source.path=nowhere"], MISSING),
        ("run_query", ["--file", "nowhere.jsonl"], unreadable_file("--file=nowhere.jsonl") + f"; it {MISSING}"),
        ("run_query", ["--file", "."], unreadable_file("--file=.") + "; it is a folder"),
        ("indexes", ["delete", "none"], store_is_empty() + ": ingest.py builds one"),
        ("indexes", ["delete", "none", "--yes"], index_name_wanted() + "; " + store_is_empty()),
        ("indexes", ["rebuild", "none"], index_name_wanted() + "; " + store_is_empty()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_wrong_is_said_with_what_is_right(tmp_path: Path, script: str, arguments: list[str], says: str) -> None:
    done = run(script, *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not done.stdout


def test_questions_without_documents_ask_for_their_source_before_the_sample_is_ingested(tmp_path: Path) -> None:
    line = '{"id": "q", "question": "how long?", "answerable": false}\n'
    (tmp_path / "q.jsonl").write_text(line, encoding="utf-8")
    questions = ["dataset=jsonl", "dataset.path=q.jsonl"]
    done = run("evaluate", *questions, cwd=tmp_path)
    assert done.returncode == 1
    assert no_documents("dataset=jsonl ") in done.stderr
    assert "source=folder source.path=FOLDER" in done.stderr
    assert not (tmp_path / ".ragloom").exists()
    assert no_documents("") not in run("evaluate", *questions, "source=sample", cwd=tmp_path).stderr


def test_name_of_no_index_is_near_another(tmp_path: Path) -> None:
    name = run("ingest", "workers.processes=0", "output=json", cwd=tmp_path).summary["index"]
    done = run("indexes", "delete", name[:-1], cwd=tmp_path)
    assert done.returncode == 1
    assert did_you_mean(name) in done.stderr
    assert nobody_to_ask() not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["ingest", "source=folder", "source.path=nowhere"],
        ["evaluate", "dataset=jsonl", "dataset.path=nowhere.jsonl", "source=sample"],
        ["evaluate", "-m", "chunking=fixed,paragraph", "source=folder", "source.path=nowhere"],
        ["query", "--file", "nowhere.jsonl"],
        ["query", "q?", "--ingest", "source=folder", "source.path=nowhere"],
    ],
    ids=" ".join,
)
def test_missing_file_is_reported_before_anything_heavy_is_imported(tmp_path: Path, arguments: list[str]) -> None:
    code = PROBE.format(arguments=arguments, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert MISSING in done.stderr
    assert done.stderr.rpartition("HEAVY:")[2] == ""


@pytest.mark.parametrize("installed", [True, False])
def test_messages_name_programs_as_they_were_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], installed: bool
) -> None:
    from ragloom import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["/usr/bin/ragloom" if installed else "scripts/indexes.py"])
    assert cli.main(["indexes", "list"]) == 0
    assert cli.main(["query", "q?", "vector_store.alias=live"]) == 1
    with pytest.raises(SystemExit):
        cli.main(["indexes", "--help"])
    printed = "".join(capsys.readouterr())
    names = {"ragloom ingest builds one", "ragloom indexes promote NAME live", "usage: ragloom indexes"}
    scripts = {"ingest.py builds one", "python scripts/indexes.py promote NAME live", "usage: indexes.py"}
    for name in names if installed else scripts:
        assert name in printed
    if installed:
        assert ".py" not in printed


def test_every_message_that_names_a_program_asks_how_it_was_started() -> None:
    source = Path(ragloom.__file__).parent
    verbs = "ingest|evaluate|compare|indexes|cache"
    named = re.compile(rf"\b({verbs}|run_query)\.py\b|\bragloom ({verbs}|query)\b")
    wrong = []
    for path in sorted(source.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        wrong += [
            f"{path.relative_to(source)}:{node.lineno}: {node.value}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
            if path.name != "suggested_commands.py" and named.search(node.value)
        ]
    assert wrong == []

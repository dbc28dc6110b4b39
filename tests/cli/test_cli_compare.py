"""`compare.py` as a person and a program meet it."""

import json
from pathlib import Path

import pytest

from comparison.test_comparison import BETTER, EQUAL, scores
from messages.cli import unknown_flag
from messages.comparison import (
    better_than,
    changed_since,
    counts_each_question,
    loses_less_than,
    need_not_be_best,
    no_clear_winner,
)
from programs import run
from ragloom.config.config import load
from ragloom.config.settings import COMPONENTS
from run_folders import METRIC, write


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    """Three runs, one of them with its own values, the first of them worse."""
    made = [
        write(tmp_path / "runs" / "base", scores(1)),
        write(tmp_path / "runs" / "good", scores(2, 0.9), BETTER, "retriever.top_k=7", "prompt.language=ko"),
        write(tmp_path / "runs" / "dense", scores(3), EQUAL),
    ]
    return [str(folder.relative_to(tmp_path)) for folder in made]


@pytest.mark.slow
def test_compare_prints_the_verdict_and_writes_it(tmp_path: Path, runs: list[str]) -> None:
    done = run("compare", *runs, "comparison.baseline=base", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    at = lines.index(f"Verdict on {METRIC}")
    assert better_than("", "") in lines[at + 1]
    (out,) = (tmp_path / "comparisons").iterdir()
    assert sorted(path.name for path in out.iterdir()) == ["experiment", "verdict.json", "verdict.md"]
    again = run("compare", *reversed(runs), "comparison.baseline=base", cwd=tmp_path)
    assert again.stdout == done.stdout  # seeded, and the order of runs is nothing
    assert list((tmp_path / "comparisons").iterdir()) == [out]


def test_compare_shows_a_line_a_config_best_first_and_the_verdict_last(tmp_path: Path, runs: list[str]) -> None:
    done = run("compare", *runs, "comparison.baseline=base", cwd=tmp_path, COLUMNS="80")
    lines = done.stdout.splitlines()
    head, *rows = lines[: 1 + len(runs)]
    assert head.split()[0] == "chunking"
    means = [float(row[head.index(METRIC) :].split()[0]) for row in rows]
    assert means == sorted(means, reverse=True)
    assert rows[0].startswith("*")
    assert "recommended" in rows[0]
    assert sum("baseline" in row for row in rows) == 1
    assert all(len(line) <= 80 for line in lines[: 1 + len(runs)])
    assert lines[len(runs) + 1] in ("", *(line for line in lines if line.startswith("not shown in 80 columns")))
    assert "Tests (" not in done.stdout  # in verdict.md
    assert any(line.startswith("Recommended: ") for line in lines[-8:])


@pytest.mark.slow
def test_compare_of_many_configs_takes_about_a_line_each(tmp_path: Path) -> None:
    folders = [
        write(
            tmp_path / "runs" / f"run{number}",
            scores(number),
            f"retriever.top_k={number + 5}",
            f"reranker.top_n={number % 5 + 1}",
        )
        for number in range(24)
    ]
    done = run("compare", *map(str, folders), cwd=tmp_path, COLUMNS="80")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) < 24 + 30
    assert len((next((tmp_path / "comparisons").iterdir()) / "verdict.md").read_text().splitlines()) > 60


@pytest.mark.slow
def test_recommendation_without_a_winner_says_why_that_is_no_contradiction(tmp_path: Path) -> None:
    near = [value + (0.001 if at % 2 else -0.001) for at, value in enumerate(scores(1))]
    a = write(tmp_path / "a", scores(1), usd=1.0)
    b = write(tmp_path / "b", near, BETTER, usd=2.0)
    done = run("compare", str(a), str(b), cwd=tmp_path)
    assert no_clear_winner() in done.stdout
    line = next(line for line in done.stdout.splitlines() if line.startswith("Recommended: "))
    assert need_not_be_best() in line
    assert loses_less_than(".020") in line


@pytest.mark.parametrize("group", ["document", "query"])
def test_verdict_names_the_key_that_groups_questions_and_what_would_help(tmp_path: Path, group: str) -> None:
    dataset = ["dataset=jsonl", "dataset.path=q.jsonl", f"dataset.group={group}"]
    groups = [f"d{at // 3}" for at in range(24)] if group == "document" else None
    a = write(tmp_path / "a", scores(1, 0, 24), *dataset, groups=groups)
    b = write(tmp_path / "b", scores(2, 0, 24), BETTER, *dataset, groups=groups)
    done = run("compare", str(a), str(b), cwd=tmp_path)
    assert f"dataset.group={group}" in done.stdout
    assert (counts_each_question(24) in done.stdout) == (group == "document")


def test_compare_prints_one_object_as_json(tmp_path: Path, runs: list[str]) -> None:
    done = run("compare", *runs, "comparison.baseline=base", "--json", cwd=tmp_path)
    shown = json.loads(done.stdout)
    assert shown["winner"] == shown["recommended"] == "good"
    assert shown["plan"] == "baseline"
    assert len(shown["tests"]) == 2
    assert {config["run"] for config in shown["configs"]} == {"base", "good", "dense"}
    written = json.loads((Path(shown["written"]) / "verdict.json").read_text(encoding="utf-8"))
    assert written == {key: value for key, value in shown.items() if key != "written"}


def test_compare_prints_markdown_in_which_no_text_is_markup(tmp_path: Path) -> None:
    a = write(tmp_path / "a", [0.0] * 30)
    b = write(tmp_path / "b", [0.5] * 29 + [1.0], BETTER)
    for folder in (a, b):
        text = (folder / "queries.jsonl").read_text()
        (folder / "queries.jsonl").write_text(text.replace("question 29?", "a | b <script> *c*"))
    done = run("compare", str(a), str(b), "--markdown", "--out", str(tmp_path / "out"), cwd=tmp_path)
    assert done.stdout.startswith(f"## Verdict on {METRIC}\n")
    assert "a \\| b \\<script\\> \\*c\\*" in done.stdout
    assert done.stdout == (tmp_path / "out" / "verdict.md").read_text(encoding="utf-8")
    rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert rows
    assert all(line.endswith("|") for line in rows)


@pytest.mark.slow
def test_the_recommendation_is_an_experiment_that_composes_what_was_measured(tmp_path: Path, runs: list[str]) -> None:
    done = run("compare", *runs, "comparison.baseline=base", "--out", "verdict", cwd=tmp_path)
    assert "experiment=recommended" in done.stdout
    (config,) = load(["experiment=recommended", "source=sample"], extra_dir=str(tmp_path / "verdict"))
    (measured,) = load([BETTER, "retriever.top_k=7", "prompt.language=ko"])
    for group in COMPONENTS:
        assert config.tree[group] == measured.tree[group], group
    text = (tmp_path / "verdict" / "experiment" / "recommended.yaml").read_text(encoding="utf-8")
    assert "top_k: 7" in text
    assert "chunk_size" not in text  # a value of the option itself is not repeated


@pytest.mark.slow
def test_a_key_that_follows_another_is_recommended_as_it_was_measured(tmp_path: Path) -> None:
    follows = ["retriever.top_k=20", "reranker.top_n=10"]  # 10 is what top_n follows unless top_k is changed
    (measured,) = load(follows)
    (plain,) = load([])
    assert measured.tree["reranker"] == plain.tree["reranker"]
    good, base = write(tmp_path / "good", scores(2, 0.9), *follows), write(tmp_path / "base", scores(5), BETTER)
    done = run("compare", str(good), str(base), "comparison.baseline=base", "--out", "v", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (config,) = load(["experiment=recommended"], extra_dir=str(tmp_path / "v"))
    assert config.tree["reranker"]["top_n"] == 10
    assert config.tree["retriever"]["top_k"] == 20


@pytest.mark.slow
def test_the_recommendation_runs(tmp_path: Path, runs: list[str]) -> None:
    run("compare", *runs, "comparison.baseline=base", "--out", "verdict", cwd=tmp_path)
    done = run("ingest", "--config-dir", "verdict", "experiment=recommended", "workers.processes=0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_no_recommendation_leaves_none_of_an_earlier_verdict(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", scores(5)), write(tmp_path / "b", scores(2), BETTER)
    named = run("compare", str(a), str(b), "comparison.baseline=a", "--out", "v", cwd=tmp_path)
    assert (tmp_path / "v" / "experiment" / "recommended.yaml").is_file(), named.stderr
    done = run("compare", str(a), str(b), "--out", "v", cwd=tmp_path)
    assert done.returncode == 0
    assert no_clear_winner() in done.stdout
    assert not (tmp_path / "v" / "experiment" / "recommended.yaml").exists()


@pytest.mark.slow
def test_options_that_changed_since_are_told(tmp_path: Path, runs: list[str]) -> None:
    record = tmp_path / "runs" / "good" / "run.json"
    read = json.loads(record.read_text())
    del read["config"]["retriever"]["top_k"]
    record.write_text(json.dumps(read))
    done = run("compare", *runs, "comparison.baseline=base", cwd=tmp_path)
    assert done.returncode == 1
    assert changed_since("retriever") in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "at least two folders of runs"),
        (["nowhere", "elsewhere"], "must be a folder that evaluate.py wrote"),
        (["a", "b", "comparison.tolerance=0"], "comparison.tolerance=0 must be"),
        (["a", "b", "comparison.plan=best"], "comparison.plan='best' must be"),
        (["a", "--wide"], unknown_flag("--wide")),
    ],
)
def test_wrong_arguments_are_one_line_each(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = run("compare", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_whose_name_has_an_equals_sign_is_a_folder(tmp_path: Path) -> None:
    a = write(tmp_path / "chunking=fixed", scores(1))
    b = write(tmp_path / "chunking=paragraph", scores(2, 0.9), BETTER)
    done = run("compare", a.name, b.name, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["winner"] == b.name


def test_what_else_stands_among_runs_is_no_run(tmp_path: Path, runs: list[str]) -> None:
    """A sweep and a benchmark leave a file there, and each ingest a folder: `compare.py .ragloom/runs/*` names them too."""
    (tmp_path / "runs" / "benchmark.json").write_text('{"format": 1, "results": []}')
    (tmp_path / "runs" / "trials.sqlite").write_bytes(b"")
    (tmp_path / "runs" / "ingest-sample-1").mkdir()
    (tmp_path / "runs" / "ingest-sample-1" / "ingest.json").write_text("{}")
    among = sorted(str(path) for path in (tmp_path / "runs").iterdir())
    done = run("compare", *among, "comparison.baseline=base", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["configs"]) == len(runs)

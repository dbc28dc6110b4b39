"""Sweeps: every trial recorded, none lost to another, gone on with after any kill, planned and paid within bounds."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from evaluation_corpus import evaluate, evaluated, overrides, write_corpus, write_questions
from loopback import OpenAIServer
from messages.evaluation import failed_trial, more_than_scored
from programs import SCRIPTS
from ragloom.config.config import load
from ragloom.config.labels import label_of, varying
from ragloom.core.tokenizers import load as tokenizer
from ragloom.errors import ConfigError, ServiceError
from ragloom.evaluation.runner import Trial
from ragloom.evaluation.sweep_log import SweepLog, sweep_digest
from ragloom.query.engine import CitedQueryEngine

pytestmark = pytest.mark.slow

GRID = ["-m", "chunking.chunk_size=20,40", "embedding.dimensions=64,128", "chunking.chunk_overlap=0"]
"""Two chunkings by two embeddings."""
BY_RERANKER = [*GRID, "reranker=none,mmr", "retriever.top_k=6"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working directory with a corpus and its questions."""
    write_corpus(tmp_path)
    write_questions(tmp_path)
    return tmp_path


def table(shown: dict[str, Any]) -> list[tuple[Any, ...]]:
    """A sweep's trials, timings aside."""
    return [
        (item["label"], item["state"], item["told"].get("metrics"), item["told"].get("counts"))
        for item in shown["trials"]
    ]


def test_each_stage_is_made_once_and_a_second_run_makes_none(place: Path) -> None:
    first = evaluated(place, *BY_RERANKER)
    assert [item["state"] for item in first["trials"]] == ["done"] * 8
    assert first["stages"] == {
        "chunks": {"made": 2, "found": 3},  # the first one was made before the first trial, which found it
        "index": {"made": 4, "found": 4},
        "rankings": {"made": 8, "found": 0},
    }
    (place / ".ragloom" / "runs" / "trials.sqlite").unlink()
    again = evaluated(place, *BY_RERANKER)
    assert again["stages"] == {"index": {"made": 0, "found": 8}, "rankings": {"made": 0, "found": 8}}
    assert table(again) == table(first)


def test_one_failure_loses_no_other_trial_and_is_retried_on_demand_only(place: Path) -> None:
    sweep = ["-m", "reranker=none,mmr", "retriever.top_k=5,6"]
    done = evaluate(place, *sweep)
    assert done.returncode == 1
    assert more_than_scored("retriever.top_k=5", 5) in done.stderr
    assert done.stdout.count("failed:") == 1
    shown = evaluated(place, *sweep, status=1)
    states = {item["label"]: item["state"] for item in shown["trials"]}
    assert list(states.values()).count("done") == 3
    (failed,) = [item for item in shown["trials"] if item["state"] == "failed"]
    assert failed["left_out"]
    assert "retry_failed=true" in evaluate(place, *sweep).stdout
    again = evaluated(place, *sweep, "retry_failed=true", status=1)
    assert [item["left_out"] for item in again["trials"]] == [False] * 4


def test_a_bug_in_one_trial_is_recorded_with_its_traceback_and_loses_no_other(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ragloom.evaluation import runner

    write = runner.write_run

    def crash(folder: Path, files: Any) -> None:
        if "paragraph" in folder.name:
            raise AssertionError("a bug")
        write(folder, files)

    monkeypatch.setattr(runner, "write_run", crash)
    done = evaluate(place, "-m", "chunking=fixed,paragraph,recursive")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert failed_trial("chunking=paragraph", "AssertionError: a bug") in done.stdout
    assert len(list((place / ".ragloom" / "runs").glob("questions-*"))) == 2


def test_failed_questions_of_a_trial_show_in_table_and_status(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(self: Any, question: Any) -> Any:
        raise KeyError(str(question))

    monkeypatch.setattr(CitedQueryEngine, "search", crash)
    shown = evaluated(place, "-m", "chunking=fixed,paragraph", status=3)
    assert [item["told"]["counts"]["errors"] for item in shown["trials"]] == [4, 4]
    assert [item["told"]["metrics"]["R@5"] for item in shown["trials"]] == [0.0, 0.0]


def test_joblib_runs_trials_in_other_processes_and_their_states_are_known(place: Path) -> None:
    sweep = ["-m", "chunking=fixed,paragraph", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="pip install 'ragloom[sweep]'")
    shown = evaluated(place, *sweep)
    assert [item["state"] for item in shown["trials"]] == ["done", "done"]
    assert shown["stages"]["rankings"] == {"made": 2, "found": 0}


def test_two_processes_that_want_the_same_stage_make_it_once(place: Path) -> None:
    commands = [
        [sys.executable, str(SCRIPTS / "evaluate.py"), *overrides(place), "output=json", f"concurrency={number}"]
        for number in (1, 2)
    ]
    running = [subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, text=True) for command in commands]
    shown = [json.loads(process.communicate(timeout=900)[0]) for process in running]
    for kind in ("index", "rankings"):
        hits = [stage["hit"] for item in shown for stage in item["stages"] if stage["stage"] == kind]
        assert sorted(hits) == [False, True]
    assert shown[0]["metrics"] == shown[1]["metrics"]


@pytest.mark.slow
def test_sweep_that_is_killed_goes_on_and_ends_as_an_undisturbed_one(place: Path, tmp_path_factory: Any) -> None:
    calm = tmp_path_factory.mktemp("calm")
    write_corpus(calm)
    write_questions(calm)
    wanted = table(evaluated(calm, *BY_RERANKER))
    chance = random.Random(7)
    command = [sys.executable, str(SCRIPTS / "evaluate.py"), *overrides(place), *BY_RERANKER]
    killed = 0
    for _ in range(3):
        process = subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        began = time.monotonic()
        runs = place / ".ragloom"
        while not runs.exists() and process.poll() is None and time.monotonic() - began < 60:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 3))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed
    assert table(evaluated(place, *BY_RERANKER)) == wanted
    assert [path for path in (place / ".ragloom" / "runs").iterdir() if path.name.startswith("questions-")]


def test_dry_run_lists_trials_and_unique_stages_and_writes_nothing(place: Path) -> None:
    before = sorted(place.rglob("*"))
    plan = evaluated(place, *BY_RERANKER, "dry_run=true")
    assert plan["stages"] == {
        "chunks": {"units": 2, "there": 0},
        "index": {"units": 4, "there": 0},
        "rankings": {"units": 8, "there": 0},
    }
    assert len(plan["trials"]) == 8
    assert plan["cost_usd"] == 0.0
    assert sorted(place.rglob("*")) == before
    evaluated(place, *GRID, "retriever.top_k=6")
    plan = evaluated(place, *BY_RERANKER, "dry_run=true")
    assert {stage: count["there"] for stage, count in plan["stages"].items()} == {
        "chunks": 2,
        "index": 4,
        "rankings": 4,
    }
    assert "a dry run" in evaluate(place, *BY_RERANKER, "dry_run=true").stdout


PAID = ["embedding=openai", "embedding.dimensions=16", "retriever=dense"]


def test_budget_stops_the_sweep_before_the_call_that_would_exceed_it(place: Path) -> None:
    with OpenAIServer(count=tokenizer("cl100k_base").count) as server:
        paid = [*PAID, f"embedding.base_url={server.base_url}"]
        sweep = [*paid, "-m", "chunking.chunk_size=10,20,30", "chunking.chunk_overlap=0"]
        plan = evaluated(place, *sweep, "dry_run=true", OPENAI_API_KEY="sk-test-0123456789")
        assert server.tokens == 0
        assert plan["cost_usd"] == pytest.approx(plan["tokens"] * 0.02 / 1e6)
        tokens = plan["tokens"] // 2
        shown = evaluated(place, *sweep, f"budget.max_tokens={tokens}", status=1, OPENAI_API_KEY="sk-test-0123456789")
        states = [item["state"] for item in shown["trials"]]
        assert states[0] == "done"
        assert states[-1] == "waiting"
        assert "budget.max_tokens" in shown["trials"][-1]["error"]
        assert server.tokens <= tokens, "also what the questions are embedded for"
        rest = evaluated(place, *sweep, OPENAI_API_KEY="sk-test-0123456789")
        assert [item["state"] for item in rest["trials"]] == ["done"] * 3


def test_labels_name_what_differs_and_nothing_else() -> None:
    configs = load(["chunking=fixed,paragraph", "retriever.top_k=5,7"], sweep=True)
    keys = varying(configs)
    assert keys[:1] == ["chunking"]
    assert label_of(configs[0], keys) == "chunking=fixed retriever.top_k=5 reranker.top_n=5"
    assert label_of(configs[3], keys) == "chunking=paragraph retriever.top_k=7 reranker.top_n=7"
    assert label_of(configs[0], varying(configs[:1])) == "base"


def test_ledger_keeps_what_it_knows_of_a_trial_when_its_sweep_is_entered_again(tmp_path: Path) -> None:
    ledger, sweep = SweepLog(tmp_path), sweep_digest(["b", "a"])
    assert sweep == sweep_digest(["a", "b"])
    ledger.enter(sweep, [("a", "first"), ("b", "second")])
    ledger.begin(sweep, "a", "first")
    ledger.record(sweep, "b", "failed", {}, error="it broke")
    ledger.begin(sweep, "c", "chosen by a sweeper")
    ledger.enter(sweep, [("a", "first"), ("b", "second")])
    assert [(item.label, item.state, item.error) for item in ledger.of(sweep)] == [
        ("first", "running", None),
        ("second", "failed", "it broke"),
        ("chosen by a sweeper", "running", None),
    ]
    assert ledger.of("another") == []


def test_ledger_that_is_damaged_is_named_and_may_be_removed(place: Path) -> None:
    evaluated(place, "-m", "chunking=fixed,paragraph")
    path = place / ".ragloom" / "runs" / "trials.sqlite"
    path.write_bytes(b"no ledger" * 1000)
    done = evaluate(place, "-m", "chunking=fixed,paragraph")
    assert done.returncode == 1
    assert "it only records" in done.stderr
    path.unlink()
    assert evaluated(place, "-m", "chunking=fixed,paragraph")["stages"]["index"]["made"] == 0
    with sqlite3.connect(path) as tables:
        assert tables.execute("SELECT count(*) FROM trials").fetchone() == (2,)


def test_indexes_made_of_kept_chunks_are_those_made_of_documents(place: Path) -> None:
    """What was cut before is exactly what would be cut: same run, with and without stages."""
    (place / "corpus" / "코드.md").write_text(
        "# 제목\n\n종은 정오에 울린다. 😀\n\n## 둘째\n\n닻은 무겁다.", encoding="utf-8"
    )
    evaluated(place, "embedding.dimensions=64")
    kept = evaluated(place, "embedding.dimensions=128", "retriever=hybrid")
    assert kept["stages"][0]["hit"], "the chunks are those of the first index"
    (folder,) = (place / kept["folder"]).parent.glob(kept["run"])
    lines = [json.loads(line)["chunks"] for line in (folder / "queries.jsonl").read_text("utf-8").splitlines()]
    fresh = evaluated(place, "embedding.dimensions=128", "retriever=hybrid", "stages=null", "vector_store.path=other")
    text = (place / fresh["folder"] / "queries.jsonl").read_text("utf-8")
    assert [json.loads(line)["chunks"] for line in text.splitlines()] == lines


@pytest.mark.parametrize("error", [ServiceError("vector_store: it is down"), ConfigError("chunking: no tokenizer")])
def test_what_stops_the_look_for_shared_problems_stops_no_trial(
    error: Exception, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cache_chunks(*arguments: Any) -> Any:
        raise error

    monkeypatch.setattr("ragloom.evaluation.sweep_preflight.cache_chunks", cache_chunks)
    shown = evaluated(place, "-m", "chunking=fixed,paragraph")
    assert [item["state"] for item in shown["trials"]] == ["done", "done"]


def test_bug_in_the_check_of_a_trial_stops_no_other(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = Trial.check

    def broken(self: Trial) -> None:
        if self.config.choices["chunking"] == "fixed":
            raise ValueError("a bug of an extension")
        check(self)

    monkeypatch.setattr(Trial, "check", broken)
    shown = evaluated(place, "-m", "chunking=fixed,paragraph", status=1)
    assert {item["label"]: item["state"] for item in shown["trials"]} == {
        "chunking=fixed": "failed",
        "chunking=paragraph": "done",
    }

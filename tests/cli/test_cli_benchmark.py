"""`ragloom benchmark` as a whole: what is measured, printed, kept, refused, and its exit status."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

import programs
import ragloom
from evaluation_corpus import evaluated, overrides, write_corpus, write_questions
from load_tools import ends_itself, raises, waits
from loopback import OpenAIServer
from messages import wording
from messages.benchmark import (
    as_benchmark_writes_it,
    ended_early,
    failed_first_requests,
    generator_late_at,
    highest_measured,
    holds_up_to,
    ingest_had_ended,
    must_be_over_limit,
    no_verdict,
    only_measures,
    wrong_target,
)
from messages.evaluation import budget_exceeded, not_ingested
from programs import Done
from ragloom.errors import DataError, ServiceError
from ragloom.evaluation.benchmark import benchmark_runner, rate_summary
from ragloom.evaluation.benchmark.benchmark_file import load_results
from ragloom.evaluation.benchmark.child_program import ChildProgram
from search_service import SearchService, answered

pytestmark = pytest.mark.slow

FAST = ["benchmark.rates=[100]", "benchmark.warmup=10", "benchmark.timeout_ms=60000"]
RUNS = Path(".ragloom/runs")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_corpus(tmp_path)
    write_questions(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def machine_may_be_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests run at the same time: a late load generator is the matter of one test only."""
    monkeypatch.setattr(rate_summary, "MAX_LATENESS_MS", 60_000.0)
    monkeypatch.setattr(benchmark_runner, "MAX_WINDOW_LATENESS_MS", 60_000.0)


def benchmark(place: Path, *arguments: str, **env: str) -> Done:
    return programs.run("benchmark", *overrides(place), *FAST, *arguments, cwd=place, **env)


def ingested(place: Path, *arguments: str, **env: str) -> None:
    assert programs.run("ingest", *overrides(place), *arguments, cwd=place, **env).returncode == 0


def shown(done: Done, status: int = 0) -> dict[str, Any]:
    assert done.returncode == status, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_result_has_what_was_measured_and_is_kept_by_run_machine_and_rate(place: Path) -> None:
    run = evaluated(place)["run"]
    result = shown(benchmark(place, "retriever=hybrid", "benchmark.slo_ms=50000", "--json"))
    assert result["run"] != run, "another retriever is another run"
    result = shown(benchmark(place, "benchmark.slo_ms=50000", "--json"))
    assert result["run"] == run
    (rate,) = result["rates"]
    assert (rate["requests"], rate["errors"], rate["timeouts"], rate["distinct_questions"]) == (1000, 0, 0, 4)
    assert {"wait", "total", "retrieve", "bm25", "rerank"} <= rate["stages_ms"].keys()
    assert rate["latency_ms"]["p99"]["low"] <= rate["latency_ms"]["p99"]["ms"] <= rate["latency_ms"]["p99"]["high"]
    assert result["cold_ms"]["latency"] >= result["cold_ms"]["total"] > 0
    assert result["promise"]["sentence"] == holds_up_to("50000", "100") + highest_measured()
    assert result["recall"] is None, "bm25 has no dense search"
    kept = load_results(place / RUNS)
    assert [item["run"] for item in kept][-1] == run
    assert kept[-1]["machine"] == result["machine"]
    assert kept[-1]["rate"] == 100


def test_table_shows_the_verdict_and_the_interval_of_p99(place: Path) -> None:
    ingested(place)
    done = benchmark(place, "benchmark.slo_ms=50000", "retriever=dense", "benchmark.arrival=constant")
    assert done.returncode == 0, done.stderr
    for text in (
        holds_up_to("50000", "100"),
        "recall@10 of dense search 1.000",
        "95 % interval",
        "1000 (4)",
        "open loop",
    ):
        assert text in done.stdout
    assert str(RUNS / "benchmark.json") in done.stdout


def test_query_vectors_are_computed_for_each_request_though_questions_repeat(place: Path) -> None:
    with OpenAIServer() as server:
        paid = [
            "embedding=openai",
            f"embedding.base_url={server.base_url}",
            "embedding.dimensions=8",
            "retriever=dense",
        ]
        ingested(place, *paid, OPENAI_API_KEY="sk-test-0123456789")
        before = len(server.requests)
        shown(
            benchmark(
                place,
                *paid,
                "benchmark.recall=0",
                "benchmark.slo_ms=50000",
                "--json",
                OPENAI_API_KEY="sk-test-0123456789",
            )
        )
    assert len(server.requests) - before == 1 + 10 + 1000  # cold, warm-up, measured


def test_budget_ends_a_benchmark(place: Path) -> None:
    key = {"OPENAI_API_KEY": "sk-test-0123456789"}
    with OpenAIServer() as server:
        paid = [
            "embedding=openai",
            f"embedding.base_url={server.base_url}",
            "embedding.dimensions=8",
            "retriever=dense",
        ]
        ingested(place, *paid, **key)
        before = len(server.requests)
        done = benchmark(place, *paid, "budget.max_tokens=200", **key)
    assert done.returncode == 1
    assert budget_exceeded("budget.max_tokens=200") in done.stderr
    assert len(server.requests) - before < 100


def test_capacity_is_searched_and_rates_are_parts_of_it(place: Path) -> None:
    ingested(place)
    result = shown(
        benchmark(
            place,
            "benchmark.rates=null",
            "benchmark.capacity.seconds=1",
            "benchmark.capacity.repeats=1",
            "benchmark.capacity.precision=0.5",
            "benchmark.slo_ms=50000",
            "--json",
        )
    )
    found = result["capacity"]["requests_per_second"]
    assert found == max(window["rate"] for window in result["capacity"]["windows"] if window["holds"])
    assert [rate["rate"] for rate in result["rates"]] == [float(f"{share * found:.3g}") for share in (0.25, 0.5, 0.75)]


def test_running_service_is_asked_instead_of_the_index(place: Path) -> None:
    with SearchService(answered) as service:
        result = shown(benchmark(place, f"benchmark.target={service.url}", "--json"))
        assert {path for path, _ in service.requests} == {"/search"}
        assert len(service.requests) == 1 + 10 + 1000
        with_answers = benchmark(place, f"benchmark.target={service.url}", "answers=true", "--json")
        assert service.requests[-1][0] == "/query"
    assert with_answers.returncode == 0
    assert result["run"] is None, "the index of this config is not here"
    assert result["rates"][0]["stages_ms"].keys() == {"wait", "total", "retrieve", "bm25"}
    assert result["recall"] is None


def test_service_that_fails_is_an_error_with_its_words(place: Path) -> None:
    with SearchService(lambda path, question: (500, {"detail": "out of order"})) as service:
        done = benchmark(place, f"benchmark.target={service.url}")
    assert done.returncode == 1
    assert failed_first_requests(1, 1) in done.stderr
    assert "out of order" in done.stderr


def test_some_failed_requests_are_counted_shown_and_exit_3(place: Path) -> None:
    count = iter(range(10_000))

    def sometimes(path: str, question: str) -> tuple[int, dict[str, Any]]:
        return (500, {"detail": "out of order"}) if next(count) % 50 == 40 else answered(path, question)

    with SearchService(sometimes) as service:
        done = benchmark(place, f"benchmark.target={service.url}", "--json")
    result = shown(done, status=3)
    assert result["rates"][0]["errors"] == 20
    assert result["rates"][0]["within_slo"] <= 0.98
    assert result["promise"]["up_to"] is None, "2 % failures are over the limit, and so is the p99"


def test_late_generator_is_invalid_without_a_verdict_and_exits_1(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_summary, "MAX_LATENESS_MS", -1.0)
    with SearchService(answered) as service:
        done = benchmark(place, f"benchmark.target={service.url}")
    assert done.returncode == 1
    assert re.search(wording(generator_late_at("100")), done.stdout)
    assert no_verdict() in done.stdout
    assert "p99 <=" not in done.stdout
    (kept,) = load_results(place / RUNS)
    assert not kept["valid"]


def test_concurrent_ingest_writes_another_index_and_leaves_none(place: Path) -> None:
    ingested(place)
    before = programs.run("indexes", "list", "--json", cwd=place).stdout
    result = shown(benchmark(place, "benchmark.ingest=copy", "benchmark.slo_ms=50000", "--json"))
    assert result["concurrent_ingest"]["ingests"] >= 1
    assert result["concurrent_ingest"]["embedded"] >= 4
    assert programs.run("indexes", "list", "--json", cwd=place).stdout == before


def test_concurrent_sync_adds_new_documents_to_the_index_and_says_when_it_had_ended(place: Path) -> None:
    ingested(place)
    (place / "corpus" / "new.txt").write_text("A new document of the ferry.", encoding="utf-8")
    result = shown(
        benchmark(place, "benchmark.ingest=sync", "benchmark.slo_ms=50000", "--json", "benchmark.rates=[100,40]")
    )
    assert (result["concurrent_ingest"]["ingests"], result["concurrent_ingest"]["embedded"]) == (1, 1)
    (note,) = [note for note in result["notes"] if "ingest" in note]
    assert ingest_had_ended("40") in note or ingest_had_ended("100") in note


def test_interrupted_benchmark_keeps_the_rates_that_were_measured(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = []

    def stopping(rate: float, *arguments: Any) -> dict[str, Any]:
        rates.append(rate)
        if len(rates) > 1:
            raise KeyboardInterrupt
        return summarize(rate, *arguments)

    summarize = rate_summary.summarize
    monkeypatch.setattr(benchmark_runner, "summarize", stopping)
    with SearchService(answered) as service:
        done = benchmark(place, f"benchmark.target={service.url}", "benchmark.rates=[100,200]")
    assert done.returncode == 130
    assert [result["rate"] for result in load_results(place / RUNS)] == [100]


def test_missing_index_names_the_command_that_builds_it(place: Path) -> None:
    done = benchmark(place)
    assert done.returncode == 1
    assert not_ingested("lancedb") in done.stderr
    assert "ingest.py" in done.stderr
    assert "benchmark." not in done.stderr


def test_damaged_file_of_results_is_an_error_before_anything_is_measured(place: Path) -> None:
    (place / RUNS).mkdir(parents=True)
    (place / RUNS / "benchmark.json").write_text("{")
    with SearchService(answered) as service:
        done = benchmark(place, f"benchmark.target={service.url}")
    assert done.returncode == 1
    assert as_benchmark_writes_it() in done.stderr
    assert not service.requests


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("benchmark.timeout_ms=300", must_be_over_limit("300", "300")),
        ("benchmark.target=localhost:80", wrong_target("localhost:80")),
        ("benchmark.requests=999", "benchmark.requests=999 must be at least 1000"),
        ("benchmark.rates=[]", "benchmark.rates=[] must not be empty"),
        ("benchmark.rates=[0]", "must be greater than 0"),
        ("benchmark.ingest=all", "benchmark.ingest='all' must be"),
        ("dry_run=true", only_measures()),
    ],
)
def test_wrong_setting_is_refused_before_anything_starts(place: Path, argument: str, message: str) -> None:
    done = benchmark(place, argument)
    assert done.returncode == 1
    assert message in done.stderr


def test_python_function_reports_progress(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    steps: list[str] = []
    with SearchService(answered) as service:
        config = ragloom.load_config(
            [*overrides(place), *FAST, "benchmark.slo_ms=50000", f"benchmark.target={service.url}"]
        )
        result = ragloom.benchmark(config, progress=lambda step, done, total: steps.append(step))
    assert "rate 1 of 1: 100 requests/s" in steps
    assert result.promise is not None
    assert result.promise.up_to == 100


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the processes of a benchmark")
def test_killed_serving_process_ends_the_benchmark_with_its_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    ingested(place)
    config = ragloom.load_config([*overrides(place), *FAST])
    before = children()

    def kill(step: str, done: int, total: int) -> None:
        if step.startswith("rate") and done:
            os.kill(min(children() - before), signal.SIGKILL)  # the first one that was started

    with pytest.raises(ServiceError, match=wording(ended_early("serving process", "SIGKILL"))):
        ragloom.benchmark(config, progress=kill)
    assert children() == before


def children() -> set[int]:
    files = Path("/proc/self/task").glob("*/children")
    return {int(pid) for file in files for pid in file.read_text().split()}


def test_child_that_is_killed_or_fails_is_an_error_of_the_benchmark() -> None:
    with (
        ChildProgram("serving process", ends_itself) as child,
        pytest.raises(ServiceError, match=wording(ended_early("serving process", "SIGKILL"))),
    ):
        child.receive()
    with ChildProgram("serving process", raises) as child, pytest.raises(DataError, match="^wrong in the child$"):
        child.receive()


def test_child_ends_with_the_benchmark() -> None:
    with ChildProgram("load generator", waits) as child:
        pid = child.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIG_DFL)

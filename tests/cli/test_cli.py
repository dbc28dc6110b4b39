"""The programs as a person and a program meet them: arguments, exit status, what is printed and where."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from messages.cli import nearest_index, quote_is_in_document, rebuild_command
from messages.config import did_you_mean
from messages.vector_store import deleted_in_statistics
from places import ROOT
from programs import run

ROOT = ROOT


def query(*arguments: str, cwd: Path, **env: str) -> dict[str, Any]:
    done = run("run_query", *arguments, "--json", cwd=cwd, **env)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory whose default store holds the sample."""
    folder = tmp_path_factory.mktemp("place")
    done = run("ingest", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "documents" in done.stdout
    return folder


def test_query_prints_answer_sources_and_verified_quotes(place: Path) -> None:
    done = run("run_query", "How long is the frame covered?", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "[1]" in done.stdout
    assert quote_is_in_document() in done.stdout
    assert "verified" not in done.stdout, "a quote that is there says nothing about the answer"
    assert "NOT VERIFIED" not in done.stdout


KEYS = {"question", "answer", "citations", "chunks", "timings_ms", "usage", "index", "config"}


@pytest.mark.parametrize("question", ["How long is the frame covered?", "차체의 보증 기간은 얼마인가요?"])
def test_json_is_one_object_with_every_promised_key(place: Path, question: str) -> None:
    answer = query(question, cwd=place)
    assert set(answer) >= KEYS
    assert answer["question"] == question
    for citation in answer["citations"]:
        assert set(citation) == {"number", "document", "start", "end", "quote", "verified"}
        assert citation["verified"]
    for rank, chunk in enumerate(answer["chunks"], start=1):
        assert chunk["rank"] == rank
        assert set(chunk) >= {"chunk", "document", "start", "end", "score", "text", "dense_rank", "bm25_rank"}
        assert chunk["end"] - chunk["start"] == len(chunk["text"])
    assert "total" in answer["timings_ms"]
    assert answer["usage"]["cost_usd"] == 0.0
    assert answer["index"]["name"] == f"sample-{answer['index']['fingerprint']}"
    assert answer["config"]["chunking"] == "fixed"


@pytest.mark.parametrize("question", ["왜?", "it's 100% = sure & (really) #1?", "What does 'k=v' mean, [a]?", "source"])
def test_question_may_hold_anything(place: Path, question: str) -> None:
    """TRAPS 28."""
    assert query(question, cwd=place)["question"] == question


def test_question_from_standard_input(place: Path) -> None:
    done = run("run_query", "-", "--json", cwd=place, stdin="차체의 보증 기간은?\n")
    assert json.loads(done.stdout)["question"] == "차체의 보증 기간은?"


def test_options_and_overrides_may_come_in_any_order(place: Path) -> None:
    done = run(
        "run_query", "--json", "frame warranty?", "retriever.top_k=2", "--retrieve-only", "retriever=bm25", cwd=place
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["answer"] is None
    assert len(answer["chunks"]) <= 2
    assert answer["config"]["retriever"] == "bm25"


def test_override_in_the_questions_place_is_an_error(place: Path) -> None:
    done = run("run_query", "chunking=fixed", "a question", cwd=place)
    assert done.returncode == 1
    assert "question" in done.stderr
    assert run("run_query", cwd=place).returncode == 1


def test_explain_shows_both_ranks(place: Path) -> None:
    done = run("run_query", "frame warranty", "--explain", cwd=place)
    assert "dense" in done.stdout
    assert "bm25" in done.stdout
    assert "ms:" in done.stdout


def test_stream_prints_the_answer_and_its_sources(place: Path) -> None:
    done = run("run_query", "How long is the frame covered?", "--stream", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "Sources" in done.stdout
    assert quote_is_in_document() in done.stdout
    assert run("run_query", "q", "--stream", "--json", cwd=place).returncode == 1


def test_file_of_questions_gives_a_line_each_in_order_with_errors_as_lines(place: Path, tmp_path: Path) -> None:
    questions = tmp_path / "질문 목록.jsonl"
    questions.write_text(
        '{"question": "frame warranty?"}\n\nnot json\n{"question": "차체의 보증 기간은?"}\n{"question": ""}\n',
        encoding="utf-8",
    )
    done = run("run_query", "--file", str(questions), "retriever.top_k=3", cwd=place)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line.get("question") for line in lines] == ["frame warranty?", None, "차체의 보증 기간은?", None]
    assert ["error" in line for line in lines] == [False, True, False, True]
    assert lines[1]["line"] == 3
    assert done.returncode == 1
    assert "2 questions failed" in done.stderr


def test_missing_index_names_the_command_and_the_nearest_index(place: Path) -> None:
    done = run("run_query", "frame?", "chunking.chunk_size=100", cwd=place)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "ingest.py chunking.chunk_size=100" in done.stderr
    assert nearest_index("sample-") in done.stderr
    assert "chunking.chunk_size: 100 / " in done.stderr


@pytest.mark.slow
def test_missing_index_is_built_by_the_command_that_the_error_names(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "내 문서, 1"
    folder.mkdir()
    (folder / "a.txt").write_text("프레임은 파란색입니다.", encoding="utf-8")
    overrides = ["source=folder", f'source.path="{folder}"']
    done = run("run_query", "프레임은 무슨 색인가요?", *overrides, cwd=tmp_path)
    command = done.stderr.partition("build it with: ")[2].splitlines()[0]
    built = subprocess.run(
        command.replace("python ", f"{sys.executable} ", 1), shell=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    assert "파란색" in query("프레임은 무슨 색인가요?", *overrides, cwd=tmp_path)["answer"]


@pytest.mark.slow
def test_ingest_option_builds_first_and_keeps_standard_output_clean(tmp_path: Path) -> None:
    answer = query("How long is the frame covered?", "--ingest", cwd=tmp_path)
    assert answer["citations"][0]["verified"]


def test_ingest_json_is_one_object(place: Path) -> None:
    done = run("ingest", "output=json", cwd=place)
    summary = done.summary
    assert summary["unchanged"] == summary["documents"] > 5
    assert summary["embedded"] == 0


def test_ingest_with_unreadable_files_lists_them_and_exits_with_3(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "good.txt").write_text("Words.")
    (tmp_path / "docs" / "bad.pdf").write_bytes(b"%PDF-1.4 broken")
    done = run("ingest", "source=folder", "source.path=docs", cwd=tmp_path)
    assert done.returncode == 3
    assert "bad.pdf" in done.stdout
    assert "1 added" in done.stdout


def test_wrong_overrides_are_one_line_each_without_traceback(tmp_path: Path) -> None:
    done = run("ingest", "chunking=paragraf", "retriever.top_kk=1", "x", "llm.api_key=sk-planted-1", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 4
    assert "Traceback" not in done.stderr
    assert "planted" not in done.stderr
    assert list(tmp_path.iterdir()) == []  # nothing was begun


def test_ingest_writes_nothing_but_the_store(place: Path) -> None:
    """TRAPS 29: no output folder, no saved overrides, and the working directory stays."""
    assert [path.name for path in place.iterdir()] == [".ragloom"]


@pytest.mark.slow
def test_multirun_builds_every_index_and_tells_the_worst_status(tmp_path: Path) -> None:
    """TRAPS 29: Hydra loses later errors of a multirun."""
    done = run("ingest", "-m", "chunking=fixed,paragraph", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    listed = run("indexes", "list", "--json", cwd=tmp_path)
    assert len(json.loads(listed.stdout)) == 2
    (tmp_path / "docs").mkdir()
    failing = run("ingest", "-m", "source=folder", "source.path=docs,absent", cwd=tmp_path)
    assert failing.returncode == 1
    assert "absent" in failing.stderr


def test_cfg_job_shows_the_composed_config(tmp_path: Path) -> None:
    done = run("ingest", "--cfg", "job", "chunking=paragraph", cwd=tmp_path)
    assert done.returncode == 0
    assert "ragloom.components.chunking.paragraph" in done.stdout


@pytest.mark.parametrize(
    ("script", "arguments"),
    [("run_query", ["q", "--nosuch"]), ("indexes", ["list", "--nosuch"]), ("indexes", []), ("ingest", ["--nosuch"])],
)
def test_wrong_option_of_a_program_exits_with_1(script: str, arguments: list[str], tmp_path: Path) -> None:
    assert run(script, *arguments, cwd=tmp_path).returncode == 1


def test_half_a_character_fails_its_line_only(place: Path, tmp_path: Path) -> None:
    questions = tmp_path / "q.jsonl"
    questions.write_bytes(b'{"question": "bad \\ud800"}\n{"question": "\xff"}\n{"question": "frame?"}\n')
    lines = [json.loads(line) for line in run("run_query", "--file", str(questions), cwd=place).stdout.splitlines()]
    assert ["error" in line for line in lines] == [True, True, False]


def test_streamed_query_without_a_hit_still_answers(place: Path) -> None:
    done = run("run_query", "zebra?", "--stream", "retriever=dense", "retriever.min_score=0.99", cwd=place)
    assert "The documents do not answer this question." in done.stdout


@pytest.mark.slow
def test_text_that_looks_like_an_emoji_code_is_printed_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("The ratio of the mixture is 1:100:5 exactly.")
    done = run("run_query", "ratio mixture?", "--ingest", "source=folder", "source.path=docs", cwd=tmp_path)
    assert "1:100:5 exactly" in done.stdout


def test_missing_key_is_told_before_ingest_is_paid_for(tmp_path: Path) -> None:
    done = run("run_query", "q", "--ingest", "llm=openai", cwd=tmp_path, OPENAI_API_KEY="")
    assert done.returncode == 1
    assert "OPENAI_API_KEY" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_with_130_and_a_closed_pipe_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    from ragloom.cli.console import run_program

    def stop(error: BaseException) -> int:
        raise error

    assert run_program(lambda: stop(KeyboardInterrupt())) == 130
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    assert run_program(lambda: stop(BrokenPipeError())) == 1


@pytest.mark.slow
def test_installed_command_shares_the_scripts_mains(place: Path) -> None:
    code = "import sys; from ragloom.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "query", "frame warranty?", "--json"], capture_output=True, text=True, cwd=place
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["chunks"]
    wrong = subprocess.run([sys.executable, "-c", code, "qery"], capture_output=True, text=True, cwd=place)
    assert wrong.returncode == 1
    assert did_you_mean("query") in wrong.stderr


@pytest.mark.slow
def test_ingest_tells_what_the_store_says_of_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from ragloom.components.vector_store.lancedb_store.index_writer import LanceWriter

    commit = LanceWriter.commit
    monkeypatch.setattr(
        LanceWriter, "commit", lambda *given: replace(commit(*given), notes=("3 shards [x]",), deleted_chunks=7)
    )
    done = run("ingest", cwd=tmp_path)
    assert "note: 3 shards [x]" in done.stdout
    assert "note: " + deleted_in_statistics(7) in done.stdout
    assert rebuild_command("sample-") in done.stdout
    summary = run("ingest", "output=json", cwd=tmp_path).summary
    assert (summary["notes"], summary["deleted_chunks"]) == (["3 shards [x]"], 7)

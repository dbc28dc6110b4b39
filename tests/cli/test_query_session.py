"""`query` without a question: sessions on a terminal, and questions from a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from messages.cli import cancelled, explain_needs_an_answer, index_stays_open, new_commit, no_command, question_wanted
from messages.config import did_you_mean
from programs import run

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo terminal", allow_module_level=True)

from terminals import Terminal

PROMPT = "ragloom> "
DOCUMENTS = ["source=folder", "source.path=docs", "retriever.top_k=3"]
BACKSPACE, UP, HOME, LEFT = "\x7f", "\x1b[A", "\x01", "\x1b[D"
SLOW = """
import time
from ragloom.query.engine import CitedQueryEngine
before = CitedQueryEngine.answer
def slow(self, question, **named):
    if "slowly" in question:
        print("SLEEPS", file=sys.stderr, flush=True)
        time.sleep(60)
    return before(self, question, **named)
CitedQueryEngine.answer = slow
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working directory with an index of two documents."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "frame.txt").write_text("The frame is covered for five years.", encoding="utf-8")
    (tmp_path / "docs" / "bell.txt").write_text("자전거의 종은 놋쇠로 만듭니다.", encoding="utf-8")
    assert run("ingest", *DOCUMENTS, cwd=tmp_path).returncode == 0
    return tmp_path


def session(place: Path, *arguments: str, before: str = "") -> Terminal:
    code = f"import sys\n{before}\nfrom ragloom.cli import main\nsys.exit(main(sys.argv[1:]))"
    return Terminal([sys.executable, "-c", code, "query", *DOCUMENTS, *arguments], cwd=place, RAGLOOM_PROJECT="none")


@pytest.fixture
def terminal(place: Path) -> Iterator[Terminal]:
    with session(place) as opened:
        opened.expect(PROMPT)
        yield opened


def test_session_answers_question_after_question_until_ctrl_d(terminal: Terminal) -> None:
    terminal.type("How long is the frame covered?\n")
    assert "five years" in terminal.expect(PROMPT)
    terminal.type("종은 무엇으로 만듭니까?\n")
    assert "놋쇠" in terminal.expect(PROMPT)
    terminal.type("\n")
    terminal.expect(PROMPT)
    terminal.type("\x04")
    assert terminal.ended() == 0


def test_exit_ends_the_session(terminal: Terminal) -> None:
    terminal.type("/exit\n")
    assert terminal.ended() == 0


def asked(terminal: Terminal) -> str:
    """The question of the JSON object that is printed next."""
    terminal.expect('{"question": ')
    return str(json.JSONDecoder().raw_decode(terminal.expect(', "answer"'))[0])


def test_wide_characters_are_edited_as_one_each_and_history_brings_them_back(place: Path) -> None:
    with session(place, "--json", "--retrieve-only") as terminal:
        terminal.expect(PROMPT)
        terminal.type(f"자전거종{LEFT}{BACKSPACE}동{HOME}새 \n")
        assert asked(terminal) == "새 자전동종"
        terminal.expect(PROMPT)
        terminal.type(f"{UP}?{BACKSPACE}{BACKSPACE}!\n")
        assert asked(terminal) == "새 자전동!"
        terminal.expect(PROMPT)
        terminal.type("\x04")
        assert terminal.ended() == 0
    with session(place, "--json", "--retrieve-only") as terminal:
        terminal.expect(PROMPT)
        terminal.type(f"{UP}{UP}\n")
        assert asked(terminal) == "새 자전동종", "the next session has the history"


def test_explain_shows_how_the_chunks_of_the_last_answer_were_found(terminal: Terminal) -> None:
    terminal.type("/explain\n")
    assert explain_needs_an_answer() in terminal.expect(PROMPT)
    terminal.type("How long is the frame covered?\n")
    terminal.expect(PROMPT)
    terminal.type("/explain\n")
    shown = terminal.expect(PROMPT)
    for name in ("rank", "score", "dense", "bm25", "frame.txt", "ms: "):
        assert name in shown


def test_config_shows_and_changes_query_keys_with_the_same_errors(terminal: Terminal) -> None:
    terminal.type("/config\n")
    assert "top_k: 3 # command line" in terminal.expect(PROMPT)
    terminal.type("/config retriever.top_k=1 reranker.top_n=1\n")
    assert "retriever.top_k: 3 -> 1" in terminal.expect(PROMPT)
    terminal.type("/config retriever.topk=2\n")
    assert did_you_mean("retriever.top_k") in terminal.expect(PROMPT)
    terminal.type("/config retriever.top_k=0\n")
    assert "must be greater than 0" in terminal.expect(PROMPT)
    terminal.type("/config chunking.chunk_size=77\n")
    assert index_stays_open("chunking.chunk_size: 256 / 77") in terminal.expect(PROMPT).replace("\r\n", "")
    terminal.type("the frame and the 종?\n")
    terminal.expect(PROMPT)
    terminal.type("/explain\n")
    shown = terminal.expect(PROMPT)
    assert ("frame.txt" in shown) != ("bell.txt" in shown), "top_k=1 holds, and no refused change does"


def test_unknown_command_names_the_nearest_and_help_shows_all(terminal: Terminal) -> None:
    terminal.type("/explian\n")
    shown = terminal.expect(PROMPT)
    assert no_command("/explian") in shown
    assert did_you_mean("/explain") in shown
    terminal.type("/help\n")
    shown = terminal.expect(PROMPT)
    for name in ("/explain", "/config", "/help", "/exit"):
        assert name in shown


def test_ctrl_c_cancels_the_question_and_not_the_session(place: Path) -> None:
    with session(place, before=SLOW) as terminal:
        terminal.expect(PROMPT)
        terminal.type("answer slowly\n")
        terminal.expect("SLEEPS")
        terminal.interrupt(cancelled())
        terminal.expect(PROMPT)
        terminal.interrupt(PROMPT)  # at the prompt: nothing is asked
        for _ in range(5):  # a late signal may cancel this question as well
            terminal.type("How long is the frame covered?\n")
            if "five years" in (shown := terminal.expect(PROMPT)):
                break
        assert "five years" in shown
        terminal.type("\x04")
        assert terminal.ended() == 0


def test_question_after_an_ingest_reads_the_newest_commit(terminal: Terminal, place: Path) -> None:
    terminal.type("How long is the frame covered?\n")
    assert "five years" in terminal.expect(PROMPT)
    (place / "docs" / "frame.txt").write_text("The frame is covered for nine years.", encoding="utf-8")
    index = run("ingest", *DOCUMENTS, "output=json", cwd=place).summary["index"]
    terminal.type("How long is the frame covered?\n")
    shown = terminal.expect(PROMPT)
    assert new_commit(index) in shown
    assert "nine years" in shown
    assert "five years" not in shown


def test_pipe_gives_a_question_a_line_and_json_an_object_a_line(place: Path) -> None:
    piped = "How long is the frame covered?\n\n종은 무엇으로 만듭니까?\n"
    done = run("run_query", *DOCUMENTS, "--json", cwd=place, stdin=piped)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["question"] for line in lines] == ["How long is the frame covered?", "종은 무엇으로 만듭니까?"]
    assert "five years" in run("run_query", *DOCUMENTS, cwd=place, stdin=piped).stdout


def test_failed_question_of_a_pipe_ends_nothing_and_is_the_status(place: Path) -> None:
    done = run("run_query", *DOCUMENTS, "--json", cwd=place, stdin="half \udcd8 of one\n종은 무엇으로 만듭니까?\n")
    assert done.returncode == 1
    failed, answered = map(json.loads, done.stdout.splitlines())
    assert set(failed) == {"question", "error"}
    assert "놋쇠" in answered["answer"]


def test_no_question_and_an_empty_pipe_is_an_error(place: Path) -> None:
    for piped in ("", "\n \n"):
        done = run("run_query", *DOCUMENTS, cwd=place, stdin=piped)
        assert done.returncode == 1
        assert question_wanted() in done.stderr

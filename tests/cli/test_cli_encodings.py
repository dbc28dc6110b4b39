"""Characters that the console's encoding lacks, and halves of characters, end in no traceback."""

import contextlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from loopback import OpenAIServer, raw
from ragloom.cli import cache, compare, evaluate, indexes, ingest, query
from ragloom.cli.console import console, print_json, run_program

MAINS: dict[str, Callable[[list[str]], int]] = {
    "cache": cache.main,
    "compare": compare.main,
    "evaluate": evaluate.main,
    "indexes": indexes.main,
    "ingest": ingest.main,
    "query": query.main,
}
ODD = "보증 — 漢字 👍 é ℃ \ud83d"
ENCODINGS = ["ascii", "latin-1", "cp949", "utf-8"]
every_encoding = pytest.mark.parametrize("encoding", ENCODINGS)


class Screen:
    """Standard output in an encoding, strict as the interpreter makes it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
        self._bytes = io.BytesIO()
        self._encoding = encoding
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(self._bytes, encoding, write_through=True))

    @property
    def text(self) -> str:
        return self._bytes.getvalue().decode(self._encoding)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with an index of a folder whose name, text and title are odd."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "docs").mkdir()
    text = "# 보증 ℃ 👍\n\nThe frame is covered for five years — “really”. 차체의 보증 기간은 5년입니다.\n"
    (folder / "docs" / "한글 漢.md").write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        Screen(monkeypatch, "ascii")
        assert ingest.main(["source=folder", "source.path=docs", "workers.processes=0"]) == 0
    return folder


@pytest.mark.parametrize("encoding", ["ascii", "cp949"])
@pytest.mark.parametrize("extra", [[], ["--explain"], ["--stream"], ["--retrieve-only"]], ids=str)
def test_query_prints_in_any_encoding(
    place: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, extra: list[str]
) -> None:
    monkeypatch.chdir(place)
    screen = Screen(monkeypatch, encoding)
    assert query.main(["How long is the frame covered?", "source=folder", "source.path=docs", *extra]) == 0
    assert "The frame" in screen.text


@every_encoding
def test_query_prints_json_in_any_encoding(place: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    monkeypatch.chdir(place)
    screen = Screen(monkeypatch, encoding)
    assert query.main(["차체의 보증 기간은?", "source=folder", "source.path=docs", "--json"]) == 0
    shown = json.loads(screen.text)
    assert shown["chunks"][0]["document"] == "한글 漢.md"
    assert "👍" in shown["chunks"][0]["text"]


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
@pytest.mark.parametrize("extra", [[], ["--stream"], ["--json"]], ids=str)
@pytest.mark.slow
def test_reply_with_half_a_character_is_printed(
    place: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, extra: list[str]
) -> None:
    choice = r'{"index":0,"message":{"role":"assistant","content":"covered \ud83d five 년"},"finish_reason":"stop"}'
    body = f'{{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{choice}]}}'
    monkeypatch.chdir(place)
    screen = Screen(monkeypatch, encoding)
    with OpenAIServer([raw(body.encode())]) as server:
        llm = ["llm=openai_compatible", f"llm.base_url={server.base_url}", "llm.attempts=1"]
        assert query.main(["frame covered?", "source=folder", "source.path=docs", *llm, *extra]) == 0
    assert "five" in screen.text


@pytest.mark.parametrize("verb", MAINS)
def test_help_of_every_verb_is_printed_in_ascii(monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    screen = Screen(monkeypatch, "ascii")
    with contextlib.suppress(SystemExit):
        MAINS[verb](["--help"])
    assert screen.text


@pytest.mark.parametrize("verb", ["ingest", "evaluate"])
def test_config_with_korean_texts_is_printed_in_ascii(monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    screen = Screen(monkeypatch, "ascii")
    assert MAINS[verb](["--cfg", "job"]) == 0
    assert "instruction_ko" in screen.text


def test_indexes_are_listed_and_shown_in_ascii(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    screen = Screen(monkeypatch, "ascii")
    assert indexes.main(["list"]) == 0
    name = next(word for word in screen.text.split() if word.startswith("docs-"))
    assert indexes.main(["show", name]) == 0


@every_encoding
def test_text_tables_and_json_take_every_character(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    screen = Screen(monkeypatch, encoding)

    def run() -> int:
        sys.stdout.write(f"{ODD}\n")
        console().print(ODD)
        print_json({"text": ODD})
        return 0

    assert run_program(run) == 0
    assert json.loads(screen.text.splitlines()[-1]) == {"text": ODD}


@pytest.mark.parametrize("verb", MAINS)
@pytest.mark.parametrize("argument", ["a\udce9=b", "source.path=d\udce9", "\udce9"])
def test_argument_with_half_a_character_is_an_error_of_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, argument: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Screen(monkeypatch, "utf-8")
    first = {"query": ["a question"], "indexes": ["list"], "cache": ["show"]}.get(verb, [])
    try:
        status = MAINS[verb]([*first, argument])
    except SystemExit as ended:
        status = int(str(ended.code))
    assert status in (0, 1)


def test_question_of_half_a_character_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert query.main(["caf\udce9?"]) == 1
    assert "whole characters" in capsys.readouterr().err


def test_question_on_standard_input_in_another_encoding_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("보증?".encode()), "ascii"))
    assert query.main(["-"]) == 1
    assert "PYTHONIOENCODING=utf-8" in capsys.readouterr().err

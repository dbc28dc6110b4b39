"""Ctrl-C of an ingest: once, it finishes and commits what is in flight; twice, it ends at once. Nothing is lost."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import programs
from messages.cli import ending, run_again, same_command_goes_on
from places import ROOT
from ragloom.cli import ingest

pytestmark = pytest.mark.slow
ROOT = ROOT
SLOW = """
import sys, time
sys.argv[0] = {script!r}
from ragloom.components.source.jsonl_source import JsonlSource
read = JsonlSource.read
def slow(self, entry):
    time.sleep(0.02)
    return read(self, entry)
JsonlSource.read = slow
from ragloom.cli.ingest import main
sys.exit(main(sys.argv[1:]))
"""


def started(folder: Path) -> "subprocess.Popen[str]":
    """Starts an ingest of 400 documents, 20 ms each, and waits until it has read some."""
    lines = [json.dumps({"id": str(number), "text": f"Document number {number}."}) for number in range(400)]
    (folder / "d.jsonl").write_text("\n".join(lines), encoding="utf-8")
    program = SLOW.format(script=str(ROOT / "scripts" / "ingest.py"))
    keys = ["source=jsonl", "source.path=d.jsonl", "workers.processes=0", "output=json"]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *keys], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("read", 0) > 20:
            return process
    raise AssertionError(process.communicate()[1])


def rest(process: "subprocess.Popen[str]") -> tuple[str, str]:
    out, err = process.communicate(timeout=120)
    return out, err


def test_ctrl_c_commits_what_was_read_and_says_how_to_go_on(tmp_path: Path) -> None:
    process = started(tmp_path)
    process.send_signal(signal.SIGINT)
    out, err = rest(process)
    assert process.returncode == 130
    assert ending() in err
    assert run_again() in err
    summary = json.loads(out.splitlines()[-1])
    assert 20 < summary["documents"] < 400
    assert same_command_goes_on() in summary["stopped"]
    again = programs.run("ingest", "source=jsonl", "source.path=d.jsonl", "output=json", cwd=tmp_path).summary
    assert again["unchanged"] == summary["documents"]
    assert again["documents"] == 400


def ended_at_once(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)


def terminated(process: "subprocess.Popen[str]") -> None:
    process.kill()


@pytest.mark.parametrize("end", [ended_at_once, terminated])
def test_ending_it_at_once_loses_nothing_either(tmp_path: Path, end: Callable[["subprocess.Popen[str]"], None]) -> None:
    process = started(tmp_path)
    end(process)
    rest(process)
    assert process.returncode != 0
    again = programs.run("ingest", "source=jsonl", "source.path=d.jsonl", "output=json", cwd=tmp_path).summary
    assert again["documents"] == again["chunks"] == 400


def test_ctrl_c_that_comes_when_all_is_read_has_stopped_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def late() -> Iterator[Callable[[], bool]]:
        before_the_document = iter([False])
        yield lambda: next(before_the_document, True)

    (tmp_path / "d.jsonl").write_text('{"id": "1", "text": "The only document."}', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ingest, "stop_on_interrupt", late)
    assert ingest.main(["source=jsonl", "source.path=d.jsonl", "workers.processes=0", "output=json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1])["stopped"] is None
    assert "stopped early" not in err

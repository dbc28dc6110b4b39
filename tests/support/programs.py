"""Runs a program's main inside the test's process: what a person types, what is printed where, and the exit status."""

import contextlib
import importlib
import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from places import ROOT

SCRIPTS = ROOT / "scripts"
MODULES = {"run_query": "query"} | {
    name: name for name in ("ingest", "indexes", "cache", "evaluate", "benchmark", "compare")
}


@dataclass(frozen=True)
class Done:
    """A program that has ended."""

    arguments: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    @property
    def summary(self) -> dict[str, Any]:
        """What `ingest output=json` prints last."""
        events: list[dict[str, Any]] = [json.loads(line) for line in self.stdout.splitlines()]
        assert [event["event"] for event in events].index("summary") == len(events) - 1
        return events[-1]


@contextlib.contextmanager
def _inside(cwd: Path, script: str, env: dict[str, str]) -> Iterator[None]:
    before, argv, environment = Path.cwd(), sys.argv, os.environ.copy()
    os.chdir(cwd)
    os.environ.update(env)
    sys.argv = [str(SCRIPTS / f"{script}.py")]
    try:
        yield
    finally:
        os.chdir(before)
        sys.argv = argv
        os.environ.clear()
        os.environ.update(environment)


def run(script: str, *arguments: str, cwd: Path, stdin: str = "", **env: str) -> Done:
    """Runs `scripts/<script>.py` with these arguments in the folder `cwd`; ingest reads in this process, which is quick."""
    if script == "ingest" and not any("workers.processes" in argument for argument in arguments):
        arguments = (*arguments, "workers.processes=0")
    main = importlib.import_module(f"ragloom.cli.{MODULES[script]}").main
    out, err, given = io.StringIO(), io.StringIO(), sys.stdin
    with _inside(cwd, script, env), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        sys.stdin = io.StringIO(stdin)
        try:
            status = main(list(arguments))
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
        finally:
            sys.stdin = given
    return Done(arguments, status, out.getvalue(), err.getvalue())

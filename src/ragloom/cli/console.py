"""Shared parts of all programs: error lines, exit status, output."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ragloom.core.redaction import redact, redact_tree
from ragloom.errors import RagloomError

if TYPE_CHECKING:
    from rich.console import Console

_PIPED_WIDTH = 120  # of tables that go to a file or pipe, where COLUMNS says nothing
OK, FAILED, LISTED_FAILURES, INTERRUPTED = 0, 1, 3, 130
"""Exit status: complete; failed; complete with listed failures; Ctrl-C."""


def run_program(run: Callable[[], int]) -> int:
    """Run a program; print the problems of a `RagloomError` and return 1."""
    _escape_unencodable()
    try:
        return run()
    except RagloomError as error:
        print_error(error)
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone (such as `| head`)
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - keeps the interpreter's flush at exit quiet
        return FAILED


def _escape_unencodable() -> None:
    """Write characters that the encoding of the output lacks as `\\uXXXX`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_json(value: Any) -> None:
    """Print one JSON value on one line of standard output, secrets masked."""
    shown = redact_tree(value)
    text = json.dumps(shown, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(shown, allow_nan=False)  # JSON has its own escapes
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_outcome(value: Any, text: str, *, as_json: bool) -> None:
    """Print what a command did: as JSON, or in words."""
    if as_json:
        print_json(value)
    else:
        sys.stdout.write(f"{text}\n")


def ask(question: str) -> str:
    """Ask on standard error; return the line from standard input."""
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def print_error(error: RagloomError) -> None:
    """Print an error, one line for each problem."""
    for problem in error.problems:
        for line in problem.splitlines():
            sys.stderr.write(f"{redact(line)}\n")


def console(*, stderr: bool = False) -> Console:
    """Create a console with the width and colours of its output."""
    from rich.console import Console

    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    width = None if terminal or os.environ.get("COLUMNS", "").isdecimal() else _PIPED_WIDTH  # rich reads COLUMNS
    return Console(stderr=stderr, highlight=False, emoji=False, soft_wrap=not terminal, width=width)


def price_text(usd: float | None) -> str:
    """Format a cost in US dollars; None is an unknown price."""
    return "unknown price" if usd is None else f"${usd:.6f}"


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Redirect output of libraries to standard error, for clean JSON."""
    with contextlib.redirect_stdout(sys.stderr):
        yield

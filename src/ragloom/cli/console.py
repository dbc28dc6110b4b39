"""What every program shares: errors as lines, exit status, tables."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ragloom.core.redaction import redact, redact_override, redact_tree
from ragloom.errors import ConfigError, RagloomError, nearest

if TYPE_CHECKING:
    from rich.console import Console

_PIPED_WIDTH = 120  # of tables that go to a file or pipe, where COLUMNS says nothing
OK, FAILED, LISTED_FAILURES, INTERRUPTED = 0, 1, 3, 130
"""Exit status: complete; failed; complete with listed failures; Ctrl-C."""


def guarded(run: Callable[[], int]) -> int:
    """Runs a program; an error that its text explains becomes one line a problem on standard error, and status 1."""
    _take_all_characters()
    try:
        return run()
    except RagloomError as error:
        report(error)
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone (such as `| head`): nobody is left to tell
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - keeps the interpreter's flush at exit quiet
        return FAILED


def _take_all_characters() -> None:
    """Has output write a character that its encoding lacks, or half of one, as `\\uXXXX`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def parsed(parse: Callable[[Sequence[str]], argparse.Namespace], argv: Sequence[str]) -> argparse.Namespace:
    """Parse arguments; what argparse refuses is a wrong configuration like any other, with status 1."""
    try:
        return parse(argv)
    except SystemExit as ended:
        if ended.code == 0:  # --help
            raise
        raise SystemExit(FAILED) from None


def parsed_keys(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Parse flags and KEY=VALUE overrides in any order.

    Raises:
        ConfigError: an argument is no flag of the program; shows how a key is written.
    """
    unknown: list[str] = []

    def parse(arguments: Sequence[str]) -> argparse.Namespace:
        options, rest = parser.parse_known_intermixed_args(arguments)
        unknown.extend(rest)
        return options

    options = parsed(parse, argv)
    if flags := [text for text in unknown if text.startswith("-")]:
        raise ConfigError(*(_unknown_flag(text, argv, parser) for text in flags))
    return options


def _unknown_flag(text: str, argv: Sequence[str], parser: argparse.ArgumentParser) -> str:
    flag, _, value = text.partition("=")
    key = flag.lstrip("-").replace("-", "_")
    rest = list(argv[argv.index(text) + 1 :])[:1] if text in argv else []
    if not value and rest and "=" not in rest[0] and not rest[0].startswith("-"):
        value = rest[0]
    written = f"{key}={value or 'VALUE'}"
    meant = nearest(flag, [name for action in parser._actions for name in action.option_strings])
    return (
        f"{redact(flag)} is no flag of this program{meant if '?' in meant else ''}; config options are written as "
        f"KEY=VALUE without dashes: {redact_override(written)}"
    )


def print_json(value: Any) -> None:
    """Prints one JSON value on one line of standard output, with every secret masked."""
    shown = redact_tree(value)
    text = json.dumps(shown, ensure_ascii=False, allow_nan=False)
    if not _can_write(text):
        text = json.dumps(shown, allow_nan=False)  # JSON has escapes of its own
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _can_write(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def report(error: RagloomError) -> None:
    """Prints an error, one line a problem."""
    for problem in error.problems:
        for line in problem.splitlines():
            sys.stderr.write(f"{redact(line)}\n")


def console(*, stderr: bool = False) -> Console:
    """Makes a console whose width and colours suit where it prints."""
    from rich.console import Console

    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    width = None if terminal or os.environ.get("COLUMNS", "").isdecimal() else _PIPED_WIDTH  # rich reads COLUMNS
    return Console(stderr=stderr, highlight=False, emoji=False, soft_wrap=not terminal, width=width)


def price_text(usd: float | None) -> str:
    """Format a cost in US dollars; None is an unknown price."""
    return "unknown price" if usd is None else f"${usd:.6f}"


@contextlib.contextmanager
def silenced_stdout() -> Iterator[None]:
    """Sends what libraries print to standard output to standard error, so that `--json` prints one object only."""
    with contextlib.redirect_stdout(sys.stderr):
        yield

"""Interactive session of `query`: line editing, history and commands."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ragloom.cli.console import OK, console, print_error
from ragloom.core.redaction import redact
from ragloom.errors import ConfigError, RagloomError, nearest

if TYPE_CHECKING:
    from ragloom.cli.query_session import QuerySession
    from ragloom.query.query_result import QueryResult

    Answer = Callable[[str], QueryResult]
    """Answers a question and prints the result."""

_PROMPT = "ragloom> "
_HISTORY = Path(".ragloom/query_history")
_LONGEST_HISTORY = 1000
"""Lines."""
_COMMANDS = {
    "/explain": "show how the chunks of the last answer were found: ranks and scores of each arm",
    "/config": "show the config; /config KEY=VALUE ... changes it for this session",
    "/help": "show the commands",
    "/exit": "end the session (also: Ctrl-D)",
}


def converse(session: QuerySession, answer: Answer) -> int:
    """Answer questions until the terminal ends; return the exit status."""
    info = session.index.info
    sys.stderr.write(f"index {info.name}: {info.documents} documents, {info.chunks} chunks; /help shows the commands\n")
    conversation = _Conversation(session, answer)
    with _history() as remember:
        while True:
            asking = False
            try:
                line = _line()
                remember(line)
                asking = True
                if not conversation.handle(line):
                    return OK
            except EOFError:
                sys.stdout.write("\n")
                return OK
            except KeyboardInterrupt:
                sys.stderr.write("\ncancelled\n" if asking else "\n")
            except RagloomError as error:
                print_error(error)


class _Conversation:
    """Questions and commands of one session."""

    def __init__(self, session: QuerySession, answer: Answer) -> None:
        self._session = session
        self._answer = answer
        self._last: QueryResult | None = None

    def handle(self, line: str) -> bool:
        """Answer or run a line; return whether the session goes on.

        Raises:
            RagloomError: it cannot be answered or run.
        """
        if not line.startswith("/"):
            if line.strip():
                self._last = None
                self._last = self._answer(line)
            return True
        name, _, rest = line.strip().partition(" ")
        if name == "/exit":
            return False
        if name == "/help":
            width = max(map(len, _COMMANDS))
            sys.stdout.write("".join(f"{name:<{width}}  {text}\n" for name, text in _COMMANDS.items()))
            sys.stdout.write("anything else is a question; Ctrl-C cancels it\n")
        elif name == "/explain":
            self._explain()
        elif name == "/config":
            self._configure(rest)
        else:
            raise ConfigError(
                f"{redact(name)} must be a command{nearest(name, _COMMANDS)}; put a blank before a question that "
                "begins so"
            )
        return True

    def _explain(self) -> None:
        from ragloom.cli.render_answer import print_ranks, print_stages

        if self._last is None:
            raise ConfigError("/explain must follow an answered question; ask one first")
        print_ranks(console(), self._last)
        print_stages(console(), self._last)

    def _configure(self, text: str) -> None:
        try:
            overrides = shlex.split(text)
        except ValueError as error:
            raise ConfigError(f"/config {redact(text)} must be KEY=VALUE as a shell reads it; {error}") from None
        if overrides:
            changed = self._session.reconfigure(overrides)
            sys.stdout.write("".join(f"{line.replace(' / ', ' -> ')}\n" for line in changed) or "nothing changed\n")
        else:
            sys.stdout.write(self._session.shown_config())


def _line() -> str:
    """Read a line from the terminal.

    Raises:
        EOFError: Ctrl-D.
        ConfigError: it is not in the terminal's encoding.
    """
    try:
        return input(_PROMPT)
    except UnicodeDecodeError:
        raise ConfigError(f"a line must be written in {sys.stdin.encoding}, as this terminal is set") from None


@contextlib.contextmanager
def _history() -> Iterator[Callable[[str], None]]:
    """Edit lines by readline; yield a function that remembers a line.

    The history is a file of the working directory. A line that looks like a secret is not kept. Without readline
    (Windows) the terminal's own editing is what there is.
    """
    try:
        import readline
    except ModuleNotFoundError:
        yield lambda line: None
        return

    def remember(line: str) -> None:
        if line.strip() and redact(line) == line:
            readline.add_history(line)

    readline.set_auto_history(False)
    readline.set_history_length(_LONGEST_HISTORY)
    with contextlib.suppress(OSError):  # none yet, or not ours to read: the session goes on without it
        readline.read_history_file(_HISTORY)
    try:
        yield remember
    finally:
        with contextlib.suppress(OSError):  # a folder that nothing may be written to
            _HISTORY.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(_HISTORY, os.O_CREAT | os.O_WRONLY, 0o600))
            readline.write_history_file(_HISTORY)

"""A program on a pseudo terminal: what a person types, and what the screen then holds."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

WITHIN = 60.0
"""Seconds after which an expected text is missing."""


class Terminal:
    """A process whose three streams are one terminal.

    Attributes:
        seen: everything printed since the last `expect`.
    """

    def __init__(self, command: Sequence[str], cwd: Path, **env: str) -> None:
        self._fd, child = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200", "LC_ALL": "C.UTF-8", **env}
        self.process = subprocess.Popen(
            command, stdin=child, stdout=child, stderr=child, cwd=cwd, env=environment, start_new_session=True
        )
        os.close(child)
        self.seen = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._fd)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def interrupt(self, text: str) -> None:
        """Sends what Ctrl-C sends until a text is on the screen, as a person does.

        A signal that comes just before the program begins to wait for a key, or to sleep, ends neither.
        """
        deadline = time.monotonic() + WITHIN
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} is missing in {self.seen!r}"
            self.process.send_signal(signal.SIGINT)
            if select.select([self._fd], [], [], 2.0)[0]:
                self.seen += os.read(self._fd, 65536).decode("utf-8", "replace")
        self.expect(text)

    def expect(self, text: str) -> str:
        """Reads until the text is on the screen; returns what was printed up to it."""
        deadline = time.monotonic() + WITHIN
        while text not in self.seen:
            ready, _, _ = select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} is missing in {self.seen!r}"
            try:
                self.seen += os.read(self._fd, 65536).decode("utf-8", "replace")
            except OSError:  # the program has ended
                raise AssertionError(f"{text!r} is missing in {self.seen!r}") from None
        before, found, self.seen = self.seen.partition(text)
        return before + found

    def ended(self) -> int:
        """Waits for the program's end; returns its exit status."""
        deadline = time.monotonic() + WITHIN
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self._fd], [], [], 0.2)
            try:
                if ready and not os.read(self._fd, 65536):
                    break
            except OSError:  # Linux says so that the other end is closed
                break
        return self.process.wait(WITHIN)

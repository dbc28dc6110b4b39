"""Ctrl-C once asks a program to finish what is in flight; twice ends it at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether the program was asked to end, by Ctrl-C or by SIGTERM.

    Only the main thread may be told of signals; elsewhere nothing changes, and the function stays false.
    """
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        # Straight to the file: the stream may be in the middle of a write, which a handler must not begin again.
        os.write(2, b"ending: what is in flight is finished and committed; once more ends it at once\n")

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

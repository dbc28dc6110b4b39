"""Progress of maintenance: steps named by stores, shown by programs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ragloom.core.run_context import changed, current

_EVERY = 1.0  # seconds between two reports of the same step


def step(name: str) -> None:
    """Report the step that begins, such as `building the text index`."""
    report = current().report_step
    if report is not None:
        report(name)


@contextmanager
def steps_reported(show: Callable[[str], None]) -> Iterator[None]:
    """Call a function with each step, and every second while one lasts.

    Args:
        show: may be called from another thread, never by two at once.
    """
    lock, ended, current = threading.Lock(), threading.Event(), [""]

    def report(name: str) -> None:
        with lock:
            current[0] = name
            show(name)

    def repeat() -> None:
        while not ended.wait(_EVERY):
            with lock:
                show(current[0])

    thread = threading.Thread(target=repeat, name="ragloom-maintenance", daemon=True)
    thread.start()
    try:
        with changed(report_step=report):
            yield
    finally:
        ended.set()
        thread.join()

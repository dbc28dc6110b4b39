"""Stage timings: stages record, callers collect.

A collection belongs to a run context, not to an object, so that concurrent questions do not mix.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ragloom.core.run_context import changed, current

Timings = dict[str, float]
"""Stage -> milliseconds; a stage that ran twice has the sum. Stages side by side or within each other overlap."""

_adding = threading.Lock()


@contextmanager
def collect() -> Iterator[Timings]:
    """Yield a dict of the milliseconds of stages inside the block.

    Stages of threads and tasks started within count as well.
    """
    timings: Timings = {}
    with changed(timings=(*current().timings, timings)):
        yield timings


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Add the milliseconds of the block to every open collection."""
    start = time.perf_counter()
    try:
        yield
    finally:
        spent = (time.perf_counter() - start) * 1000
        with _adding:
            for timings in current().timings:
                timings[stage] = timings.get(stage, 0.0) + spent

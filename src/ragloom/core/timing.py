"""Stage timings: stages record, callers collect.

A collection belongs to a context (`contextvars`), not to an object, so that concurrent questions do not mix.
`asyncio` tasks and `asyncio.to_thread` take the context along; a thread pool is handed it by `in_context`.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

Timings = dict[str, float]
"""Stage -> milliseconds; a stage that ran twice has the sum. Stages side by side or within each other overlap."""

_collections: contextvars.ContextVar[tuple[Timings, ...]] = contextvars.ContextVar("ragloom_timings", default=())
_adding = threading.Lock()


@contextmanager
def collect() -> Iterator[Timings]:
    """Yield a dict of the milliseconds of stages inside the block.

    Stages of threads and tasks started within count as well.
    """
    timings: Timings = {}
    token = _collections.set((*_collections.get(), timings))
    try:
        yield timings
    finally:
        _collections.reset(token)


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Add the milliseconds of the block to every open collection."""
    start = time.perf_counter()
    try:
        yield
    finally:
        spent = (time.perf_counter() - start) * 1000
        with _adding:
            for timings in _collections.get():
                timings[stage] = timings.get(stage, 0.0) + spent


def in_context(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Bind a function to the current context, for one threaded call."""
    context = contextvars.copy_context()

    def run(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        return context.run(function, *args, **kwargs)

    return run

"""Run context: settings and collections of the current work, in one variable.

They belong to the context (`contextvars`: a thread or task) that opened them and to what it starts. `asyncio` tasks and
`asyncio.to_thread` take the context along; a thread pool gets it by `in_context` or `contextvars.copy_context`.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class RunContext:
    """Settings and open collections of the current work.

    Attributes:
        timings: collections of stages (`ragloom.core.timing`).
        usage: collections of providers and caches (`ragloom.core.usage.Usage`).
        budget: limit that calls are charged to (`ragloom.core.budget.Budget`); None without one.
        account: budgets opened so far, where they are listed.
        report_step: receives maintenance steps.
        bypass_cache: compute every vector.
        no_requests: a request is a bug.
        cancelled: set when waiting requests must not be sent.
        single_attempt: try calls once, if texts may be at fault.
        slot: place among the requests in flight (`ragloom.providers.request_slots`); None = they are not limited.
    """

    timings: tuple[dict[str, float], ...] = ()
    usage: tuple[Any, ...] = ()
    budget: Any = None
    account: list[Any] | None = None
    report_step: Callable[[str], None] | None = None
    bypass_cache: bool = False
    no_requests: bool = False
    cancelled: threading.Event | None = None
    single_attempt: bool = False
    slot: Any = None


_OUTSIDE = RunContext()
_current: contextvars.ContextVar[RunContext] = contextvars.ContextVar("ragloom_run", default=_OUTSIDE)


def current() -> RunContext:
    """Return the run context of this thread or task."""
    return _current.get()


@contextmanager
def changed(**fields: Any) -> Iterator[None]:
    """Change fields of the run context inside the block."""
    token = _current.set(replace(_current.get(), **fields))
    try:
        yield
    finally:
        _current.reset(token)


def in_context(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Bind a function to the current context, for one threaded call."""
    context = contextvars.copy_context()

    def run(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        return context.run(function, *args, **kwargs)

    return run

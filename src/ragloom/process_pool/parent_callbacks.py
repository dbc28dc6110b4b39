"""How a function that runs in a worker asks its pool for something only the parent has. Knows no transport."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Answer = Callable[[Any], Any]
"""Given a request, gives its answer."""

_answer: ContextVar[Answer | None] = ContextVar("ragloom_workers_answer", default=None)
_unwanted: ContextVar[Callable[[], bool] | None] = ContextVar("ragloom_workers_unwanted", default=None)


class NotWanted(Exception):
    """The pool was closed, or its run ended, while an answer was computed."""


def demand_wanted() -> None:
    """Stop an answer that nobody waits for; for answers that take long, between their parts.

    Raises:
        NotWanted: the pool was closed, or its run has ended.
    """
    unwanted = _unwanted.get()
    if unwanted is not None and unwanted():
        raise NotWanted


@contextmanager
def wanted_unless(unwanted: Callable[[], bool]) -> Iterator[None]:
    """Let `demand_wanted` ask this function inside the block."""
    token = _unwanted.set(unwanted)
    try:
        yield
    finally:
        _unwanted.reset(token)


def ask(request: Any) -> Any:
    """Asks the process that runs the pool; the time until it answers is not the item's.

    Args:
        request: picklable, as its answer must be.

    Raises:
        RuntimeError: it is called outside a worker, or the pool was given no `answer`.
        Refused: answering raised. In this process it is what that raised.
    """
    answer = _answer.get()
    if answer is None:
        raise RuntimeError("ask() must run in a worker of a pool that was given `answer`")
    return answer(request)


@contextmanager
def answering(answer: Answer | None) -> Iterator[None]:
    """Has `ask` answered by a function inside the block."""
    token = _answer.set(answer)
    try:
        yield
    finally:
        _answer.reset(token)

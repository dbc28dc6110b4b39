"""What holds for all requests of a context (thread or task) and of what it starts."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ragloom.errors import ServiceError

SILENT: contextvars.ContextVar[bool] = contextvars.ContextVar("ragloom_provider_silent", default=False)


@contextmanager
def sending_nothing() -> Iterator[None]:
    """Needs no key inside the block, and sends nothing: what would is a bug, and raises.

    It belongs to the context (thread or task) that opened it and to what that context starts.
    """
    token = SILENT.set(True)
    try:
        yield
    finally:
        SILENT.reset(token)


END: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar("ragloom_provider_end", default=None)


class CalledOff(ServiceError):
    """Nobody waits for the answer any more; the request that was waiting for its turn was not sent."""


@contextmanager
def until(end: threading.Event) -> Iterator[None]:
    """Has calls inside the block that wait for their turn, or to be tried again, given up when an event is set.

    What was sent already is waited for: it is paid for.
    """
    token = END.set(end)
    try:
        yield
    finally:
        END.reset(token)


ONCE: contextvars.ContextVar[bool] = contextvars.ContextVar("ragloom_provider_once", default=False)


@contextmanager
def once() -> Iterator[None]:
    """Has each call inside the block tried once: a failure that what was sent may have caused ends it.

    What says nothing about that (the server has no time, or is not there) is waited for as ever.
    """
    token = ONCE.set(True)
    try:
        yield
    finally:
        ONCE.reset(token)

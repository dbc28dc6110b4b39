"""Settings of all requests of a context: a thread or task."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ragloom.errors import ServiceError

SILENT: contextvars.ContextVar[bool] = contextvars.ContextVar("ragloom_provider_silent", default=False)


@contextmanager
def no_requests() -> Iterator[None]:
    """Forbid requests inside the block; no key is needed.

    A request is a bug, and raises RuntimeError. The setting belongs to the context (thread or task) that opened it and
    to what that context starts.
    """
    token = SILENT.set(True)
    try:
        yield
    finally:
        SILENT.reset(token)


END: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar("ragloom_provider_end", default=None)


class RequestCancelled(ServiceError):
    """The run ended before a waiting request was sent."""


@contextmanager
def cancelled_by(end: threading.Event) -> Iterator[None]:
    """Cancel waiting calls inside the block when an event is set.

    A request already sent is waited for: it is paid for.
    """
    token = END.set(end)
    try:
        yield
    finally:
        END.reset(token)


ONCE: contextvars.ContextVar[bool] = contextvars.ContextVar("ragloom_provider_once", default=False)


@contextmanager
def single_attempt() -> Iterator[None]:
    """Try calls inside the block once, if texts may be at fault.

    Other failures (the server has no time, or is unreachable) are retried as usual.
    """
    token = ONCE.set(True)
    try:
        yield
    finally:
        ONCE.reset(token)

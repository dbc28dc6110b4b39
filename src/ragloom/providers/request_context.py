"""Settings of all requests of a run context."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ragloom.core.run_context import changed
from ragloom.errors import ServiceError


class RequestCancelled(ServiceError):
    """The run ended before a waiting request was sent."""


@contextmanager
def no_requests() -> Iterator[None]:
    """Forbid requests inside the block; no key is needed.

    A request is a bug, and raises RuntimeError.
    """
    with changed(no_requests=True):
        yield


@contextmanager
def cancelled_by(end: threading.Event) -> Iterator[None]:
    """Cancel waiting calls inside the block when an event is set.

    A request already sent is waited for: it is paid for.
    """
    with changed(cancelled=end):
        yield


@contextmanager
def single_attempt() -> Iterator[None]:
    """Try calls inside the block once, if texts may be at fault.

    Other failures (the server has no time, or is unreachable) are retried as usual.
    """
    with changed(single_attempt=True):
        yield

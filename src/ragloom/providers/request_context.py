"""Settings of all requests of a run context."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager

from ragloom.core.run_context import changed
from ragloom.errors import ServiceError


class RequestCancelled(ServiceError):
    """The run ended before a waiting request was sent."""


def no_requests() -> AbstractContextManager[None]:
    """Forbid requests inside the block; no key is needed.

    A request is a bug, and raises RuntimeError.
    """
    return changed(no_requests=True)


def cancelled_by(end: threading.Event) -> AbstractContextManager[None]:
    """Cancel waiting calls inside the block when an event is set.

    A request already sent is waited for: it is paid for.
    """
    return changed(cancelled=end)


def single_attempt() -> AbstractContextManager[None]:
    """Try calls inside the block once, if texts may be at fault.

    Other failures (the server has no time, or is unreachable) are retried as usual.
    """
    return changed(single_attempt=True)

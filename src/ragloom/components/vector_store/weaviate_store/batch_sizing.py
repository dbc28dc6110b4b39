"""Size of write requests, adapted to the server's speed."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

_FIRST = 64
"""Objects of the first request: a slow server shows it before a request is too large for its time-out."""
_QUICK, _SLOW = 1 / 16, 1 / 2
"""Shares of the time-out: a request below the first lets the next one grow, one above the second halves it."""


class BatchSizer:
    """Adaptive size of write requests; thread-safe.

    Args:
        limit: objects of one request (`vector_store.batch.objects`).
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = min(limit, _FIRST)
        self._lock = Lock()

    @property
    def size(self) -> int:
        """Maximum objects of the next request."""
        return self._size

    def succeeded(self, objects: int, seconds: float, timeout: float) -> None:
        """Adjust the size after an answered request.

        Args:
            objects: of the request.
            seconds: until the answer.
            timeout: seconds of the request's time-out.
        """
        with self._lock:
            if seconds > _SLOW * timeout and objects > 1:
                self._size = min(self._size, objects // 2)
            elif seconds < _QUICK * timeout:
                self._size = max(self._size, min(2 * objects, self._limit))

    def failed(self, objects: int) -> None:
        """Limit all later requests to half of an unanswered one."""
        if objects > 1:
            with self._lock:
                self._limit = min(self._limit, objects // 2)
                self._size = min(self._size, self._limit)


@dataclass(frozen=True)
class BatchLimits:
    """Limits of one write request and of its retries.

    Attributes:
        objects, bytes: of one batch; an object larger than `bytes` goes alone.
        retry_seconds: limit for a batch without progress, in seconds.
        sizer: number of objects the server handled in time so far.
    """

    objects: int
    bytes: int
    retry_seconds: float
    sizer: BatchSizer = field(compare=False)

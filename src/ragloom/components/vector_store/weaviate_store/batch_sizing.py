"""Size of write requests, adapted to the server's speed."""

from __future__ import annotations

from threading import Lock

_FIRST = 64
"""Objects of the first request: a slow server shows it before a request is too large for its time-out."""
_QUICK, _SLOW = 1 / 16, 1 / 2
"""Shares of the time-out: a request below the first lets the next one grow, one above the second halves it."""


class BatchLimits:
    """Limits of one write request and of its retries; thread-safe.

    Args:
        objects, bytes: of one batch; an object larger than `bytes` goes alone.
        retry_seconds: limit for a batch without progress, in seconds.

    Attributes:
        size: maximum objects of the next request, adapted to what the server handled in time so far.
    """

    def __init__(self, objects: int, bytes: int, retry_seconds: float) -> None:
        self.objects = self._limit = objects
        self.bytes = bytes
        self.retry_seconds = retry_seconds
        self.size = min(objects, _FIRST)
        self._lock = Lock()

    def succeeded(self, objects: int, seconds: float, timeout: float) -> None:
        """Adjust the size after an answered request.

        Args:
            objects: of the request.
            seconds: until the answer.
            timeout: seconds of the request's time-out.
        """
        with self._lock:
            if seconds > _SLOW * timeout and objects > 1:
                self.size = min(self.size, objects // 2)
            elif seconds < _QUICK * timeout:
                self.size = max(self.size, min(2 * objects, self._limit))

    def failed(self, objects: int) -> None:
        """Limit all later requests to half of an unanswered one."""
        if objects > 1:
            with self._lock:
                self._limit = min(self._limit, objects // 2)
                self.size = min(self.size, self._limit)

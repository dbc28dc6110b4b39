"""Size of write requests: grows while the server is quick, halved when too slow."""

from __future__ import annotations

from threading import Lock

_FIRST = 64
"""Objects of the first request: a server that is slow shows it before a request is too large for its time-out."""
_QUICK, _SLOW = 1 / 16, 1 / 2
"""Shares of the time-out: a request that takes less lets the next one grow, one that takes more halves it."""


class Pace:
    """Size of the next write request, learned from those before; thread-safe.

    Args:
        most: objects of one request (`vector_store.batch.objects`).
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = min(most, _FIRST)
        self._lock = Lock()

    @property
    def size(self) -> int:
        """Objects that the next request should hold at most."""
        return self._size

    def succeeded(self, objects: int, seconds: float, limit: float) -> None:
        """Learns from a request that was answered.

        Args:
            objects: that it held.
            seconds: that it took.
            limit: seconds after which it would have failed.
        """
        with self._lock:
            if seconds > _SLOW * limit and objects > 1:
                self._size = min(self._size, objects // 2)
            elif seconds < _QUICK * limit:
                self._size = max(self._size, min(2 * objects, self._most))

    def failed(self, objects: int) -> None:
        """Learns from an unanswered request: later ones hold half at most."""
        if objects > 1:
            with self._lock:
                self._most = min(self._most, objects // 2)
                self._size = min(self._size, self._most)

"""Times of the requests of one load, kept by the load generator."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np

_MOST_ERRORS = 5
"""Different errors that a log keeps in words."""


@dataclass
class RequestLog:
    """Times of all requests of one load.

    All times are seconds of this machine's monotonic clock; NaN: it did not happen.

    Attributes:
        planned, sent, done: `[n] float64`.
        failed: `[n] bool`: answered by an error.
        timings_ms: stage -> milliseconds, of each answered request.
        errors: the first different ones, in words.
        spent: why the budget ended the load; None: it did not.
        timeout: seconds from the planned time.
    """

    planned: np.ndarray
    sent: np.ndarray
    done: np.ndarray
    failed: np.ndarray
    timings_ms: list[dict[str, float]]
    errors: list[str]
    timeout: float
    spent: str | None = None

    @property
    def latency(self) -> np.ndarray:
        """Seconds from the planned time to the reply, `[n] float64`."""
        seconds: np.ndarray = self.done - self.planned
        return seconds

    @property
    def timed_out(self) -> np.ndarray:
        """Requests without a reply within the time-out, `[n] bool`."""
        return np.logical_not(self.latency <= self.timeout)  # NaN is no reply

    @property
    def good(self) -> np.ndarray:
        """Requests that were answered in time, `[n] bool`."""
        good: np.ndarray = ~(self.failed | self.timed_out)
        return good

    @property
    def lateness(self) -> np.ndarray:
        """Seconds from the planned time to the sending, `[n] float64`."""
        seconds: np.ndarray = self.sent - self.planned
        return seconds

    def backlog(self, points: int = 150) -> np.ndarray:
        """Count the requests that wait for a reply, at equal distances.

        Returns:
            `[points] int`: from the first planned time to the last one.
        """
        at = np.linspace(self.planned[0], self.planned[-1], points)
        done = np.sort(self.done[~np.isnan(self.done)])
        waiting: np.ndarray = np.searchsorted(self.planned, at, "right") - np.searchsorted(done, at, "right")
        return waiting


@dataclass
class LogWriter:
    """Log of the requests that are under way; thread-safe.

    Args:
        count: number of requests.
        first: number of the first one; replies with other numbers belong to an earlier load.
    """

    count: int
    first: int
    planned: np.ndarray = field(init=False)
    sent: np.ndarray = field(init=False)
    done: np.ndarray = field(init=False)
    failed: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.planned, self.sent, self.done = (np.full(self.count, np.nan) for _ in range(3))
        self.failed = np.zeros(self.count, bool)
        self.replies = 0
        self.errors: list[str] = []
        self.spent: str | None = None
        self._timings: list[dict[str, float]] = [{} for _ in range(self.count)]
        self._changed = threading.Condition()

    def mark_sent(self, number: int, at: float) -> None:
        """Record when a request left."""
        self.sent[number - self.first] = at

    def mark_done(self, number: int, at: float, timings_ms: dict[str, float], error: str | None, spent: bool) -> None:
        """Record a reply."""
        row = number - self.first
        if not 0 <= row < self.count:
            return
        with self._changed:
            self.done[row], self._timings[row] = at, timings_ms
            if error is not None:
                self.failed[row] = True
                if len(self.errors) < _MOST_ERRORS and error not in self.errors:
                    self.errors.append(error)
            if spent:
                self.spent = error
            self.replies += 1
            self._changed.notify_all()

    def wait(self, replies: int, timeout: float) -> bool:
        """Wait for a number of replies; False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self.replies >= replies or self.spent is not None, timeout)

    def log(self, timeout: float) -> RequestLog:
        """Return the log of the requests that were planned."""
        planned = ~np.isnan(self.planned)
        with self._changed:  # a late reply must not change what is sent to the parent
            return RequestLog(
                self.planned[planned],
                self.sent[planned],
                self.done[planned],
                self.failed[planned],
                [self._timings[row] for row in np.flatnonzero(planned)],
                list(self.errors),
                timeout,
                self.spent,
            )

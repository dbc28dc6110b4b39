"""Rate limits of a provider: requests and tokens per minute.

A sliding window: in no minute are more requests, or more of their tokens, sent than the limits say. A token
bucket, as other tools have it, sends up to twice the limit in the first minute.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WINDOW = 60.0
"""Seconds."""


@dataclass(frozen=True)
class Rates:
    """Limits of any one minute; None = no limit.

    Attributes:
        requests: sent, those that failed included.
        tokens: of these requests, as this side counts them.
    """

    requests: int | None = None
    tokens: int | None = None


class Limiter:
    """Sliding-window limiter: assigns each request its time, in order.

    Safe to be used by several threads and event loops: it never waits, the caller does.

    Args:
        clock: the present moment in seconds.

    Attributes:
        granted: moment and tokens of the requests that still count.
    """

    def __init__(self, rates: Rates, clock: Callable[[], float] = time.monotonic) -> None:
        self._rates, self._clock = rates, clock
        self._lock = threading.Lock()
        self.granted: deque[tuple[float, int]] = deque()
        self._tokens = 0

    def reserve(self, tokens: int) -> float:
        """Reserve a place for a request; return the seconds to wait.

        A request that alone is over the limit of tokens goes when a minute is free of others.
        """
        if self._rates == Rates():
            return 0.0
        with self._lock:
            now = self._clock()
            moment = max(now, self.granted[-1][0]) if self.granted else now
            self._forget(moment)
            while self.granted and not self._fits(tokens):
                moment = self.granted[0][0] + WINDOW
                self._forget(moment)
            self.granted.append((moment, tokens))
            self._tokens += tokens
            return moment - now

    def _fits(self, tokens: int) -> bool:
        requests, most = self._rates.requests, self._rates.tokens
        if requests is not None and len(self.granted) >= requests:
            return False
        return most is None or self._tokens + tokens <= most

    def _forget(self, moment: float) -> None:
        while self.granted and self.granted[0][0] + WINDOW <= moment:
            self._tokens -= self.granted.popleft()[1]

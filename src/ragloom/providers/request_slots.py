"""Limit of requests in flight, and of their tokens.

A place is taken before a request is charged and sent, and given up as soon as its answer has arrived, before the
answer is read: the next request does not wait for that.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from ragloom.core.run_context import changed, current
from ragloom.providers.request_context import RequestCancelled


class RequestSlots:
    """Limit of requests and of tokens in flight.

    Batches enter in the order in which they were announced. One that was in flight before goes first.

    Args:
        requests: at once, at most.
        tokens: of all requests at once, at most; one alone may go over it; None = no limit.
    """

    def __init__(self, requests: int, tokens: int | None = None) -> None:
        self._most_requests, self._most_tokens = requests, tokens
        self._requests = self._tokens = 0
        self._closed = False
        self._waiting: deque[RequestSlot] = deque()
        self._changed = threading.Condition()

    def announce(self, tokens: int) -> RequestSlot:
        """Put a batch into the order.

        Args:
            tokens: that each of its requests counts for.
        """
        slot = RequestSlot(self, tokens)
        with self._changed:
            self._waiting.append(slot)
        return slot

    def close(self) -> None:
        """Send no further request; those in flight are waited for."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def enter(self, slot: RequestSlot) -> None:
        """Wait until a request of a batch may be sent.

        Raises:
            RequestCancelled: no further request is sent.
        """
        with self._changed:
            if slot not in self._waiting:
                self._waiting.appendleft(slot)
            self._changed.wait_for(lambda: self._closed or (self._waiting[0] is slot and self._fits(slot.tokens)))
            if self._closed:
                raise RequestCancelled("the run ended before this request was sent; run it again")
            self._waiting.popleft()
            self._requests += 1
            self._tokens += slot.tokens
            self._changed.notify_all()  # there may be room for the next one as well

    def leave(self, slot: RequestSlot) -> None:
        """Make room for the next request."""
        with self._changed:
            self._requests -= 1
            self._tokens -= slot.tokens
            self._changed.notify_all()

    def forget(self, slot: RequestSlot) -> None:
        """Take a batch out of the order."""
        with self._changed:
            if slot in self._waiting:
                self._waiting.remove(slot)
                self._changed.notify_all()

    def _fits(self, tokens: int) -> bool:
        if self._requests >= self._most_requests:
            return False
        return self._most_tokens is None or not self._tokens or self._tokens + tokens <= self._most_tokens


class RequestSlot:
    """Place of one batch among the requests in flight; free at first.

    A failed request keeps it: what finds out why is not behind requests that would fail as well.
    """

    def __init__(self, slots: RequestSlots, tokens: int) -> None:
        self.tokens = tokens
        self._slots = slots
        self._is_held = False

    @contextmanager
    def used(self) -> Iterator[None]:
        """Use the place for the requests of the block."""
        try:
            with changed(slot=self):
                yield
        finally:
            self.leave()
            self._slots.forget(self)

    def enter(self) -> None:
        """Wait for the place, unless it is held."""
        if not self._is_held:
            self._slots.enter(self)
            self._is_held = True

    def leave(self) -> None:
        """Give the place up, if it is held."""
        if self._is_held:
            self._is_held = False
            self._slots.leave(self)


def enter_slot() -> float:
    """Wait until a request may be sent; return the seconds waited.

    Raises:
        RequestCancelled: no further request is sent.
    """
    slot: RequestSlot | None = current().slot
    began = time.monotonic()
    if slot is not None:
        slot.enter()
    return time.monotonic() - began


def leave_slot() -> None:
    """Make room for the next request: the answer has arrived."""
    slot: RequestSlot | None = current().slot
    if slot is not None:
        slot.leave()

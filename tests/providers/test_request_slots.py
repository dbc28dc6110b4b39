"""Requests in flight: limits, order, end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from ragloom.providers.request_context import RequestCancelled
from ragloom.providers.request_slots import RequestSlot, RequestSlots, enter_slot, leave_slot


def begun(slot: RequestSlot, work: Callable[[], None] = enter_slot) -> threading.Thread:
    """Start a thread that uses a slot."""

    def run() -> None:
        with slot.used():
            work()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def waits(thread: threading.Thread) -> bool:
    thread.join(0.1)
    return thread.is_alive()


def test_no_more_requests_than_allowed_are_in_flight() -> None:
    slots = RequestSlots(2)
    lock, most, now = threading.Lock(), [0], [0]

    def request() -> None:
        enter_slot()
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        threading.Event().wait(0.01)
        with lock:
            now[0] -= 1
        leave_slot()

    with ThreadPoolExecutor(8) as pool:
        for slot in [slots.announce(1) for _ in range(20)]:
            pool.submit(lambda slot=slot: begun(slot, request).join())
    assert most == [2]


def test_tokens_are_limited_and_one_alone_may_go_over() -> None:
    slots = RequestSlots(10, tokens=5)
    big, small = slots.announce(9), slots.announce(1)
    big.enter()
    thread = begun(small)
    assert waits(thread)
    big.leave()
    assert not waits(thread)


def test_batches_enter_in_the_order_in_which_they_were_announced() -> None:
    slots = RequestSlots(5)
    first, second = slots.announce(1), slots.announce(1)
    thread = begun(second)
    assert waits(thread)
    first.enter()
    assert not waits(thread)


def test_batch_that_needs_no_request_holds_nobody_up() -> None:
    slots = RequestSlots(5)
    first, second = slots.announce(1), slots.announce(1)
    thread = begun(second)
    assert waits(thread)
    begun(first, lambda: None).join()
    assert not waits(thread)


def test_batch_that_was_in_flight_goes_first_again() -> None:
    slots = RequestSlots(1)
    first, second, third = (slots.announce(1) for _ in range(3))
    first.enter()
    first.leave()
    second.enter()
    later, again = begun(third), begun(first)
    assert waits(later)
    assert waits(again)
    second.leave()
    assert not waits(again)
    assert not waits(later)


def test_end_cancels_what_waits() -> None:
    slots = RequestSlots(1)
    first, second = slots.announce(1), slots.announce(1)
    first.enter()
    cancelled: list[bool] = []

    def request() -> None:
        with pytest.raises(RequestCancelled):
            enter_slot()
        cancelled.append(True)

    thread = begun(second, request)
    assert waits(thread)
    slots.close()
    assert not waits(thread)
    assert cancelled == [True]


def test_slot_is_given_up_when_its_batch_fails() -> None:
    slots = RequestSlots(1)
    first, second = slots.announce(1), slots.announce(1)
    with pytest.raises(ValueError, match="broken"), first.used():
        enter_slot()
        raise ValueError("broken")
    assert not waits(begun(second))

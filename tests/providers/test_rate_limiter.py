"""Limits per minute: in no minute more than configured, in the order of asking, without waiting in the limiter."""

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopback import Fault, OpenAIServer, status
from ragloom.providers.openai_client import Provider
from ragloom.providers.rate_limiter import WINDOW, Limiter, Rates
from ragloom.providers.retry import Link


class Clock:
    """A clock that moves only by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@settings(deadline=None)
@given(
    st.integers(1, 5) | st.none(),
    st.integers(1, 100) | st.none(),
    st.lists(st.tuples(st.floats(0, 40), st.integers(0, 150)), max_size=40),
)
def test_no_minute_has_more_than_the_limits(
    requests: int | None, tokens: int | None, asked: list[tuple[float, int]]
) -> None:
    clock = Clock()
    limiter = Limiter(Rates(requests, tokens), clock)
    sent = []
    for later, size in asked:
        clock.now += later
        wait = limiter.reserve(size)
        assert wait >= 0
        sent.append((clock.now + wait, size))
    assert sent == sorted(sent, key=lambda one: one[0])
    for moment, _ in sent:
        minute = [size for at, size in sent if moment <= at < moment + WINDOW]
        assert requests is None or len(minute) <= requests
        assert tokens is None or sum(minute) <= tokens or len(minute) == 1


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 30))
def test_no_request_waits_longer_than_it_must(requests: int, asked: int) -> None:
    limiter = Limiter(Rates(requests, None), Clock())
    assert [limiter.reserve(1) for _ in range(asked)] == [at // requests * WINDOW for at in range(asked)]


def test_request_over_the_limit_of_tokens_goes_alone() -> None:
    clock = Clock()
    limiter = Limiter(Rates(None, 100), clock)
    assert [limiter.reserve(size) for size in (500, 10, 90, 1)] == [0, 60, 60, 120]


def test_without_limits_nothing_waits_and_nothing_is_remembered() -> None:
    limiter = Limiter(Rates(), Clock())
    assert {limiter.reserve(10**9) for _ in range(100)} == {0.0}
    assert not limiter.granted


def test_threads_together_keep_the_limit() -> None:
    limiter, waits = Limiter(Rates(10, None), Clock()), []
    threads = [threading.Thread(target=lambda: waits.append(limiter.reserve(1))) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == [at // 10 * WINDOW for at in range(50)]


def provider(server: OpenAIServer, rates: Rates, **changed: float) -> Provider:
    limits = {"timeout": 5.0, "deadline": 30.0} | changed
    return Provider(Link("embedding", "m", server.base_url, None, attempts=4, rates=rates, **limits))


@pytest.mark.parametrize("asynchronous", [False, True])
def test_each_request_waits_for_its_turn_retries_included(asynchronous: bool, waits: list[float]) -> None:
    request = {"model": "m", "input": ["text"], "encoding_format": "float", "tokens": 40}
    with OpenAIServer([None, status(500)]) as server:
        made = provider(server, Rates(None, 100))
        for _ in range(3):
            if asynchronous:
                asyncio.run(made.aembeddings(**request))
            else:
                made.embeddings(**request)
    assert len(server.requests) == 4
    # The third request, which repeats the second, is the first that does not fit into the minute of the first two.
    backoff, third, fourth = waits
    assert backoff <= 0.5
    assert 20 < third <= 60
    assert 20 < fourth <= 60


def test_time_that_our_own_limit_takes_is_not_the_deadlines(waits: list[float]) -> None:
    with OpenAIServer([None, status(500)]) as server:
        made = provider(server, Rates(1, None), deadline=2.0)
        for _ in range(2):
            made.embeddings(model="m", input=["text"], encoding_format="float")
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset-requests": "1s"}, 1),
        ({"x-ratelimit-reset-tokens": "6m0s"}, 360),
        ({"x-ratelimit-reset-tokens": "1h2m3.5s"}, 3723.5),
        ({"x-ratelimit-reset-requests": "1200ms", "x-ratelimit-reset-tokens": "9s"}, 9),
        (
            {
                "x-ratelimit-reset-requests": "3s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "9s",
            },
            3,
        ),
        ({"x-ratelimit-reset-tokens": "9s", "Retry-After": "4"}, 4),
    ],
)
def test_rate_limit_headers_say_how_long_to_wait(headers: dict[str, str], seconds: float, waits: list[float]) -> None:
    with OpenAIServer([Fault(status=429, headers=headers)]) as server:
        provider(server, Rates(), deadline=10_000.0).embeddings(model="m", input=["text"], encoding_format="float")
    assert waits == [seconds]


@pytest.mark.parametrize("value", ["soon", "6m 0s", "-1s", "1", "", "s", "1e3s"])
def test_rate_limit_header_that_cannot_be_read_is_left_aside(value: str, waits: list[float]) -> None:
    with OpenAIServer([Fault(status=429, headers={"x-ratelimit-reset-tokens": value})]) as server:
        provider(server, Rates()).embeddings(model="m", input=["text"], encoding_format="float")
    assert waits[0] <= 0.5


def test_rate_limit_headers_of_another_failure_say_nothing(waits: list[float]) -> None:
    with OpenAIServer([Fault(status=500, headers={"x-ratelimit-reset-tokens": "6m0s"})]) as server:
        provider(server, Rates()).embeddings(model="m", input=["text"], encoding_format="float")
    assert waits[0] <= 0.5

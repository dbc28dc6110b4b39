"""Isolating rejected texts: all others are embedded, each once, within a bounded number of requests."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages import wording
from messages.embedding import fails_at_harmless_text, refuses_harmless_text
from ragloom.components.embedding.batch_bisection import PartialBatch, isolate_rejected
from ragloom.core.run_context import current
from ragloom.providers.batch_errors import BatchFailed, RequestRefused, TooManyRefused, Unanswered


class Server:
    """Refuses, or fails at, a request that holds one of some texts; notes what it was sent."""

    def __init__(
        self,
        wicked: set[int],
        *,
        most: int = 10_000,
        harmless_is_taken: bool = True,
        error: type[BatchFailed] = RequestRefused,
        healthy_probes: int = 10_000,
    ) -> None:
        self.wicked, self.most, self.harmless_is_taken, self.error = wicked, most, harmless_is_taken, error
        self.healthy_probes = healthy_probes
        self.careful: list[bool] = []
        self.requests: list[list[int]] = []
        self.probes = 0

    def embed_batch(self, texts: list[str], counts: list[int] | None) -> np.ndarray:
        numbers = [int(text) for text in texts]
        assert counts == numbers
        self.requests.append(numbers)
        self.careful.append(current().single_attempt)
        if self.wicked.intersection(numbers) or len(numbers) > self.most:
            raise self.error("embedding: refused", says=f"400: {len(numbers)} texts")
        return np.array([[number + 1, 1] for number in numbers], dtype=np.float32)

    def harmless(self) -> None:
        self.probes += 1
        if not self.harmless_is_taken or self.probes > self.healthy_probes:
            raise self.error("embedding: refused")

    def embed(self, texts: int, most: float = math.inf) -> PartialBatch:
        numbers = list(range(texts))
        return isolate_rejected(
            self.embed_batch,
            [str(number) for number in numbers],
            numbers,
            most=most,
            dimensions=2,
            harmless=self.harmless,
        )


@settings(deadline=None)
@given(st.integers(1, 300), st.data())
def test_all_other_texts_are_made_and_the_requests_are_bounded(texts: int, data: st.DataObject) -> None:
    wicked = data.draw(st.sets(st.integers(0, texts - 1), max_size=5))
    server = Server(wicked)
    made = server.embed(texts)
    assert set(made.refused) == wicked
    assert set(made.refused.values()) <= {"400: 1 texts"}
    for number in range(texts):
        assert made.vectors[number].tolist() == ([0, 0] if number in wicked else [number + 1, 1])
    taken = [number for request in server.requests if not wicked.intersection(request) for number in request]
    assert len(taken) == len(set(taken)), "no text is paid twice"
    assert len(server.requests) + server.probes <= 1 + 2 * len(wicked) * math.ceil(math.log2(texts)) + 1
    assert server.probes <= 1


@pytest.mark.parametrize("texts", [1, 2, 7, 2048])
def test_server_that_refuses_everything_is_reported_after_four_requests(texts: int) -> None:
    server = Server(set(range(texts)), harmless_is_taken=False)
    with pytest.raises(RequestRefused, match=wording(refuses_harmless_text())):
        server.embed(texts)
    assert len(server.requests) + server.probes <= 4


def test_batch_in_which_every_text_is_refused_is_no_server_that_refuses_everything() -> None:
    server = Server(set(range(8)))
    assert set(server.embed(8).refused) == set(range(8))
    assert server.probes == 1


def test_request_that_is_only_too_large_goes_through_in_parts_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    made = Server(set(), most=8).embed(16)
    assert not made.refused
    assert made.vectors[15].tolist() == [16, 1]
    assert "lower embedding.batch_size" in caplog.text


def test_refusal_that_is_no_refusal_of_texts_goes_through() -> None:
    server = Server(set())

    def fail(texts: list[str], counts: list[int] | None) -> np.ndarray:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        isolate_rejected(fail, ["1"], [1], most=1, dimensions=2, harmless=server.harmless)
    assert server.probes == 0


# Attempts that were used up: the server fails at a text, or hangs.


@settings(deadline=None)
@given(st.integers(1, 300), st.data())
def test_texts_at_which_a_server_fails_are_found_in_2_k_log2_n_requests(texts: int, data: st.DataObject) -> None:
    wicked = data.draw(st.sets(st.integers(0, texts - 1), max_size=5))
    server = Server(wicked, error=Unanswered)
    made = server.embed(texts)
    assert set(made.refused) == wicked
    for number in range(texts):
        assert made.vectors[number].tolist() == ([0, 0] if number in wicked else [number + 1, 1])
    assert len(server.requests) <= 1 + 2 * len(wicked) * math.ceil(math.log2(texts))
    assert server.probes <= 2
    assert server.careful == [False, *[True] * (len(server.requests) - 1)], "each part is tried once"


@pytest.mark.parametrize("texts", [1, 2, 7, 2048])
def test_server_that_fails_at_everything_is_recognised_by_one_harmless_text(texts: int) -> None:
    server = Server(set(range(texts)), harmless_is_taken=False, error=Unanswered)
    with pytest.raises(Unanswered, match=wording(fails_at_harmless_text())):
        server.embed(texts)
    assert (len(server.requests), server.probes) == (1, 1)


def test_server_that_falls_ill_during_the_search_is_not_taken_for_bad_texts() -> None:
    server = Server({3, 4, 5}, error=Unanswered, healthy_probes=1)
    with pytest.raises(Unanswered, match=wording(fails_at_harmless_text())):
        server.embed(16)
    assert server.probes == 2


@pytest.mark.parametrize("error", [RequestRefused, Unanswered])
def test_more_bad_texts_than_may_be_end_the_search(error: type[BatchFailed]) -> None:
    assert len(Server(set(range(3)), error=error).embed(64, most=3).refused) == 3
    server = Server(set(range(64)), error=error)
    with pytest.raises(TooManyRefused):
        server.embed(64, most=3)
    assert len(server.requests) <= 1 + 2 * 4 * 6

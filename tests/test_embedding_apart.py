"""Telling refused texts apart: all others are made, each once, within a bounded number of requests."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragloom.embedding.apart import Apart, make_apart
from ragloom.provider.retry import RequestRefused


class Server:
    """Refuses a request that holds one of some texts; notes what it was sent."""

    def __init__(self, wicked: set[int], *, most: int = 10_000, harmless_is_taken: bool = True) -> None:
        self.wicked, self.most, self.harmless_is_taken = wicked, most, harmless_is_taken
        self.requests: list[list[int]] = []
        self.probes = 0

    def make(self, texts: list[str], counts: list[int] | None) -> np.ndarray:
        numbers = [int(text) for text in texts]
        assert counts == numbers
        self.requests.append(numbers)
        if self.wicked.intersection(numbers) or len(numbers) > self.most:
            raise RequestRefused("embedding: refused", says=f"400: {len(numbers)} texts")
        return np.array([[number + 1, 1] for number in numbers], dtype=np.float32)

    def harmless(self) -> None:
        self.probes += 1
        if not self.harmless_is_taken:
            raise RequestRefused("embedding: refused")

    def apart(self, texts: int) -> Apart:
        numbers = list(range(texts))
        return make_apart(self.make, [str(number) for number in numbers], numbers, dimensions=2, harmless=self.harmless)


@settings(deadline=None)
@given(st.integers(1, 300), st.data())
def test_all_other_texts_are_made_and_the_requests_are_bounded(texts: int, data: st.DataObject) -> None:
    wicked = data.draw(st.sets(st.integers(0, texts - 1), max_size=5))
    server = Server(wicked)
    made = server.apart(texts)
    assert set(made.refused) == wicked
    assert set(made.refused.values()) <= {"400: 1 texts"}
    for number in range(texts):
        assert made.vectors[number].tolist() == ([0, 0] if number in wicked else [number + 1, 1])
    taken = [number for request in server.requests if not wicked.intersection(request) for number in request]
    assert len(taken) == len(set(taken)), "no text is paid twice"
    assert len(server.requests) + server.probes <= 1 + 2 * len(wicked) * math.ceil(math.log2(texts)) + 1
    assert server.probes <= 1


@pytest.mark.parametrize("texts", [1, 2, 7, 2048])
def test_server_that_refuses_everything_is_told_after_four_requests(texts: int) -> None:
    server = Server(set(range(texts)), harmless_is_taken=False)
    with pytest.raises(RequestRefused, match="it refuses every text, also a harmless one"):
        server.apart(texts)
    assert len(server.requests) + server.probes <= 4


def test_batch_in_which_every_text_is_refused_is_told_from_a_server_that_refuses_everything() -> None:
    server = Server(set(range(8)))
    assert set(server.apart(8).refused) == set(range(8))
    assert server.probes == 1


def test_request_that_is_only_too_large_goes_through_in_parts_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    made = Server(set(), most=8).apart(16)
    assert not made.refused
    assert made.vectors[15].tolist() == [16, 1]
    assert "lower embedding.batch_size" in caplog.text


def test_refusal_that_is_no_refusal_of_texts_goes_through() -> None:
    server = Server(set())

    def fail(texts: list[str], counts: list[int] | None) -> np.ndarray:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        make_apart(fail, ["1"], [1], dimensions=2, harmless=server.harmless)
    assert server.probes == 0

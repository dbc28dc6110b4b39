"""Sums of usage and their prices."""

import pytest

from ragloom.core.pricing import cost_usd
from ragloom.core.usage import as_json, collect_usage, record, record_lookups

PRICES = {"e": {"input": 2, "output": 7}, "l": {"input": 3, "output": 50}}


def test_cost_is_input_and_output_by_their_prices_per_million() -> None:
    assert cost_usd([("e", 1_000_000, 0), ("l", 250_000, 10_000)], PRICES) == 2 + 0.75 + 0.5
    assert cost_usd([], PRICES) == 0
    assert cost_usd([("e", 1, 0), ("unknown", 0, 0)], PRICES) is None


def test_usage_adds_up_by_kind_in_every_open_collection() -> None:
    with collect_usage() as outer:
        record("llm", "l", input_tokens=1000, output_tokens=100)
        with collect_usage() as inner:
            record("llm", "l", input_tokens=2000, output_tokens=200)
            record("llm", "e", input_tokens=40, output_tokens=4)
            record("embedding", "e", input_tokens=500_000, output_tokens=None)
            record("judge", "l", input_tokens=8, output_tokens=9)
            for hits in (3, 2):
                record_lookups("e", hits=hits, misses=4, damaged=1, tokens=100_000 * hits)
                record_lookups(made=5, made_tokens=50)
                record_lookups(unavailable=2)
            record_lookups(None, hits=1, misses=0, damaged=0, tokens=10)
    shown = as_json(outer, PRICES)
    assert (shown["llm_input_tokens"], shown["llm_output_tokens"]) == (3040, 304)
    assert (shown["embedding_tokens"], shown["requests"], shown["unreported"]) == (500_000, 4, 0)
    assert shown["cost_usd"] == pytest.approx((3008 * 3 + 309 * 50 + 40 * 2 + 4 * 7 + 500_000 * 2) / 1e6)
    assert shown["cache"] == {
        "hits": 6,
        "misses": 8,
        "damaged": 2,
        "unavailable": 4,
        "saved_tokens": 500_010,
        "saved_usd": pytest.approx(1),
    }
    assert (outer.cache.made, outer.cache.made_tokens) == (10, 100)
    assert as_json(inner, PRICES)["requests"] == 3


@pytest.mark.parametrize(("kind", "reported"), [("llm", (1, None)), ("llm", (None, 1)), ("embedding", (None, None))])
def test_usage_that_a_provider_did_not_report_has_no_price(kind: str, reported: tuple[int | None, int | None]) -> None:
    with collect_usage() as usage:
        record("embedding", "e", input_tokens=1, output_tokens=None)
        assert usage.cost_usd(PRICES) is not None
        record(kind, "l", input_tokens=reported[0], output_tokens=reported[1])  # type: ignore[arg-type]
    assert usage.cost_usd(PRICES) is None
    assert as_json(usage, PRICES)["unreported"] == 1
    assert as_json(usage, PRICES)["llm_input_tokens"] == ((reported[0] or 0) if kind == "llm" else 0)

"""Sums of a sweep's plan."""

import pytest

from ragloom.evaluation.sweep_plan import SweepPlan


def index(tokens: int, seconds: float | None, usd: float | None = 0.5) -> dict[str, object]:
    return {"index": "i", "tokens": tokens, "seconds_at_limits": seconds, "cost_usd": usd}


def test_plan_adds_up_tokens_hours_and_costs_of_indexes_and_requests() -> None:
    plan = SweepPlan([], {}, [index(100, 5400.0), index(20, None), index(3, 1800.0)], [{"cost_usd": 2.0}])
    assert plan.tokens == 123
    assert plan.min_hours == pytest.approx(2)
    assert plan.embedding_usd == pytest.approx(1.5)
    assert plan.max_usd == pytest.approx(3.5)


@pytest.mark.parametrize(
    "plan",
    [
        SweepPlan([], {}, [index(1, None, None)], [{"cost_usd": 2.0}]),
        SweepPlan([], {}, [index(1, None)], [{"cost_usd": None}]),
        SweepPlan([], {}, [index(1, None)], [], ["a judge"]),
    ],
    ids=["index", "requests", "unbounded"],
)
def test_plan_with_an_unknown_part_has_no_upper_bound(plan: SweepPlan) -> None:
    assert plan.max_usd is None

"""Limits of a budget, exactly."""

import pytest

from ragloom.core.budget import Bound, Budget, BudgetSpent, accounted, charge, has_budget, refund, within
from ragloom.core.run_context import current

PRICES = {"l": {"input": 4, "output": 10}}


@pytest.mark.parametrize(
    ("limit", "value"), [("max_tokens", 30), ("max_usd", 0.00018)], ids=["tokens", "dollars"]
)  # two calls of 10 + 5 tokens, at 4 and 10 dollars per million
def test_budget_may_be_spent_to_the_limit_and_no_further(limit: str, value: float) -> None:
    budget = Budget(**{"max_usd": None, "max_tokens": None, "price": 2, "prices": PRICES, limit: value})  # type: ignore[arg-type]
    assert budget.limits
    for _ in range(2):
        budget.charge(10, 5, "l")
    assert budget.tokens == 30
    assert budget.usd == 0.00018
    with pytest.raises(BudgetSpent, match=f"budget.{limit}"):
        budget.charge(1)
    with pytest.raises(BudgetSpent):
        Budget(max_usd=None, max_tokens=14, price=0).charge(10, 5)
    with pytest.raises(BudgetSpent):  # after one call was refused, none is made
        budget.charge(0)


def test_refund_takes_back_what_was_charged() -> None:
    budget = Budget(max_usd=1, max_tokens=None, price=2, prices=PRICES)
    budget.charge(1000)
    budget.charge(10, 5, "l")
    budget.charge(7, 7, "free")
    assert (budget.tokens, budget.usd) == (1029, 0.00209)
    budget.refund(10, 5, "l")
    budget.refund(1000)
    assert (budget.tokens, budget.usd) == (14, 0)
    assert not Budget(max_usd=None, max_tokens=None, price=0).limits


def test_innermost_budget_is_open_and_each_is_accounted_once() -> None:
    outer, inner = (Budget(max_usd=1, max_tokens=None, price=0) for _ in range(2))
    with accounted() as opened, within(outer):
        with within(inner), within(outer), within(None):
            assert current().budget is None
        assert current().budget is outer
    assert opened == [outer, inner]
    with within(inner):
        assert current().budget is inner
        charge(3)
        refund(1)
    charge(3)
    refund(1)
    assert current().budget is None
    assert (inner.tokens, outer.tokens) == (2, 0)
    assert opened == [outer, inner]


@pytest.mark.parametrize(
    ("reported", "tokens"), [((4, 2), 6), ((4, None), 9), ((None, 2), 12), ((None, None), 15), ((12, 7), 19)]
)
def test_bound_of_a_request_is_settled_by_what_was_reported(
    reported: tuple[int | None, int | None], tokens: int
) -> None:
    budget = Budget(max_usd=1, max_tokens=None, price=0, prices=PRICES)
    assert not has_budget()
    with within(budget):
        assert has_budget()
        bound = Bound("l", 10, 5)
        bound.take()
        assert budget.tokens == 15
        bound.settle(*reported)
    assert budget.tokens == tokens
    with within(Budget(max_usd=None, max_tokens=None, price=0)):
        assert not has_budget()

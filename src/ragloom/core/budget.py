"""Budget of paid calls, charged before each call.

A budget belongs to the context (thread or task) that opened it and to what that context starts. The longest reply of an
LLM is reserved, and settled when the bill is known.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ragloom.core.run_context import changed, current
from ragloom.errors import RagloomError


class BudgetSpent(RagloomError):
    """The next call would exceed the budget; it was not made."""


class Budget:
    """Spending limit shared by the calls inside `within`; thread-safe.

    Args:
        max_usd: US dollars; None = no limit.
        max_tokens: tokens as this side counts them, an LLM's replies included; None = no limit.
        price: US dollars per million tokens that an embedding is sent; 0 where nothing is paid.
        prices: of LLMs: model -> {input, output}; one that is not listed costs nothing.
    """

    def __init__(
        self,
        *,
        max_usd: float | None,
        max_tokens: int | None,
        price: float,
        prices: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        # As the decimal numbers that a person wrote: what costs exactly the limit does not exceed it.
        self._max_usd = None if max_usd is None else Fraction(str(max_usd))
        self._max_tokens = max_tokens
        self._price = Fraction(str(price))
        self._prices = prices or {}
        self._changing = threading.Lock()
        self._over: str | None = None
        self.tokens = 0
        self._usd = Fraction(0)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_changing"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state, _changing=threading.Lock())

    def settle_as(self, other: Budget) -> None:
        """Take over what another process has spent of this budget."""
        with self._changing:
            self.tokens, self._usd, self._over = other.tokens, other._usd, other._over

    @property
    def usd(self) -> float:
        """US dollars that are spent or held back."""
        return float(self._usd)

    @property
    def limits(self) -> bool:
        """Whether any limit is set."""
        return self._max_usd is not None or self._max_tokens is not None

    def charge(self, tokens: int, output: int = 0, model: str | None = None) -> None:
        """Take what a call that is about to be made may use.

        Args:
            tokens: that are sent.
            output: tokens of the reply, at most.
            model: LLM that is asked; None: the embedding.

        Raises:
            BudgetSpent: they would exceed the budget, or those of a call before would have: after that one none is
                made, so that what is left out does not depend on which call is small.
        """
        usd = self._cost(tokens, output, model)
        with self._changing:
            if self._over is None:
                self._over = self._exceeded(tokens + output, usd)
            if self._over is not None:
                raise BudgetSpent(self._over)
            self.tokens += tokens + output
            self._usd += usd

    def refund(self, tokens: int, output: int = 0, model: str | None = None) -> None:
        """Refund a charge that is not billed."""
        with self._changing:
            self.tokens -= tokens + output
            self._usd -= self._cost(tokens, output, model)

    def _cost(self, tokens: int, output: int, model: str | None) -> Fraction:
        if model is None:
            return tokens * self._price / 1_000_000
        price = self._prices.get(model)
        if price is None:
            return Fraction(0)
        return (tokens * Fraction(str(price["input"])) + output * Fraction(str(price["output"]))) / 1_000_000

    def _exceeded(self, tokens: int, usd: Fraction) -> str | None:
        """Return the limit that a call would exceed; None within limits."""
        if self._max_tokens is not None and self.tokens + tokens > self._max_tokens:
            return (
                f"budget: budget.max_tokens={self._max_tokens} must not be exceeded: {self.tokens} tokens are spent or "
                f"held, and the next request has up to {tokens} of the {self._max_tokens - self.tokens} left"
            )
        if self._max_usd is not None and self._usd + usd > self._max_usd:
            return (
                f"budget: budget.max_usd={float(self._max_usd):g} must not be exceeded: ${float(self._usd):.6f} are "
                f"spent or held, and the next request may cost ${float(usd):.6f}"
            )
        return None


@contextmanager
def within(budget: Budget | None) -> Iterator[None]:
    """Charge all calls inside the block to a budget."""
    if budget is not None and (account := current().account) is not None and budget not in account:
        account.append(budget)
    with changed(budget=budget):
        yield


@contextmanager
def accounted() -> Iterator[list[Budget]]:
    """List budgets opened inside the block, to know their final spending."""
    opened: list[Budget] = []
    with changed(account=opened):
        yield opened


def has_budget() -> bool:
    """Return whether a budget limits the calls of this context."""
    budget = current().budget
    return budget is not None and budget.limits


def charge(tokens: int) -> None:
    """Charge the open budget for an embedding call about to be made.

    Raises:
        BudgetSpent: the call must not be made.
    """
    if (budget := current().budget) is not None:
        budget.charge(tokens)


def refund(tokens: int) -> None:
    """Refund to the open budget the charge of a refused call."""
    if (budget := current().budget) is not None:
        budget.refund(tokens)


@dataclass(frozen=True, slots=True)
class Bound:
    """Upper bound of one LLM request, reserved until its bill is known.

    Attributes:
        input, output: tokens.
    """

    model: str
    input: int
    output: int

    def take(self) -> None:
        """Charge the open budget for a request about to be sent.

        Raises:
            BudgetSpent: it must not be sent.
        """
        if (budget := current().budget) is not None:
            budget.charge(self.input, self.output, self.model)

    def settle(self, input: int | None = None, output: int | None = None) -> None:
        """Give back what was not used.

        Args:
            input, output: tokens as the provider reported them; None: it reported nothing, so that all may be billed.
        """
        if (budget := current().budget) is not None:
            unused = 0 if input is None else self.input - input
            budget.refund(unused, 0 if output is None else self.output - output, self.model)

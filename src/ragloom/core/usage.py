"""Usage of providers and the embedding cache, priced by model name.

Providers record each call here; callers collect the usage of a piece of work around that work. A collection
belongs to the context (thread or task) that opened it and to what that context starts, so that concurrent queries do
not see each other's tokens. Local models record nothing: nothing is paid for them.

A budget is opened in the same way. It is charged before each call with that call's own tokens, so that no call is made
that would exceed it. An LLM's longest reply is held back, and settled when the bill is known.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from ragloom.core.pricing import cost_usd
from ragloom.errors import RagloomError

Kind = Literal["embedding", "llm", "judge"]

_adding = threading.Lock()


@dataclass
class Tokens:
    """Usage of one model.

    Attributes:
        requests: that were answered.
        input, output: tokens as the provider reported them.
        unreported: answered requests for which the provider reported no usage.
    """

    requests: int = 0
    input: int = 0
    output: int = 0
    unreported: int = 0


@dataclass
class Lookups:
    """Usage of the embedding cache: hits, and what was embedded.

    Attributes:
        hits, misses: distinct texts of each call, found and not found.
        damaged: of the misses, those whose entry, or whose whole file, was damaged.
        unavailable: times that the cache's file could not be read or written.
        tokens: of the hits, by the embedding's own tokenizer.
        made, made_tokens: texts that were embedded, with a cache or without, and their tokens where these are limited.
        saved: model -> tokens of the hits that would have been paid for.
    """

    hits: int = 0
    misses: int = 0
    damaged: int = 0
    unavailable: int = 0
    tokens: int = 0
    made: int = 0
    made_tokens: int = 0
    saved: dict[str, int] = field(default_factory=dict)


@dataclass
class Usage:
    """Usage by (kind, model), and usage avoided by the cache."""

    models: dict[tuple[Kind, str], Tokens] = field(default_factory=dict)
    cache: Lookups = field(default_factory=Lookups)

    def add(self, kind: Kind, model: str, input_tokens: int | None, output_tokens: int | None) -> None:
        """Add one answered request; None where the provider reported nothing."""
        with _adding:
            tokens = self.models.setdefault((kind, model), Tokens())
            tokens.requests += 1
            tokens.input += input_tokens or 0
            tokens.output += output_tokens or 0
            tokens.unreported += input_tokens is None or (kind != "embedding" and output_tokens is None)

    def tokens(self, kind: Kind) -> Tokens:
        """Sum the usage of one kind over its models."""
        total = Tokens()
        for (of, _), tokens in self.models.items():
            if of == kind:
                total.requests += tokens.requests
                total.input += tokens.input
                total.output += tokens.output
                total.unreported += tokens.unreported
        return total

    def cost_usd(self, prices: Mapping[str, Any]) -> float | None:
        """Price usage in US dollars; None for unknown prices or usage.

        Args:
            prices: model -> {input, output}: US dollars per million tokens.
        """
        if any(tokens.unreported for tokens in self.models.values()):
            return None
        return cost_usd(((model, tokens.input, tokens.output) for (_, model), tokens in self.models.items()), prices)

    def saved_usd(self, prices: Mapping[str, Any]) -> float | None:
        """Price cache savings in US dollars; None for unknown prices."""
        return cost_usd(((model, tokens, 0) for model, tokens in self.cache.saved.items()), prices)


_collections: contextvars.ContextVar[tuple[Usage, ...]] = contextvars.ContextVar("ragloom_usage", default=())


@contextmanager
def collect_usage() -> Iterator[Usage]:
    """Collect usage inside the block, also of threads with its context."""
    usage = Usage()
    token = _collections.set((*_collections.get(), usage))
    try:
        yield usage
    finally:
        _collections.reset(token)


def record(kind: Kind, model: str, *, input_tokens: int | None, output_tokens: int | None) -> None:
    """Record one answered request in every open collection of this context."""
    for usage in _collections.get():
        usage.add(kind, model, input_tokens, output_tokens)


def record_lookups(model: str | None, *, hits: int, misses: int, damaged: int, tokens: int) -> None:
    """Record the result of one cache call in every open collection.

    Args:
        model: that would have been paid; None = nothing would have been.
    """
    for usage in _collections.get():
        with _adding:
            usage.cache.hits += hits
            usage.cache.misses += misses
            usage.cache.damaged += damaged
            usage.cache.tokens += tokens
            if model is not None and tokens:
                usage.cache.saved[model] = usage.cache.saved.get(model, 0) + tokens


def record_made(texts: int, tokens: int) -> None:
    """Record texts that were embedded, in every open collection of this context."""
    for usage in _collections.get():
        with _adding:
            usage.cache.made += texts
            usage.cache.made_tokens += tokens


def record_unavailable(times: int) -> None:
    """Record a cache failure in every open collection."""
    for usage in _collections.get():
        with _adding:
            usage.cache.unavailable += times


def as_json(usage: Usage, prices: Mapping[str, Any]) -> dict[str, Any]:
    """Format usage: tokens by kind, cost, and savings of the cache."""
    embedding, llm = usage.tokens("embedding"), usage.tokens("llm")
    return {
        "embedding_tokens": embedding.input,
        "llm_input_tokens": llm.input,
        "llm_output_tokens": llm.output,
        "requests": embedding.requests + llm.requests,
        "unreported": embedding.unreported + llm.unreported,
        "cost_usd": usage.cost_usd(prices),
        "cache": {
            "hits": usage.cache.hits,
            "misses": usage.cache.misses,
            "damaged": usage.cache.damaged,
            "unavailable": usage.cache.unavailable,
            "saved_tokens": usage.cache.tokens,
            "saved_usd": usage.saved_usd(prices),
        },
    }


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


_budget: contextvars.ContextVar[Budget | None] = contextvars.ContextVar("ragloom_budget", default=None)


@contextmanager
def within(budget: Budget | None) -> Iterator[None]:
    """Charge all calls inside the block to a budget."""
    if budget is not None and (account := _account.get()) is not None and budget not in account:
        account.append(budget)
    token = _budget.set(budget)
    try:
        yield
    finally:
        _budget.reset(token)


_account: contextvars.ContextVar[list[Budget] | None] = contextvars.ContextVar("ragloom_account", default=None)


@contextmanager
def accounted() -> Iterator[list[Budget]]:
    """List budgets opened inside the block, to know their final spending."""
    opened: list[Budget] = []
    token = _account.set(opened)
    try:
        yield opened
    finally:
        _account.reset(token)


def open_budget() -> Budget | None:
    """Return the budget that calls of this context are charged to."""
    return _budget.get()


def has_budget() -> bool:
    """Return whether a budget limits the calls of this context."""
    budget = _budget.get()
    return budget is not None and budget.limits


def charge(tokens: int) -> None:
    """Charge the open budget for an embedding call about to be made.

    Raises:
        BudgetSpent: the call must not be made.
    """
    if (budget := _budget.get()) is not None:
        budget.charge(tokens)


def refund(tokens: int) -> None:
    """Refund to the open budget the charge of a refused call."""
    if (budget := _budget.get()) is not None:
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
        if (budget := _budget.get()) is not None:
            budget.charge(self.input, self.output, self.model)

    def settle(self, input: int | None = None, output: int | None = None) -> None:
        """Give back what was not used.

        Args:
            input, output: tokens as the provider reported them; None: it reported nothing, so that all may be billed.
        """
        if (budget := _budget.get()) is not None:
            unused = 0 if input is None else self.input - input
            budget.refund(unused, 0 if output is None else self.output - output, self.model)

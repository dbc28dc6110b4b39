"""Usage of providers and the embedding cache, priced by model name.

Providers record each call here; callers collect the usage of a piece of work around that work. A collection
belongs to the context (thread or task) that opened it and to what that context starts, so that concurrent queries do
not see each other's tokens. Local models record nothing: nothing is paid for them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from ragloom.core.pricing import cost_usd
from ragloom.core.run_context import changed, current

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

    def merge(self, other: Usage) -> None:
        """Add the usage of another collection."""
        with _adding:
            for key, tokens in other.models.items():
                _add_fields(self.models.setdefault(key, Tokens()), tokens)
            saved = {**self.cache.saved}
            for model, count in other.cache.saved.items():
                saved[model] = saved.get(model, 0) + count
            _add_fields(self.cache, other.cache)
            self.cache.saved = saved

    def tokens(self, kind: Kind) -> Tokens:
        """Sum the usage of one kind over its models."""
        of_kind = [tokens for (name, _), tokens in self.models.items() if name == kind]
        return Tokens(*(sum(getattr(tokens, item.name) for tokens in of_kind) for item in fields(Tokens)))

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


def _add_fields(total: Any, part: Any) -> None:
    """Add the numbers of a record to those of another one."""
    for item in fields(total):
        if isinstance(value := getattr(part, item.name), int):
            setattr(total, item.name, getattr(total, item.name) + value)


@contextmanager
def collect_usage() -> Iterator[Usage]:
    """Collect usage inside the block, also of threads with its context."""
    usage = Usage()
    with changed(usage=(*current().usage, usage)):
        yield usage


def record(kind: Kind, model: str, *, input_tokens: int | None, output_tokens: int | None) -> None:
    """Record one answered request in every open collection of this context."""
    for usage in current().usage:
        usage.add(kind, model, input_tokens, output_tokens)


def record_usage(other: Usage) -> None:
    """Add what another process collected to every open collection of this context."""
    for usage in current().usage:
        usage.merge(other)


def record_lookups(model: str | None = None, **counts: int) -> None:
    """Add to the cache's usage in every open collection of this context.

    Args:
        model: that would have been paid for `tokens`; None = nothing would have been.
        counts: by the names of `Lookups`.
    """
    for usage in current().usage:
        with _adding:
            for name, count in counts.items():
                setattr(usage.cache, name, getattr(usage.cache, name) + count)
            if model is not None and (tokens := counts["tokens"]):
                usage.cache.saved[model] = usage.cache.saved.get(model, 0) + tokens


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

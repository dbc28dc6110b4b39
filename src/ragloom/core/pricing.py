"""Cost of tokens in US dollars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def cost_usd(tokens: Iterable[tuple[str, int, int]], prices: Mapping[str, Any]) -> float | None:
    """Price tokens in US dollars.

    Args:
        tokens: (model, input tokens, output tokens).
        prices: model -> {input, output}: US dollars per million tokens.

    Returns:
        0.0 without tokens; None where a model has no price, since a part of a bill is not the bill.
    """
    total = 0.0
    for model, input, output in tokens:
        if (price := prices.get(model)) is None:
            return None
        total += (input * price["input"] + output * price["output"]) / 1_000_000
    return total

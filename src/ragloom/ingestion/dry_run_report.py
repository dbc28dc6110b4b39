"""JSON form of a dry run's estimate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ragloom.ingestion.counting_embedding import Asked
    from ragloom.ingestion.dry_run import Estimate


def estimate_json(estimate: Estimate, embedding: Any, prices: Mapping[str, Any]) -> dict[str, Any]:
    """Return an estimate as one JSON object.

    Args:
        estimate: of a dry run.
        embedding: of the same config.
        prices: model -> {input, output}: US dollars per million tokens.
    """
    summary = estimate.summary
    price = embedding_price(embedding, prices)
    return {
        "dry_run": True,
        "index": summary.index,
        "documents": {
            "added": summary.added,
            "changed": summary.changed,
            "unchanged": summary.unchanged,
            "moved": summary.moved,
            "deleted": summary.deleted,
            "unreadable": summary.unreadable_count,
            "skipped": summary.skipped_count,
            "warnings": summary.warnings_count,
            "in_index": summary.documents,
        },
        "unreadable": [asdict(item) for item in summary.unreadable],
        "skipped": [asdict(item) for item in summary.skipped],
        "warnings": [asdict(item) for item in summary.warnings],
        "kept": summary.kept,
        "stopped": summary.stopped,
        "chunks": {"new": estimate.new_chunks, "in_index": summary.chunks, "estimated": basis(estimate) is not None},
        "basis": basis(estimate),
        "embedding": _requests_json(estimate.chunks, price),
        "sentences": _requests_json(estimate.sentences, price),
        "tokens": estimate.tokens,
        "requests": estimate.requests,
        "paid": getattr(embedding, "paid", False),
        "cost_usd": cost_usd(estimate.tokens, price),
        "seconds_at_limits": estimate.seconds,
        "index_bytes": estimate.index_bytes,
        "over_budget": estimate.over_budget,
    }


def basis(estimate: Estimate) -> str | None:
    """Explain why the number of chunks is an estimate; None where it is exact."""
    if not estimate.guessed:
        return None
    return (
        f"of the texts whose vectors decide where documents are cut, {estimate.sentences.texts} are not cached: those "
        f"documents were cut by which words their sentences share"
    )


def embedding_price(embedding: Any, prices: Mapping[str, Any]) -> float | None:
    """Return US dollars per million tokens of an embedding; None where the price is unknown."""
    if not getattr(embedding, "paid", False):
        return 0.0
    price = prices.get(embedding.model_name)
    return None if price is None else float(price["input"])


def cost_usd(tokens: int, price: float | None) -> float | None:
    """Return the cost of embedding tokens in US dollars; None where the price is unknown."""
    return None if price is None else tokens * price / 1_000_000


def _requests_json(requests: Asked, price: float | None) -> dict[str, Any]:
    return {**asdict(requests), "cost_usd": cost_usd(requests.tokens, price)}

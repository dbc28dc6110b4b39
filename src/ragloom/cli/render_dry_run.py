"""Terminal output of a dry run: work and cost of an ingest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragloom.cli.console import price_text
from ragloom.core.redaction import redact

if TYPE_CHECKING:
    from rich.console import Console

    from ragloom.ingestion.counting_embedding import TextCounts
    from ragloom.ingestion.dry_run import Estimate

_MOST_LISTED = 20


def print_estimate(screen: Console, estimate: Estimate) -> None:
    """Print an estimate, and the first twenty unreadable files and warnings."""
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for name, text in _rows(estimate).items():
        table.add_row(f"[bold]{name}[/]", escape(text))
    screen.print(table)
    summary = estimate.summary
    for title, items, count in (
        ("could not be read", summary.unreadable, summary.unreadable_count),
        ("warning", summary.warnings, summary.warnings_count),
    ):
        for item in items[:_MOST_LISTED]:
            screen.print(f"[yellow]{title}:[/] {escape(redact(f'{item.location}: {item.reason}'))}")
        if count > _MOST_LISTED:
            screen.print(f"... and {count - _MOST_LISTED} more")
    for title, why in (
        ("the chunks are an estimate", estimate.basis),
        ("nothing would be deleted", summary.kept),
        ("it would stop", estimate.over_budget),
        ("not everything was read", summary.stopped),
    ):
        if why:
            screen.print(f"[yellow]{title}:[/] {escape(redact(why))}")
    screen.print("a dry run: nothing was called, and nothing was written")


def _rows(estimate: Estimate) -> dict[str, str]:
    summary, about = estimate.summary, "about " if estimate.guessed else ""
    rows = {
        "index": summary.index,
        "documents": f"{summary.documents} ({summary.added} added, {summary.changed} changed, "
        f"{summary.unchanged} unchanged, {summary.moved} moved, {summary.deleted} deleted)",
        "unreadable": str(summary.unreadable_count),
        "skipped": str(summary.skipped_count),
        "warnings": str(summary.warnings_count),
        "chunks": f"{about}{summary.chunks} ({about}{estimate.new_chunks} new)",
        "to embed": about + _requests(estimate, estimate.chunks),
    }
    if estimate.sentences != type(estimate.sentences)():
        rows["sentences"] = f"{_requests(estimate, estimate.sentences)}, for cutting"
    hits = estimate.chunks.hits + estimate.sentences.hits
    rows["cache"] = f"{about}{hits} hits, {estimate.chunks.hit_tokens + estimate.sentences.hit_tokens} tokens saved"
    if estimate.model is not None:
        rows["cost"] = about + _cost(estimate, estimate.tokens)
        rows["time"] = (
            "no limits per minute are set: as fast as the server answers"
            if estimate.seconds is None
            else f"at least {estimate.seconds:.0f} seconds at the limits per minute"
        )
    rows["size of index"] = f"about {estimate.index_bytes / 1e6:,.1f} MB (an estimate)"
    return rows


def _requests(estimate: Estimate, requests: TextCounts) -> str:
    text = f"{requests.texts} texts, {requests.tokens} tokens"
    return (
        text if estimate.model is None else f"{text}, {requests.requests} requests, {_cost(estimate, requests.tokens)}"
    )


def _cost(estimate: Estimate, tokens: int) -> str:
    return price_text(estimate.usd(tokens))

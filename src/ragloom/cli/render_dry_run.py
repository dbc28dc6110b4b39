"""Terminal output of a dry run: what an ingest would do and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragloom.core.redaction import redact
from ragloom.ingestion.dry_run_report import basis, cost_usd, embedding_price

if TYPE_CHECKING:
    from rich.console import Console

    from ragloom.assembly import Assembly
    from ragloom.ingestion.counting_embedding import Asked
    from ragloom.ingestion.dry_run import Estimate

_MOST_LISTED = 20


def print_estimate(screen: Console, estimate: Estimate, assembly: Assembly) -> None:
    """Prints what an ingest would do and cost, and the first twenty unreadable files and warnings."""
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for name, text in _rows(estimate, assembly).items():
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
        ("the chunks are an estimate", basis(estimate)),
        ("nothing would be deleted", summary.kept),
        ("it would stop", estimate.over_budget),
        ("not everything was read", summary.stopped),
    ):
        if why:
            screen.print(f"[yellow]{title}:[/] {escape(redact(why))}")
    screen.print("a dry run: nothing was called, and nothing was written")


def _rows(estimate: Estimate, assembly: Assembly) -> dict[str, str]:
    summary, about = estimate.summary, "about " if estimate.guessed else ""
    price, paid = embedding_price(assembly.embedding, assembly.prices), getattr(assembly.embedding, "paid", False)
    rows = {
        "index": summary.index,
        "documents": f"{summary.documents} ({summary.added} added, {summary.changed} changed, "
        f"{summary.unchanged} unchanged, {summary.moved} moved, {summary.deleted} deleted)",
        "unreadable": str(summary.unreadable_count),
        "skipped": str(summary.skipped_count),
        "warnings": str(summary.warnings_count),
        "chunks": f"{about}{summary.chunks} ({about}{estimate.new_chunks} new)",
        "to embed": about + _asked(estimate.chunks, price, paid=paid),
    }
    if estimate.sentences != type(estimate.sentences)():
        rows["sentences"] = f"{_asked(estimate.sentences, price, paid=paid)}, for cutting"
    hits = estimate.chunks.hits + estimate.sentences.hits
    rows["cache"] = f"{about}{hits} hits, {estimate.chunks.hit_tokens + estimate.sentences.hit_tokens} tokens saved"
    if paid:
        rows["cost"] = about + _cost(estimate.tokens, price)
        rows["time"] = (
            "no limits per minute are set: as fast as the server answers"
            if estimate.seconds is None
            else f"at least {estimate.seconds:.0f} seconds at the limits per minute"
        )
    rows["size of index"] = f"about {estimate.index_bytes / 1e6:,.1f} MB (an estimate)"
    return rows


def _asked(asked: Asked, price: float | None, *, paid: bool) -> str:
    text = f"{asked.texts} texts, {asked.tokens} tokens"
    return f"{text}, {asked.requests} requests, {_cost(asked.tokens, price)}" if paid else text


def _cost(tokens: int, price: float | None) -> str:
    dollars = cost_usd(tokens, price)
    return "unknown price" if dollars is None else f"${dollars:.6f}"

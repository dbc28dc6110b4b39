"""Terminal output of a dry run: work and cost of an ingest."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from ragloom.cli.console import price_text
from ragloom.cli.table_layout import print_problems, print_rows
from ragloom.core.redaction import redact
from ragloom.ingestion.counting_embedding import TextCounts
from ragloom.ingestion.dry_run import Estimate
from ragloom.ingestion.summary import IngestSummary


def print_estimate(screen: Console, estimate: Estimate) -> None:
    """Print an estimate, and the first twenty unreadable files and warnings."""
    summary = estimate.summary
    print_rows(screen, {name: escape(text) for name, text in _rows(estimate).items()})
    print_problems(screen, "could not be read", summary.unreadable, summary.unreadable_count)
    print_problems(screen, "warning", summary.warnings, summary.warnings_count)
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
        "documents": documents_text(summary),
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
        rows["cost"] = about + price_text(estimate.usd(estimate.tokens))
        rows["time"] = (
            "no limits per minute are set: as fast as the server answers"
            if estimate.seconds is None
            else f"at least {estimate.seconds:.0f} seconds at the limits per minute"
        )
    rows["forecast"] = _forecast(estimate)
    rows["size of index"] = f"about {estimate.index_bytes / 1e6:,.1f} MB (an estimate)"
    return rows


def _forecast(estimate: Estimate) -> str:
    predicted = estimate.forecast
    if predicted is None:
        return f"unknown: {estimate.forecast_basis}"
    seconds, factor = predicted.seconds, estimate.forecast_factor
    text = f"{duration(seconds)} ({duration(seconds / factor)} to {duration(seconds * factor)}), "
    text += f"{predicted.memory_mb:,.0f} MB of memory; it waits for {predicted.limit}"
    if predicted.lacks_embedding:
        text += "; without the time of embedding, which is known after an ingest with this embedding"
    return f"{text}; {estimate.forecast_basis}"


def duration(seconds: float) -> str:
    """Write a time in its largest unit."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} seconds"


def documents_text(summary: IngestSummary) -> str:
    """Count the documents by what was done with them."""
    return (
        f"{summary.documents} ({summary.added} added, {summary.changed} changed, {summary.unchanged} unchanged, "
        f"{summary.moved} moved, {summary.deleted} deleted)"
    )


def _requests(estimate: Estimate, requests: TextCounts) -> str:
    text = f"{requests.texts} texts, {requests.tokens} tokens"
    if estimate.model is None:
        return text
    return f"{text}, {requests.requests} requests, {price_text(estimate.usd(requests.tokens))}"

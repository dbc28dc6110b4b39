"""`ingest.py`: sync an index with its source.

A Hydra program: keys, no own flags.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.cli.console import (
    FAILED,
    INTERRUPTED,
    LISTED_FAILURES,
    OK,
    console,
    price_text,
    print_json,
    run_program,
    stdout_to_stderr,
)
from ragloom.cli.interrupt_handling import stop_on_interrupt
from ragloom.core.redaction import redact, redact_tree
from ragloom.core.suggested_commands import command, program
from ragloom.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

    from ragloom.assembly import Assembly
    from ragloom.ingestion import IngestSummary


def main(argv: list[str] | None = None) -> int:
    """Run the program; return 0 complete, 3 listed failures, 1 failure."""
    return run_program(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: list[str]) -> int:
    from ragloom.cli.hydra_app import run

    return run("ingest", argv, _task)


def _task(config: Any) -> int:
    from ragloom.cli.progress import json_progress, terminal_progress

    dry, as_json = config.tree["dry_run"], config.tree["output"] == "json"
    stream = sys.stdout
    with stdout_to_stderr():
        from ragloom.assembly import Assembly
        from ragloom.cli.render_dry_run import print_estimate

        with Assembly(config) as assembly, stop_on_interrupt() as stop:
            with json_progress(stream) if as_json else terminal_progress(assembly) as progress:
                estimate = assembly.rehearse(progress, stop) if dry else None
                summary = assembly.ingest(progress, stop) if estimate is None else estimate.summary
            shown = summary_json(summary, assembly) if estimate is None else estimate.as_json()
            path = _write_summary(shown, config) if estimate is None else None
    if as_json:
        print_json({"event": "summary", **shown})
    elif estimate is not None:
        print_estimate(console(), estimate)
    else:
        print_summary(console(), summary, assembly)
        console().print(f"[bold]kept as[/]     {path}", soft_wrap=True)
    # Ctrl-C after everything was read stops nothing.
    return _status(summary, dry=dry, stopped=stop() and summary.stopped is not None)


def _status(summary: IngestSummary, *, dry: bool, stopped: bool) -> int:
    if stopped:
        sys.stderr.write("stopped early\n" if dry else "stopped early; run the same command again to go on\n")
        return INTERRUPTED
    if summary.stopped is not None:
        return FAILED
    return OK if summary.complete else LISTED_FAILURES


def _write_summary(shown: dict[str, Any], config: Any) -> Path:
    """Write the summary to a new folder; return the file's path."""
    began = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    folder = Path(config.tree["runs"]).expanduser() / f"ingest-{shown['index']}-{began}"
    try:
        folder.mkdir(parents=True)
        path = folder / "ingest.json"
        path.write_text(json.dumps(redact_tree(shown), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"config: runs={config.tree['runs']!r} must be a folder that can be written ({error.strerror}); the ingest "
            "itself is committed"
        ) from None
    return path


def summary_json(summary: IngestSummary, assembly: Assembly) -> dict[str, Any]:
    """Return a summary as one JSON object."""
    from dataclasses import asdict

    from ragloom.core.usage import as_json

    shown = asdict(summary)
    shown["fingerprint"] = assembly.fingerprint
    shown["config"] = assembly.config.choices
    shown["usage"] = as_json(summary.usage, assembly.prices)
    return shown | assembly.config.project_record()


def print_summary(screen: Console, summary: IngestSummary, assembly: Assembly) -> None:
    """Print a summary with the first twenty unreadable files, skips and warnings."""
    from rich.markup import escape

    from ragloom.cli.render_dry_run import documents_text
    from ragloom.cli.table_layout import print_problems, print_rows
    from ragloom.core.usage import as_json
    from ragloom.ingestion.summary import MOST_KEPT

    usage = as_json(summary.usage, assembly.prices)
    cost = price_text(usage["cost_usd"])
    rows = {
        "index": escape(summary.index),
        "documents": documents_text(summary),
        "unreadable": str(summary.unreadable_count) + _refused_text(summary),
        "skipped": str(summary.skipped_count),
        "warnings": str(summary.warnings_count),
        "chunks": str(summary.chunks) + (f" ({summary.oversized} over the size)" if summary.oversized else ""),
        "embedded": f"{summary.embedded} texts, {summary.tokens} tokens{_reported(usage, assembly)}, {cost}",
        "cache": _cache_row(usage["cache"], assembly),
        "seconds": f"{summary.seconds:.2f} ("
        + ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in summary.stages.items())
        + ")",
    }
    if summary.recovered:
        rows["recovered"] = (
            f"an interrupted ingest had left {summary.recovered.chunks} chunks and {summary.recovered.documents} "
            "unfinished documents; they were removed"
        )
    print_rows(screen, rows)
    for title, items, count in (
        ("could not be read", summary.unreadable, summary.unreadable_count),
        ("skipped", summary.skipped, summary.skipped_count),
        ("warning", summary.warnings, summary.warnings_count),
    ):
        print_problems(screen, title, items, count, f"; ingest.json lists the first {MOST_KEPT}")
    for note in (*_on_deleted(summary, assembly), *summary.notes):
        screen.print(f"[yellow]note:[/] {escape(redact(note))}")
    if summary.kept:
        screen.print(f"[yellow]nothing was deleted:[/] {escape(summary.kept)}")
    if summary.stopped:
        screen.print(f"[yellow]not everything was read:[/] {escape(redact(summary.stopped))}")


def _refused_text(summary: IngestSummary) -> str:
    if not summary.refused:
        return ""
    return f" ({summary.refused} for a text at which the embedding fails; retry_failed=true tries them again)"


def _reported(usage: dict[str, Any], assembly: Assembly) -> str:
    """Format the tokens that the provider reported, next to those counted here."""
    if not getattr(assembly.embedding, "paid", False):
        return ""
    reported = "none" if usage["unreported"] else str(usage["embedding_tokens"])
    return f" counted ({reported} reported by the provider in {usage['requests']} answers)"


def _on_deleted(summary: IngestSummary, assembly: Assembly) -> list[str]:
    if not summary.deleted_chunks:
        return []
    store = f"vector_store={assembly.config.choices['vector_store']}"
    return [
        f"{summary.deleted_chunks} deleted chunks still count in the index's BM25 statistics, so that its scores are "
        f"not quite those of a fresh index; {command('indexes', ['rebuild', summary.index, store])} ends that"
    ]


def _cache_row(looked_up: dict[str, Any], assembly: Assembly) -> str:
    """Format hits, misses and savings of the embedding cache."""
    if getattr(assembly.embedding, "cache", None) is None:
        used = assembly.config.tree["cache"]["enabled"]
        return "not used: this embedding is cheap" if used else "not used: cache.enabled=false"
    text = f"{looked_up['hits']} hits, {looked_up['misses']} misses, "
    text += f"{looked_up['saved_tokens']} tokens saved, {price_text(looked_up['saved_usd'])}"
    if looked_up["damaged"]:
        text += f"; {looked_up['damaged']} of the misses were damaged: {program('cache')} verify says more"
    if looked_up["unavailable"]:
        text += f"; the cache could not be read or written {looked_up['unavailable']} times (in use, or disk full)"
    return text

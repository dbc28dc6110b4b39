"""Shows how far an ingest is: a bar with rate and time left on a terminal, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ragloom.cli.terminal import console

if TYPE_CHECKING:
    from ragloom.ingestion import Progress


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Yields what ingestion reports to: (documents seen, chunks written, failures)."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    screen = console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn(
            "{task.fields[documents]} documents, {task.fields[chunks]} chunks, {task.fields[failures]} unreadable"
        ),
        BarColumn(),
        TextColumn("{task.fields[rate]:.0f} chunks/s"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("ingest", total=None, documents=0, chunks=0, failures=0, rate=0.0)

        def update(documents: int, chunks: int, failures: int) -> None:
            elapsed = bar.tasks[task].elapsed or 0
            rate = chunks / elapsed if elapsed else 0.0
            bar.update(task, documents=documents, chunks=chunks, failures=failures, rate=rate)

        yield update

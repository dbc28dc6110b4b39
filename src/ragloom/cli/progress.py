"""Progress of an ingest: bars on a terminal, JSON events for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, TextIO

from ragloom.cli.console import console
from ragloom.core.maintenance_steps import steps_reported
from ragloom.core.pricing import cost_usd

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from ragloom.assembly import Assembly
    from ragloom.ingestion import IngestState, Progress

_SCREEN_INTERVAL = 0.1
_EVENT_INTERVAL = 1.0
"""Seconds."""


@contextmanager
def json_progress(stream: TextIO) -> Iterator[Progress]:
    """Yield a progress callback that writes JSON lines."""
    last: list[object] = [None, 0.0]
    began = time.monotonic()

    def write(state: IngestState) -> None:
        now = time.monotonic()
        if (state.stage, state.step) == last[0] and now - float(str(last[1])) < _EVENT_INTERVAL:
            return
        last[:] = [(state.stage, state.step), now]
        event = {"event": "progress", "seconds": round(now - began, 3), **asdict(state)}
        stream.write(json.dumps(event) + "\n")
        stream.flush()

    yield write


@contextmanager
def terminal_steps(what: str) -> Iterator[None]:
    """Show maintenance steps inside the block, on a terminal."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield
        return
    with screen.status(what) as status, steps_reported(lambda step: status.update(f"{what}: {step}" if step else what)):
        yield


def progress_bars() -> Bars:
    """Make progress bars, shown on a terminal only.

    Each task has a field `text`.
    """
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    screen, name, text = console(stderr=True), TextColumn("{task.description:<12}"), TextColumn("{task.fields[text]}")
    columns = (SpinnerColumn(), name, BarColumn(), text, TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal)


@contextmanager
def terminal_progress(assembly: Assembly) -> Iterator[Progress]:
    """Yield a progress callback with a bar per stage."""
    with progress_bars() as bars:
        names = ("listed", "read", "embedded", "written")
        tasks = {name: bars.add_task(name, total=None, text="") for name in names}
        last = [0.0]

        def update(state: IngestState) -> None:
            now = time.monotonic()
            if bars.disable or (state.stage != "done" and now - last[0] < _SCREEN_INTERVAL):
                return
            last[0] = now
            known = state.stage != "listing"
            # The number of chunks is an estimate: as many for each remaining byte as for those read.
            left = state.bytes_to_read / state.bytes_read if state.bytes_read else 0
            expected = round(state.chunks * left) or None
            rate = state.written / (bars.tasks[tasks["written"]].elapsed or 1)
            doing = "" if state.stage in ("listing", "ingesting") else f", {state.step or state.stage}"
            to_read = f", {state.to_read} to read" if known else ""
            read = f"{state.read} of {state.to_read} documents, {state.unreadable} unreadable"
            embedded = f"{state.embedded} texts, {state.tokens} tokens{_money(state, assembly)}"
            for name, completed, total, text in (
                ("listed", state.listed, state.listed if known else None, f"{state.listed} documents{to_read}"),
                ("read", state.bytes_read, state.bytes_to_read if known else None, read),
                ("embedded", state.embedded, expected, embedded),
                ("written", state.written, expected, f"{state.written} chunks, {rate:.0f}/s{doing}"),
            ):
                bars.update(tasks[name], completed=completed, total=total, text=text)

        yield update


def _money(state: IngestState, assembly: Assembly) -> str:
    """Format the cost of tokens so far; empty for unpaid or unknown."""
    embedding = assembly.embedding
    if not getattr(embedding, "paid", False):
        return ""
    usd = cost_usd([(embedding.model_name, state.tokens, 0)], assembly.prices)
    return "" if usd is None else f", ${usd:.4f}"

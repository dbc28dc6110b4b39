"""Totals of the progress bars."""

from typing import Any, cast

import pytest
import rich.progress
from rich.console import Console

from ragloom.assembly import Assembly
from ragloom.cli import progress
from ragloom.ingestion import IngestState


@pytest.mark.parametrize(
    ("read", "expected"), [(0, None), (250, 40), (1000, 10)], ids=["nothing read", "a quarter", "all"]
)
def test_expected_chunks_are_those_cut_times_bytes_in_all_per_byte_read(
    read: int, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "console", lambda **options: Console(force_terminal=True, quiet=True))
    bars: list[rich.progress.Progress] = []
    monkeypatch.setattr(rich.progress.Progress, "start", lambda self: bars.append(self))
    unpaid: Any = type("Unpaid", (), {"embedding": None})
    with progress.terminal_progress(cast(Assembly, unpaid)) as update:
        update(IngestState("ingesting", bytes_to_read=1000, bytes_read=read, chunks=10, embedded=4, written=3))
        totals = {task.description: (task.completed, task.total) for task in bars[0].tasks}
    assert totals == {"listed": (0, 0), "read": (read, 1000), "embedded": (4, expected), "written": (3, expected)}

"""Files of a run folder, which `evaluate` writes and `compare` reads."""

from __future__ import annotations

from pathlib import Path

from ragloom.core.suggested_commands import program
from ragloom.errors import DataError

_FILES = ("run.json", "metrics.json", "queries.jsonl", "qrels.trec")


def demand_run(folder: Path) -> None:
    """Require the files of a run in a folder.

    Raises:
        DataError: names those that are missing.
    """
    if missing := [name for name in _FILES if not (folder / name).is_file()]:
        raise DataError(
            f"run: {folder} must be a folder that {program('evaluate')} wrote; it has no {', '.join(missing)}"
        )

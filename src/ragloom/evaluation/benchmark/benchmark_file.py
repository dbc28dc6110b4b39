"""`benchmark.json`: results of all benchmarks of the runs in one folder.

A result belongs to a run, a machine, a target, a concurrent ingest and a rate; measuring it again replaces it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from ragloom.errors import DataError
from ragloom.evaluation.run_folder import LOCK, json_text

FILE = "benchmark.json"
FORMAT = 1
_KEY = ("run", "machine", "target", "ingest", "rate")


def save_results(folder: Path, results: Sequence[dict[str, Any]]) -> Path:
    """Add results to the file of a folder; return its path.

    Raises:
        DataError: the folder cannot be written, or the file is not as it was written.
    """
    path = folder / FILE
    new = folder / f"{FILE}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK):
            keys = [_key(result) for result in results]
            others = [result for result in load_results(folder) if _key(result) not in keys]
            new.write_text(json_text({"format": FORMAT, "results": [*others, *results]}), encoding="utf-8")
            new.replace(path)
    except OSError as error:
        raise DataError(f"config: runs={folder} must be a folder that can be written ({error.strerror})") from None
    return path


def load_results(folder: Path) -> list[dict[str, Any]]:
    """Read the results of a folder; empty without the file.

    Raises:
        DataError: the file is not as it was written.
    """
    path = folder / FILE
    try:
        results: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["results"]
        _ = [_key(result) for result in results]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} must be as `benchmark` writes it ({type(error).__name__}: {error}); move it away"
        ) from None
    return results


def _key(result: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(result[name] if name != "machine" else result[name]["id"] for name in _KEY)

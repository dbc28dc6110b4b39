"""Sweep log: the trials of each sweep, their states, results and errors.

The log only records; work is skipped by the stage cache (`ragloom.cache.stages`). Every change is one transaction: a
process may be killed at any moment, and several may write at once.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ragloom.core.records import canonical_json, sha256
from ragloom.core.sqlite_connections import failures_as, log_transaction
from ragloom.errors import DataError

FILE = "trials.sqlite"
State = Literal["waiting", "running", "done", "failed"]

_TABLE = """
    CREATE TABLE IF NOT EXISTS trials (
        sweep TEXT, number INTEGER, trial TEXT, label TEXT, state TEXT, changed TEXT, run TEXT, error TEXT, told TEXT,
        PRIMARY KEY (sweep, trial)
    )
"""


@dataclass(frozen=True)
class TrialRecord:
    """Recorded state of one trial.

    Attributes:
        number: position in the sweep, from 0.
        trial: digest of what it measures.
        label: the options in which the trials differ.
        run: run folder; None until it is done.
        error: why it failed or was stopped.
        details: metrics, counts, cost, seconds and stages of a finished trial; spent budget of each trial that ended.
        changed: time of the last change, in ISO 8601 and UTC.
    """

    number: int
    trial: str
    label: str
    state: State
    run: str | None = None
    error: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    changed: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the record as the JSON object of a sweep's trial."""
        return {("told" if name == "details" else name): value for name, value in vars(self).items()}


def sweep_digest(trials: Sequence[str]) -> str:
    """Return the digest of a sweep: equal trials, equal sweep."""
    return sha256(canonical_json(sorted(trials)))[:12]


class SweepLog:
    """The ledger in a folder of runs. Picklable; holds nothing open.

    Args:
        folder: of the runs; created at the first change.

    Raises (when used):
        DataError: the file cannot be written, or is no ledger.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def enter(self, sweep: str, trials: Sequence[tuple[str, str]]) -> None:
        """Add trials (digest, label) to a sweep; known trials keep their state."""
        with self._changing() as tables:
            for number, (trial, label) in enumerate(trials):
                tables.execute(
                    "INSERT INTO trials (sweep, number, trial, label, state, changed, told) "
                    "VALUES (?, ?, ?, ?, 'waiting', ?, '{}') "
                    "ON CONFLICT (sweep, trial) DO UPDATE SET number = excluded.number, label = excluded.label",
                    (sweep, number, trial, label, now()),
                )

    def begin(self, sweep: str, trial: str, label: str) -> None:
        """Record the start of a trial; add one chosen by a sweeper."""
        with self._changing() as tables:
            tables.execute(
                "INSERT OR IGNORE INTO trials (sweep, number, trial, label, state, changed, told) "
                "SELECT ?, coalesce(max(number) + 1, 0), ?, ?, 'waiting', ?, '{}' FROM trials WHERE sweep = ?",
                (sweep, trial, label, now(), sweep),
            )
        self.record(sweep, trial, "running", {})

    def record(
        self, sweep: str, trial: str, state: State, details: Any, run: str | None = None, error: str | None = None
    ) -> None:
        """Set the state of a trial.

        Args:
            state: `done` with its run folder; `waiting` (stopped) or `failed` with the error.
            details: as in `TrialRecord`.
        """
        with self._changing() as tables:
            tables.execute(
                "UPDATE trials SET state = ?, changed = ?, run = ?, error = ?, told = ? WHERE sweep = ? AND trial = ?",
                (state, now(), run, error, json.dumps(details), sweep, trial),
            )

    def of(self, sweep: str) -> list[TrialRecord]:
        """Return the trials of a sweep in their order."""
        with self._changing() as tables:
            rows = tables.execute(
                "SELECT number, trial, label, state, run, error, changed, told FROM trials WHERE sweep = ? "
                "ORDER BY number",
                (sweep,),
            ).fetchall()
        return [TrialRecord(*(*row[:6], json.loads(row[7]), row[6])) for row in rows]

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        problem = f"config: the sweep log {self.path} cannot be read or written"
        fix = "set runs= to another folder, or remove the file: it only records"
        with failures_as(DataError, problem, fix), log_transaction(self.path, _TABLE) as tables:
            yield tables


def now() -> str:
    """Return the present time for the log; later times compare greater."""
    return datetime.now(UTC).isoformat()

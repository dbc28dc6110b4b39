"""Callbacks for the progress of evaluations and sweeps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ragloom.assembly import Assembly
    from ragloom.evaluation.evaluation_result import EvaluationResult
    from ragloom.ingestion import Progress

QueryProgress = Callable[[int, int, int], None]
"""Receives the number of finished queries, of all queries, and of failed ones."""


class EvaluationCallbacks:
    """Progress updates of evaluations and sweeps; this base class ignores them all.

    Trials may run in several processes (`hydra/launcher=joblib`): subclasses must be picklable.
    """

    def ingesting(self, assembly: Assembly) -> AbstractContextManager[Progress | None]:
        """Open a progress callback for one ingest."""
        return nullcontext(None)

    def querying(self, stage: str) -> AbstractContextManager[QueryProgress]:
        """Open a progress callback for one pass over all queries.

        The pass is `questions`, `answers` or `verdicts`.
        """
        return nullcontext(lambda done, total, failed: None)

    def note(self, text: str) -> None:
        """Receive one line about the current step."""

    def shared_problem(self, text: str) -> None:
        """Receive a problem of dataset or source shared by all trials."""

    def trial_started(self, label: str) -> None:
        """Receive the label of a trial that starts."""

    def trial_done(self, label: str, result: EvaluationResult) -> None:
        """Receive the result of a trial."""

    def trial_failed(self, label: str, error: Exception) -> None:
        """Receive the error of a trial; `BudgetSpent` leaves the trial waiting."""

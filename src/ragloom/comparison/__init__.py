"""Comparison of runs: significance, selection of a config, report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.comparison.breakdown import ChangedQuestion, TagScores, largest_changes, tag_scores
from ragloom.comparison.recommendation import Selection, select
from ragloom.comparison.run_loader import EvaluatedRun, demand_comparable, distinct, load_run, other_documents, row_of
from ragloom.comparison.score_table import ScoreTable, build_table, default_metric
from ragloom.comparison.verdict import ComparisonVerdict, decide
from ragloom.config.labels import run_labels
from ragloom.config.settings import ComparisonSettings
from ragloom.core.data_frame import data_frame
from ragloom.core.suggested_commands import program
from ragloom.errors import DataError

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Comparison:
    """Results of a comparison.

    Attributes:
        runs: one for each config, in the order of their labels.
        labels: what the configs differ in.
        worse, better: questions of the verdict's pair.
        notes: what a reader has to know of the runs.
    """

    settings: ComparisonSettings
    runs: list[EvaluatedRun]
    labels: list[str]
    table: ScoreTable
    verdict: ComparisonVerdict
    choice: Selection
    tags: list[TagScores]
    worse: list[ChangedQuestion]
    better: list[ChangedQuestion]
    notes: list[str]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per config.

        Its keys: run, label, mean, largest loss, cost, milliseconds, failed queries.
        """
        verdict, table = self.verdict, self.table
        return [
            {
                "run": run.name,
                "label": self.labels[row],
                "folder": str(run.folder),
                **asdict(self.choice.standings[row]),
                "dev": verdict.dev[row] if verdict.dev else None,
                "test": verdict.test[row] if verdict.test else None,
                "failed": table.failed[row],
                "not_judged": table.not_judged[row],
                "not_answered": table.not_answered[row],
            }
            for row, run in enumerate(self.runs)
        ]

    def to_pandas(self) -> pandas.DataFrame:
        """Return `rows` as a data frame.

        Raises:
            ConfigError: pandas is not installed.
        """
        return data_frame(self.rows())


def compare(folders: Sequence[Path], settings: ComparisonSettings) -> Comparison:
    """Compare runs of at least two configs.

    Args:
        folders: of runs; the first stands for the baseline in a split, where none is named and no run has
            `experiment=baseline...`.
        settings: `comparison` of the config.

    Raises:
        ConfigError: the settings do not fit the runs.
        DataError: a folder is no run, the runs cannot be compared, or all are of one config.
    """
    read_runs = [load_run(folder) for folder in dict.fromkeys(folder.resolve() for folder in folders)]
    demand_comparable(read_runs)
    runs, notes = distinct(read_runs)
    if len(runs) < 2:
        raise DataError(
            f"compare: runs of at least two configs must be given; give the folders that {program('evaluate')} wrote"
        )
    first, named = runs[0], run_labels(runs)
    order = sorted(range(len(runs)), key=lambda at: named[at])
    runs, named = [runs[at] for at in order], [named[at] for at in order]
    table = build_table(runs, settings["metric"] or default_metric(runs[0]))
    baseline = None if settings["baseline"] is None else row_of(settings["baseline"], runs, named)
    verdict = decide(table, named, settings, baseline, stand_in := _stand_in(runs, first))
    verdict.sentences.extend(
        f"the source is compared, and with it the documents that were searched: {line}"
        for line in other_documents(runs)
    )
    notes += _reported(runs, named, table.metric)
    if verdict.plan == "split" and baseline is None:
        notes.append(
            f"{named[stand_in]} is taken for the baseline (experiment=baseline, or the run given first); "
            "comparison.baseline=RUN names another"
        )
    worse, better = largest_changes(runs, table, verdict.pair, settings["examples"])
    choice = select(runs, table, verdict, settings)
    return Comparison(
        settings, runs, named, table, verdict, choice, tag_scores(table, verdict.pair), worse, better, notes
    )


def _reported(runs: Sequence[EvaluatedRun], named: Sequence[str], metric: str) -> list[str]:
    """List the problems that runs reported, once each, and reranking limits."""
    notes = []
    for problem in dict.fromkeys(problem for run in runs for problem in run.problems):
        having = [label for run, label in zip(runs, named, strict=True) if problem in run.problems]
        notes.append(problem if len(having) == len(runs) else f"{', '.join(having)}: {problem}")
    for run, label in zip(runs, named, strict=True):
        if count := run.below.get(metric):
            notes.append(f"{label}: {metric} looks below what the reranker ordered, on {count} questions")
    return notes


def _stand_in(runs: Sequence[EvaluatedRun], first: EvaluatedRun) -> int:
    """Choose the stand-in baseline of a split.

    It is the only run of `experiment=baseline...`, otherwise the first folder.
    """
    baselines = [at for at, run in enumerate(runs) if str(run.choices.get("experiment")).startswith("baseline")]
    return baselines[0] if len(baselines) == 1 else list(runs).index(first)

"""Compares runs: what is shown, what is not, and which config to ship. Knows run folders, no pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.core.data_frame import data_frame
from ragloom.core.suggested_commands import program
from ragloom.errors import DataError

if TYPE_CHECKING:
    import pandas

    from ragloom.comparison.breakdown import Example, Part
    from ragloom.comparison.run_loader import Run
    from ragloom.comparison.score_table import Sheet
    from ragloom.comparison.selection import Choice
    from ragloom.comparison.verdict import Verdict
    from ragloom.config.settings import ComparisonSettings


@dataclass(frozen=True)
class Comparison:
    """Everything that a comparison found.

    Attributes:
        runs: one for each config, in the order of their labels.
        labels: what the configs differ in.
        worse, better: questions of the verdict's pair.
        notes: what a reader has to know of the runs.
    """

    settings: ComparisonSettings
    runs: list[Run]
    labels: list[str]
    sheet: Sheet
    verdict: Verdict
    choice: Choice
    parts: list[Part]
    worse: list[Example]
    better: list[Example]
    notes: list[str]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each config: run, label, mean, largest loss, cost, milliseconds, failed queries."""
        verdict, sheet = self.verdict, self.sheet
        return [
            {
                "run": run.name,
                "label": self.labels[row],
                "folder": str(run.folder),
                **asdict(self.choice.standings[row]),
                "dev": verdict.dev[row] if verdict.dev else None,
                "test": verdict.test[row] if verdict.test else None,
                "failed": sheet.failed[row],
                "not_judged": sheet.not_judged[row],
                "not_answered": sheet.not_answered[row],
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
    """Compares runs of at least two configs.

    Args:
        folders: of runs; the first stands for the baseline in a split, where none is named and no run has
            `experiment=baseline...`.
        settings: `comparison` of the config.

    Raises:
        ConfigError: the settings do not fit the runs.
        DataError: a folder is no run, the runs cannot be compared, or all are of one config.
    """
    from ragloom.comparison.breakdown import moved, parts
    from ragloom.comparison.labels import labels, row_of
    from ragloom.comparison.run_loader import demand_comparable, distinct, other_documents, read
    from ragloom.comparison.score_table import deciding, sheet
    from ragloom.comparison.selection import chosen
    from ragloom.comparison.verdict import Rules, judged

    read_runs = [read(folder) for folder in dict.fromkeys(folder.resolve() for folder in folders)]
    demand_comparable(read_runs)
    runs, notes = distinct(read_runs)
    if len(runs) < 2:
        raise DataError(
            f"compare: runs of at least two configs must be given; give the folders that {program('evaluate')} wrote"
        )
    first, named = runs[0], labels(runs)
    order = sorted(range(len(runs)), key=lambda at: named[at])
    runs, named = [runs[at] for at in order], [named[at] for at in order]
    table = sheet(runs, settings["metric"] or deciding(runs[0]))
    rules = Rules(
        plan=settings["plan"],
        baseline=None if settings["baseline"] is None else row_of(settings["baseline"], runs, named),
        stand_in=_stand_in(runs, first),
        tolerance=settings["tolerance"],
        seed=settings["seed"],
        resamples=settings["resamples"],
    )
    verdict = judged(table, named, rules)
    verdict.sentences.extend(
        f"the source is compared, and with it the documents that were searched: {line}"
        for line in other_documents(runs)
    )
    notes += _reported(runs, named, table.metric)
    if verdict.plan == "split" and rules.baseline is None:
        notes.append(
            f"{named[rules.stand_in]} is taken for the baseline (experiment=baseline, or the run given first); "
            "comparison.baseline=RUN names another"
        )
    worse, better = moved(runs, table, verdict.pair, settings["examples"])
    choice = chosen(runs, table, verdict, rules)
    return Comparison(settings, runs, named, table, verdict, choice, parts(table, verdict.pair), worse, better, notes)


def _reported(runs: Sequence[Run], named: Sequence[str], metric: str) -> list[str]:
    """Says what dataset and source of the runs had to report, once where all have it, and what was not reranked."""
    notes = []
    for problem in dict.fromkeys(problem for run in runs for problem in run.problems):
        having = [label for run, label in zip(runs, named, strict=True) if problem in run.problems]
        notes.append(problem if len(having) == len(runs) else f"{', '.join(having)}: {problem}")
    for run, label in zip(runs, named, strict=True):
        if count := run.below.get(metric):
            notes.append(f"{label}: {metric} looks below what the reranker ordered, on {count} questions")
    return notes


def _stand_in(runs: Sequence[Run], first: Run) -> int:
    """Chooses what a split tests against: the only run of `experiment=baseline...`, otherwise the first given."""
    baselines = [at for at, run in enumerate(runs) if str(run.choices.get("experiment")).startswith("baseline")]
    return baselines[0] if len(baselines) == 1 else list(runs).index(first)

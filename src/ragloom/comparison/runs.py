"""Reads the folders that `evaluate` leaves, and refuses to compare what cannot be compared. Knows no statistics.

Chunks are not kept: of thousands of questions and dozens of runs they would fill the memory. Those of the few questions
that are shown are read again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragloom.errors import DataError
from ragloom.invocation import program
from ragloom.records import canonical_json
from ragloom.values import OPERATIONAL_KEYS

_FILES = ("run.json", "metrics.json", "queries.jsonl", "qrels.trec")
_MOST_SHOWN = 3  # ids named in an error


@dataclass(frozen=True, slots=True)
class Row:
    """What a run says of one question, its chunks aside.

    Attributes:
        position: where its first gold passage begins in its document; None where the folder does not say.
        metrics: name -> score; None where a judge gave no verdict.
        failed: whether it ended in an error.
    """

    id: str
    text: str
    group: str
    tags: dict[str, str]
    judged: bool
    position: int | None
    metrics: dict[str, float | None]
    failed: bool


@dataclass(frozen=True)
class Run:
    """One run folder.

    Attributes:
        name: as `evaluate` named it.
        folder: where it is.
        dataset: name and digest.
        index: what `run.json` says of the index: name, fingerprint, bytes, tokens.
        choices: group -> option.
        config: composed config.
        judge: who judged its answers; None where nobody did.
        means: metric -> mean, in the order in which they were asked for.
        cost: of asking all questions.
        latency: a pass of its own; None where none was made.
        rows: a row for each question, in the dataset's order.
        qrels: lines of the gold.
    """

    name: str
    folder: Path
    dataset: dict[str, Any]
    index: dict[str, Any]
    choices: dict[str, str]
    config: dict[str, Any]
    judge: dict[str, Any] | None = None
    created: str = ""
    means: dict[str, float] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    latency: dict[str, Any] | None = None
    rows: tuple[Row, ...] = ()
    qrels: frozenset[str] = frozenset()

    @property
    def identity(self) -> str:
        """Equal for two runs of one experiment: keys that change only speed or place are no part of it."""
        tree = {key: value for key, value in self.config.items() if key not in OPERATIONAL_KEYS}
        choices = {group: option for group, option in self.choices.items() if group not in ("experiment", "prices")}
        return canonical_json([tree, choices, self.index.get("fingerprint")])


def read(folder: Path) -> Run:
    """Reads a run.

    Raises:
        DataError: a file is missing or is not as `evaluate` writes it.
    """
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"run: {folder} must be a folder that {program('evaluate')} wrote; it has no {', '.join(missing)}"
        )
    try:
        told = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        measured = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        timed = folder / "latency.json"
        return Run(
            name=told["run"],
            folder=folder,
            dataset=dict(told["dataset"]),
            index=dict(told.get("index") or {}),
            choices=dict(told["choices"]),
            config=dict(told["config"]),
            judge=told.get("judge"),
            created=str(told.get("created", "")),
            means=dict(measured["metrics"]),
            cost=dict(measured.get("cost") or {}),
            latency=json.loads(timed.read_text(encoding="utf-8")) if timed.is_file() else None,
            rows=tuple(_row(line) for line in _lines(folder)),
            qrels=frozenset(" ".join(line.split()) for line in _text(folder / "qrels.trec") if line.strip()),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"run: {folder} must be as {program('evaluate')} writes it; {type(error).__name__}: {error}; "
            "evaluate it anew"
        ) from None


def chunks(run: Run, queries: Collection[str], most: int) -> dict[str, list[dict[str, Any]]]:
    """Reads the first chunks that a run found for some questions: query -> chunks, best first."""
    return {
        line["query"]: list(line.get("chunks") or [])[:most] for line in _lines(run.folder) if line["query"] in queries
    }


def demand_comparable(runs: Sequence[Run]) -> None:
    """Refuses runs that do not share dataset, questions, groups, gold and what is measured.

    Raises:
        DataError: all that differs, a line each.
    """
    first = runs[0]
    problems = [
        f"compare: {run.name} and {first.name} must share {what}" for run in runs[1:] for what in _unlike(first, run)
    ]
    if problems:
        raise DataError(
            *problems, "compare: evaluate all configs on one dataset with the same metrics; then compare them"
        )


def distinct(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Leaves one run of each experiment, and says which were left out.

    Of several the one that was timed, then the earliest, stays: whichever order they are given in.
    """
    kept: dict[str, list[Run]] = {}
    for run in runs:
        kept.setdefault(run.identity, []).append(run)
    chosen, notes = [], []
    for same in kept.values():
        same.sort(key=lambda run: (run.latency is None, run.created, run.name, str(run.folder)))
        chosen.append(same[0])
        for other in same[1:]:
            told = (
                "" if _scores(other) == _scores(same[0]) else "; their scores differ: something in it is not repeatable"
            )
            notes.append(f"{other.folder} and {same[0].folder} are runs of one config and count once{told}")
    return chosen, notes


def _scores(run: Run) -> list[dict[str, float | None]]:
    return [row.metrics for row in run.rows]


def _unlike(ours: Run, theirs: Run) -> Iterator[str]:
    if ours.dataset.get("digest") != theirs.dataset.get("digest"):
        yield f"a dataset; {_named(theirs.dataset)} is not {_named(ours.dataset)}"
    mine, other = [row.id for row in ours.rows], [row.id for row in theirs.rows]
    if mine != other:
        only = sorted(set(mine) ^ set(other))
        yield f"questions, in one order; {_some(only) if only else 'the order differs'}"
        return
    paired = list(zip(ours.rows, theirs.rows, strict=True))
    for what, name in (("groups", "group"), ("what has gold", "judged"), ("tags", "tags")):
        differ = [row.id for row, twin in paired if getattr(row, name) != getattr(twin, name)]
        if differ:
            yield f"{what} of questions; {_some(differ)}"
    if ours.qrels != theirs.qrels:
        yield f"gold (qrels.trec); {_some(sorted(ours.qrels ^ theirs.qrels))}"
    if ours.config.get("metrics") != theirs.config.get("metrics"):
        yield f"the settings of metrics; {theirs.config.get('metrics')} is not {ours.config.get('metrics')}"
    elif ours.judge != theirs.judge:
        yield f"a judge; {theirs.judge} is not {ours.judge}"


def _named(dataset: dict[str, Any]) -> str:
    return f"{dataset.get('name')} ({str(dataset.get('digest'))[:12]})"


def _some(items: list[str]) -> str:
    more = f" and {len(items) - _MOST_SHOWN} more" if len(items) > _MOST_SHOWN else ""
    return f"{', '.join(repr(item) for item in items[:_MOST_SHOWN])}{more} differ"


def _lines(folder: Path) -> Iterator[dict[str, Any]]:
    for line in _text(folder / "queries.jsonl"):
        if line.strip():
            yield json.loads(line)


def _text(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="surrogatepass") as file:
        yield from file


def _row(line: dict[str, Any]) -> Row:
    gold = line.get("gold") or []
    return Row(
        id=line["query"],
        text=line["text"],
        group=line["group"],
        tags={str(name): str(value) for name, value in (line.get("tags") or {}).items()},
        judged=line["judged"],
        position=min((int(item["start"]) for item in gold), default=None),
        metrics=dict(line["metrics"]),
        failed=line["error"] is not None,
    )

"""Loader of run folders, with checks that runs are comparable.

Chunks are not kept: of thousands of questions and dozens of runs they would fill the memory. Those of the few questions
that are shown are read again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragloom.comparison.query_times import benchmark_results
from ragloom.config.builder_keys import with_ids
from ragloom.config.labels import ConfiguredRun
from ragloom.config.settings import OPERATIONAL_KEYS
from ragloom.core.records import canonical_json
from ragloom.core.run_files import demand_run
from ragloom.core.suggested_commands import program
from ragloom.errors import ConfigError, DataError, counted, nearest

_DOCUMENTS = "documents.txt"
_MOST_SHOWN = 3  # ids named in an error


@dataclass(frozen=True, slots=True)
class QueryRow:
    """Outcome of one question in a run, without its chunks.

    Attributes:
        by_spans: whether its gold is passages; otherwise it is documents.
        position: where its first gold passage begins in its document; None where the folder does not say.
        metrics: name -> score; None where a judge gave no verdict.
        failed: whether it ended in an error.
    """

    id: str
    text: str
    group: str
    tags: dict[str, str]
    judged: bool
    by_spans: bool
    position: int | None
    metrics: dict[str, float | None]
    failed: bool


@dataclass(frozen=True)
class EvaluatedRun(ConfiguredRun):
    """One run folder.

    Attributes:
        dataset: name and digest.
        index: what `run.json` says of the index: name, fingerprint, bytes, tokens.
        codes: versions of our code that made rankings, answers and scores; None: the same in every version.
        problems: what dataset and source had to report.
        below: metric -> questions on which it looks below what the reranker ordered.
        judge: who judged its answers; None where nobody did.
        means: metric -> mean, in the order in which they were asked for.
        cost: of asking all questions.
        latency: of a separate pass; None without one.
        benchmarks: its valid results in benchmark.json.
        rows: a row for each question, in the dataset's order.
        qrels: lines of the gold.
    """

    dataset: dict[str, Any]
    index: dict[str, Any]
    codes: dict[str, int | None] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    below: dict[str, int] = field(default_factory=dict)
    judge: dict[str, Any] | None = None
    created: str = ""
    means: dict[str, float] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    latency: dict[str, Any] | None = None
    benchmarks: tuple[dict[str, Any], ...] = ()
    rows: tuple[QueryRow, ...] = ()
    qrels: frozenset[str] = frozenset()

    @property
    def milliseconds(self) -> dict[str, Any]:
        """Quantiles of whole queries, `p50` to `p99`; empty without a latency pass."""
        return ((self.latency or {}).get("stages") or {}).get("total") or {}

    @property
    def identity(self) -> str:
        """Identity of the experiment, without keys that change speed or place."""
        tree = {key: value for key, value in self.config.items() if key not in OPERATIONAL_KEYS}
        aside = {"experiment", *OPERATIONAL_KEYS}
        choices = {group: option for group, option in self.choices.items() if group not in aside}
        return canonical_json([tree, choices, self.index.get("fingerprint")])


def load_run(folder: Path) -> EvaluatedRun:
    """Read a run.

    Raises:
        DataError: a file is missing or is not as `evaluate` writes it.
    """
    demand_run(folder)
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        measured = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        timed = folder / "latency.json"
        rows, deepest = [], 0
        for line in _lines(folder):
            rows.append(_row(line))
            deepest = max(deepest, len(line.get("chunks") or []))
        return EvaluatedRun(
            name=record["run"],
            folder=folder,
            dataset=dict(record["dataset"]),
            index=dict(record.get("index") or {}),
            choices=dict(record["choices"]),
            config=with_ids(record["config"], record.get("builders") or {}),
            codes=dict(record["code"]) if "code" in record else _former_codes(record, deepest),
            problems=tuple(map(str, record.get("problems") or ())),
            below=dict(measured.get("below_reranker") or {}),
            judge=record.get("judge"),
            created=str(record.get("created", "")),
            means=dict(measured["metrics"]),
            cost=dict(measured.get("cost") or {}),
            latency=json.loads(timed.read_text(encoding="utf-8")) if timed.is_file() else None,
            benchmarks=benchmark_results(folder, record["run"]),
            rows=tuple(rows),
            qrels=frozenset(" ".join(line.split()) for line in _text(folder / "qrels.trec") if line.strip()),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"run: {folder} must be as {program('evaluate')} writes it; {type(error).__name__}: {error}; "
            "evaluate it again"
        ) from None


def chunks(run: EvaluatedRun, queries: Collection[str], most: int) -> dict[str, list[dict[str, Any]]]:
    """Read the first chunks of some questions: query -> chunks, best first."""
    return {
        line["query"]: list(line.get("chunks") or [])[:most] for line in _lines(run.folder) if line["query"] in queries
    }


def _former_codes(record: dict[str, Any], deepest: int) -> dict[str, int | None]:
    """Return the code versions of a run that names none.

    Rankings of version 1 differ from later ones only where metrics looked deeper than the configured search: then the
    reranker was given more, or longer lists were fused.
    """
    retriever = record["config"].get("retriever") or {}
    own = retriever.get("candidates") if record["choices"].get("reranker") == "none" else None
    same = deepest <= int(own or retriever.get("top_k") or 0)
    return {"ranking": None if same else 1, "answers": 2 if record["config"].get("answers") else None, "metrics": 1}


def documents(run: EvaluatedRun) -> set[str] | None:
    """Read the ids of the searched documents; None if unrecorded."""
    path = run.folder / _DOCUMENTS
    return {str(json.loads(line)) for line in _text(path) if line.strip()} if path.is_file() else None


def demand_comparable(runs: Sequence[EvaluatedRun]) -> None:
    """Refuse runs that are not comparable.

    They must share dataset, questions, groups, gold, documents, code and metrics.

    Where the `source` group is compared, documents may differ: `other_documents` says how.

    Raises:
        DataError: all that differs, a line each.
    """
    first = runs[0]
    if mixed := list(_mixed(runs)):
        raise DataError(*mixed)
    problems = [
        f"compare: {run.name} and {first.name} must share {what}" for run in runs[1:] for what in _unlike(first, run)
    ]
    if problems:
        fix = "compare: evaluate all configs on one dataset with the same metrics; then compare them"
        raise DataError(*problems, fix)


def distinct(runs: Sequence[EvaluatedRun]) -> tuple[list[EvaluatedRun], list[str]]:
    """Leaves one run of each experiment, and says which were left out.

    Of several the one that was timed, then the earliest, stays: whichever order they are given in.
    """
    by_identity: dict[str, list[EvaluatedRun]] = {}
    for run in runs:
        by_identity.setdefault(run.identity, []).append(run)
    chosen, notes = [], []
    for same in by_identity.values():
        same.sort(key=lambda run: (run.latency is None, run.created, run.name, str(run.folder)))
        chosen.append(same[0])
        for other in same[1:]:
            repeated = _scores(other) == _scores(same[0])
            differ = "" if repeated else "; their scores differ: something in it is not repeatable"
            notes.append(f"{other.folder} and {same[0].folder} are runs of one config and count once{differ}")
    return chosen, notes


def _mixed(runs: Sequence[EvaluatedRun]) -> Iterator[str]:
    """List runs made by an older version of the code."""
    for stage in dict.fromkeys(stage for run in runs for stage in run.codes):
        newest = max((code for run in runs if (code := run.codes.get(stage)) is not None), default=None)
        older = [run.name for run in runs if run.codes.get(stage) not in (None, newest)]
        if older:
            outputs = "scores" if stage == "metrics" else stage if stage == "answers" else "rankings"
            yield (
                f"compare: {outputs} of all runs must be made by one version of the code, and those of "
                f"{', '.join(older)} are older; run the same evaluate commands again: it costs only the changed stage, "
                "everything before it is kept"
            )


def other_documents(runs: Sequence[EvaluatedRun]) -> list[str]:
    """List how the searched documents differ between runs that compare sources."""
    return [line for run in runs[1:] if (line := _searched(runs[0], run)) is not None]


def _searched(ours: EvaluatedRun, theirs: EvaluatedRun) -> str | None:
    """Describe documents that only one of two runs searched.

    None where they are the same, as far as the folders tell.
    """
    mine, other = (run.index.get("searched") for run in (ours, theirs))
    if mine is None or other is None:  # before documents were recorded
        mine, other = (run.index.get("documents") for run in (ours, theirs))
        if mine is None or other is None or mine == other:
            return None
        return f"{other} are not {mine}"
    if mine == other:
        return None
    first, second = documents(ours), documents(theirs)
    if first is None or second is None:
        return f"a {_DOCUMENTS} is missing, so that they cannot be named"
    only = ((ours, first - second), (theirs, second - first))
    return "; ".join(f"only {run.name} searched {counted(sorted(some), 'document')}" for run, some in only if some)


def _elsewhere(ours: EvaluatedRun, theirs: EvaluatedRun) -> str | None:
    """Describe different documents of one source in two runs.

    None where they are the same, as far as the folders tell.

    A relative path leads elsewhere from another folder; documents that have moved are the same.
    """
    (place, texts), (other, others) = ((run.index.get("root"), run.index.get("texts")) for run in (ours, theirs))
    if None in (place, other) or place == other or texts == others:
        return None
    return f"{other} is not {place}, and their texts differ"


def _scores(run: EvaluatedRun) -> list[dict[str, float | None]]:
    return [row.metrics for row in run.rows]


def _unlike(ours: EvaluatedRun, theirs: EvaluatedRun) -> Iterator[str]:
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
    if ours.config.get("source") == theirs.config.get("source") and (difference := _searched(ours, theirs)):
        yield f"the documents that were searched; {difference}"
    if ours.config.get("source") == theirs.config.get("source") and (difference := _elsewhere(ours, theirs)):
        yield f"the place of the documents; {difference}"
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


def _row(line: dict[str, Any]) -> QueryRow:
    gold = line.get("gold") or []
    return QueryRow(
        id=line["query"],
        text=line["text"],
        group=line["group"],
        tags={str(name): str(value) for name, value in (line.get("tags") or {}).items()},
        judged=line["judged"],
        by_spans=bool(gold),
        position=min((int(item["start"]) for item in gold), default=None),
        metrics=dict(line["metrics"]),
        failed=line["error"] is not None,
    )


def row_of(name: str, runs: Sequence[EvaluatedRun], labels: Sequence[str]) -> int:
    """Return the position of a run by its name, folder or label.

    Raises:
        ConfigError: no run, or several.
    """
    rows = [
        at
        for at, (run, label) in enumerate(zip(runs, labels, strict=True))
        if name in (run.name, run.folder.name, str(run.folder), label) or run.folder.resolve() == Path(name).resolve()
    ]
    if len(rows) != 1:
        known = nearest(name, [*(run.name for run in runs), *labels])
        raise ConfigError(f"config: comparison.baseline={name} must name one of the runs{known if not rows else ''}")
    return rows[0]

"""One config to one run: index in step, all questions asked, scored, written. Knows every verb, and no option.

What was computed before is found again by its key (`ragloom.cache.stages`); what is found again is never a latency.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.assembly import Assembly
from ragloom.cache.stages import Stages, Unit
from ragloom.config.builder_keys import OPERATIONAL_KEYS, needs_of
from ragloom.config.config import Config
from ragloom.config.settings import COMPONENTS
from ragloom.core.metric_names import Need, judged, need
from ragloom.core.records import canonical_json, sha256
from ragloom.core.usage import BudgetSpent, within
from ragloom.errors import ConfigError, DataError
from ragloom.evaluation.answer_scoring import answer_metrics
from ragloom.evaluation.cached_queries import ANSWER_CODE, RANKING_CODE, Questions, method
from ragloom.evaluation.callbacks import EvaluationCallbacks
from ragloom.evaluation.chunk_cache import cut_before
from ragloom.evaluation.environment import environment, git
from ragloom.evaluation.index_sync import Held, held, in_step, index_json, missing
from ragloom.evaluation.judging import Judging, judge_json
from ragloom.evaluation.query_executor import ask_all, each
from ragloom.evaluation.query_results import Asked
from ragloom.evaluation.requirements import demand_measurable, demand_reranked, kinds_of_gold
from ragloom.evaluation.result import EvaluationResult, stage_json
from ragloom.evaluation.run_folder import json_line, write_run, yaml_text
from ragloom.evaluation.run_report import Scored
from ragloom.evaluation.scoring import METRICS_CODE, Corpus, Scorer

if TYPE_CHECKING:
    from ragloom.components.dataset.base import Checked, Dataset
    from ragloom.components.vector_store.protocols import Index
    from ragloom.core.gold import Query
    from ragloom.core.tokenizers import Tokenizer
    from ragloom.ingestion import IngestSummary

_NAMED_BY = ("chunking", "embedding", "retriever", "reranker")
"""Groups whose options stand in a run's name, for people."""

_GOES_ON = "what was asked is kept, and the same command goes on from there with as much again, or set more"


def trial_digest(config: Config) -> str:
    """Names what a config measures, to 12 hexadecimal digits: keys that change only speed or place aside."""
    tree = {key: value for key, value in config.identity().items() if key not in OPERATIONAL_KEYS}
    return sha256(canonical_json([tree, config.choices]))[:12]


class Trial:
    """Evaluates one config. A context manager: leaving it lets go of what it holds open.

    Args:
        config: validated.
        stages: what was computed before.
        callbacks: receives progress updates.
        stop: asked before each document of an ingest whether to end early.
    """

    def __init__(
        self, config: Config, stages: Stages, callbacks: EvaluationCallbacks, stop: Callable[[], bool] = lambda: False
    ) -> None:
        self.config = config
        self.assembly = Assembly(config)
        self._stages = stages
        self._callbacks = callbacks
        self._stop = stop
        self._units: list[Unit] = []
        self._unreadable: list[list[str]] = []

    def __enter__(self) -> Trial:
        return self

    def __exit__(self, *raised: Any) -> None:
        self.assembly.__exit__(*raised)

    @property
    def dataset(self) -> Dataset:
        """The questions and their gold."""
        return self.assembly.dataset

    @functools.cached_property
    def need(self) -> Need:
        """How far down rankings are read."""
        spans, documents = kinds_of_gold(self.dataset.queries())
        return need(self.config.tree["metrics"], spans=spans, documents=documents)

    def check(self) -> None:
        """Refuses what cannot be measured, before anything is ingested or paid.

        Raises:
            ConfigError: a reranker is given no more than any metric scores, an alias is to be brought in step, or an
                LLM's key is missing.
            DataError: no requested metric suits the gold.
        """
        tree, queries = self.config.tree, self.dataset.queries()
        demand_measurable(self.dataset.name, queries, tree)
        demand_reranked(self.config, queries)
        if self.assembly.alias is not None and tree["ingest"] == "auto":
            raise ConfigError(
                f"config: ingest=auto must not go with vector_store.alias={self.assembly.alias}; an ingest brings this "
                "config's own index in step, which the alias need not name: set ingest=never"
            )
        _ = self._llms  # a missing key is told before an embedding is paid for

    def method(self) -> dict[str, Any]:
        """All that decides rankings beside the index."""
        return method(self.config)

    def is_ranked(self, index: Index) -> bool:
        """Says whether all questions were asked of this index before."""
        names = {sha256(query.text) for query in self.dataset.queries()}
        asking = Questions(self.assembly, index, self.need)
        kept = self._stages.values("rankings", asking.ranking_key(), names)
        return len(kept) == len(names) and all(map(asking.suffices, kept.values()))

    def run(self) -> EvaluationResult:
        """Brings the index in step, asks all questions, scores what came of them, and writes the run's folder.

        Raises:
            ConfigError, DataError, ServiceError: nothing can be measured; a question that fails is no such error.
            BudgetSpent: it stopped before a call that might have exceeded the budget; what was made is kept.
        """
        self.check()
        with within(self.assembly.budget(*self._llms.values())):
            return self._run()

    def _run(self) -> EvaluationResult:
        index, took = self._index()
        there = held(index)
        checked = self._checked(index)
        asking = Questions(self.assembly, index, self.need)
        try:
            asked = self._asked(asking, checked.queries)
            scored = self._scored(checked.queries, asked, index)
            latency = self._latency(asking, checked.queries)
        except BudgetSpent as error:
            raise BudgetSpent(f"{error}; {_GOES_ON}") from None
        problems = [*checked.problems, *missing(self._unreadable), *there.problems()]
        dataset = {"name": self.dataset.name, "digest": checked.digest()}
        shown = index_json(index, there, took, self.assembly.prices)
        return self._write(scored, dataset, shown, there, latency, problems)

    def _index(self) -> tuple[Index, dict[str, Any]]:
        if self.config.tree["ingest"] == "never":
            return self.assembly.open(), {}
        found = in_step(self.assembly, self._stages, self._ingest)
        self._units.append(found.unit)
        self._unreadable = found.unreadable
        return found.index, found.took

    def _ingest(self) -> IngestSummary:
        self._callbacks.note(f"bringing index {self.assembly.index_name} in step with its source")
        if self.config.tree["stages"] is None:
            with self._callbacks.ingesting(self.assembly) as progress:
                return self.assembly.ingest(progress, self._stop)
        cuts, unit = cut_before(self.assembly, self._stages)
        self._units.append(unit)
        with closing(cuts), self._callbacks.ingesting(self.assembly) as progress:
            return self.assembly.ingest(progress, self._stop, cuts)

    def _checked(self, index: Index) -> Checked:
        def text(document: str) -> str | None:
            try:
                return index.document(document).text
            except DataError:
                return None  # told by the dataset, with all others that are missing

        try:
            checked = self.dataset.check(text)
            demand_measurable(self.dataset.name, checked.queries, self.config.tree)
            return checked
        except DataError as error:
            raise DataError(*error.problems, *(f"source: {line}" for line in missing(self._unreadable))) from None

    def _asked(self, asking: Questions, queries: Sequence[Query]) -> list[Asked]:
        asked = self._ranked(asking, queries)
        if self.config.tree["answers"]:
            asked = self._answered(asking, queries, asked)
        if names := judged(self.config.tree["metrics"]):
            asked = self._judged(Judging(self.assembly, names), queries, asked)
        return asked

    @functools.cached_property
    def _llms(self) -> dict[str, Any]:
        """The LLMs that this config asks, by their group."""
        tree = self.config.tree
        answers = tree["answers"] or "llm" in needs_of(self.config.builder("reranker"))
        return ({"llm": self.assembly.llm} if answers else {}) | (
            {"judge": self.assembly.judge} if judged(tree["metrics"]) else {}
        )

    def _ranked(self, asking: Questions, queries: Sequence[Query]) -> list[Asked]:
        with (
            self._stages.unit("rankings", asking.ranking_key()) as unit,
            self._callbacks.querying("questions") as progress,
        ):
            ask = functools.partial(asking.rank, unit)
            asked = ask_all(queries, ask, concurrency=self.config.tree["concurrency"], progress=progress)
        self._units.append(unit)
        return asked

    def _answered(self, asking: Questions, queries: Sequence[Query], ranked: Sequence[Asked]) -> list[Asked]:
        before = {query.id: outcome for query, outcome in zip(queries, ranked, strict=True)}
        with self._stages.unit("answers", asking.answer_key()) as unit, self._callbacks.querying("answers") as progress:

            def ask(query: Query) -> Asked:
                return asking.answer(unit, query, before[query.id])

            answered = ask_all(queries, ask, concurrency=self.config.tree["concurrency"], progress=progress)
        self._units.append(unit)
        return answered

    def _judged(self, judging: Judging, queries: Sequence[Query], asked: Sequence[Asked]) -> list[Asked]:
        with self._stages.unit("verdicts", judging.key()) as unit, self._callbacks.querying("verdicts") as progress:
            found = each(
                list(zip(queries, asked, strict=True)),
                lambda pair: judging.judged(unit, *pair),
                lambda asked: any(verdict.passed is None for verdict in asked.verdicts.values()),
                self.config.tree["concurrency"],
                progress,
            )
        self._units.append(unit)
        return found

    def _scored(self, queries: list[Query], asked: list[Asked], index: Index) -> Scored:
        settings = self.config.tree["metrics"]
        corpus = Corpus(lambda name: index.document(name).text, lambda name: index.chunks_of([name]))
        scorer = Scorer(settings, functools.partial(_tokenizer, settings["tokenizer"]), corpus)
        scores, ranked = scorer.scores(queries, asked), scorer.ranked(queries, asked)
        if self.config.tree["answers"]:
            for query, outcome, of_query in zip(queries, asked, scores, strict=True):
                of_query |= answer_metrics(query, outcome, settings["answers"])
        keeps_order = getattr(self.config.builder("reranker"), "keeps_order", False)
        below = {} if keeps_order else scorer.below(queries, asked)
        return Scored(queries, asked, scores, ranked, self.assembly.prices, below)

    def _latency(self, asking: Questions, queries: Sequence[Query]) -> dict[str, Any] | None:
        from ragloom.evaluation.latency import latency

        settings, texts = self.config.tree["latency"], [query.text for query in queries]
        total = settings["questions"]
        if not total:
            return None
        answering = self.config.tree["answers"]
        passes = []
        for concurrency in settings["concurrency"]:
            self._callbacks.note(f"timing {total} questions, {concurrency} at the same time")
            ask = functools.partial(asking.timings, answering=answering)
            passes.append(latency(ask, texts, concurrency=concurrency, total=total))
        return {**passes[0], "further": passes[1:]}

    def codes(self) -> dict[str, int | None]:
        """Says which versions of our code made rankings, answers and scores; None where there are no answers."""
        return {
            "ranking": RANKING_CODE,
            "answers": ANSWER_CODE if self.config.tree["answers"] else None,
            "metrics": METRICS_CODE,
        }

    def _seeds(self) -> dict[str, int]:
        """Lists the seeds of what was used: key -> value. Without one nothing that is computed here is random."""
        tree = self.config.tree
        used = [group for group in COMPONENTS if group in self._llms or group not in ("llm", "judge")]
        found = {f"{group}.seed": tree[group].get("seed") for group in used}
        return {key: seed for key, seed in found.items() if seed is not None}

    def _write(
        self,
        scored: Scored,
        dataset: dict[str, str],
        index: dict[str, Any],
        there: Held,
        latency: dict[str, Any] | None,
        problems: list[str],
    ) -> EvaluationResult:
        """Writes the run's folder, whose name says what was measured: the same again takes its place."""
        named = canonical_json([trial_digest(self.config), dataset["digest"], index["content"]])
        options = [self.config.choices[group] for group in _NAMED_BY]
        name = "-".join([dataset["name"], *options, sha256(named)[:8]]).replace("/", "_")
        files: dict[str, Any] = {
            "config.yaml": [yaml_text(self.config.public())],
            "run.json": {
                "run": name,
                "dataset": dataset,
                "index": index,
                "choices": self.config.choices,
                "config": self.config.public(),
                **({"builders": ids} if (ids := self.config.declared_ids()) else {}),
                "created": datetime.now(UTC).isoformat(),
                "seeds": self._seeds(),
                "environment": environment(),
                "git": git(),
                "stages": [stage_json(unit) for unit in self._units],
                "code": self.codes(),
                "problems": problems,
                "judge": judge_json(self.config) if judged(self.config.tree["metrics"]) else None,
            },
            "metrics.json": scored.metrics(),
            "queries.jsonl": map(json_line, scored.lines()),
            "run.trec": scored.run_lines(),
            "qrels.trec": scored.qrels_lines(),
            "documents.txt": (json_line(id) for id in there.searched),
        }
        if latency is not None:
            files["latency.json"] = latency
        folder = Path(self.config.tree["runs"]).expanduser() / name
        write_run(folder, files)
        return EvaluationResult(name, folder, files["metrics.json"], latency, self._units, scored.errors(), problems)


def open_stages(config: Config, waiting: Callable[[str], None] = lambda text: None) -> Stages:
    """Open the stage cache of a config (`stages`; null keeps nothing).

    Args:
        config: validated.
        waiting: receives a line while another process computes the same stage.
    """
    folder = config.tree["stages"]
    return Stages(None if folder is None else Path(folder).expanduser(), waiting)


def evaluate(
    config: Config, callbacks: EvaluationCallbacks | None = None, stop: Callable[[], bool] = lambda: False
) -> EvaluationResult:
    """Evaluate one config: sync its index, run all queries, score them, and write the run folder.

    Args:
        config: validated.
        callbacks: receives progress updates.
        stop: checked before each document of an ingest; True ends it early.

    Raises:
        ConfigError, DataError, ServiceError: nothing can be measured.
    """
    callbacks = callbacks or EvaluationCallbacks()
    with Trial(config, open_stages(config, callbacks.note), callbacks, stop) as trial:
        return trial.run()


def _tokenizer(name: str) -> Tokenizer:
    from ragloom.core.tokenizers import load

    return load(name)

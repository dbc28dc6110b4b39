"""Evaluation of one config: sync, run queries, score, write the run folder.

Stages are cached by complete keys (`ragloom.cache.stages`); a cache hit is never part of a latency.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ragloom.assembly import Assembly
from ragloom.cache.stages.stage_cache import StageCache
from ragloom.cache.stages.stage_entries import CachedStage
from ragloom.components.dataset.base import CheckedQueries
from ragloom.components.vector_store.protocols import Index
from ragloom.config.builder_keys import needs_of
from ragloom.config.config import Config
from ragloom.config.settings import COMPONENTS, OPERATIONAL_KEYS
from ragloom.core.budget import BudgetSpent, within
from ragloom.core.gold import Query
from ragloom.core.metric_names import Need, judged, need
from ragloom.core.records import canonical_json, sha256
from ragloom.errors import ConfigError
from ragloom.evaluation import requirements
from ragloom.evaluation.answer_scoring import answer_metrics
from ragloom.evaluation.callbacks import EvaluationCallbacks, QueryProgress
from ragloom.evaluation.chunk_cache import cache_chunks
from ragloom.evaluation.environment import environment, git
from ragloom.evaluation.evaluation_result import EvaluationResult, stage_json
from ragloom.evaluation.gold_check import GoldCheck
from ragloom.evaluation.index_sync import (
    IndexContent,
    empty_document_problems,
    index_content,
    index_json,
    naming_unreadable,
    sync_index,
    text_in,
    unreadable_problems,
)
from ragloom.evaluation.judging import AnswerJudge, judge_json
from ragloom.evaluation.latency import latency_passes
from ragloom.evaluation.query_cache import ANSWER_CODE, RANKING_CODE, CachedQueries
from ragloom.evaluation.query_executor import map_concurrently, run_queries
from ragloom.evaluation.query_outcome import QueryOutcome
from ragloom.evaluation.run_folder import json_line, write_run, yaml_text
from ragloom.evaluation.run_summary import ScoredRun
from ragloom.evaluation.scoring import METRICS_CODE, Scorer
from ragloom.ingestion import IngestSummary

_NAMED_BY = ("chunking", "embedding", "retriever", "reranker")
"""Groups whose options are part of a run's name."""

_RESUMABLE = "what was asked is kept, and the same command goes on from there with as much again, or set more"


def trial_digest(config: Config) -> str:
    """Return the 12-digit digest of a config, without operational keys."""
    tree = {key: value for key, value in config.identity().items() if key not in OPERATIONAL_KEYS}
    return sha256(canonical_json([tree, config.identity_choices()]))[:12]


def run_name(config: Config, dataset: str, dataset_digest: str, content: str) -> str:
    """Name a run, which is also the name of its folder.

    Args:
        config: validated.
        dataset: its name.
        dataset_digest: of its questions and gold, as checked against the index.
        content: digest of the index (`IndexContent.content`).
    """
    named = canonical_json([trial_digest(config), dataset_digest, content])
    options = [config.choices[group] for group in _NAMED_BY]
    return "-".join([dataset, *options, sha256(named)[:8]]).replace("/", "_")


class Trial(AbstractContextManager["Trial"]):
    """Evaluation of one config; a context manager that closes store and caches.

    Args:
        config: validated.
        stages: stage cache.
        callbacks: receives progress updates.
        stop: checked before each document of an ingest; True ends it early.
        gold: shared with other trials; None: for this one alone.
    """

    def __init__(
        self,
        config: Config,
        stages: StageCache,
        callbacks: EvaluationCallbacks,
        stop: Callable[[], bool] = lambda: False,
        gold: GoldCheck | None = None,
    ) -> None:
        self.config = config
        self.assembly = Assembly(config)
        self._stages = stages
        self._callbacks = callbacks
        self._stop = stop
        self._gold = gold or GoldCheck()
        self._units: list[CachedStage] = []
        self._unreadable: list[list[str]] = []

    def __exit__(self, *raised: Any) -> None:
        self.assembly.__exit__(*raised)

    @functools.cached_property
    def need(self) -> Need:
        """Depth of rankings that the metrics need."""
        spans, documents = requirements.kinds_of_gold(self.assembly.dataset.queries())
        return need(self.config.tree["metrics"], spans=spans, documents=documents)

    def check(self) -> None:
        """Check config and dataset before anything is ingested or paid.

        Raises:
            ConfigError: a reranker cannot change any metric, an alias would need an ingest, an extension lacks a
                method or a key, or the key of an LLM is missing.
            DataError: no requested metric suits the gold.
        """
        tree, queries = self.config.tree, self.assembly.dataset.queries()
        requirements.require_measurable(self.assembly.dataset.name, queries, tree)
        requirements.require_methods(self.config)
        requirements.require_depth(self.config)
        requirements.require_reranking(self.config, queries)
        if self.assembly.alias is not None and tree["ingest"] == "auto":
            raise ConfigError(
                f"config: ingest=auto must not go with vector_store.alias={self.assembly.alias}; an ingest syncs "
                "this config's own index, which the alias need not name: set ingest=never"
            )
        _ = self._llms  # a missing key is an error before an embedding is paid for

    def is_ranked(self, index: Index) -> bool:
        """Check whether the rankings of all queries of this index are cached."""
        names = {sha256(query.text) for query in self.assembly.dataset.queries()}
        cached = CachedQueries(self.assembly, index, self.need)
        rankings = self._stages.values("rankings", cached.ranking_key(), names)
        return len(rankings) == len(names) and all(map(cached.suffices, rankings.values()))

    def run(self) -> EvaluationResult:
        """Sync the index, run all queries, score them, write the run folder.

        Raises:
            ConfigError, DataError, ServiceError: nothing can be measured; the failure of a query raises nothing.
            BudgetSpent: the next call might exceed the budget; everything computed so far is cached.
        """
        self.check()
        with within(self.assembly.budget(*self._llms.values())):
            return self._run()

    def _run(self) -> EvaluationResult:
        index, build = self._index()
        content = index_content(index)
        checked = self._check_gold(index, content.texts)
        cached = CachedQueries(self.assembly, index, self.need)
        try:
            outcomes = self._run_queries(cached, checked.queries)
            scored = self._score(checked.queries, outcomes, index)
            run = functools.partial(cached.timings, answering=self.config.tree["answers"])
            texts = [query.text for query in checked.queries]
            latency = latency_passes(run, texts, self.config.tree["latency"], self._callbacks.note)
        except BudgetSpent as error:
            raise BudgetSpent(f"{error}; {_RESUMABLE}") from None
        problems = [*checked.problems, *unreadable_problems(self._unreadable), *empty_document_problems(content.empty)]
        dataset = {"name": self.assembly.dataset.name, "digest": checked.digest()}
        shown = index_json(index, content, build, self.assembly.prices)
        return self._write(scored, dataset, shown, content, latency, problems)

    def _index(self) -> tuple[Index, dict[str, Any]]:
        if self.config.tree["ingest"] == "never":
            return self.assembly.open(), {}
        synced = sync_index(self.assembly, self._stages, self._ingest)
        self._units.append(synced.unit)
        self._unreadable = synced.unreadable
        return synced.index, synced.build

    def _ingest(self) -> IngestSummary:
        self._callbacks.note(f"syncing index {self.assembly.index_name} with its source")
        if self.config.tree["stages"] is None:
            with self._callbacks.ingesting(self.assembly) as progress:
                return self.assembly.ingest(progress, self._stop)
        chunks, unit = cache_chunks(self.assembly, self._stages)
        self._units.append(unit)
        with closing(chunks), self._callbacks.ingesting(self.assembly) as progress:
            return self.assembly.ingest(progress, self._stop, chunks)

    def _check_gold(self, index: Index, texts: str) -> CheckedQueries:
        with naming_unreadable(self._unreadable):
            checked = self._gold.check(self.assembly.dataset, texts, functools.partial(text_in, index))
            requirements.require_measurable(self.assembly.dataset.name, checked.queries, self.config.tree)
        return checked

    def _run_queries(self, cached: CachedQueries, queries: Sequence[Query]) -> list[QueryOutcome]:
        concurrency = self.config.tree["concurrency"]
        with self._stage("rankings", cached.ranking_key(), "questions") as (unit, progress):
            rank = functools.partial(cached.rank, unit)
            outcomes = run_queries(queries, rank, concurrency=concurrency, progress=progress)
        if self.config.tree["answers"]:
            rankings = {query.id: outcome for query, outcome in zip(queries, outcomes, strict=True)}
            with self._stage("answers", cached.answer_key(), "answers") as (unit, progress):
                answer = functools.partial(cached.answer, unit, rankings)
                outcomes = run_queries(queries, answer, concurrency=concurrency, progress=progress)
        if names := judged(self.config.tree["metrics"]):
            judge = AnswerJudge(self.assembly, names)
            with self._stage("verdicts", judge.key(), "verdicts") as (unit, progress):
                outcomes = map_concurrently(
                    list(zip(queries, outcomes, strict=True)),
                    lambda pair: judge.judge(unit, *pair),
                    lambda outcome: any(verdict.passed is None for verdict in outcome.verdicts.values()),
                    concurrency,
                    progress,
                )
        return outcomes

    @contextmanager
    def _stage(self, kind: str, key: dict[str, Any], shown: str) -> Iterator[tuple[CachedStage, QueryProgress]]:
        """Open a stage of all queries, with its progress."""
        with self._stages.open(kind, key) as unit, self._callbacks.querying(shown) as progress:
            yield unit, progress
        self._units.append(unit)

    @functools.cached_property
    def _llms(self) -> dict[str, Any]:
        """LLMs that this config calls, by group."""
        tree = self.config.tree
        answers = tree["answers"] or "llm" in needs_of(self.config.builder("reranker"))
        return ({"llm": self.assembly.llm} if answers else {}) | (
            {"judge": self.assembly.judge} if judged(tree["metrics"]) else {}
        )

    def _score(self, queries: list[Query], outcomes: list[QueryOutcome], index: Index) -> ScoredRun:
        settings = self.config.tree["metrics"]
        scorer = Scorer(settings, lambda name: index.document(name).text, lambda name: index.chunks_of([name]))
        scores, ranked = scorer.scores(queries, outcomes), scorer.ranked(queries, outcomes)
        if self.config.tree["answers"]:
            for query, outcome, of_query in zip(queries, outcomes, scores, strict=True):
                of_query |= answer_metrics(query, outcome, settings["answers"])
        keeps_order = getattr(self.config.builder("reranker"), "keeps_order", False)
        below = {} if keeps_order else scorer.below(queries, outcomes)
        return ScoredRun(queries, outcomes, scores, ranked, self.assembly.prices, below)

    def _seeds(self) -> dict[str, int]:
        """Return the seeds of the used components: key -> value."""
        tree = self.config.tree
        used = [group for group in COMPONENTS if group in self._llms or group not in ("llm", "judge")]
        return {f"{group}.seed": seed for group in used if (seed := tree[group].get("seed")) is not None}

    def _write(
        self,
        scored: ScoredRun,
        dataset: dict[str, str],
        index: dict[str, Any],
        content: IndexContent,
        latency: dict[str, Any] | None,
        problems: list[str],
    ) -> EvaluationResult:
        """Write the run folder; a repetition replaces it."""
        name = run_name(self.config, dataset["name"], dataset["digest"], index["content"])
        answers = self.config.tree["answers"]
        files: dict[str, Any] = {
            "config.yaml": [yaml_text(self.config.public())],
            "run.json": {
                "run": name,
                "dataset": dataset,
                "index": index,
                "choices": self.config.public_choices(),
                "config": self.config.public(),
                **({"builders": ids} if (ids := self.config.declared_ids()) else {}),
                "created": datetime.now(UTC).isoformat(),
                "seeds": self._seeds(),
                "environment": environment(),
                "git": git(),
                "stages": [stage_json(unit) for unit in self._units],
                "code": {"ranking": RANKING_CODE, "answers": ANSWER_CODE if answers else None, "metrics": METRICS_CODE},
                "problems": problems,
                "judge": judge_json(self.config) if judged(self.config.tree["metrics"]) else None,
                **self.config.project_record(),
            },
            "metrics.json": scored.metrics(),
            "queries.jsonl": map(json_line, scored.lines()),
            "run.trec": scored.run_lines(),
            "qrels.trec": scored.qrels_lines(),
            "documents.txt": (json_line(id) for id in content.searched),
        }
        if latency is not None:
            files["latency.json"] = latency
        folder = Path(self.config.tree["runs"]).expanduser() / name
        write_run(folder, files)
        return EvaluationResult(name, folder, files["metrics.json"], latency, self._units, scored.errors(), problems)


def open_stages(config: Config, waiting: Callable[[str], None] = lambda text: None) -> StageCache:
    """Open the stage cache of a config (`stages`; null keeps nothing).

    Args:
        config: validated.
        waiting: receives a line while another process computes the same stage.
    """
    folder = config.tree["stages"]
    return StageCache(None if folder is None else Path(folder).expanduser(), waiting)


def evaluate(
    config: Config,
    callbacks: EvaluationCallbacks | None = None,
    stop: Callable[[], bool] = lambda: False,
    gold: GoldCheck | None = None,
) -> EvaluationResult:
    """Evaluate one config and write its run folder.

    Args:
        config: validated.
        callbacks: receives progress updates.
        stop: checked before each document of an ingest; True ends it early.
        gold: shared by the trials of a sweep, whose gold is then checked once.

    Raises:
        ConfigError, DataError, ServiceError: nothing can be measured.
    """
    callbacks = callbacks or EvaluationCallbacks()
    with Trial(config, open_stages(config, callbacks.note), callbacks, stop, gold) as trial:
        return trial.run()

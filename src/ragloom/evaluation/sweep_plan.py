"""Dry run of a sweep: trials, shared stages, and costs of misses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ragloom.config.config import Config
from ragloom.config.labels import label_of, varying
from ragloom.core.data_frame import data_frame
from ragloom.core.records import canonical_json
from ragloom.evaluation.callbacks import EvaluationCallbacks
from ragloom.evaluation.chunk_cache import chunk_key
from ragloom.evaluation.cost_forecast import CostForecast
from ragloom.evaluation.index_sync import synced_index
from ragloom.evaluation.query_cache import method
from ragloom.evaluation.runner import Trial, open_stages
from ragloom.ingestion.dry_run import Estimate
from ragloom.providers.request_context import no_requests

if TYPE_CHECKING:
    import pandas

_HOUR = 3600
_ESTIMATE_KEYS = ("index", "tokens", "cost_usd", "seconds_at_limits", "index_bytes")
LOCAL = "what local computing takes"
BASIS = (
    "questions are counted; the passages of a prompt have at most prompt.max_context_tokens, a reply max_tokens; an "
    "LLM reranks each question once, whatever the metrics are; passes for latency are "
    "included; what is asked again after a failure is not"
)
"""Basis of the numbers in `SweepPlan.asked`."""


@dataclass
class SweepPlan:
    """Trials, stages and cost of a sweep.

    Attributes:
        trials: labels of the trials.
        stages: stage -> {units: distinct ones, there: cached ones among them}.
        indexes: estimate of each index that needs an ingest.
        asked: upper bounds of the requests for questions, reranking, answers and verdicts, with their cost.
        unknown: what is requested and has no bound, in words.
    """

    trials: list[str]
    stages: dict[str, dict[str, int]]
    indexes: list[dict[str, Any]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def max_usd(self) -> float | None:
        """Upper bound of the total cost in US dollars; None if unknown."""
        costs = [self.embedding_usd, *(item["cost_usd"] for item in self.asked)]
        return None if None in costs or self.unknown else float(sum(costs))

    @property
    def embedding_usd(self) -> float | None:
        """Cost of embedding documents in US dollars; None if unknown."""
        costs = [item["cost_usd"] for item in self.indexes]
        return None if None in costs else sum(costs)

    @property
    def min_hours(self) -> float:
        """Lower bound of the hours, by the providers' limits per minute."""
        return sum(item["seconds_at_limits"] or 0 for item in self.indexes) / _HOUR

    @property
    def tokens(self) -> int:
        """Tokens of documents to be embedded."""
        return sum(item["tokens"] for item in self.indexes)

    def to_pandas(self) -> pandas.DataFrame:
        """Return one row per index and model: purpose, requests, tokens, cost.

        Raises:
            ConfigError: pandas is not installed.
        """
        documents = [
            {"what": "documents", "index": item["index"], "input_tokens": item["tokens"], "cost_usd": item["cost_usd"]}
            for item in self.indexes
        ]
        return data_frame([*documents, *self.asked])

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object that `evaluate dry_run=true` prints."""
        return {
            "event": "plan",
            **asdict(self),
            "cost_usd": self.embedding_usd,
            "cost_usd_at_most": self.max_usd,
            "basis": BASIS,
            "unknown": [LOCAL, *self.unknown],
            "hours_at_least": self.min_hours,
            "tokens": self.tokens,
        }


def plan_sweep(configs: Sequence[Config]) -> SweepPlan:
    """Plan one or several trials; sends no request and writes no file.

    Raises:
        ConfigError, DataError, ServiceError: a trial could not be run.
    """
    keys = varying(configs)
    stages = open_stages(configs[0])
    units: dict[str, dict[str, bool]] = {"chunks": {}, "index": {}, "rankings": {}}
    sizes: dict[str, int | None] = {}
    estimates = []
    forecast = CostForecast()
    for config in configs:
        with no_requests(), Trial(config, stages, EvaluationCallbacks()) as trial:
            trial.check()
            key = chunk_key(trial.assembly)
            units["chunks"][canonical_json(key)] = stages.count("chunks", key) > 0
            index = synced_index(trial.assembly, stages)
            place = canonical_json([trial.assembly.index_name, config.public()["vector_store"]])
            if place not in sizes:
                units["index"][place] = index is not None
                if index is None:
                    estimate = trial.assembly.rehearse()
                    shown = estimate.as_json()
                    estimates.append({name: shown[name] for name in _ESTIMATE_KEYS})
                sizes[place] = _chunks(estimate, config) if index is None else index.info.chunks
            ranking = canonical_json([place, method(config)])
            units["rankings"][ranking] = index is not None and trial.is_ranked(index)
            forecast.add(trial, stages, index, place, sizes[place])
    counts = {name: {"units": len(cached), "there": sum(cached.values())} for name, cached in units.items()}
    labels = [label_of(config, keys) for config in configs]
    return SweepPlan(labels, counts, estimates, forecast.as_json(trial.assembly.prices), forecast.unknown)


def _chunks(estimate: Estimate, config: Config) -> int | None:
    """Return the number of chunks after an ingest; None if inexact."""
    if estimate.guessed or estimate.summary.stopped is not None or config.tree["ingest"] == "never":
        return None
    return estimate.summary.chunks

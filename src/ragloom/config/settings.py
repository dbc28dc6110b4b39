"""The keys that belong to no group: their types, and the groups."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from ragloom.config.builder_keys import Name, NonNegative

COMPONENTS = (
    "source",
    "chunking",
    "analyzer",
    "embedding",
    "vector_store",
    "retriever",
    "reranker",
    "llm",
    "prompt",
    "dataset",
    "judge",
    "executor",
)
"""The groups whose option is built; each must be chosen."""


class Price(TypedDict):
    """US dollars per million tokens."""

    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]


class Prices(TypedDict):
    """Prices of models, with their date and source."""

    date: str
    source: str
    models: dict[str, Price]


class CacheSettings(TypedDict):
    """The embedding cache: place, size, use."""

    path: Name
    max_gb: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    enabled: bool


class WorkerSettings(TypedDict):
    """Limits of the worker processes that read, parse and cut documents."""

    processes: Annotated[int, Field(ge=0, le=256)] | None
    seconds_per_file: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    seconds_per_mb: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    memory_mb: Annotated[float, Field(ge=100, allow_inf_nan=False)]
    in_flight_mb: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class BudgetSettings(TypedDict):
    """Spending limits of an ingest, evaluation or sweep; None = no limit."""

    max_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    max_tokens: Annotated[int, Field(ge=0)] | None


class Latency(TypedDict):
    """Latency pass: number of questions and concurrency."""

    questions: Annotated[int, Field(ge=0)]
    concurrency: list[Annotated[int, Field(ge=1, le=256)]]


class CapacitySettings(TypedDict):
    """Search for the capacity of a benchmark."""

    seconds: Annotated[float, Field(ge=1, allow_inf_nan=False)]
    repeats: Annotated[int, Field(ge=1, le=10)]
    precision: Annotated[float, Field(ge=0.01, le=0.5)]


class BenchmarkSettings(TypedDict):
    """Open-loop load test; rates in requests per second."""

    rates: Annotated[list[Annotated[float, Field(gt=0, le=100_000)]], Field(min_length=1)] | None
    requests: Annotated[int, Field(ge=1000, le=1_000_000)]
    slo_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    arrival: Literal["poisson", "constant"]
    seed: NonNegative
    threads: Annotated[int, Field(ge=1, le=256)]
    warmup: Annotated[int, Field(ge=10, le=1_000_000)]
    timeout_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    capacity: CapacitySettings
    recall: Annotated[int, Field(ge=0, le=10_000)]
    ingest: Literal["none", "copy", "sync"]
    target: Name | None


class MetricSettings(TypedDict):
    """Metrics by kind of gold, and how characters count."""

    spans: list[Name]
    documents: list[Name]
    answers: list[Name]
    min_coverage: Annotated[float, Field(gt=0, le=1)]
    convention: Literal["union", "chroma"]
    tokenizer: Name


class ComparisonSettings(TypedDict):
    """Settings of `compare`."""

    metric: Name | None
    baseline: Name | None
    plan: Literal["auto", "baseline", "split", "pairs"]
    tolerance: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    seed: NonNegative
    resamples: Annotated[int, Field(ge=1000, le=1_000_000)]
    examples: Annotated[int, Field(ge=0, le=1000)]


_OPERATIONAL: dict[str, Any] = {
    "output": Literal["text", "json"],
    "cache": CacheSettings,
    "workers": WorkerSettings,
    "dry_run": bool,
    "budget": BudgetSettings,
    "comparison": ComparisonSettings,
    "runs": Name,
    "stages": Name | None,
    "max_delete_fraction": Annotated[float, Field(ge=0, le=1)],
    "allow_mass_delete": bool,
    "prices": Prices | None,
    "ingest": Literal["auto", "never"],
    "concurrency": Annotated[int, Field(ge=1, le=256)],
    "latency": Latency,
    "benchmark": BenchmarkSettings,
    "explain": bool,
    "retry_failed": bool,
}
TOP_LEVEL = _OPERATIONAL | {"extensions": list[Name], "metrics": MetricSettings, "answers": bool}
"""Top-level key -> its type."""
OPERATIONAL_KEYS = frozenset(_OPERATIONAL) | {"executor"}
"""Top-level keys and groups that decide neither what is measured nor what comes out."""

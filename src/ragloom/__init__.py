"""Ragloom: config-driven retrieval-augmented generation on LlamaIndex, measured honestly.

The functions of this module are the public Python API; they need no other module of the package:

    >>> import ragloom
    >>> config = ragloom.load_config(["source=sample", "retriever=bm25", "workers.processes=0"])
    >>> ragloom.ingest(config).documents
    9
    >>> result = ragloom.search(config, "How long is the warranty?")
    >>> result.rows()[0]["rank"]
    1

Configs are validated before anything is read or paid. Problems raise `ConfigError` (config), `DataError` (documents,
indexes, files) or `ServiceError` (stores, providers); `error.problems` lists them. Results are dataclasses with a
`to_pandas()` method, which needs pandas to be installed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ragloom.errors import ConfigError, DataError, RagloomError, ServiceError

if TYPE_CHECKING:
    from pathlib import Path

    from ragloom.comparison import Comparison
    from ragloom.config.config import Config
    from ragloom.evaluation.benchmark.benchmark_runner import BenchmarkResult
    from ragloom.evaluation.callbacks import EvaluationCallbacks
    from ragloom.evaluation.evaluation_result import EvaluationResult
    from ragloom.evaluation.sweep import Sweep
    from ragloom.evaluation.sweep_plan import SweepPlan
    from ragloom.ingestion import IngestSummary, Progress
    from ragloom.ingestion.dry_run import Estimate
    from ragloom.query.engine import CitedQueryEngine
    from ragloom.query.query_result import QueryResult

__version__ = "0.1.0"
__all__ = [
    "BenchmarkResult",
    "Comparison",
    "Config",
    "ConfigError",
    "DataError",
    "Estimate",
    "EvaluationCallbacks",
    "EvaluationResult",
    "IngestSummary",
    "QueryResult",
    "RagloomError",
    "ServiceError",
    "Sweep",
    "SweepPlan",
    "__version__",
    "answer",
    "benchmark",
    "compare",
    "dry_run",
    "evaluate",
    "ingest",
    "load_config",
    "plan",
    "query_engine",
    "search",
    "sweep",
]

_TYPES = {
    "BenchmarkResult": "ragloom.evaluation.benchmark.benchmark_runner",
    "Comparison": "ragloom.comparison",
    "Config": "ragloom.config.config",
    "Estimate": "ragloom.ingestion.dry_run",
    "EvaluationCallbacks": "ragloom.evaluation.callbacks",
    "EvaluationResult": "ragloom.evaluation.evaluation_result",
    "IngestSummary": "ragloom.ingestion",
    "QueryResult": "ragloom.query.query_result",
    "Sweep": "ragloom.evaluation.sweep",
    "SweepPlan": "ragloom.evaluation.sweep_plan",
}
"""Public classes and their modules, which are imported at the first use: `import ragloom` stays light."""


def __getattr__(name: str) -> Any:
    """Import a public class at its first use."""
    if name not in _TYPES:
        raise AttributeError(f"module 'ragloom' has no attribute {name!r}")
    return getattr(importlib.import_module(_TYPES[name]), name)


def load_config(overrides: Sequence[str] = (), *, config_dir: str | None = None, project: str | None = None) -> Config:
    """Compose and validate one config.

    Args:
        overrides: as on the command line: `chunking=paragraph`, `retriever.top_k=5`.
        config_dir: folder with further options, as `--config-dir`.
        project: project file, as `--project`; None is `ragloom.yaml` in the working directory, `none` is no file.

    Raises:
        ConfigError: all wrong keys and values.
    """
    (config,) = _load(overrides, config_dir, sweep=False, project=project)
    return config


def ingest(config: Config, *, progress: Progress | None = None) -> IngestSummary:
    """Sync the index of a config with its source.

    Args:
        config: of `load_config`.
        progress: called with the present state, often.

    Raises:
        ConfigError, DataError, ServiceError: the index could not be synced; see `ragloom.ingestion.ingest`.
    """
    from ragloom.assembly import Assembly

    with Assembly(config) as assembly:
        return assembly.ingest(progress)


def dry_run(config: Config) -> Estimate:
    """Estimate what `ingest` would read, embed and cost.

    It sends no request, writes no file and needs no key.

    Raises:
        ConfigError, DataError: as `ingest`.
    """
    from dataclasses import replace

    from ragloom.assembly import Assembly

    with Assembly(replace(config, tree={**config.tree, "dry_run": True})) as assembly:
        return assembly.rehearse()


@contextmanager
def query_engine(config: Config, *, answering: bool = True) -> Iterator[CitedQueryEngine]:
    """Open the committed index of a config as a LlamaIndex query engine.

    Args:
        config: whose index was built by `ingest`.
        answering: False builds no LLM; the engine can only `search`.

    Raises:
        IndexMissing: the index was not built (a DataError).
        ConfigError: the key of the LLM is missing, or the alias does not suit the config.
    """
    from ragloom.assembly import Assembly

    with Assembly(config) as assembly:
        yield assembly.query_engine(assembly.open(or_older=True), answering=answering)


def search(config: Config, question: str) -> QueryResult:
    """Retrieve and rerank chunks for one question; for many questions use `query_engine`.

    Raises:
        ConfigError, DataError, ServiceError: as `query_engine`, or a provider failed.
    """
    with query_engine(config, answering=False) as engine:
        return engine.search(question)


def answer(config: Config, question: str) -> QueryResult:
    """Answer one question with checked citations; for many questions use `query_engine`.

    Raises:
        ConfigError, DataError, ServiceError: as `query_engine`, or a provider failed.
    """
    with query_engine(config) as engine:
        return engine.answer(question)


def evaluate(
    config: Config, *, callbacks: EvaluationCallbacks | None = None, stop: Callable[[], bool] = lambda: False
) -> EvaluationResult:
    """Evaluate a config on its dataset and write the run folder.

    Args:
        config: of `load_config`.
        callbacks: receives progress updates.
        stop: checked before each document of an ingest; True ends it early.

    Raises:
        ConfigError, DataError, ServiceError: nothing can be measured; the failure of a single query raises nothing.
    """
    from ragloom.evaluation.runner import evaluate

    return evaluate(config, callbacks, stop)


def benchmark(
    config: Config, *, progress: Callable[[str, int, int], None] = lambda step, done, total: None
) -> BenchmarkResult:
    """Measure latency under load, open loop, and judge p99.

    Args:
        config: whose index was built by `ingest`.
        progress: called with the current step, its finished requests and all of them.

    Raises:
        ConfigError: the extra `benchmark` is not installed.
        IndexMissing: the index was not built (a DataError).
        ServiceError: most requests fail.
    """
    from ragloom.evaluation.benchmark.benchmark_runner import benchmark

    return benchmark(config, progress)


def sweep(
    overrides: Sequence[str],
    *,
    config_dir: str | None = None,
    project: str | None = None,
    callbacks: EvaluationCallbacks | None = None,
) -> Sweep:
    """Evaluate each combination of comma-separated values, one after another; as `evaluate -m`.

    Args:
        overrides: such as `chunking=fixed,paragraph`.
        config_dir: folder with further options, as `--config-dir`.
        project: project file, as `--project`; None is `ragloom.yaml` in the working directory, `none` is no file.
        callbacks: receives progress updates.

    Raises:
        ConfigError, DataError: no trial can be run; the failure of a single trial is recorded and raises nothing.
    """
    from ragloom.evaluation.sweep import run_sweep

    return run_sweep(_load(overrides, config_dir, project, sweep=True), callbacks)


def plan(overrides: Sequence[str], *, config_dir: str | None = None, project: str | None = None) -> SweepPlan:
    """Plan what `evaluate` or `sweep` would compute and cost.

    It sends no request and writes no file.

    Args:
        overrides: as for `sweep`.
        config_dir: folder with further options, as `--config-dir`.
        project: project file, as `--project`; None is `ragloom.yaml` in the working directory, `none` is no file.

    Raises:
        ConfigError, DataError, ServiceError: a trial could not be run.
    """
    from ragloom.evaluation.sweep_plan import plan_sweep

    return plan_sweep(_load([*overrides, "dry_run=true"], config_dir, project, sweep=True))


def compare(runs: Sequence[str | Path | EvaluationResult], *, overrides: Sequence[str] = ()) -> Comparison:
    """Compare the runs of at least two configs.

    Args:
        runs: run folders, or results of `evaluate`.
        overrides: settings of the comparison, such as `comparison.metric=R@5`.

    Raises:
        ConfigError: the settings do not suit the runs.
        DataError: a folder holds no run, or the runs cannot be compared.
    """
    from pathlib import Path

    from ragloom.comparison import compare

    folders = [Path(run) if isinstance(run, str | Path) else run.folder for run in runs]
    return compare(folders, load_config(overrides).tree["comparison"])


def _load(overrides: Sequence[str], config_dir: str | None, project: str | None, *, sweep: bool) -> list[Config]:
    from ragloom.config.conf_folder import conf_folder
    from ragloom.config.config import load
    from ragloom.config.project_file import find_project

    file = find_project(project, conf_folder(config_dir))
    return load(list(overrides), extra_dir=config_dir, sweep=sweep, project=file)

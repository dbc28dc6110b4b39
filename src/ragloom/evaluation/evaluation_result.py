"""Result of evaluating one config."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.cache.stages.stage_entries import CachedStage
from ragloom.core.data_frame import data_frame
from ragloom.core.records import canonical_json, sha256
from ragloom.errors import DataError

if TYPE_CHECKING:
    import pandas


@dataclass
class EvaluationResult:
    """Metrics and run folder of one evaluated config.

    Attributes:
        run: the run's name.
        folder: the run folder.
        metrics: content of metrics.json.
        latency: content of latency.json; None without a latency pass.
        stages: cache hits and computed items of each stage.
        errors: (query id, error) of each failed query.
        problems: problems of dataset and source, one line each.
    """

    run: str
    folder: Path
    metrics: dict[str, Any]
    latency: dict[str, Any] | None
    stages: list[CachedStage]
    errors: list[tuple[str, str]]
    problems: list[str]

    def queries(self) -> list[dict[str, Any]]:
        """Read one record per query from the run folder.

        Its keys: text, gold, scores, chunks, answer, usage.

        Raises:
            DataError: the run folder was changed or removed.
        """
        path = self.folder / "queries.jsonl"
        try:
            with path.open(encoding="utf-8", errors="surrogatepass") as file:  # a text may have U+2028
                return [json.loads(line) for line in file]
        except (OSError, ValueError) as error:
            raise DataError(f"{path} must be the queries of a run ({error}); evaluate again") from None

    def to_pandas(self) -> pandas.DataFrame:
        """Return one row per query.

        Its keys: id, text, group, tags, scores by metric, error.

        Raises:
            ConfigError: pandas is not installed.
            DataError: as `queries`.
        """
        names = ("query", "text", "group", "tags", "judged", "error")
        return data_frame([{**{name: line[name] for name in names}, **line["metrics"]} for line in self.queries()])

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object that `evaluate` prints."""
        return {
            "run": self.run,
            "folder": str(self.folder),
            **self.metrics,
            "latency": self.latency,
            "errors": [{"query": query, "error": error} for query, error in self.errors],
            "problems": self.problems,
            "stages": [stage_json(unit) for unit in self.stages],
        }


def stage_json(unit: CachedStage) -> dict[str, Any]:
    """Return cache hits, computed items and seconds of a stage."""
    return {
        "stage": unit.kind,
        "key": sha256(canonical_json(unit.key))[:12],
        "hit": unit.hit,
        "hits": unit.counts.hits,
        "made": unit.counts.computed,
        "damaged": unit.counts.damaged,
        "seconds": round(unit.seconds, 3),
        "differs": list(unit.differences),
    }

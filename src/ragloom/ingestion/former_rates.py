"""StageRates of former ingests, from the summaries that `ragloom ingest` keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ragloom.ingestion.scale_model import LIMITS_PER_MINUTE, ScaleForecast, Workload

FEWEST_CHUNKS = 1000
"""Chunks that an ingest must have stored: start-up decides the time of fewer."""
_GROUPS = ("chunking", "analyzer", "embedding", "vector_store")


@dataclass(frozen=True)
class FormerRates:
    """What a former ingest took; on another machine it took something else.

    Attributes:
        folder: where its summary is.
        ingesting: wall seconds per stored chunk.
        maintaining: wall seconds per chunk of the index.
    """

    folder: str
    ingesting: float
    maintaining: float

    def applied(self, forecast: ScaleForecast, work: Workload, at_limits: float | None) -> ScaleForecast:
        """Put these rates in place of a forecast's."""
        rate = self.ingesting * work.chunks
        return replace(
            forecast,
            ingesting=max(rate, at_limits or 0.0),
            maintaining=self.maintaining * work.index_chunks if work.chunks else 0.0,
            limit=LIMITS_PER_MINUTE if rate < (at_limits or 0.0) else forecast.limit,
            lacks_embedding=False,
        )


def former_rates(runs: Path, index: str, choices: Mapping[str, Any]) -> FormerRates | None:
    """Return rates of this index, else of the same options.

    Of several ingests the newest counts.

    Args:
        runs: folder of summaries.
        index: name of the index.
        choices: option of each group.
    """
    alike = None
    for path, summary in _summaries(runs):
        rates = _rates(path, summary)
        if rates is None:
            continue
        if summary["index"] == index:
            return rates
        options = summary.get("config") or {}
        if alike is None and all(options.get(group) == choices.get(group) for group in _GROUPS):
            alike = rates
    return alike


def _summaries(runs: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield readable summaries, the newest first."""
    paths = sorted(runs.glob("ingest-*/ingest.json"), key=lambda path: path.parent.name.rpartition("-")[2])
    for path in reversed(paths):
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # a forecast does without a summary that was cut off
        if isinstance(summary, dict):
            yield path, summary


def _rates(path: Path, summary: dict[str, Any]) -> FormerRates | None:
    written, stages = summary.get("written", 0), summary.get("stages", {})  # absent before 0.2
    if written < FEWEST_CHUNKS or 2 * summary["embedded"] < written:
        return None
    return FormerRates(path.parent.name, stages["ingesting"] / written, stages["maintaining"] / summary["chunks"])

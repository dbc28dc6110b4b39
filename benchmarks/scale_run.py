"""One measured ingest, or its dry run, as a JSON line: python scale_run.py [--dry] KEY=VALUE ...

Wall and CPU seconds of each stage, the worker processes' apart; chunks stored over time; peak memory; size of index.
The process is a separate one, so that memory and CPU time are those of this ingest alone. Stages are split by the
progress updates.
"""

import json
import os
import resource
import sys
import time
from typing import Any

from ragloom.assembly import Assembly
from ragloom.config.config import load
from ragloom.ingestion.summary import IngestState


class StageClock:
    """Receives progress updates; splits wall and CPU seconds by stage."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}
        self.state = IngestState()
        self.pace: list[tuple[float, int]] = []  # seconds of the stage `ingesting` -> chunks stored, about each second
        self._stage: str | None = None
        self._last = self._now()

    def __call__(self, state: IngestState) -> None:
        """Note the end of a stage."""
        self.state = state
        now = self._now()
        if state.stage == self._stage:
            spent = now[0] - self._last[0]
            if state.stage == "ingesting" and spent >= (self.pace[-1][0] if self.pace else 0) + 1:
                self.pace.append((round(spent, 3), state.written))
            return
        if self._stage is not None:
            times = [after - before for after, before in zip(now, self._last, strict=True)]
            self.stages[self._stage] = dict(zip(("wall", "driver_cpu", "readers_cpu"), times, strict=True))
        self._stage, self._last = state.stage, now

    def _now(self) -> tuple[float, float, float]:
        times = os.times()
        return time.perf_counter(), times.user + times.system, times.children_user + times.children_system


def measure(dry: bool, keys: list[str]) -> dict[str, Any]:
    """Ingest, or rehearse it, and return what it took."""
    (config,) = load(["cache.enabled=false", *keys])
    clock = StageClock()
    with Assembly(config) as assembly:
        estimate = assembly.rehearse(clock) if dry else None
        summary = assembly.ingest(clock) if estimate is None else estimate.summary
        size = estimate.index_bytes if estimate is not None else assembly.database.open(assembly.index_name).info.bytes
        dimensions = assembly.embedding.dimensions
    return {
        "documents": summary.documents,
        "megabytes": clock.state.bytes_read / 1e6,
        "chunks": summary.chunks,
        "tokens": estimate.tokens if estimate is not None else summary.tokens,
        "text_mb": estimate.work.text_bytes / 1e6 if estimate is not None else None,
        "in_flight_mb": config.tree["workers"]["in_flight_mb"],
        "stages": clock.stages,
        "pace": clock.pace,
        "index_mb": size / 1e6,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "reader_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000,
        "dimensions": dimensions,
        "load": os.getloadavg()[0],
    }


def main(arguments: list[str]) -> int:
    """Print the measurement."""
    keys = [key for key in arguments if key != "--dry"]
    sys.stdout.write(json.dumps(measure(len(keys) < len(arguments), keys)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

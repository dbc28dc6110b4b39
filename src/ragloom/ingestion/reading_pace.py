"""Pace of a dry run: seconds of listing, reading and packing."""

from __future__ import annotations

import os
import time
from dataclasses import replace

from ragloom.ingestion.scale_model import StageRates, Workload


class ReadingPace:
    """Clock of a dry run, which lists, reads and packs."""

    def __init__(self) -> None:
        self._laps = [_now()]

    def lap(self) -> None:
        """Note the end of a stage: of listing, then of reading."""
        self._laps.append(_now())

    def put_into(self, rates: StageRates, work: Workload) -> StageRates:
        """Replace the rates of listing, reading and packing by measured ones."""
        listing, reading = (
            [after - before for after, before in zip(end, start, strict=True)]
            for start, end in zip(self._laps, self._laps[1:], strict=False)
        )
        rates = replace(rates, listing=listing[0] / max(work.listed, 1))
        if not work.chunks:
            return rates
        return replace(rates, packing=reading[1] / work.chunks, reading=reading[2] / max(work.megabytes, 1e-9))


def _now() -> tuple[float, float, float]:
    """Wall seconds, CPU seconds of this process, and of its ended children."""
    times = os.times()
    return time.perf_counter(), times.user + times.system, times.children_user + times.children_system

"""The benchmark of the cost model fits it and goes on from where it was interrupted (`benchmarks/scale.py`)."""

import json
from pathlib import Path

import pytest

import scale
from ragloom.ingestion.scale_model import Machine, ScaleForecast, StageRates, Workload, forecast, root_sum

RATES = StageRates(
    start=1.5,
    listing=2e-5,
    reading=0.4,
    packing=1e-4,
    embedding=0.0,
    request=None,
    storing=3e-4,
    graph=0.0,
    text_index=6e-5,
    vector_index=4e-5,
    vector_index_from=100_000,
    memory_mb=300.0,
    vector_memory=1.2,
)
MACHINE = Machine(cores=16, processes=16, in_flight_mb=256)
FULL = 50_000
"""Documents of the small ingest: enough that batches in flight fill their limit."""


def measurement(documents: int, *, dry: bool) -> scale.Measured:
    """What a machine with these rates would measure."""
    work = Workload(
        listed=documents,
        megabytes=documents * 1.4e-3,
        chunks=documents,
        index_chunks=documents,
        text_bytes=documents * 700.0,
        dimensions=1024,
        embedded=documents,
    )
    predicted = forecast(work, RATES, MACHINE)
    stages = {name: {"wall": getattr(predicted, name)} for name in ("listing", "ingesting", "maintaining")}
    stages["ingesting"] |= {"driver_cpu": RATES.packing * documents, "readers_cpu": RATES.reading * work.megabytes}
    shape = {"documents": documents, "chunks": documents, "megabytes": work.megabytes, "stages": stages}
    rate = RATES.packing + RATES.storing
    shape["pace"] = [(RATES.start + rate * stored, stored) for stored in range(0, documents, documents // 7)]
    shape |= {"text_mb": work.text_bytes / 1e6, "dimensions": 1024, "tokens": 0, "in_flight_mb": 256}
    return {**shape, "memory_mb": RATES.memory_mb if dry else predicted.memory_mb, "index_mb": predicted.index_mb}


def test_the_fit_finds_the_rates_that_made_the_measurements() -> None:
    sizes = (FULL, 4 * FULL)
    dry = [measurement(size, dry=True) for size in sizes]
    runs = [measurement(size, dry=False) for size in sizes]
    fitted = scale.fitted(dry, runs, RATES.vector_index_from)
    for name in StageRates.__dataclass_fields__:
        assert getattr(fitted, name) == pytest.approx(getattr(RATES, name)), name
    assert scale.compare(
        forecast(scale.work_of(dry[-1], 20 * FULL), fitted, MACHINE), measurement(20 * FULL, dry=False), 20 * FULL
    )


def test_the_fit_finds_what_a_growing_graph_adds_to_each_chunk() -> None:
    start, storing, graph = 9.0, 8e-4, 6e-6
    points = [(start + storing * n + graph * root_sum(n), n) for n in range(0, 170_000, 900)]
    run = {"pace": points, "chunks": points[-1][1], "stages": {"ingesting": {"wall": points[-1][0]}}}
    assert scale.pace_of([run], has_graph=True) == pytest.approx((start, storing, graph))


def test_a_step_that_has_its_file_is_not_done_again_and_a_prediction_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in (FULL, 4 * FULL, 20 * FULL):
        for dry in (False, True):
            path = tmp_path / f"lancedb-local-{size}{'-dry' if dry else ''}.json"
            path.write_text(json.dumps(measurement(size, dry=dry)))
    monkeypatch.setattr(scale.subprocess, "run", None)  # nothing may be measured
    arguments = [str(tmp_path), f"fit={FULL},{4 * FULL}", f"predict={20 * FULL}"]
    scale.main(arguments)
    path = tmp_path / f"lancedb-local-{20 * FULL}-prediction.json"
    before = json.loads(path.read_text())
    assert set(ScaleForecast.__dataclass_fields__) < set(before)
    path.write_text(json.dumps({**before, "ingesting": 1.0}))
    assert scale.main(arguments) == 1  # what was predicted is compared, not what would be predicted now
    assert json.loads(path.read_text())["ingesting"] == 1.0

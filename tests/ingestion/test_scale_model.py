"""The cost model: formula, former rates, and what a dry run forecasts with them."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ragloom.assembly import Assembly
from ragloom.config.config import load
from ragloom.ingestion.former_rates import former_rates
from ragloom.ingestion.ingest_forecast import MEASURED_ON
from ragloom.ingestion.scale_model import STORING, Machine, StageRates, Workload, forecast, nodes, root_sum

WORK = Workload(
    listed=1000, megabytes=2.0, chunks=3000, index_chunks=3000, text_bytes=3e6, dimensions=100, embedded=3000
)
RATES = StageRates(
    start=1.0,
    listing=0.001,
    reading=10.0,
    packing=0.001,
    embedding=0.0,
    request=0.5,
    storing=0.002,
    graph=0.0,
    text_index=0.01,
    vector_index=0.02,
    vector_index_from=3001,
    memory_mb=300.0,
    vector_memory=1.5,
)
TWO = Machine(cores=2, processes=2, in_flight_mb=1.0, concurrency=4)
CHOICES = {"chunking": "fixed", "analyzer": "multilingual", "embedding": "hashing", "vector_store": "lancedb"}


def changed(record: Any, **fields: Any) -> Any:
    return type(record)(**{**{name: getattr(record, name) for name in record.__dataclass_fields__}, **fields})


def test_stages_add_up_and_the_slowest_part_of_ingesting_decides() -> None:
    predicted = forecast(WORK, RATES, TWO)
    assert predicted.listing == 1000 * 0.001
    # reading: 2 MB x 10 s on two processes = 10 s; main process: 3000 x .003 = 9 s; both on two cores: 29 / 2
    assert predicted.ingesting == 1 + (20 + 9) / 2
    assert predicted.limit == "the cores that all stages share"
    assert predicted.maintaining == 3000 * 0.01
    assert predicted.seconds == predicted.listing + predicted.ingesting + predicted.maintaining


@pytest.mark.parametrize(
    ("cores", "processes", "limit", "seconds"),
    [(16, 2, "the processes that read", 10), (16, 16, STORING, 9)],
)
def test_more_cores_move_the_limit(cores: int, processes: int, limit: str, seconds: float) -> None:
    predicted = forecast(WORK, RATES, changed(TWO, cores=cores, processes=processes))
    assert (predicted.limit, predicted.ingesting) == (limit, pytest.approx(1 + seconds))


def test_an_endpoint_takes_its_latency_over_the_requests_in_flight_and_its_limits_per_minute() -> None:
    asked = changed(WORK, requests=400)
    assert forecast(asked, RATES, TWO).ingesting == 1 + 400 * 0.5 / 4
    assert forecast(asked, RATES, TWO, at_limits=90.0).ingesting == 1 + 90
    unknown = forecast(asked, changed(RATES, request=None), TWO)
    assert unknown.lacks_embedding
    assert unknown.ingesting == forecast(WORK, RATES, TWO).ingesting


def test_a_local_model_shares_the_cores() -> None:
    predicted = forecast(WORK, changed(RATES, embedding=0.1), TWO)
    assert predicted.ingesting == pytest.approx(1 + (20 + 9 + 300) / 2)
    assert forecast(WORK, changed(RATES, embedding=None), TWO).lacks_embedding


def test_a_graph_takes_longer_for_each_chunk_the_more_chunks_there_are() -> None:
    rates = changed(RATES, graph=1.0, reading=0.0, packing=0.0, storing=0.0)
    first = changed(WORK, chunks=1000, index_chunks=1000)
    later = changed(WORK, chunks=1000, index_chunks=100_000)
    exact = sum(math.sqrt(chunk) for chunk in range(99_001, 100_001))
    assert forecast(later, rates, TWO).ingesting == pytest.approx(1 + exact, rel=1e-4)
    assert forecast(first, rates, TWO).ingesting == pytest.approx(1 + root_sum(1000))
    assert root_sum(1000) == pytest.approx(sum(math.sqrt(chunk) for chunk in range(1, 1001)), rel=0.01)
    assert root_sum(0) == 0


def test_the_vector_index_counts_from_its_threshold_on() -> None:
    at = changed(WORK, index_chunks=3001)
    assert forecast(at, RATES, TWO).maintaining == pytest.approx(3001 * (0.01 + 0.02))


def test_size_is_vectors_texts_and_rows_and_memory_grows_with_the_index_alone() -> None:
    predicted = forecast(WORK, RATES, TWO)
    assert predicted.index_mb == (3000 * (4 * 100 + 200) + 2.5 * 3e6) / 1e6
    assert predicted.memory_mb == 300 + 3 * 1.0  # batches in flight
    more = forecast(WORK.times(10), RATES, TWO)
    assert more.index_mb == pytest.approx(
        10 * predicted.index_mb + 30_000 * 50 / 1e6
    )  # the vector index: 4 bits a number
    assert more.memory_mb == pytest.approx(300 + 3 * 1.0 + 1.5 * 30_000 * 4 * 100 / 1e6)
    assert WORK.times(10).dimensions == WORK.dimensions


def test_nodes_share_the_seconds_of_one() -> None:
    assert [nodes(seconds, within=100) for seconds in (0, 100, 101, 1000)] == [1, 1, 2, 10]


def write_summary(runs: Path, at: str, **fields: Any) -> None:
    summary = {"index": "a-1", "config": CHOICES, "written": 2000, "embedded": 2000, "chunks": 4000}
    summary |= {"stages": {"ingesting": 10.0, "maintaining": 8.0}, **fields}
    folder = runs / f"ingest-{summary['index']}-{at}"
    folder.mkdir(parents=True)
    (folder / "ingest.json").write_text(json.dumps(summary))


def test_former_rates_are_those_of_the_newest_ingest_of_the_index_else_of_the_same_options(tmp_path: Path) -> None:
    assert former_rates(tmp_path, "a-1", CHOICES) is None
    write_summary(tmp_path, "3", index="b-1", config={**CHOICES, "embedding": "openai"})
    write_summary(tmp_path, "2", index="b-2")
    write_summary(tmp_path, "4", index="c-1", written=10)  # so few say nothing
    write_summary(tmp_path, "5", index="c-1", embedded=0)  # every vector was cached
    (tmp_path / "ingest-a-1-9").mkdir()
    (tmp_path / "ingest-a-1-9" / "ingest.json").write_text("{")  # was cut off
    alike = former_rates(tmp_path, "a-1", CHOICES)
    assert alike is not None
    assert alike.folder == "ingest-b-2-2"
    assert (alike.ingesting, alike.maintaining) == (10 / 2000, 8 / 4000)
    write_summary(tmp_path, "1", stages={"ingesting": 40.0, "maintaining": 0.0})
    own = former_rates(tmp_path, "a-1", CHOICES)
    assert own is not None
    assert (own.folder, own.ingesting) == ("ingest-a-1-1", 40 / 2000)
    predicted = own.applied(forecast(WORK, RATES, TWO), WORK, at_limits=None)
    assert predicted.ingesting == 3000 * 40 / 2000
    assert own.applied(predicted, WORK, at_limits=90.0).ingesting == 90.0


def assembly(root: Path, *keys: str) -> Assembly:
    (config,) = load(
        [
            "workers.processes=0",
            "cache.enabled=false",
            "source=folder",
            f'source.path="{root / "docs"}"',
            f'vector_store.path="{root / "store"}"',
            f'runs="{root / "runs"}"',
            *keys,
        ]
    )
    return Assembly(config)


def test_a_dry_run_forecasts_with_the_rates_it_names(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in range(20):
        (tmp_path / "docs" / f"{name}.txt").write_text(f"cabin {name} " * 100)
    with assembly(tmp_path) as predicted:
        estimate = predicted.rehearse()
        summary = predicted.ingest()
        assert summary.written == summary.chunks == estimate.new_chunks
        shown = estimate.as_json()["forecast"]
        assert shown["seconds"] == shown["listing"] + shown["ingesting"] + shown["maintaining"] > 0
        assert MEASURED_ON in shown["basis"]
        assert not shown["lacks_embedding"]
        assert shown["index_mb"] == pytest.approx(estimate.index_bytes / 1e6, rel=0.01)
        write_summary(tmp_path / "runs", "1", index=predicted.index_name)
        (tmp_path / "docs" / "new.txt").write_text("decks " * 500)
        again = predicted.rehearse()
        assert again.forecast is not None
        assert again.forecast_basis == f"rates of ingest-{predicted.index_name}-1"
        assert again.forecast.ingesting == pytest.approx(again.new_chunks * 10 / 2000)
        assert again.forecast.maintaining == pytest.approx(again.summary.chunks * 8 / 4000)
        assert predicted.ingest().written == again.new_chunks
        nothing = predicted.rehearse().forecast
        assert nothing is not None
        assert nothing.ingesting == nothing.maintaining == 0  # nothing is new


def test_a_forecast_says_when_the_embeddings_rate_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "one.txt").write_text("cabin " * 100)
    with assembly(tmp_path, "embedding=openai") as predicted:
        estimate = predicted.rehearse()
    assert estimate.forecast is not None
    assert estimate.forecast.lacks_embedding

"""Forecast of a dry run: choice and origin of its rates."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.ingestion.former_rates import former_rates
from ragloom.ingestion.scale_model import Machine, StageRates, forecast

if TYPE_CHECKING:
    from ragloom.ingestion.dry_run import Estimate

MEASURED_ON = "2026-11-30, 2 cores"
"""When and where `REFERENCE` was measured: docs/explanation/scale.md, by `benchmarks/scale.py`."""
FORMER_FACTOR, REFERENCE_FACTOR = 1.5, 3.0
"""Within which a forecast is expected, up and down: the machine may be busier, or another than was measured."""
REFERENCE = {
    "lancedb": StageRates(
        start=2.8,
        listing=2.5e-5,
        reading=0.36,
        packing=9.2e-5,
        embedding=0.0,
        request=None,
        storing=3.0e-4,
        graph=0.0,
        text_index=3.9e-5,
        vector_index=1.0e-4,
        vector_index_from=100_000,
        memory_mb=273.0,
        vector_memory=0.36,
    ),
    "weaviate": StageRates(
        start=2.8,
        listing=2.8e-5,
        reading=0.45,
        packing=1.16e-4,
        embedding=0.0,
        request=None,
        storing=7.0e-4,
        graph=7.66e-6,
        text_index=3.6e-4,
        vector_index=0.0,
        vector_index_from=sys.maxsize,
        memory_mb=207.0,
        vector_memory=0.0,
    ),
}
"""StageRates of each store by the name of its option; the embedding is `hashing` with 384 dimensions.

Of Weaviate: with `index.type=hnsw` and no quantization; `text_index` is the measurement of recall.
"""


def add_forecast(estimate: Estimate, tree: Mapping[str, Any], choices: Mapping[str, Any], machine: Machine) -> None:
    """Add time and memory to an estimate.

    Reading was measured by the dry run. The other stages have the rates of the newest ingest that is recorded in
    `runs`, of the same index or else of the same options; without one, those of the reference machine.

    Args:
        tree, choices: the config's values, and option of each group.
    """
    store = choices["vector_store"]
    reference = REFERENCE.get(store)
    if reference is None:
        estimate.forecast_basis = f"no rates of vector_store={store} are known"
        return
    rates = estimate.pace.put_into(reference, estimate.work)
    if choices["embedding"] != "hashing":
        rates = replace(rates, embedding=None)
    rates = replace(rates, vector_index_from=tree["vector_store"].get("ann_threshold", rates.vector_index_from))
    predicted = forecast(estimate.work, rates, machine, estimate.seconds)
    former = former_rates(Path(tree["runs"]).expanduser(), estimate.summary.index, choices)
    if former is not None:
        predicted = former.applied(predicted, estimate.work, estimate.seconds)
    estimate.forecast = predicted
    estimate.forecast_factor = REFERENCE_FACTOR if former is None else FORMER_FACTOR
    estimate.forecast_basis = (
        f"reading as measured now, the rest at the rates of {store} on the reference machine ({MEASURED_ON})"
        if former is None
        else f"rates of {former.folder}"
    )

"""Predicts an ingest from smaller ones, then runs it: python scale.py FOLDER [KEY=VALUE ...]

    python scale.py /big/folder store=lancedb fit=10000,50000 predict=300000
    python scale.py /big/folder store=weaviate executor=ray vector_store.url=http://127.0.0.1:8080
    python scale.py /big/folder predict=0             only measures, fits and prints the table
    python scale.py /big/folder table=lancedb-local   the table again, from the rates that were fitted

Corpus, chunking and embedding are those of `million.py`, each ingest is a separate process (`scale_run.py`). The rates
of `ragloom.ingestion.scale_model` are fitted to dry runs and ingests of the `fit` sizes, and the prediction is written
to FOLDER before the ingest of `predict` documents begins. Prints both with their ratio; exits 1 where the total is off
by more than a fifth. Each step leaves a file in FOLDER, and a step that has its file is not done again: an interrupted
run goes on from there. The index of `predict` documents stays, with its overrides in FOLDER/NAME.txt, for `ragloom
benchmark`. Without `vector_store.url` a server is started for each ingest. Needs an idle machine.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import nnls

from generated_corpus import documents as generated
from generated_corpus import write_jsonl
from million import KEYS
from ragloom.core.tokenizers import load as tokenizer
from ragloom.ingestion.scale_model import (
    BATCHES_IN_FLIGHT,
    Machine,
    ScaleForecast,
    StageRates,
    Workload,
    forecast,
    nodes,
    root_sum,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

SCRIPT = Path(__file__).with_name("scale_run.py")
DEFAULTS = {"store": "lancedb", "executor": "local", "fit": "10000,50000", "predict": "300000", "table": ""}
DEFAULTS |= {"ann_from": "30000"}  # LanceDB's `vector_store.ann_threshold`: memory is a line through sizes above it
MILLIONS = (1, 10, 100, 1000)
MOST = 0.2
"""Share by which a prediction may be off."""
DAY = 86_400.0
"""Seconds within which nodes are counted."""
USD_PER_MILLION_TOKENS, TEXTS_PER_REQUEST = 0.02, 512
"""Of OpenAI's text-embedding-3-small, for the table's dollars and requests."""
SAMPLE = 5000
"""Documents whose tokens are counted, for the table."""
Measured = dict[str, Any]


def corpus(folder: Path, documents: int) -> Path:
    """Generate documents, unless they are there."""
    path = folder / f"documents-{documents}.jsonl"
    if not path.exists():
        part = path.with_suffix(".part")
        write_jsonl(part, documents)
        part.rename(path)
    return path


def measured(folder: Path, documents: int, options: dict[str, str], *, dry: bool) -> Measured:
    """Measure an ingest or its dry run, unless it was measured."""
    name = f"{options['store']}-{options['executor']}"
    path = folder / f"{name}-{documents}{'-dry' if dry else ''}.json"
    if path.exists():
        return _read(path)
    stays = not dry and documents == int(options["predict"])
    place = folder / (f"index-{name}" if stays else "index")
    shutil.rmtree(place, ignore_errors=True)
    with _store_keys(place, documents, options) as store:
        keys = [*KEYS, "source=jsonl", f'source.path="{corpus(folder, documents)}"', *store]
        if stays:
            (folder / f"{name}.txt").write_text("\n".join(keys) + "\n", encoding="utf-8")
        keys.append(f"executor={options['executor']}")
        command = [sys.executable, str(SCRIPT), *keys, *(["--dry"] if dry else [])]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    # Ray may print lines before it, such as that of a dead worker.
    result: Measured = {**json.loads(done.stdout.splitlines()[-1]), **_machine()}
    _write(path, result)
    if not stays:
        shutil.rmtree(place, ignore_errors=True)
    return result


@contextmanager
def _store_keys(place: Path, documents: int, options: dict[str, str]) -> Iterator[list[str]]:
    """Start the store, where it is a server."""
    given = [f"{key}={value}" for key, value in options.items() if key.startswith("vector_store.")]
    if options["store"] == "lancedb":
        threshold = f"vector_store.ann_threshold={options['ann_from']}"
        yield ["vector_store=lancedb", threshold, *given, f'vector_store.path="{place}"']
    elif "vector_store.url" in options:
        yield ["vector_store=weaviate", *given, f"vector_store.collection_prefix=Scale{documents}"]
    else:
        from weaviate_servers import Server

        with Server(place, env={"GOMEMLIMIT": "12GiB"}) as server:
            yield [*server.address.overrides(collection_prefix="Scale"), *given]


def fitted(dry: list[Measured], runs: list[Measured], vector_index_from: int) -> StageRates:
    """Fit the rates to ingests of two sizes.

    `start`, `storing` and `graph` are the least squares fit to how many chunks were stored after how many seconds; the
    others are lines through both sizes, since starting takes a second or two.

    Args:
        dry, runs: by size, the smallest first.
    """
    chunks = runs[-1]["chunks"] - runs[0]["chunks"]
    packing = _growth(dry, "driver_cpu") / chunks
    exact = [run for run in runs if run["chunks"] < vector_index_from] or runs
    text_index = _maintaining(exact) / sum(run["chunks"] for run in exact)
    approximate = [run for run in runs if run["chunks"] >= vector_index_from]
    vectors = sum(run["chunks"] for run in approximate)
    in_flight = BATCHES_IN_FLIGHT * dry[-1]["in_flight_mb"]
    vectors_mb = 4 * dry[-1]["dimensions"] * runs[-1]["chunks"] / 1e6
    if len(approximate) > 1:
        growth = runs[-1]["memory_mb"] - approximate[0]["memory_mb"]
        building = growth / (vectors_mb * (1 - approximate[0]["chunks"] / runs[-1]["chunks"]))
    else:
        building = (runs[-1]["memory_mb"] - dry[0]["memory_mb"] - in_flight) / vectors_mb if approximate else 0.0
    start, storing, graph = pace_of(runs, has_graph=vector_index_from == sys.maxsize)
    return StageRates(
        start=start,
        listing=runs[-1]["stages"]["listing"]["wall"] / runs[-1]["documents"],
        reading=_growth(dry, "readers_cpu") / (dry[-1]["megabytes"] - dry[0]["megabytes"]),
        packing=packing,
        embedding=0.0,
        request=None,
        storing=max(storing - packing, 0.0),
        graph=graph,
        text_index=text_index,
        vector_index=max(_maintaining(approximate) / vectors - text_index, 0.0) if vectors else 0.0,
        vector_index_from=vector_index_from,
        memory_mb=dry[0]["memory_mb"],
        vector_memory=max(building, 0.0),
    )


def pace_of(runs: list[Measured], *, has_graph: bool) -> tuple[float, float, float]:
    """Fit seconds = start + storing x chunks + graph x the sum of the roots of chunks."""
    points = [point for run in runs for point in [*run["pace"], (run["stages"]["ingesting"]["wall"], run["chunks"])]]
    seconds, stored = np.array([point for point in points if point[1]]).T
    terms = np.stack([np.ones_like(stored), stored, *([[*map(root_sum, stored)]] if has_graph else [])], axis=1)
    rates, _ = nnls(terms / seconds[:, None], np.ones_like(seconds))  # relative errors, no rate below 0
    return float(rates[0]), float(rates[1]), float(rates[2]) if has_graph else 0.0


def _growth(runs: list[Measured], what: str) -> float:
    return float(runs[-1]["stages"]["ingesting"][what] - runs[0]["stages"]["ingesting"][what])


def _maintaining(runs: list[Measured]) -> float:
    return float(sum(run["stages"]["maintaining"]["wall"] for run in runs))


def work_of(dry: Measured, documents: int) -> Workload:
    """Scale the work of a measured dry run to a number of documents."""
    work = Workload(
        listed=dry["documents"],
        megabytes=dry["megabytes"],
        chunks=dry["chunks"],
        index_chunks=dry["chunks"],
        text_bytes=dry["text_mb"] * 1e6,
        dimensions=dry["dimensions"],
        embedded=dry["chunks"],
    )
    return work.times(documents / dry["documents"])


def compare(predicted: ScaleForecast, run: Measured, documents: int) -> bool:
    """Print prediction and result; say whether the total is within a fifth."""
    table = Table("", "predicted", "measured", "measured / predicted", title=f"{documents:,} documents")
    stages = {name: run["stages"][name]["wall"] for name in ("listing", "ingesting", "maintaining")}
    rows = {f"{name}, s": (getattr(predicted, name), seconds) for name, seconds in stages.items()}
    rows["total, s"] = predicted.seconds, sum(stages.values())
    rows["memory, MB"] = predicted.memory_mb, run["memory_mb"]
    rows["index, MB"] = predicted.index_mb, run["index_mb"]
    for name, (before, after) in rows.items():
        table.add_row(name, f"{before:,.1f}", f"{after:,.1f}", f"{after / before:.2f}")
    Console(width=100).print(table)
    return abs(rows["total, s"][1] / rows["total, s"][0] - 1) <= MOST


def print_table(rates: StageRates, dry: Measured, machine: Machine) -> None:
    """Print what one node takes for millions of documents, as the page has it."""
    out = sys.stdout.write
    counted = tokenizer("cl100k_base").counts([document.text for document in generated(SAMPLE)])
    tokens_of_one = sum(counted) / SAMPLE
    out("| million documents | chunks | index | listing | ingesting | maintaining | memory | nodes for a day |")
    out(" tokens | requests | text-embedding-3-small |\n|---" + "|---" * 10 + "|\n")
    for millions in MILLIONS:
        work = work_of(dry, millions * 1_000_000)
        predicted = forecast(work, rates, machine)
        tokens = tokens_of_one * millions * 1e6
        out(
            f"| {millions:,} | {work.chunks / 1e6:,.1f} M | {predicted.index_mb / 1e6:,.2f} TB | "
            f"{predicted.listing / 3600:,.2f} h | {predicted.ingesting / 3600:,.1f} h | "
            f"{predicted.maintaining / 3600:,.1f} h | {predicted.memory_mb / 1000:,.0f} GB | "
            f"{nodes(predicted.listing + predicted.ingesting, DAY)} | "
            f"{tokens / 1e9:,.1f} billion | {work.chunks / TEXTS_PER_REQUEST / 1e6:,.2f} M | "
            f"${tokens / 1e6 * USD_PER_MILLION_TOKENS:,.0f} |\n"
        )


def _machine() -> dict[str, Any]:
    return {"at": datetime.now(UTC).isoformat(timespec="seconds"), "cores": os.cpu_count(), "cpu": platform.machine()}


def _read(path: Path) -> Measured:
    result: Measured = json.loads(path.read_text("utf-8"))
    return result


def _write(path: Path, result: Measured) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    part.rename(path)


def main(arguments: list[str]) -> int:
    """Measure, fit, predict and run."""
    folder = Path(arguments[0])
    options = {**DEFAULTS, **dict(argument.split("=", 1) for argument in arguments[1:])}
    folder.mkdir(parents=True, exist_ok=True)
    name = options["table"] or f"{options['store']}-{options['executor']}"
    options["store"], options["executor"] = name.rsplit("-", 1)
    sizes = [int(size) for size in options["fit"].split(",")]
    dry = [measured(folder, size, options, dry=True) for size in sizes]
    machine = Machine(os.cpu_count() or 1, os.cpu_count() or 1, dry[0]["in_flight_mb"])
    runs = [measured(folder, size, options, dry=False) for size in sizes]
    rates = fitted(dry, runs, int(options["ann_from"]) if options["store"] == "lancedb" else sys.maxsize)
    _write(folder / f"{name}-rates.json", {**asdict(rates), **_machine()})
    sys.stdout.write(f"rates of {name}, fitted to {options['fit']} documents: {asdict(rates)}\n")
    print_table(rates, dry[-1], machine)
    documents = int(options["predict"])
    if options["table"] or not documents:
        return 0
    path = folder / f"{name}-{documents}-prediction.json"
    if not path.exists():
        _write(path, {**asdict(forecast(work_of(dry[-1], documents), rates, machine)), **_machine()})
    predicted = ScaleForecast(**{key: _read(path)[key] for key in ScaleForecast.__dataclass_fields__})
    return 0 if compare(predicted, measured(folder, documents, options, dry=False), documents) else 1


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.stderr.write(__doc__)
        sys.exit(2)
    sys.exit(main(sys.argv[1:]))

"""What an ingest takes in memory and time, by size of the corpus: python memory.py [DOCUMENTS ...]

Made-up documents of some 400 characters, one JSON line each (10,000, 100,000 and 1,000,000 by default; a
number followed by MB, such as 500MB, is one text file of that size), hashing embeddings of 64 dimensions, LanceDB. The
proportional set size (PSS) of the whole process tree is sampled four times a second, and its peak shown for each stage.
Then the seconds of a second run that finds nothing changed, and p50 / p99 of dense, bm25 and hybrid. Exits 1 where
reading to commit grows by more than 150 MB from the second size to the third, maintenance goes over 2 GB, or one file
over 1.5 GB. Linux only.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ragloom.assembly import Assembly
from ragloom.config.config import load

SIZES = ("10000", "100000", "1000000")
GROWTH_MB, MAINTENANCE_MB, ONE_FILE_MB = 150, 2000, 1500
EVERY = 0.25
QUESTIONS = 200
INGEST = [sys.executable, str(Path(__file__).resolve().parents[1] / "scripts" / "ingest.py")]


def words(seed: random.Random, count: int) -> str:
    """Makes up a text of frequent and rare words."""
    return " ".join(f"w{int(seed.paretovariate(0.7)) % 50_000}" for _ in range(count))


def made(folder: Path, size: str) -> list[str]:
    """Writes a corpus; returns the overrides that read it."""
    seed = random.Random(20261127)
    if size.endswith("MB"):
        path, most = folder / f"big-{size}" / "big.txt", int(size[:-2]) * 1_000_000
        path.parent.mkdir()
        with path.open("w", encoding="utf-8") as file:
            while file.tell() < most:
                file.write("\n\n".join(words(seed, 60) for _ in range(200)) + "\n\n")
        return ["source=folder", f'source.path="{path.parent}"', f"source.max_file_mb={most}", "workers.memory_mb=8000"]
    path = folder / f"made-{size}.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(int(size)):
            file.write(json.dumps({"id": f"d{number}", "text": words(seed, 60)}) + "\n")
    return ["source=jsonl", f'source.path="{path}"']


def pss_mb(pid: int) -> float:
    """Adds up the proportional set size of a process and its descendants, in MB."""
    total, waiting = 0, [pid]
    while waiting:
        process = waiting.pop()
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
            for task in Path(f"/proc/{process}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except (OSError, StopIteration):  # it has just ended
            continue
    return total / 1000


def ingest(overrides: list[str], log: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """Ingests in a separate process; returns its summary and the peak of each stage, in MB."""
    peaks: dict[str, float] = defaultdict(float)
    with log.open("w+", encoding="utf-8") as out:
        process = subprocess.Popen([*INGEST, "output=json", *overrides], stdout=out)
        stage, last = "listing", ""
        with log.open(encoding="utf-8") as lines:
            while process.poll() is None:
                for line in lines.readlines():
                    last += line
                    if last.endswith("\n"):
                        stage, last = json.loads(last).get("stage", stage), ""
                peaks[stage] = max(peaks[stage], pss_mb(process.pid))
                time.sleep(EVERY)
    summary: dict[str, Any] = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    assert process.returncode == 0, summary
    return summary, dict(peaks)


def latencies(overrides: list[str]) -> dict[str, tuple[float, float]]:
    """Asks each retriever some questions of the corpus's words, warm; returns p50 and p99 in ms."""
    seed, found = random.Random(7), {}
    for retriever in ("dense", "bm25", "hybrid"):
        (config,) = load([*overrides, f"retriever={retriever}"])
        with Assembly(config) as assembly:
            engine = assembly.query_engine(assembly.open(), answering=False)
            engine.search(words(seed, 8))
            times = [engine.search(words(seed, 8)).timings_ms["total"] for _ in range(QUESTIONS)]
        found[retriever] = (float(np.percentile(times, 50)), float(np.percentile(times, 99)))
    return found


def main(*sizes: str) -> int:
    """Prints a row for each size; returns the exit status."""
    screen, wrong, rows = Console(width=150), [], []
    stages = ("listing", "ingesting", "deleting", "maintaining")
    table = Table("corpus", *(f"{stage} MB" for stage in stages), "chunks", "chunks/s", "seconds", "again s")
    for name in ("dense", "bm25", "hybrid"):
        table.add_column(f"{name} ms p50 / p99")
    notes = []
    with tempfile.TemporaryDirectory(prefix="ragloom-memory-") as place:
        folder = Path(place)
        for size in sizes or SIZES:
            store = f'vector_store.path="{folder / "store"}"'
            overrides = [*made(folder, size), "embedding.dimensions=64", store, f'runs="{folder / "runs"}"']
            summary, peaks = ingest(overrides, folder / "log")
            again, _ = ingest(overrides, folder / "log")
            asked = latencies(overrides)
            rate = summary["chunks"] / (summary["stages"]["ingesting"] or 1)
            shown = [f"{peaks.get(stage, 0):.0f}" for stage in stages]
            shown += [str(summary["chunks"]), f"{rate:.0f}", f"{summary['seconds']:.0f}", f"{again['seconds']:.1f}"]
            shown += [f"{low:.1f} / {high:.1f}" for low, high in asked.values()]
            table.add_row(size, *shown)
            notes += [f"{size}: {note}" for note in summary["notes"]]
            rows.append((size, peaks))
            if peaks.get("maintaining", 0) > MAINTENANCE_MB:
                wrong.append(f"{size}: maintenance took {peaks['maintaining']:.0f} MB")
            if size.endswith("MB") and max(peaks.values()) > ONE_FILE_MB:
                wrong.append(f"{size}: one file took {max(peaks.values()):.0f} MB")
    many = [peaks.get("ingesting", 0) for size, peaks in rows if not size.endswith("MB")]
    if len(many) > 2 and many[2] - many[1] > GROWTH_MB:
        wrong.append(f"reading to commit grew by {many[2] - many[1]:.0f} MB from the second size to the third")
    screen.print(table)
    for line in notes:
        screen.print(line)
    for line in wrong:
        screen.print(f"[red]{line}[/]")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Exact against approximate dense search, on LanceDB, in one run: python ann.py [ROWS [DIMENSIONS]]

200,000 chunks of 384 dimensions by default: 2,000 topics of Zipf's sizes, and a spectrum that falls as
1/sqrt(i), so that a vector has neighbours as those of a real model have. The commit verifies its parameters as every
ingest does. Then 100 other questions are searched by turns both ways; recall counts what exact search gave.
"""

import resource
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import ragloom.components.vector_store as builders
from ragloom.components.analyzer import whitespace
from ragloom.components.vector_store.lancedb_store.nearest_neighbors import Parameters
from ragloom.components.vector_store.protocols import Index
from ragloom.core.records import sha256
from stores import document

ROWS, DIMENSIONS, TOPICS, ASKED, BATCH = 200_000, 384, 2_000, 100, 5_000
KEYS = {"retention_minutes": 0, "min_ann_recall": 0.98, "alias": None}


class Made:
    """Vectors of topics; `chunks` and `questions` draw new ones at each number."""

    def __init__(self, dimensions: int) -> None:
        self._spectrum = np.arange(1, dimensions + 1, dtype=np.float32) ** -0.5
        self._centres = self._noise(np.random.default_rng(0), TOPICS)
        sizes = np.arange(1, TOPICS + 1) ** -0.7
        self._sizes = sizes / sizes.sum()

    def chunks(self, number: int, count: int) -> np.ndarray:
        """Makes vectors of chunks, `[count, dimensions] float32`."""
        draw = np.random.default_rng([1, number])
        made = self._centres[draw.choice(TOPICS, count, p=self._sizes)] + 0.8 * self._noise(draw, count)
        return _unit(made)

    def questions(self, number: int, of: np.ndarray) -> np.ndarray:
        """Makes a question of each of some chunks: cosine .8 to it, most of the rest to what is near it."""
        return _unit(of + 0.7 * _unit(self._noise(np.random.default_rng([2, number]), len(of))))

    def _noise(self, draw: np.random.Generator, count: int) -> np.ndarray:
        return draw.standard_normal((count, len(self._spectrum)), dtype=np.float32) * self._spectrum


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Peak:
    """Watches this process's own memory (anonymous pages, MB) while it is entered."""

    def __enter__(self) -> "Peak":
        self.before = self.most = _anonymous()
        self._on = True
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._on = False
        self._thread.join()

    def _watch(self) -> None:
        while self._on:
            self.most = max(self.most, _anonymous())
            time.sleep(0.02)


def _anonymous() -> float:
    status = Path("/proc/self/status")
    if not status.exists():  # not Linux: what there is
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return next(int(line.split()[1]) / 1000 for line in status.read_text().splitlines() if line.startswith("RssAnon"))


def built(path: Path, made: Made, rows: int, dimensions: int, screen: Console) -> Index:
    """Writes, commits with verification, and opens."""
    place = builders.lancedb(whitespace(), path=str(path), ann_threshold=1, **KEYS)  # type: ignore[arg-type]
    with place.writer("bench-1", dimensions=dimensions, description={}, root="/") as writer:
        begun = time.perf_counter()
        for start in range(0, rows, BATCH):
            vectors = made.chunks(start, min(BATCH, rows - start))
            some = [document(f"{start + at:07}", f"chunk {start + at}") for at in range(len(vectors))]
            hashes = [sha256(item.chunk.text) for item in some]
            writer.append([item.chunk for item in some], vectors, hashes)
            writer.finish([item.row for item in some])
        screen.print(f"written in {time.perf_counter() - begun:.0f} s")

        def ask(texts: Sequence[str]) -> np.ndarray:
            of = np.zeros((len(texts), dimensions), dtype=np.float32)
            numbers = np.array([int(text.split()[1]) for text in texts])
            for start in np.unique(numbers - numbers % BATCH):
                these = numbers - numbers % BATCH == start
                of[these] = made.chunks(int(start), min(BATCH, rows - int(start)))[numbers[these] - start]
            return made.questions(len(of), of)

        with Peak() as peak:
            begun = time.perf_counter()
            info = writer.commit({}, ask)
    screen.print(f"committed in {time.perf_counter() - begun:.0f} s, memory {peak.before:.0f} -> {peak.most:.0f} MB")
    screen.print(*info.notes)
    return place.open("bench-1")


def main(rows: int, dimensions: int) -> None:
    """Measures and prints."""
    screen, made = Console(width=160), Made(dimensions)
    with tempfile.TemporaryDirectory() as folder:
        index = built(Path(folder), made, rows, dimensions, screen)
        verified: Parameters | None = index.search.parameters  # type: ignore[attr-defined]
        if verified is None:
            raise SystemExit("no parameters reached the recall")
        questions = made.questions(3, made.chunks(0, min(ASKED, rows)))
        compare(index, verified, questions, screen)


def compare(index: Index, verified: Parameters, questions: np.ndarray, screen: Console) -> None:
    """Searches by turns both ways; one question before the clock runs reads what is kept in memory."""
    table = Table("hits", "search", "p50 ms", "p99 ms", "recall", box=None)
    for k in (10, 100):
        times: dict[str, list[float]] = {"exact": [], "approximate": []}
        right = 0
        for number, question in enumerate(questions):
            lists = {}
            for name, parameters in (("exact", None), ("approximate", verified)):
                index.search = replace(index.search, parameters=parameters)  # type: ignore[attr-defined]
                begun = time.perf_counter()
                lists[name] = {hit.chunk.id for hit in index.dense(question.tolist(), k)}
                if number:
                    times[name].append(1000 * (time.perf_counter() - begun))
            right += len(lists["exact"] & lists["approximate"])
        for name, recall in (("exact", 1.0), ("approximate", right / k / len(questions))):
            p50, p99 = np.percentile(times[name], [50, 99])
            table.add_row(str(k), name, f"{p50:.1f}", f"{p99:.1f}", f"{recall:.4f}")
    screen.print(table)


if __name__ == "__main__":
    given = [int(item.replace(",", "")) for item in sys.argv[1:]]
    main(*[*given, *(ROWS, DIMENSIONS)[len(given) :]])

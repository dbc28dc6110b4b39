"""Does a stalling Weaviate lose anything? python weaviate_faults.py [TURNS [DOCUMENTS [KIND ...]]]

A real server is stopped for .7 s of every second (SIGSTOP, SIGCONT) while it is written with `timeouts.insert=3.2`:
TURNS (20) each of ingests (first ones and replacing ones in turns), rebuilds and `add`s of DOCUMENTS (400) SciFact
abstracts. KIND: `ingest`, `rebuild`, `add`. Then, on the healthy server: is every chunk found by its own vector
(unfiltered, 10 hits, then 1,000)? Are the 300 BM25 rankings those of a fresh index wherever nothing had to be deleted,
and after a rebuild? Where a run failed: is what was committed before still answered, and does the same command complete
now? Limits: every run ends correct; 18 of 20 complete; the median time is at most 3 x that without time-outs (shown for
a server that is never stopped, and for the stalling one). Exits 1 where one is missed. Data: ../shared/data, read only.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
from ragloom.assembly import Assembly
from ragloom.components.vector_store.weaviate_store.weaviate_vector_store import WeaviateVectorStore
from ragloom.config.config import load
from ragloom.core.nodes import to_node
from ragloom.errors import RagloomError
from stores import TOLERANCE, scifact
from weaviate_servers import Server

TURNS, DOCUMENTS, TOP = 20, 400, 10
KINDS = ("ingest", "rebuild", "add")
STOPPED, RUNNING = 0.7, 0.3  # seconds
SLOW = {"insert": 3.2, "query": 30, "retry": 180}
ENOUGH = {"complete": 0.9, "times": 3.0}
_STALL = """
import os, signal, sys, time
pid = int(sys.argv[1])
try:
    while os.getppid() == int(sys.argv[2]):
        os.kill(pid, signal.SIGSTOP); time.sleep(float(sys.argv[3]))
        os.kill(pid, signal.SIGCONT); time.sleep(float(sys.argv[4]))
finally:
    os.kill(pid, signal.SIGCONT)
"""


@contextlib.contextmanager
def stalling(server: Server) -> Iterator[None]:
    """Stop the server for a part of every second, from another process."""
    import os

    command = [sys.executable, "-I", "-S", "-c", _STALL, str(server.pid), str(os.getpid()), str(STOPPED), str(RUNNING)]
    with subprocess.Popen(command) as process:
        try:
            yield
        finally:
            process.kill()
            process.wait()
            server.resume()


@dataclass
class Turn:
    """One disturbed run.

    Attributes:
        error: why it did not complete; None when it did.
        found, chunks: by their own vectors, and all.
        same, questions: rankings that are a fresh index's; both 0 where deletions allow others.
        deleted: chunks that BM25 statistics still count.
        recovered: after a failure, the committed state was readable and the same command completed.
    """

    kind: str
    seconds: float
    error: str | None = None
    found: int = 0
    chunks: int = 0
    same: int = 0
    questions: int = 0
    deleted: int = 0
    recovered: bool = True


@dataclass
class Bench:
    """The server, the documents and the answers of an undisturbed index."""

    folder: Path
    server: Server
    rows: list[dict[str, Any]]
    questions: list[str]
    fresh: dict[str, list[list[tuple[str, float]]]] = field(default_factory=dict)

    def open(self, prefix: str, version: str, **timeouts: float) -> Assembly:
        """Open the config of a version of the documents, with a private prefix."""
        path = self.folder / "corpus.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in self.version(version)), encoding="utf-8")
        keys = [f"vector_store.timeouts.{key}={value}" for key, value in (SLOW | timeouts).items()]
        (config,) = load(
            [
                *("source=jsonl", f'source.path="{path}"', "embedding.dimensions=384", "cache.enabled=false"),
                *self.server.address.overrides(collection_prefix=prefix),
                *keys,
            ]
        )
        return Assembly(config)

    def version(self, name: str) -> list[dict[str, Any]]:
        """Return the documents; in version `b` every second one is changed."""
        changed = [
            row | {"text": row["text"][::-1] if number % 2 else row["text"]} for number, row in enumerate(self.rows)
        ]
        return self.rows if name == "a" else changed

    def rankings(self, index: Any) -> list[list[tuple[str, float]]]:
        """Return the BM25 ranking of each question."""
        return [[(hit.chunk.id, hit.score) for hit in index.lexical(question, TOP)] for question in self.questions]

    def same(self, index: Any, version: str) -> int:
        """Count rankings equal to those of the undisturbed index."""
        return sum(map(_is_same, self.rankings(index), self.fresh[version]))


def _is_same(ours: list[tuple[str, float]], theirs: list[tuple[str, float]]) -> bool:
    scores = [[score for _, score in ranking] for ranking in (ours, theirs)]
    return [id for id, _ in ours] == [id for id, _ in theirs] and np.allclose(*scores, rtol=TOLERANCE)


def findable(collection: Any) -> tuple[int, int]:
    """Search for every object by its own vector; return (hits, objects)."""
    objects = list(collection.iterator(include_vector=True, return_properties=[]))
    hits = 0
    for item in objects:
        vector = item.vector["default"]
        hits += any(
            item.uuid
            in {hit.uuid for hit in collection.query.near_vector(vector, limit=limit, return_properties=[]).objects}
            for limit in (10, 1000)
        )
    return hits, len(objects)


def ingest(bench: Bench, prefix: str, number: int) -> Turn:
    """Ingest with a stalling server: even turns first, odd ones replace."""
    first = number % 2 == 0
    version = "a" if first else "b"
    if not first:
        with bench.open(prefix, "a") as assembly:
            before = assembly.ingest().chunks
    with bench.open(prefix, version) as assembly:
        turn = timed("first ingest" if first else "replace", bench.server, assembly.ingest)
        if turn.error is not None:
            readable = first or assembly.open().info.chunks == before
            assembly.ingest()
            turn.recovered = readable
        index = assembly.open()
        turn.found, turn.chunks = findable(index.pair.chunks)  # type: ignore[attr-defined]
        turn.deleted = index.info.deleted_chunks
        if turn.deleted:  # what is still counted is said, and a rebuild ends it
            assembly.database.rebuild(assembly.index_name)
            index = assembly.open()
        turn.same, turn.questions = bench.same(index, version), len(bench.questions)
    return turn


def rebuild(bench: Bench, prefix: str, number: int) -> Turn:
    """Rebuild an index with a stalling server."""
    with bench.open(prefix, "a") as assembly:
        before = assembly.ingest().chunks
    with bench.open(prefix, "a") as assembly:  # as the command does, in a separate process
        turn = timed("rebuild", bench.server, lambda: assembly.database.rebuild(assembly.index_name))
        if turn.error is not None:
            turn.recovered = assembly.open().info.chunks == before
            assembly.database.rebuild(assembly.index_name)
        index = assembly.open()
        turn.found, turn.chunks = findable(index.pair.chunks)  # type: ignore[attr-defined]
        turn.same, turn.questions = bench.same(index, "a"), len(bench.questions)
    return turn


def add(bench: Bench, prefix: str, number: int) -> Turn:
    """Add nodes to a LlamaIndex store with a stalling server."""
    with bench.open(prefix, "a") as assembly:
        store = WeaviateVectorStore(assembly.database, "nodes")  # type: ignore[arg-type]
        nodes = nodes_of(bench)
        turn = timed("add", bench.server, lambda: store.add(nodes))
        if turn.error is not None:
            store.add(nodes)
        assert store.count() == len(nodes)
        turn.found, turn.chunks = findable(store.collections().chunks)  # type: ignore[union-attr]
    return turn


def nodes_of(bench: Bench) -> list[Any]:
    """Build the nodes of the undisturbed index, with their vectors."""
    with bench.open("Fresha", "a") as assembly:
        index = assembly.open()
        chunks = index.chunks_of([row["id"] for row in bench.rows])
        vectors = index.vectors([chunk.id for chunk in chunks])
        nodes = [to_node(chunk) for chunk in chunks]
        for node in nodes:
            node.embedding = vectors[node.node_id]
        return nodes


def timed(kind: str, server: Server, run: Callable[[], object], *, healthy: bool = False) -> Turn:
    """Run with a stalling server, or a healthy one; record errors."""
    began, error = time.perf_counter(), None
    with contextlib.nullcontext() if healthy else stalling(server):
        try:
            run()
        except RagloomError as problem:
            error = str(problem)
    return Turn(kind, time.perf_counter() - began, error)


def undisturbed(bench: Bench, turns: int, *, waiting: bool) -> dict[str, float]:
    """Measure the same runs without time-outs; return median seconds by kind.

    Args:
        waiting: the server is stopped for a part of each second; otherwise never.
    """
    seconds: dict[str, list[float]] = {}
    for number in range(turns):
        for turn in undisturbed_turns(bench, f"Healthy{number}", healthy=not waiting):
            seconds.setdefault(turn.kind, []).append(turn.seconds)
        bench.server.address.drop(f"Healthy{number}")
    return {kind: statistics.median(times) for kind, times in seconds.items()}


def undisturbed_turns(bench: Bench, prefix: str, *, healthy: bool) -> Iterator[Turn]:
    """Run each kind once, with time-outs out of reach."""
    for kind, version in (("first ingest", "a"), ("replace", "b")):
        with bench.open(prefix, version, insert=60) as assembly:
            yield timed(kind, bench.server, assembly.ingest, healthy=healthy)
    with bench.open(prefix, "b", insert=60) as assembly:
        name, database, nodes = assembly.index_name, assembly.database, nodes_of(bench)
        yield timed("rebuild", bench.server, lambda: database.rebuild(name), healthy=healthy)
        store = WeaviateVectorStore(database, "nodes")  # type: ignore[arg-type]
        yield timed("add", bench.server, lambda: store.add(nodes), healthy=healthy)


def shown(screen: Console, turns: Sequence[Turn], healthy: dict[str, float], waited: dict[str, float]) -> bool:
    """Print a row for each kind; return whether every limit is kept."""
    limits_kept = True
    table = Table(
        "run",
        "turns",
        "correct",
        "complete",
        "rankings",
        "deleted",
        "median s",
        "healthy s",
        "ratio",
        "waited s",
        "ratio",
    )
    for kind in dict.fromkeys(turn.kind for turn in turns):
        some = [turn for turn in turns if turn.kind == kind]
        complete = [turn for turn in some if turn.error is None]
        correct = sum(turn.found == turn.chunks and turn.recovered and turn.same == turn.questions for turn in some)
        seconds = statistics.median(turn.seconds for turn in complete) if complete else float("nan")
        ratio = seconds / healthy[kind]
        limits_kept &= (
            correct == len(some) and len(complete) >= ENOUGH["complete"] * len(some) and ratio <= ENOUGH["times"]
        )
        table.add_row(
            *(kind, str(len(some)), str(correct), str(len(complete))),
            f"{min(turn.same for turn in some)} of {max(turn.questions for turn in some)}",
            str(sum(turn.deleted for turn in some)),
            *(f"{seconds:.1f}", f"{healthy[kind]:.1f}", f"{ratio:.2f}"),
            *(f"{waited[kind]:.1f}", f"{seconds / waited[kind]:.2f}"),
        )
    screen.print(table)
    for turn in turns:
        if turn.error is not None:
            screen.print(f"{turn.kind} after {turn.seconds:.0f} s: {turn.error}", soft_wrap=True)
    return limits_kept


def main() -> int:
    """Measure, print a table, and return the exit status."""
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else TURNS
    count = int(sys.argv[2]) if len(sys.argv) > 2 else DOCUMENTS
    kinds = sys.argv[3:] or list(KINDS)
    documents, questions = scifact()
    rows = [{"id": item.chunk.document, "text": item.chunk.text} for item in documents[:count]]
    screen = Console(width=140)
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder), {"GOMAXPROCS": "2"}) as server:
        bench = Bench(Path(folder), server, rows, questions)
        for version in ("a", "b"):
            with bench.open(f"Fresh{version}", version) as assembly:
                summary = assembly.ingest()
                bench.fresh[version] = bench.rankings(assembly.open())
        screen.print(f"{summary.documents} documents, {summary.chunks} chunks")
        healthy, waited = (undisturbed(bench, min(turns, 3), waiting=waiting) for waiting in (False, True))
        done: list[Turn] = []
        for kind in kinds:
            for number in range(turns):
                prefix = f"Stalled{len(done)}"
                done.append({"ingest": ingest, "rebuild": rebuild, "add": add}[kind](bench, prefix, number))
                server.address.drop(prefix)
                print(done[-1], flush=True)
        return 0 if shown(screen, done, healthy, waited) else 1


if __name__ == "__main__":
    sys.exit(main())

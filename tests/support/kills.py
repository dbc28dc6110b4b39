"""Kills an ingest at a moment of its work and runs it again: the harness of the kill test. It asserts nothing.

A chain lives through four steps on one folder of documents and one store: the first ingest, an update (documents added,
changed, moved, vanished), deletions, and another chunk size. Each step is killed once, with its whole process group, and
run again. What an undisturbed chain holds after each step is what a killed one has to hold.
"""

from __future__ import annotations

import functools
import mmap
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from places import TESTS
from ragloom.assembly import Assembly
from ragloom.components.vector_store.protocols import Index
from ragloom.config.config import load
from store_tools import contents, ranking, sentence

STAGES = ("start", "append", "manifest", "replace", "delete", "optimise", "between", "done")
"""What an ingest is at: before its first write, in one of five kinds of write, between two of them, or at its end."""
START, BETWEEN, DONE = 0, 6, 7
STEPS: dict[str, tuple[str, ...]] = {
    "first": ("append", "manifest", "optimise", "between"),
    "update": ("replace", "append", "replace", "manifest", "replace", "delete", "optimise"),
    "delete": ("delete", "delete", "delete", "optimise"),
    "rechunk": ("append", "manifest", "optimise", "between"),
}
"""The steps of a chain, and the stages in which each is killed, equally often."""
_TAKES = {"append": 0.02, "manifest": 0.006, "replace": 0.004, "delete": 0.02, "optimise": 0.1, "between": 0.01}
"""Seconds that each stage takes, about: within them the moment of a kill is drawn."""
_DOCUMENTS = 36
_SECONDS = 120.0
"""No ingest takes so long."""
_KOREAN = ("보증 기간은 구입일로부터 오년입니다.", "소모품은 여섯 달 뒤에 바꿉니다.", "차체는 매장에서 점검합니다.")
QUERIES = [sentence(random.Random(seed), 4) for seed in range(40)] + [f"{text} 매장" for text in _KOREAN] * 4
QUERIES = QUERIES[:50]


@dataclass(frozen=True)
class Killed:
    """Outcome of a kill.

    Attributes:
        step: of the chain.
        stage: at which the process group died.
        writing: it died after its first write and before its last commit.
    """

    step: str
    stage: str
    writing: bool


def documents(step: str) -> dict[str, str]:
    """Returns the documents of a step: path -> text."""
    made = {f"{number % 4}/문서 {number}.txt": _text(number, 0) for number in range(_DOCUMENTS)}
    if step == "first":
        return made
    names = sorted(made)
    for at in range(0, 20, 2):
        made[names[at]] = _text(at, 1)
    made["moved.txt"] = made.pop(names[21])
    for at in (23, 25, 27):
        del made[names[at]]
    made |= {f"new/{number}.txt": _text(100 + number, 0) for number in range(8)}
    if step != "update":
        made = {name: text for at, (name, text) in enumerate(sorted(made.items())) if at % 4}
    return made


def _text(number: int, version: int) -> str:
    draw = random.Random(number)
    parts = [f"{sentence(draw, 25)} {_KOREAN[(number + part) % 3]}" for part in range(2 + number % 5)]
    if version:
        parts[-1] = f"{sentence(random.Random(number + 5000), 30)} 바뀐 문단입니다."
    return "\n\n".join(parts)


class Chain:
    """One folder of documents and one store.

    Args:
        folder: for the documents, and for what ingests leave.
        store: overrides that choose the store.
    """

    def __init__(self, folder: Path, store: Sequence[str]) -> None:
        self.folder, self.store = folder, list(store)
        self.folder.mkdir(parents=True, exist_ok=True)

    def overrides(self, step: str, processes: int = 0) -> list[str]:
        """Returns the config of a step."""
        size = 16 if step == "rechunk" else 32
        return [
            "source=folder",
            f'source.path="{self.folder / "docs"}"',
            "chunking=fixed",
            f"chunking.chunk_size={size}",
            "chunking.chunk_overlap=4",
            "embedding.dimensions=32",
            f"cache.path={self.folder / 'cache'}",
            f"workers.processes={processes}",
            *self.store,
        ]

    def put(self, step: str) -> None:
        """Makes the folder hold the documents of a step; unchanged ones keep their times."""
        wanted, root = documents(step), self.folder / "docs"
        there = {path.relative_to(root).as_posix() for path in root.rglob("*.txt")} if root.exists() else set()
        for name in there - wanted.keys():
            (root / name).unlink()
        for name, text in wanted.items():
            path = root / name
            if name not in there or path.read_text(encoding="utf-8") != text:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")

    def ingest(self, step: str, processes: int = 0) -> Counter[str]:
        """Runs a step undisturbed, in a separate process; returns how often each stage was entered."""
        with _child(self, step, processes) as (process, board):
            process.join(_SECONDS)
            assert process.exitcode == 0, f"{step} ended with {process.exitcode}"
            return Counter({name: board.times(name) for name in STAGES if board.times(name)})

    def kill(self, step: str, stage: str, times: int, delay: float, processes: int = 0) -> Killed:
        """Runs a step and kills its process group some seconds after it has entered a stage so many times."""
        with _child(self, step, processes) as (process, board):
            until = time.monotonic() + _SECONDS
            while board.times(stage) < times and process.is_alive() and time.monotonic() < until:
                time.sleep(0.0002)
            time.sleep(delay)
            assert process.pid is not None
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:  # it has no own group yet, or it has ended
                process.kill()
            process.join()
            at = board.at
            return Killed(step, STAGES[at], writing=at not in (START, DONE))

    def state(self, step: str, *, rankings: bool, rebuild: bool = False) -> dict[str, Any]:
        """Reads what the index of a step holds: chunks with vectors, documents, counts, and rankings where asked for."""
        (config,) = load(self.overrides(step))
        with Assembly(config) as assembly:
            if rebuild:
                assembly.database.rebuild(assembly.index_name)
            index = assembly.open()
            names = sorted(documents(step))
            return {
                "chunks": contents(index),
                "documents": {name: index.document(name).text for name in names},
                "counts": (index.info.documents, index.info.chunks),
                "rankings": _rankings(index) if rankings else None,
            }


def _rankings(index: Index) -> list[Any]:
    return [ranking(index.lexical(query, 10)) for query in QUERIES]


@dataclass(frozen=True)
class Whole:
    """An undisturbed chain: what its index holds after each step, and how often each step enters each stage."""

    states: Mapping[str, dict[str, Any]]
    entered: Mapping[str, Counter[str]]


def undisturbed(chain: Chain, *, rankings: bool) -> Whole:
    """Lives through a chain without a kill."""
    states, entered = {}, {}
    for step in STEPS:
        chain.put(step)
        entered[step] = chain.ingest(step)
        states[step] = chain.state(step, rankings=rankings)
    return Whole(states, entered)


def killed(
    chain: Chain, whole: Whole, number: int, draw: random.Random, *, rankings: bool, rebuild: bool = False
) -> Iterator[tuple[Killed, list[str]]]:
    """Lives through a chain that is killed once in each step; yields each kill and in what it ended otherwise than whole.

    Args:
        chain: new.
        whole: what to end as.
        number: of this chain, from 0: it decides the stages, so that many chains kill in each of them.
        rebuild: before comparing rankings, as Weaviate needs.
    """
    for step, stages in STEPS.items():
        chain.put(step)
        stage = stages[number % len(stages)]
        times = draw.randint(1, max(1, whole.entered[step][stage]))
        processes = int(draw.random() < 0.1)
        found = chain.kill(step, stage, times, _TAKES[stage] * draw.random(), processes)
        chain.ingest(step)
        state, expected = chain.state(step, rankings=rankings, rebuild=rebuild), whole.states[step]
        yield found, [name for name in expected if state[name] != expected[name]]


class _Board:
    """A page of memory shared with the child: at which stage it is, and how often it has entered each."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(mmap.PAGESIZE))
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    @property
    def at(self) -> int:
        return self._page[0]

    def times(self, stage: str) -> int:
        return self._page[1 + STAGES.index(stage)]

    def enter(self, stage: int) -> None:
        self._page[0] = stage
        self._page[1 + stage] = min(255, self._page[1 + stage] + 1)

    @contextmanager
    def during(self, stage: str) -> Iterator[None]:
        self.enter(STAGES.index(stage))
        yield
        self.enter(BETWEEN)


@contextmanager
def _child(chain: Chain, step: str, processes: int) -> Iterator[tuple[Any, _Board]]:
    path = chain.folder / "board"
    path.unlink(missing_ok=True)
    board = _Board(path)
    process = _forks().Process(target=_ingest, args=(chain.overrides(step, processes), path))
    process.start()
    try:
        yield process, board
    finally:
        if process.is_alive():
            process.kill()
        process.join()


def _ingest(overrides: list[str], path: Path) -> None:
    """Ingests, in its own process group, in many small writes, and says on the board what it is at."""
    os.setpgid(0, 0)
    _mark(_Board(path))
    (config,) = load(overrides)
    with Assembly(config) as assembly:
        summary = assembly.ingest()
    assert summary.complete, summary
    _Board(path).enter(DONE)


def _mark(board: _Board) -> None:
    """Has the writers tell when they write, and blocks be small."""
    from ragloom.components.embedding.hashing_embedding import HashingEmbedding
    from ragloom.components.vector_store.lancedb_store import index_writer as lance
    from ragloom.components.vector_store.weaviate_store.collection_pair import CollectionPair
    from ragloom.components.vector_store.weaviate_store.index_writer import WeaviateWriter
    from ragloom.ingestion import batches, write_stage

    batches.MOST_CHUNKS, write_stage.MOST_TOGETHER = 24, 24
    HashingEmbedding.cheap = False  # looked up and cached as a paid one is
    for owner, method, stage in (
        (lance.LanceWriter, "_append", "append"),
        (lance.LanceWriter, "_write_manifest", "manifest"),
        (lance.LanceWriter, "_remove_old", "replace"),
        (lance.LanceWriter, "delete", "delete"),
        (lance, "publish", "optimise"),
        (CollectionPair, "put_chunks", "append"),
        (CollectionPair, "put_documents", "manifest"),
        (WeaviateWriter, "_remove_old", "replace"),
        (WeaviateWriter, "delete", "delete"),
        (WeaviateWriter, "commit", "optimise"),
    ):
        setattr(owner, method, _marked(getattr(owner, method), board, stage))


def _marked(function: Any, board: _Board, stage: str) -> Any:
    def run(*args: Any, **named: Any) -> Any:
        with board.during(stage):
            return function(*args, **named)

    return run


@functools.cache
def _forks() -> Any:
    """Children are forked from a process that has only imported: quick, and safe with the engine's threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kills_preload"])
    before, here = os.environ.get("PYTHONPATH"), str(TESTS / "support")
    os.environ["PYTHONPATH"] = here if before is None else f"{here}{os.pathsep}{before}"  # no other path is set
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before
    return context

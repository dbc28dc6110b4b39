"""Writes of unknown outcome on a real server are repaired before they are repeated (TRAPS 45).

Every kind of write, with its answer or its request lost; and whole runs with writes really cut off.
"""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cutting_proxy import CuttingProxy
from messages import wording
from messages.weaviate import too_many_results
from ragloom.components.vector_store.weaviate_store.connection import Connection
from ragloom.components.vector_store.weaviate_store.database import WeaviateDatabase
from ragloom.components.vector_store.weaviate_store.errors import OutcomeUnknown
from ragloom.components.vector_store.weaviate_store.weaviate_vector_store import WeaviateVectorStore
from ragloom.errors import DataError, ServiceError
from store_child import documents
from store_tools import BruteForce, Cut, assert_same_ranking, contents, cut, ranking, sync, vectors, with_vector, writer
from weaviate_servers import Address, Server
from weaviate_tools import unfound, weaviate_database

# --- every kind of write on a real server ---


def holds_chunks(function: Callable[[], Any]) -> bool:
    """Check whether a write is one of chunks, by its objects."""
    cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    return any(isinstance(held, list) and "about" in (held[0].properties or {}) for held in cells)


def live(database: WeaviateDatabase) -> int:
    """Run every kind of write; return the index's count of deleted chunks."""
    first, second = documents(0, 30), documents(1, 30)
    with writer(database) as writing:
        sync(writing, first)
    database.promote("corpus-1", "live")
    with writer(database) as writing:
        sync(writing, second)
        row = next(item.row.manifest for item in second.values())
        writing.touch([row])
        left = cut("left.md", "never finished")
        writing.append(left.chunks, vectors(["never finished"]), ["x"])
        writing.discard([("left.md", left.row.manifest.content_hash)])
        info = writing.commit({})
    database.promote("corpus-1", "live")
    return info.deleted_chunks


@pytest.mark.weaviate
@pytest.mark.parametrize("executed", [True, False], ids=["answer lost", "request lost"])
@pytest.mark.parametrize("tenant", [None, "acme"])
def test_every_kind_of_write_survives_one_unknown_outcome(
    executed: bool,
    tenant: str | None,
    monkeypatch: pytest.MonkeyPatch,
    databases: Callable[..., WeaviateDatabase],
    weaviate_server: Address,
    prefix: str,
) -> None:
    undisturbed = databases(tenant=tenant)
    deleted = live(undisturbed)
    target = contents(undisturbed.open("corpus-1"))
    undisturbed.delete("corpus-1")
    failed: dict[str, str] = {}
    original = Connection.write

    def lossy(self: Connection, doing: str, function: Callable[[], Any]) -> Any:
        kind = "writing chunks" if holds_chunks(function) else re.sub(r" (\d+|property \w+)", "", doing)
        if kind in failed:
            return original(self, doing, function)
        failed[kind] = doing
        if executed:
            original(self, doing, function)
        raise OutcomeUnknown(f"vector_store: planted: {doing} (tried once)")

    monkeypatch.setattr(Connection, "write", lossy)
    database = databases(tenant=tenant, index={"bm25_b": 0.7})
    counted = live(database)
    assert contents(database.open("corpus-1")) == target
    assert database.aliases() == {"live": "corpus-1"}
    left = int(failed["writing chunks"].split()[1]) if executed else 0  # they were deleted, and BM25 counts them on
    assert counted == deleted + left
    database.rebuild("corpus-1")
    assert contents(database.open("corpus-1")) == target
    database.delete("corpus-1")
    assert weaviate_server.collections(prefix) == []
    assert set(failed) == {
        "writing chunks",
        "writing objects",
        "creating a collection",
        "adding",
        "creating an alias",
        "moving an alias",
        "removing an alias",
        "removing a collection",
        "taking the write lease",
        "releasing the write lease",
        "deleting",
        "deleting an object",
        *(["creating a tenant", "removing a tenant"] if tenant else []),
    }


@pytest.mark.weaviate
def test_rebuild_discards_a_copy_of_unknown_outcome_and_starts_over_with_smaller_batches(
    monkeypatch: pytest.MonkeyPatch, database: WeaviateDatabase
) -> None:
    target = {f"{n}.md": cut(f"{n}.md", f"w{n} " * 30, 3) for n in range(20)}
    with writer(database) as writing:
        sync(writing, target)
    sizes: list[int] = []
    original = Connection.write

    def lossy(self: Connection, doing: str, function: Callable[[], Any]) -> Any:
        result = original(self, doing, function)
        if holds_chunks(function) and int(doing.split()[1]) > 20:
            sizes.append(int(doing.split()[1]))
            raise OutcomeUnknown(f"vector_store: planted: {doing} (tried once)")
        return result

    monkeypatch.setattr(Connection, "write", lossy)
    info = database.rebuild("corpus-1")
    assert sizes[0] >= 2 * sizes[-1] > 0
    assert (info.chunks, info.deleted_chunks) == (sum(len(item.chunks) for item in target.values()), 0)
    assert unfound(database, "corpus-1") == []
    assert [label.generation for label in database.catalog.labels()] == [2, 2]


@pytest.mark.weaviate
def test_write_that_never_succeeds_names_the_batch_size_and_leaves_the_last_commit(
    monkeypatch: pytest.MonkeyPatch, databases: Callable[..., WeaviateDatabase]
) -> None:
    database = databases(timeouts={"retry": 1.0})
    with writer(database) as writing:
        sync(writing, {"a.md": cut("a.md", "old text")})
    original = Connection.write

    def lossy(self: Connection, doing: str, function: Callable[[], Any]) -> Any:
        result = original(self, doing, function)
        if holds_chunks(function):
            raise OutcomeUnknown("vector_store: planted: no answer in time (tried once)")
        return result

    target = {"a.md": cut("a.md", "new text"), "b.md": cut("b.md", "w1 w2 w3", 1)}
    with monkeypatch.context() as patched:
        patched.setattr(Connection, "write", lossy)
        with (
            pytest.raises(ServiceError, match=r"vector_store\.batch\.objects=500") as caught,
            writer(database) as writing,
        ):
            sync(writing, target)
        assert "chunk [0:" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert [hit.chunk.text for hit in database.open("corpus-1").lexical("text", 5)] == ["old text"]
    with writer(database) as writing:
        sync(writing, target)
    assert len(contents(database.open("corpus-1"))) == 4
    assert unfound(database, "corpus-1") == []


# --- writes that are really cut off ---

_STALL = """
import os, random, signal, sys, time
pid, draw = int(sys.argv[1]), random.Random(sys.argv[2])
while True:
    time.sleep(draw.uniform(.05, .3)); os.kill(pid, signal.SIGSTOP)
    time.sleep(draw.uniform(.1, .5)); os.kill(pid, signal.SIGCONT)
"""


@contextmanager
def stalled(server: Server, seed: str) -> Iterator[None]:
    """Stop the server at random moments, from another process."""
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", _STALL, str(server.pid), seed]) as process:
        try:
            yield
        finally:
            process.kill()
            process.wait()
            server.process.send_signal(signal.SIGCONT)  # type: ignore[union-attr]


def demand_right(database: WeaviateDatabase, target: dict[str, Cut]) -> None:
    """Compare an index with its documents, by vectors and BM25."""
    brute, index = BruteForce(target), database.open("corpus-1")
    assert set(contents(index)) == {chunk.id for item in target.values() for chunk in item.chunks}
    assert unfound(database, "corpus-1") == []
    if index.info.deleted_chunks:
        database.rebuild("corpus-1")
        index = database.open("corpus-1")
    for number in range(20):
        question = f"w{number} w{2 * number + 1} w{3 * number + 2}"
        assert_same_ranking(ranking(index.lexical(question, 20)), brute.lexical(question, 20))


HASTY = {"insert": 0.25, "query": 20.0, "retry": 120.0}


@pytest.mark.weaviate
@pytest.mark.slow
@pytest.mark.parametrize("how", ["stalls", "resets"])
def test_runs_with_writes_cut_off_at_random_moments_end_right(
    how: str, weaviate_process: Callable[..., Server]
) -> None:
    server = weaviate_process()
    with CuttingProxy(server.grpc_port) as proxy:
        keys = {"grpc_port": proxy.port} if how == "resets" else {}
        database = weaviate_database(server.address, "Cut", index={"type": "hnsw"}, timeouts=HASTY, **keys)
        plain = weaviate_database(server.address, "Cut", index={"type": "hnsw"})
        store = WeaviateVectorStore(database, "nodes")  # type: ignore[arg-type]
        disturb = _disturbing(how, server, proxy)
        for seed in (0, 1):  # a first ingest, and one that replaces
            target = documents(seed, 80)
            ends(disturb(f"ingest {seed}"), lambda target=target: ingested(database, target))  # type: ignore[misc]
            demand_right(plain, target)
        ends(disturb("rebuild"), lambda: database.rebuild("corpus-1"))
        demand_right(plain, target)
        nodes = [with_vector(chunk) for item in target.values() for chunk in item.chunks]
        ends(disturb("add"), lambda: store.add(nodes))
        assert store.count() == len(nodes)
        assert unfound(plain, "nodes") == []
        database.close()
        plain.close()


def ingested(database: WeaviateDatabase, target: dict[str, Cut]) -> None:
    with writer(database) as writing:
        sync(writing, target)


def ends(disturbance: Any, run: Callable[[], object]) -> None:
    """Run with disturbance; after a failure, run again without."""
    with disturbance:
        try:
            run()
        except ServiceError as error:
            problem = str(error)
        else:
            return
    assert "\n" not in problem
    run()


def _disturbing(how: str, server: Server, proxy: CuttingProxy) -> Callable[[str], Any]:
    @contextmanager
    def resets(seed: str) -> Iterator[None]:
        ended, draw = threading.Event(), random.Random(seed)

        def run() -> None:
            while not ended.wait(draw.uniform(0.1, 0.6)):
                proxy.cut()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    return resets if how == "resets" else lambda seed: stalled(server, seed)


@pytest.mark.weaviate
def test_server_with_a_low_limit_of_results_works_and_says_what_it_cannot_give(
    weaviate_process: Callable[..., Server],
) -> None:
    """TRAPS 46: a server with QUERY_MAXIMUM_RESULTS=100 refused pages of 2,000."""
    server = weaviate_process(QUERY_MAXIMUM_RESULTS="100")
    target = {f"{n}.md": cut(f"{n}.md", f"word{n} " * 70, 1) for n in range(5)}
    database = weaviate_database(server.address, "Low")
    with writer(database) as writing:
        sync(writing, target)
    changed = target | {"0.md": cut("0.md", "other " * 150, 1)}
    del changed["4.md"]
    with writer(weaviate_database(server.address, "Low")) as writing:
        sync(writing, changed)
        assert len(writing.vectors_of(["0.md", "1.md"])) == 2
    fresh = weaviate_database(server.address, "Low")
    index = fresh.open("corpus-1")
    assert len(contents(index)) == sum(len(item.chunks) for item in changed.values())
    assert len(index.lexical("other", 100)) == len(index.dense([1.0] * 16, 100)) == 100
    with pytest.raises(
        DataError, match=wording(too_many_results(101, 100), "QUERY_MAXIMUM_RESULTS", "retriever.top_k")
    ):
        index.lexical("other", 101)
    fresh.rebuild("corpus-1")
    assert len(contents(fresh.open("corpus-1"))) == sum(len(item.chunks) for item in changed.values())
    store = WeaviateVectorStore(weaviate_database(server.address, "Low"), "nodes")  # type: ignore[arg-type]
    store.add([with_vector(chunk) for item in target.values() for chunk in item.chunks])
    store.delete("1.md")
    assert store.count() == 280
    fresh.close()
    database.close()

"""A write whose outcome is not known is never simply repeated (TRAPS 45): what it left is settled first.

Rules without a server; every kind of write on a real one, with its answer or its request lost; and whole runs with
writes that are really cut off.
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

import httpx
import pytest
from weaviate.exceptions import UnexpectedStatusCodeError, WeaviateConnectionError, WeaviateTimeoutError

from cutting_proxy import CuttingProxy
from ragloom.components.vector_store.weaviate_store import connection as connections
from ragloom.components.vector_store.weaviate_store import write_repair
from ragloom.components.vector_store.weaviate_store.batch_sizing import Pace
from ragloom.components.vector_store.weaviate_store.connection import Connection
from ragloom.components.vector_store.weaviate_store.database import WeaviateDatabase
from ragloom.components.vector_store.weaviate_store.errors import OutcomeUnknown, TooMany, failure_of
from ragloom.components.vector_store.weaviate_store.grpc_channel import CallFailed
from ragloom.components.vector_store.weaviate_store.schema import read_label
from ragloom.components.vector_store.weaviate_store.settings import Settings
from ragloom.components.vector_store.weaviate_store.store import WeaviateVectorStore
from ragloom.components.vector_store.weaviate_store.write_repair import Removal
from ragloom.errors import DataError, ServiceError
from store_child import documents
from store_tools import BruteForce, Cut, assert_same_ranking, contents, cut, ranking, sync, vectors, with_vector, writer
from weaviate_servers import Address, Server
from weaviate_tools import unfound, weaviate_database

SETTINGS = Settings("http://127.0.0.1:1", None, 2, "KEY", None, 1.0, 1.0, 1.0, 0.5)


# --- what a failure says about a write ---


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "not_executed"),
    [
        (CallFailed("UNAVAILABLE", "failed to connect to all addresses; last error: Connection refused"), True),
        (CallFailed("UNAVAILABLE", "DNS resolution failed for nowhere: name resolution"), True),
        (CallFailed("UNAVAILABLE", "Socket closed"), False),
        (CallFailed("UNAVAILABLE", "recvmsg:Connection reset by peer"), False),
        (CallFailed("UNAVAILABLE", "GOAWAY received"), False),
        (CallFailed("DEADLINE_EXCEEDED", "Deadline Exceeded"), False),
        (CallFailed("CANCELLED", "context canceled"), False),
        (CallFailed("UNKNOWN", "put object: dial tcp 10.0.0.2:7001: connect: connection refused"), False),
        (httpx.ConnectError("refused"), True),
        (httpx.ConnectTimeout("no answer"), True),
        (httpx.PoolTimeout("no connection free"), True),
        (caused(WeaviateConnectionError("x"), httpx.ConnectError("refused")), True),
        (httpx.ReadTimeout("no answer"), False),
        (httpx.WriteTimeout("half of it was sent"), False),
        (httpx.ReadError("reset"), False),
        (httpx.RemoteProtocolError("Server disconnected without sending a response."), False),
        (caused(WeaviateTimeoutError("x"), httpx.ReadTimeout("no answer")), False),
    ],
)
def test_failure_tells_whether_a_write_was_surely_not_executed(error: Exception, not_executed: bool) -> None:
    failure = failure_of(error, [], "t=1")
    assert failure.transient
    assert failure.not_executed is not_executed


class Calls:
    """Fails with each of these errors, then returns its name."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.fixture
def unconnected(monkeypatch: pytest.MonkeyPatch) -> Connection:
    monkeypatch.setattr(connections, "_FIRST_WAIT", 0.001)
    return Connection(None, None, None, (1, 39, 0), SETTINGS, frozenset(), lambda: None)  # type: ignore[arg-type]


REFUSED, TIMED_OUT = httpx.ConnectError("connection refused"), httpx.ReadTimeout("no answer")


def test_write_is_repeated_only_where_it_was_surely_not_executed(unconnected: Connection) -> None:
    unsent = Calls(REFUSED, REFUSED)
    assert unconnected.write("writing", unsent) == "done"
    assert unsent.count == 3
    unknown = Calls(TIMED_OUT)
    with pytest.raises(OutcomeUnknown, match="failed while writing: no answer in time"):
        unconnected.write("writing", unknown)
    assert unknown.count == 1
    read = Calls(TIMED_OUT, REFUSED, TIMED_OUT)
    assert unconnected.call("reading", read) == "done"


def test_state_that_a_lost_answer_has_reached_is_not_written_again(unconnected: Connection) -> None:
    create = Calls(TIMED_OUT)
    unconnected.ensure("creating", create, lambda: True)
    assert create.count == 1
    create = Calls(TIMED_OUT)
    unconnected.ensure("creating", create, lambda: False)
    assert create.count == 2


def test_state_that_is_there_already_is_reached_and_a_refusal_stays_one(unconnected: Connection) -> None:
    exists = CallFailed("ALREADY_EXISTS", "class name already exists")
    unconnected.ensure("creating", Calls(exists), lambda: True)
    with pytest.raises(DataError, match="already exists"):
        unconnected.ensure("creating", Calls(exists), lambda: False)


def test_write_that_stays_unknown_ends_in_bounded_time(unconnected: Connection) -> None:
    with pytest.raises(OutcomeUnknown):
        unconnected.ensure("creating", Calls(*[TIMED_OUT] * 100_000), lambda: False)


def test_batches_grow_while_the_server_is_quick_and_are_halved_for_good_after_one_that_was_too_slow() -> None:
    pace = Pace(500)
    first = pace.size
    assert first < 500
    pace.succeeded(first, 0.01, 60.0)
    assert pace.size == 2 * first
    for _ in range(10):
        pace.succeeded(pace.size, 0.01, 60.0)
    assert pace.size == 500
    pace.succeeded(500, 31.0, 60.0)  # over half of the time-out
    assert pace.size == 250
    pace.succeeded(250, 20.0, 60.0)
    assert pace.size == 250
    pace.failed(250)
    assert pace.size == 125
    pace.succeeded(125, 0.01, 60.0)
    assert pace.size == 125  # what was too much once is not tried again
    for _ in range(20):
        pace.failed(pace.size)
    assert pace.size == 1
    assert Pace(7).size == 7


def test_limit_of_results_is_learned_from_the_servers_refusal(unconnected: Connection) -> None:
    said = "query maximum results exceeded: limit '2000' exceeds the configured value for QUERY_MAXIMUM_RESULTS '100'."
    seen: list[int] = []

    def search(limit: int) -> str:
        seen.append(limit)
        if limit > 100:
            raise CallFailed("UNKNOWN", said)
        return "done"

    assert unconnected.limited("searching", 2_000, search) == "done"
    assert seen == [2_000, 100]
    assert unconnected.most_results == 100
    with pytest.raises(TooMany, match="raise QUERY_MAXIMUM_RESULTS"):
        unconnected.call("searching", lambda: search(101))


def test_deleted_chunks_of_batches_that_are_settled_at_the_same_time_are_all_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together = threading.Barrier(2, timeout=30)

    def remove(connection: Any, collection: Any, ids: Any) -> int:
        together.wait()
        return 5

    monkeypatch.setattr(write_repair, "remove", remove)
    removal = Removal(None, None)  # type: ignore[arg-type]
    threads = [threading.Thread(target=removal, args=([], ServiceError("no answer"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert removal.removed == 10


# --- every kind of write on a real server ---


def holds_chunks(function: Callable[[], Any]) -> bool:
    """Says whether a write is one of chunks, by the objects that it holds."""
    cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    return any(isinstance(held, list) and "about" in (held[0].properties or {}) for held in cells)


def live(place: WeaviateDatabase) -> int:
    """Has every kind of write made; returns the chunks that were deleted, as the index counts them."""
    first, second = documents(0, 30), documents(1, 30)
    with writer(place) as writing:
        sync(writing, first)
    place.promote("corpus-1", "live")
    with writer(place) as writing:
        sync(writing, second)
        row = next(item.row.manifest for item in second.values())
        writing.touch([row])
        left = cut("left.md", "never finished")
        writing.append(left.chunks, vectors(["never finished"]), ["x"])
        writing.discard([("left.md", left.row.manifest.content_hash)])
        info = writing.commit({})
    place.promote("corpus-1", "live")
    return info.deleted_chunks


@pytest.mark.weaviate
@pytest.mark.parametrize("executed", [True, False], ids=["answer lost", "request lost"])
@pytest.mark.parametrize("tenant", [None, "acme"])
def test_every_kind_of_write_survives_one_unknown_outcome(
    executed: bool, tenant: str | None, weaviate_server: Address, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = weaviate_database(weaviate_server, prefix, tenant=tenant)
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
    place = weaviate_database(weaviate_server, prefix, tenant=tenant, index={"bm25_b": 0.7})
    found = live(place)
    assert contents(place.open("corpus-1")) == target
    assert place.aliases() == {"live": "corpus-1"}
    left = int(failed["writing chunks"].split()[1]) if executed else 0  # they were deleted, and BM25 counts them on
    assert found == deleted + left
    place.rebuild("corpus-1")
    assert contents(place.open("corpus-1")) == target
    place.delete("corpus-1")
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
        "taking the index's lease",
        "letting go of the index's lease",
        "deleting",
        *(["deleting an object"] if executed else []),
        *(["creating a tenant", "removing a tenant"] if tenant else []),
    }
    place.close()
    undisturbed.close()


@pytest.mark.weaviate
def test_rebuild_discards_a_copy_of_unknown_outcome_and_starts_over_with_smaller_batches(
    weaviate_server: Address, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = weaviate_database(weaviate_server, prefix)
    target = {f"{n}.md": cut(f"{n}.md", f"w{n} " * 30, 3) for n in range(20)}
    with writer(place) as writing:
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
    info = place.rebuild("corpus-1")
    assert sizes[0] >= 2 * sizes[-1] > 0
    assert (info.chunks, info.deleted_chunks) == (sum(len(item.chunks) for item in target.values()), 0)
    assert unfound(place, "corpus-1") == []
    assert [label.generation for label in place._labels()] == [2, 2]
    place.close()


@pytest.mark.weaviate
def test_write_that_never_succeeds_names_the_batch_size_and_leaves_the_last_commit(
    weaviate_server: Address, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = weaviate_database(weaviate_server, prefix, timeouts={"retry": 1.0})
    with writer(place) as writing:
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
        with pytest.raises(ServiceError, match=r"vector_store\.batch\.objects=500") as caught, writer(place) as writing:
            sync(writing, target)
        assert "chunk [0:" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert [hit.chunk.text for hit in place.open("corpus-1").lexical("text", 5)] == ["old text"]
    with writer(place) as writing:
        sync(writing, target)
    assert len(contents(place.open("corpus-1"))) == 4
    assert unfound(place, "corpus-1") == []
    place.close()


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
    """Stops the server at random moments, from a process of its own."""
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", _STALL, str(server.pid), seed]) as process:
        try:
            yield
        finally:
            process.kill()
            process.wait()
            server.process.send_signal(signal.SIGCONT)  # type: ignore[union-attr]


def demand_right(place: WeaviateDatabase, target: dict[str, Cut]) -> None:
    """Holds an index against its documents: own vectors, and BM25 wherever nothing was deleted and once rebuilt."""
    brute, index = BruteForce(target), place.open("corpus-1")
    assert set(contents(index)) == {chunk.id for item in target.values() for chunk in item.chunks}
    assert unfound(place, "corpus-1") == []
    if index.info.deleted_chunks:
        place.rebuild("corpus-1")
        index = place.open("corpus-1")
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
        place = weaviate_database(server.address, "Cut", index={"type": "hnsw"}, timeouts=HASTY, **keys)
        plain = weaviate_database(server.address, "Cut", index={"type": "hnsw"})
        store = WeaviateVectorStore(place, "nodes")  # type: ignore[arg-type]
        disturb = _disturbing(how, server, proxy)
        for seed in (0, 1):  # a first ingest, and one that replaces
            target = documents(seed, 80)
            ends(disturb(f"ingest {seed}"), lambda target=target: ingested(place, target))  # type: ignore[misc]
            demand_right(plain, target)
        ends(disturb("rebuild"), lambda: place.rebuild("corpus-1"))
        demand_right(plain, target)
        nodes = [with_vector(chunk) for item in target.values() for chunk in item.chunks]
        ends(disturb("add"), lambda: store.add(nodes))
        assert store.count() == len(nodes)
        assert unfound(plain, "nodes") == []
        place.close()
        plain.close()


def ingested(place: WeaviateDatabase, target: dict[str, Cut]) -> None:
    with writer(place) as writing:
        sync(writing, target)


def ends(disturbance: Any, run: Callable[[], object]) -> None:
    """Runs while writes are cut off; where it gives up, the same again ends well when nothing disturbs it."""
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
    place = weaviate_database(server.address, "Low")
    with writer(place) as writing:
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
    with pytest.raises(DataError, match=r"101 results must be at most 100.*QUERY_MAXIMUM_RESULTS.*retriever\.top_k"):
        index.lexical("other", 101)
    fresh.rebuild("corpus-1")
    assert len(contents(fresh.open("corpus-1"))) == sum(len(item.chunks) for item in changed.values())
    store = WeaviateVectorStore(weaviate_database(server.address, "Low"), "nodes")  # type: ignore[arg-type]
    store.add([with_vector(chunk) for item in target.values() for chunk in item.chunks])
    store.delete("1.md")
    assert store.count() == 280
    fresh.close()
    place.close()


@pytest.mark.parametrize(("status", "gone"), [(404, True), (500, False)])
def test_collection_that_is_removed_while_it_is_looked_at_is_not_there(status: int, gone: bool) -> None:
    """The lease of a run that ends: `exists` said yes, and the schema was gone before it was read."""

    class Collections:
        def exists(self, name: str) -> bool:
            return True

        def get(self, name: str) -> Any:
            raise UnexpectedStatusCodeError("could not be retrieved", httpx.Response(status))

    if gone:
        assert read_label(Collections(), "Gone") is None
    else:
        with pytest.raises(UnexpectedStatusCodeError):
            read_label(Collections(), "Gone")

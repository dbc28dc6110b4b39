"""Rules of the Weaviate store without a server: retries, batches, repair, verification, counts, search, lease.

Thresholds, delays and counts are held to numbers: a wrong sign in any of them fails here.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
from weaviate.classes.data import DataObject
from weaviate.exceptions import UnexpectedStatusCodeError, WeaviateConnectionError, WeaviateTimeoutError

from messages import wording
from messages.weaviate import (
    attempts_with_last,
    changed_during_reads,
    failed_while,
    lease_lost,
    lease_not_renewed,
    lower_objects,
    no_answer,
    object_refused,
    server_too_old_for,
    still_holds,
)
from ragloom.components.vector_store.search_results import Row, Scope
from ragloom.components.vector_store.weaviate_store import (
    batch_insert,
    collection_pair,
    search_verification,
    uncertain_writes,
    write_lease,
)
from ragloom.components.vector_store.weaviate_store import connection as connections
from ragloom.components.vector_store.weaviate_store.aliases import AliasTable
from ragloom.components.vector_store.weaviate_store.batch_sizing import BatchLimits
from ragloom.components.vector_store.weaviate_store.bulk_reads import by_ids
from ragloom.components.vector_store.weaviate_store.collection_pair import CollectionPair
from ragloom.components.vector_store.weaviate_store.connection import Connection
from ragloom.components.vector_store.weaviate_store.errors import OutcomeUnknown, TooLarge, TooMany, failure_of
from ragloom.components.vector_store.weaviate_store.grpc_channel import CallFailed
from ragloom.components.vector_store.weaviate_store.index_info import estimated_bytes, notes_on
from ragloom.components.vector_store.weaviate_store.index_settings import IndexOptions
from ragloom.components.vector_store.weaviate_store.index_state import FRESH_SECONDS, IndexState
from ragloom.components.vector_store.weaviate_store.schema import CHUNKS, DOCUMENTS, LEASE, CollectionLabel, read_label
from ragloom.components.vector_store.weaviate_store.search import WeaviateSearch
from ragloom.components.vector_store.weaviate_store.search_verification import draw_stored, wait_until_indexed
from ragloom.components.vector_store.weaviate_store.server_settings import ServerSettings
from ragloom.components.vector_store.weaviate_store.uncertain_writes import ChunkRepair, remove, stable_ids
from ragloom.components.vector_store.weaviate_store.write_lease import WriteLease
from ragloom.core.records import Chunk
from ragloom.errors import DataError, ServiceError
from store_tools import Words
from weaviate_tools import FakeClock

TIMEOUTS: Any = {"connect": 1.0, "query": 1.0, "insert": 1.0, "retry": 30.0, "indexing": 1.0}
SETTINGS = ServerSettings("http://127.0.0.1:1", None, 2, "KEY", None, TIMEOUTS)


# --- failures and retries ---


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
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The time of all modules that wait."""
    clock = FakeClock()
    for module in (connections, batch_insert, collection_pair, uncertain_writes, search_verification):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def unconnected(clock: FakeClock) -> Connection:
    return Connection(None, None, None, (1, 39, 0), SETTINGS, frozenset(), lambda: None)  # type: ignore[arg-type]


REFUSED, TIMED_OUT = httpx.ConnectError("connection refused"), httpx.ReadTimeout("no answer")


def test_write_is_repeated_only_where_it_was_surely_not_executed(unconnected: Connection) -> None:
    unsent = Calls(REFUSED, REFUSED)
    assert unconnected.write("writing", unsent) == "done"
    assert unsent.count == 3
    unknown = Calls(TIMED_OUT)
    with pytest.raises(OutcomeUnknown, match=wording(failed_while("writing", no_answer()))):
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


def test_write_that_stays_unknown_ends_within_the_retry_limit(unconnected: Connection, clock: FakeClock) -> None:
    with pytest.raises(OutcomeUnknown):
        unconnected.ensure("creating", Calls(*[TIMED_OUT] * 100), lambda: False)
    assert clock.delays == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5, 5])  # one more would end after 30 s


def test_retries_of_a_read_back_off_to_5_seconds_and_end_within_the_limit(
    unconnected: Connection, clock: FakeClock
) -> None:
    with pytest.raises(ServiceError, match=r"tried \d+ times in 2[5-9]\.\d s, vector_store\.timeouts\.retry=30"):
        unconnected.call("reading", Calls(*[TIMED_OUT] * 100))
    longest = [0.2, 0.4, 0.8, 1.6, 3.2, *[5.0] * 20]
    assert all(limit / 2 <= delay <= limit for delay, limit in zip(clock.delays, longest, strict=False))
    assert 25 < sum(clock.delays) <= 30


def test_limit_of_results_is_learned_from_the_servers_refusal(unconnected: Connection) -> None:
    refusal = (
        "query maximum results exceeded: limit '2000' exceeds the configured value for QUERY_MAXIMUM_RESULTS '100'."
    )
    seen: list[int] = []

    def search(limit: int) -> str:
        seen.append(limit)
        if limit > 100:
            raise CallFailed("UNKNOWN", refusal)
        return "done"

    assert unconnected.limited("searching", 2_000, search) == "done"
    assert seen == [2_000, 100]
    assert unconnected.most_results == 100
    with pytest.raises(TooMany, match="raise QUERY_MAXIMUM_RESULTS"):
        unconnected.call("searching", lambda: search(101))


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


# --- batches ---


class Objects:
    """Collection in memory with the client's methods; a test plants failures.

    Attributes:
        stored: ids of the stored objects.
        sizes: objects of each insert.
        refuse: reason of a refusal by position, for the objects of one insert.
        hidden: number of reads that do not see the stored objects yet.
        answers: ids for the next reads, instead of the stored ones.
    """

    def __init__(self) -> None:
        self.stored: set[UUID] = set()
        self.sizes: list[int] = []
        self.limits: list[int] = []
        self.refuse: Callable[[int], dict[int, str]] = lambda size: {}
        self.hidden = 0
        self.answers: list[set[int]] = []
        self.data = self.query = self

    def insert_many(self, objects: Sequence[Any]) -> Any:
        self.sizes.append(len(objects))
        refused = self.refuse(len(objects))
        self.stored |= {item.uuid for position, item in enumerate(objects) if position not in refused}
        return SimpleNamespace(errors={at: SimpleNamespace(message=reason) for at, reason in refused.items()})

    def fetch_objects_by_ids(self, ids: Sequence[UUID], *, limit: int, **_: Any) -> Any:
        self.limits.append(limit)
        stored = {UUID(int=number) for number in self.answers.pop(0)} if self.answers else self.stored
        if self.hidden:
            self.hidden -= 1
            stored = set()
        return SimpleNamespace(objects=[SimpleNamespace(uuid=id) for id in ids if id in stored])

    def delete_by_id(self, id: UUID) -> None:
        self.stored.discard(id)


class Direct:
    """Connection that only runs what it gets."""

    where, most_results, version = "server", 10_000, (1, 39, 0)
    settings = SimpleNamespace(timeouts={"insert": 60.0})

    def call(self, operation: str, function: Callable[[], Any], *, retry: bool = True) -> Any:
        return function()

    def write(self, operation: str, function: Callable[[], Any]) -> Any:
        return function()

    def ensure(self, operation: str, function: Callable[[], Any], is_done: Callable[[], bool]) -> None:
        function()

    def limited(self, operation: str, limit: int, function: Callable[[int], Any]) -> Any:
        return function(min(limit, self.most_results))


def made_up(count: int, text: str = "x", vector: list[float] | None = None) -> list[DataObject[Any, Any]]:
    return [DataObject(properties={"text": text}, uuid=UUID(int=n), vector=vector) for n in range(1, count + 1)]


def insert(
    collection: Objects, objects: list[Any], *, size: int = 100, bytes: int = 10**9, retry: float = 30.0
) -> tuple[BatchLimits, list[int]]:
    """Insert objects; return the limits and the sizes of all repairs."""
    limits, repairs = BatchLimits(size, bytes, retry), list[int]()

    def repair(objects: Sequence[Any], error: Exception) -> Sequence[Any]:
        repairs.append(len(objects))
        return objects

    describe = lambda item: f"object {item.uuid.int}"  # noqa: E731
    batch_insert.BatchInsert(Direct(), collection, limits, describe, repair).insert(objects)  # type: ignore[arg-type]
    return limits, repairs


@pytest.mark.parametrize(
    "objects",
    [made_up(8, "x" * 1_000), made_up(8, "한" * 250), made_up(8, "", [0.5] * 250)],
    ids=["ascii", "korean", "vector"],
)
def test_batch_is_closed_before_it_exceeds_its_bytes(objects: list[Any]) -> None:
    collection = Objects()
    insert(collection, objects, bytes=3_600)  # 200 for the object, 1,000 for what it holds
    assert collection.sizes == [3, 3, 2]
    collection = Objects()
    insert(collection, objects, bytes=3_599)
    assert collection.sizes == [2, 2, 2, 2]
    collection = Objects()
    insert(collection, objects, bytes=10)
    assert collection.sizes == [1] * 8


def test_batches_grow_while_the_server_is_quick_and_are_halved_for_good_after_one_that_was_too_slow() -> None:
    limits = BatchLimits(500, 10**9, 30.0)
    first = limits.size
    assert first < 500
    limits.succeeded(first, 0.01, 60.0)
    assert limits.size == 2 * first
    for _ in range(10):
        limits.succeeded(limits.size, 0.01, 60.0)
    assert limits.size == 500
    limits.succeeded(500, 31.0, 60.0)  # over half of the time-out
    assert limits.size == 250
    limits.succeeded(250, 20.0, 60.0)
    assert limits.size == 250
    limits.failed(250)
    assert limits.size == 125
    limits.succeeded(125, 0.01, 60.0)
    assert limits.size == 125  # what was too much once is not tried again
    for _ in range(20):
        limits.failed(limits.size)
    assert limits.size == 1
    assert BatchLimits(7, 10**9, 30.0).size == 7


def test_batch_sizes_change_at_a_half_and_a_sixteenth_of_the_time_out() -> None:
    for seconds, size in ((31.0, 32), (30.0, 64), (3.75, 64), (3.74, 128)):
        limits = BatchLimits(500, 10**9, 30.0)
        limits.succeeded(64, seconds, 60.0)
        assert limits.size == size, seconds
    single = BatchLimits(1, 10**9, 30.0)
    single.succeeded(1, 59.0, 60.0)
    single.failed(1)
    assert single.size == 1


def unknown(times: int) -> Callable[[int], dict[int, str]]:
    """Refuse to answer so many inserts."""
    left = [times]

    def refuse(size: int) -> dict[int, str]:
        if left[0]:
            left[0] -= 1
            raise OutcomeUnknown("vector_store: no answer in time")
        return {}

    return refuse


def test_batch_of_unknown_outcome_is_repaired_and_sent_again_in_halves(clock: FakeClock) -> None:
    collection = Objects()
    collection.refuse = unknown(2)
    limits, repairs = insert(collection, made_up(9))
    assert collection.sizes == [9, 4, 2, 2, 4, 1]
    assert repairs == [9, 4]
    assert limits.size == 2
    assert 0.1 <= clock.delays[0] <= 0.2 <= 2 * clock.delays[1] <= 0.8


def test_batch_without_any_progress_ends_within_the_retry_limit(clock: FakeClock) -> None:
    collection = Objects()
    collection.refuse = unknown(1_000)
    with pytest.raises(ServiceError, match=wording("object 1 ", "retry=30 s", " " + lower_objects(100))) as caught:
        insert(collection, made_up(2))
    assert attempts_with_last(len(collection.sizes), 1) in str(caught.value)
    longest = [0.2, 0.4, 0.8, 1.6, 3.2, *[5.0] * 20]
    assert all(limit / 2 <= delay <= limit for delay, limit in zip(clock.delays, longest, strict=False))
    assert 20 < sum(clock.delays) <= 30


def test_each_stored_object_of_a_batch_renews_the_retry_limit(clock: FakeClock) -> None:
    collection = Objects()
    collection.refuse = lambda size: dict.fromkeys(range(1, size), "connection refused")
    insert(collection, made_up(40), retry=1.0)
    assert len(collection.stored) == 40
    assert sum(clock.delays) > 1.0
    assert max(clock.delays) <= 0.2


@pytest.mark.parametrize(("hidden", "sizes", "delays"), [(0, [1], 0), (2, [1], 2), (3, [1, 1], 3)])
def test_accepted_object_is_read_3_times_before_it_counts_as_missing(
    hidden: int, sizes: list[int], delays: int, clock: FakeClock
) -> None:
    collection = Objects()
    collection.hidden = hidden
    insert(collection, made_up(1))
    assert collection.sizes == sizes
    assert clock.delays[:2] == pytest.approx([0.2, 0.4][:delays])
    assert len(clock.delays) == delays


def test_permanent_refusal_names_the_object_and_is_not_sent_again() -> None:
    collection = Objects()
    collection.refuse = lambda size: {1: "vector lengths differ"}
    with pytest.raises(DataError, match=wording(object_refused(2, "vector lengths differ"))):
        insert(collection, made_up(3))
    assert collection.sizes == [3]


def test_page_that_is_too_large_is_read_in_quarters() -> None:
    collection = Objects()
    collection.stored = {item.uuid for item in made_up(3_000)}  # type: ignore[misc]
    fetch = collection.fetch_objects_by_ids

    def limited(ids: Sequence[UUID], *, limit: int, **keys: Any) -> Any:
        if limit > 600:
            collection.limits.append(limit)
            raise TooLarge("message too large")
        return fetch(ids, limit=limit, **keys)

    collection.fetch_objects_by_ids = limited  # type: ignore[method-assign]
    ids = sorted(collection.stored)
    objects = by_ids(Direct(), collection, "reading", ids, properties=None)  # type: ignore[arg-type]
    assert [item.uuid for item in objects] == ids
    assert collection.limits == [2_000, 500, 500, 500, 500, 500, 500]


# --- repair ---


def test_write_counts_as_over_after_4_equal_reads(clock: FakeClock) -> None:
    collection, ids = Objects(), [UUID(int=number) for number in (1, 2, 3)]
    collection.answers = [{1}, {1}, {1}, {1, 2}, {1, 2}, {1, 2}, {1, 2}, {1, 2, 3}]
    assert stable_ids(Direct(), collection, ids) == set(ids[:2])  # type: ignore[arg-type]
    assert clock.delays == [0.1] * 6
    collection.answers = [{1, 2, 3}, {1, 2, 3}, {1}]
    assert stable_ids(Direct(), collection, ids) == set(ids)  # type: ignore[arg-type]
    assert collection.answers == [{1}]  # all: nothing more can come


def test_removed_objects_are_counted_once_and_confirmed_gone(clock: FakeClock) -> None:
    collection, ids = Objects(), [UUID(int=number) for number in (1, 2, 3)]
    collection.stored = set(ids[:2])
    assert remove(Direct(), collection, ids) == 2  # type: ignore[arg-type]
    assert collection.stored == set()
    collection.stored, collection.delete_by_id = {ids[0]}, lambda id: None  # type: ignore[method-assign]
    with pytest.raises(ServiceError, match=wording(still_holds(1, 3))):
        remove(Direct(), collection, ids)  # type: ignore[arg-type]


def test_objects_that_no_read_finds_are_deleted_as_well(clock: FakeClock) -> None:
    collection, ids = Objects(), [UUID(int=number) for number in (1, 2)]
    collection.stored = {ids[0]}
    collection.answers = [set()] * 10
    remove(Direct(), collection, ids)  # type: ignore[arg-type]
    assert collection.stored == set()


def test_deleted_chunks_of_batches_repaired_at_the_same_time_are_all_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together = threading.Barrier(2, timeout=30)

    def remove(connection: Any, collection: Any, ids: Any) -> int:
        together.wait()
        return 5

    monkeypatch.setattr(uncertain_writes, "remove", remove)
    removal = ChunkRepair(None, None)  # type: ignore[arg-type]
    threads = [threading.Thread(target=removal, args=([], ServiceError("no answer"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert removal.removed == 10


# --- verification ---


def test_older_chunks_are_drawn_around_5_points_and_filled_up_from_the_first() -> None:
    requests: list[tuple[bool, int]] = []

    def neighbors(start: UUID | None, count: int) -> list[UUID]:
        requests.append((start is None, count))
        return [UUID(int=len(requests) * 1_000 + n) for n in range(count)]

    pair: Any = SimpleNamespace(neighbors=neighbors)
    assert len(set(draw_stored(pair, 52, "seed"))) == 52
    assert requests == [(False, 11)] * 5
    requests.clear()
    assert len(set(draw_stored(pair, 50, "seed"))) == 50
    assert requests == [(False, 10)] * 5
    requests.clear()
    pair.neighbors = lambda start, count: requests.append((start is None, count)) or []
    assert draw_stored(pair, 50, "seed") == []
    assert requests == [*[(False, 10)] * 5, (True, 50)]


def test_vector_queue_is_awaited_until_its_limit(clock: FakeClock) -> None:
    queue = [5, 3, 0, 7]
    pair: Any = SimpleNamespace(options=SimpleNamespace(timeouts={"indexing": 2.0}), queued=lambda: queue.pop(0))
    assert (wait_until_indexed(pair), queue, clock.delays) == (0, [7], [0.5, 0.5])
    pair.queued = lambda: 7
    assert wait_until_indexed(pair) == 7
    assert sum(clock.delays) - 1.0 == 2.5  # the first poll after 2 s


OWN = UUID(int=1)


def hits(*distances: float, vector: list[float] | None = None) -> list[Any]:
    """Return hits of other objects."""
    return [
        SimpleNamespace(uuid=UUID(int=100 + n), metadata=SimpleNamespace(distance=distance), vector={"default": vector})
        for n, distance in enumerate(distances)
    ]


@pytest.mark.parametrize(
    ("distance", "found", "is_missed"),
    [
        ("cosine", [SimpleNamespace(uuid=OWN)], False),
        ("cosine", [], True),
        ("cosine", hits(*[0.0] * 20), False),  # as many as the server allows, all as near as the chunk itself
        ("cosine", hits(*[0.0] * 19), True),
        ("cosine", hits(*[0.0] * 19, 0.9e-6), False),
        ("cosine", hits(*[0.0] * 19, 1.1e-6), True),
        ("cosine", hits(*[0.5] * 20), True),
        ("dot", hits(-4 - 5e-6), False),  # longer vectors are nearer to it than itself
        ("dot", hits(-4 - 3e-6), True),
        ("dot", hits(-3.9), True),
        ("cosine", hits(*[0.5] * 10, vector=[2.0, 0.0]), False),  # the nearest ones are equal
        ("cosine", hits(*[0.5] * 9, vector=[2.0, 0.0]), True),
        ("cosine", hits(*[0.5] * 10, vector=[2.0, 0.1]), True),
    ],
)
def test_chunk_is_missed_unless_its_vector_finds_it_or_equals(distance: str, found: list[Any], is_missed: bool) -> None:
    connection = Direct()
    connection.most_results = 20
    query = SimpleNamespace(near_vector=lambda vector, limit, **_: SimpleNamespace(objects=found[:limit]))
    pair: Any = SimpleNamespace(
        connection=connection,
        chunks=SimpleNamespace(query=query),
        options=SimpleNamespace(index={"type": "hnsw", "distance": distance}),
    )
    item = SimpleNamespace(uuid=OWN, vector={"default": [2.0, 0.0]})
    pool: Any = SimpleNamespace(map=map)
    assert bool(search_verification.missed_by_search(pair, [item], pool)) is is_missed


# --- counts, notes and versions ---

INDEX = {"shards": 1, "bm25_k1": 1.2}


def pair_of(connection: Any, tenant: str | None = None, retry: float = 30.0, **index: Any) -> CollectionPair:
    """Build a pair without a server."""
    batch: Any = {"objects": 100, "megabytes": 1000}
    options = IndexOptions("Test", tenant, "ONE", INDEX | index, batch, TIMEOUTS | {"retry": retry}, 1, 20_000, 0.98)
    label = CollectionLabel("Test", "corpus-1", CHUNKS, 1, "ingest", 384, 1, tenant is not None)
    return CollectionPair(connection, options, label)


def test_counts_of_a_state_change_by_their_differences() -> None:
    state = IndexState(documents=10, chunks=100, deleted_chunks=1).plus(documents=-1, chunks=-7, deleted_chunks=7)
    assert (state.documents, state.chunks, state.deleted_chunks) == (9, 93, 8)


def test_size_is_estimated_from_vectors_texts_and_a_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = pair_of(Direct())
    chunk = Chunk("id", "a.md", "hash", 0, 2, "한글", {})
    monkeypatch.setattr(pair, "scan", lambda _: iter([SimpleNamespace(row=Row(chunk, None, 0.0, None))] * 3))
    assert estimated_bytes(pair, 1_000) == 1_000 * (4 * 384 + (3 * 6 + len("{}")) + 200)
    monkeypatch.setattr(pair, "scan", lambda _: iter([]))
    assert estimated_bytes(pair, 1_000) == 0


def test_note_on_shards_is_for_several_without_a_tenant() -> None:
    assert notes_on(pair_of(Direct())) == []
    (note,) = notes_on(pair_of(Direct(), shards=2))
    assert "2 shards" in note
    assert notes_on(pair_of(Direct(), tenant="acme", shards=2)) == []


def test_count_of_documents_leaves_the_state_aside() -> None:
    pair = pair_of(Direct())
    over_all: Any = lambda *, filters, total_count: SimpleNamespace(total_count=5)  # noqa: E731
    pair.chunks = pair.documents = SimpleNamespace(aggregate=SimpleNamespace(over_all=over_all))  # type: ignore[assignment]
    assert (pair.count(CHUNKS), pair.count(DOCUMENTS)) == (5, 4)


@pytest.mark.parametrize(("tenant", "queued"), [(None, 7), ("acme", 4), ("other", 0)])
def test_vector_queue_of_a_tenant_is_its_own_shards(tenant: str | None, queued: int) -> None:
    shards = [SimpleNamespace(name="x", vector_queue_length=3), SimpleNamespace(name="acme", vector_queue_length=4)]
    connection: Any = Direct()
    nodes = [SimpleNamespace(shards=shards[:1]), SimpleNamespace(shards=shards[1:]), SimpleNamespace(shards=None)]
    connection.client = SimpleNamespace(cluster=SimpleNamespace(nodes=lambda **_: nodes))
    assert pair_of(connection, tenant).queued() == queued


@pytest.mark.parametrize(("unanswered", "retry"), [(3, 30.0), (1_000, 1.0)])
def test_deletion_without_an_answer_is_repeated_within_the_retry_limit(
    unanswered: int, retry: float, clock: FakeClock
) -> None:
    pair = pair_of(Direct(), retry=retry)
    answers = [*[None] * unanswered, 5, 2, 0]

    def delete_many(where: Any) -> Any:
        matches = answers.pop(0)
        if matches is None:
            raise OutcomeUnknown("vector_store: no answer in time")
        return SimpleNamespace(failed=0, matches=matches)

    pair.chunks = SimpleNamespace(  # type: ignore[assignment]
        aggregate=SimpleNamespace(over_all=lambda **_: SimpleNamespace(total_count=7)),
        data=SimpleNamespace(delete_many=delete_many),
    )
    if unanswered == 3:
        assert pair.delete_chunks(None) == 7  # type: ignore[arg-type]
        assert answers == []
    else:
        with pytest.raises(OutcomeUnknown):
            pair.delete_chunks(None)  # type: ignore[arg-type]
        assert sum(clock.delays) == pytest.approx(1.2)


@pytest.mark.parametrize(("version", "supported"), [((1, 31, 9), False), ((1, 32, 0), True), ((2, 0, 0), True)])
def test_aliases_need_weaviate_1_32(version: tuple[int, int, int], supported: bool) -> None:
    connection: Any = Direct()
    connection.version = version
    table = AliasTable(SimpleNamespace(connection=connection))  # type: ignore[arg-type]
    if supported:
        table.demand_supported()
    else:
        with pytest.raises(ServiceError, match=wording(server_too_old_for("1.32", "1.31.9"))):
            table.demand_supported()
        assert table.read() == {}


# --- search ---


def hit_of(position: int, document: str) -> Any:
    about = [f"{position}", document, "hash", position, position + 1, {}, "", None]
    metadata = SimpleNamespace(score=100.0 - position, distance=position / 10)
    return SimpleNamespace(metadata=metadata, properties={"about": json.dumps(about), "text": "text"}, vector={})


def search_in(objects: list[Any], monkeypatch: pytest.MonkeyPatch, **index: Any) -> tuple[WeaviateSearch, list[int]]:
    """Build a search while a writer works: `good.md` is committed only; return it with the limits of its requests."""
    pair, limits = pair_of(Direct(), **index), list[int]()

    def answer(*_: Any, limit: int, **__: Any) -> Any:
        limits.append(limit)
        return SimpleNamespace(objects=objects[:limit])

    state = IndexState(version=1, writing="token")
    pair.chunks = SimpleNamespace(query=SimpleNamespace(bm25=answer, near_vector=answer))  # type: ignore[assignment]
    monkeypatch.setattr(pair, "state", lambda: state)
    row = SimpleNamespace(properties={"content_hash": "hash"})
    monkeypatch.setattr(pair, "manifest_objects", lambda ids, _: {"good.md": row} if "good.md" in ids else {})
    return WeaviateSearch(pair, Words(), (0.0, state)), limits


def test_search_goes_4_times_deeper_until_enough_rows_are_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = [hit_of(n, "bad.md" if n < 30 else "good.md") for n in range(35)]
    search, limits = search_in(objects, monkeypatch)
    rows = search.lexical("text", 2, Scope())
    assert [(row.chunk.id, row.score) for row in rows] == [
        ("30", pytest.approx(70 * 2.2)),
        ("31", pytest.approx(69 * 2.2)),
    ]
    assert limits == [10, 10, 16, 40, 40]  # each document of unknown version costs a second read


def test_similarity_is_1_minus_the_distance_and_clipped_for_cosine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = [hit_of(n, "good.md") for n in (-1, 0, 5, 30)]
    for distance, scores in (("cosine", [1.0, 1.0, 0.5, -1.0]), ("dot", [1.1, 1.0, 0.5, -2.0])):
        search, limits = search_in(objects, monkeypatch, distance=distance)
        rows = search.dense([1.0] * 384, 4, Scope())
        assert [row.score for row in rows] == pytest.approx(scores)
        assert limits == [5, 5]
        assert search.dense([0.0] * 384, 4, Scope()) == []


def test_search_in_documents_that_change_at_each_read_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    search, limits = search_in([hit_of(0, "good.md")], monkeypatch)
    versions = iter(range(1_000))
    monkeypatch.setattr(
        search.pair,
        "manifest_objects",
        lambda *_: {"good.md": SimpleNamespace(properties={"content_hash": str(next(versions))})},
    )
    with pytest.raises(ServiceError, match=wording(changed_during_reads(50))):
        search.lexical("text", 1, Scope())
    assert len(limits) == 50


def committed_once(objects: list[Any], monkeypatch: pytest.MonkeyPatch) -> tuple[WeaviateSearch, list[int], list[int]]:
    """Build a search opened at commit 1, while 2 is the newest; return it with its requests and reads of the state."""
    search, limits = search_in(objects, monkeypatch)
    reads: list[int] = []

    def state() -> IndexState:
        reads.append(2)
        time.sleep(0.05)
        return IndexState(version=2)

    monkeypatch.setattr(search.pair, "state", state)
    return WeaviateSearch(search.pair, Words(), (-FRESH_SECONDS, IndexState(version=1))), limits, reads


def test_questions_at_once_read_the_state_of_the_index_once(monkeypatch: pytest.MonkeyPatch) -> None:
    search, _, reads = committed_once([hit_of(0, "good.md"), hit_of(1, "bad.md")], monkeypatch)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: search.lexical("text", 2, Scope()), range(8)))
    assert [[row.chunk.document for row in rows] for rows in found] == [["good.md", "bad.md"]] * 8
    assert len(reads) == 1


def test_rows_read_during_a_commit_are_read_again_also_where_another_question_saw_the_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    search, limits, reads = committed_once([hit_of(0, "good.md"), hit_of(1, "bad.md")], monkeypatch)
    answer, others = search.pair.chunks.query.bm25, iter([lambda: search.lexical("text", 2, Scope())])

    def meanwhile(*args: Any, **options: Any) -> Any:
        next(others, list)()
        return answer(*args, **options)

    search.pair.chunks.query.bm25 = meanwhile  # type: ignore[method-assign]
    rows = search.lexical("text", 2, Scope())
    assert [row.chunk.document for row in rows] == ["good.md", "bad.md"]
    assert limits == [10, 10] * 2  # each question searches once more
    assert len(reads) == 1


def ranked_by(
    scores: list[float], stored: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[str], list[tuple[str, Any]]]:
    """Rank chunks 0, 1 ... of these scores without a writer; return their numbers, and the kinds of requests.

    Args:
        stored: number of chunks that a read by id finds; the others are gone by then.
    """
    search, _ = search_in([], monkeypatch)
    requests: list[tuple[str, Any]] = []

    def hit(number: int, score: float) -> Any:
        about = [str(UUID(int=number)), f"{9 - number}.md", "hash", 0, 1, {}, "", None]
        properties = {"about": json.dumps(about)}
        return SimpleNamespace(
            uuid=UUID(int=number), metadata=SimpleNamespace(score=score), properties=properties, vector={}
        )

    hits = [hit(number, score) for number, score in enumerate(scores)]

    def bm25(*_: Any, limit: int, return_properties: list[str], **__: Any) -> Any:
        requests.append(("search", return_properties))
        return SimpleNamespace(objects=hits[:limit])

    def fetch_objects_by_ids(ids: Sequence[UUID], return_properties: list[str], **_: Any) -> Any:
        requests.append(("read", [id.int for id in ids]))
        return SimpleNamespace(objects=[hits[id.int] for id in ids[:stored]])

    query = SimpleNamespace(bm25=bm25, fetch_objects_by_ids=fetch_objects_by_ids)
    search.pair.chunks = SimpleNamespace(query=query)  # type: ignore[assignment]
    quiet = WeaviateSearch(search.pair, Words(), (time.monotonic() + 60, IndexState(version=1)))
    matches = quiet.lexical_matches("text", 3, Scope())
    return [str(cast(UUID, match.key).int) for match in matches], requests


def test_chunks_are_ranked_by_ids_and_scores_and_only_equal_ones_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ranked_by([5.0, 4.0, 3.0, 2.0], 9, monkeypatch) == (["0", "1", "2"], [("search", [])])
    assert ranked_by([5.0, 4.0, 4.0, 4.0, 1.0, 1.0], 9, monkeypatch) == (
        ["0", "3", "2"],
        [("search", []), ("read", [1, 2, 3])],
    )


def test_chunk_that_is_gone_before_its_place_is_read_means_another_search(monkeypatch: pytest.MonkeyPatch) -> None:
    found, requests = ranked_by([5.0, 4.0, 4.0], 1, monkeypatch)
    assert found == ["0", "2", "1"]
    assert requests == [("search", []), ("read", [1, 2]), ("search", ["about"])]


# --- lease ---


class LeaseServer(Direct):
    """Collections in memory, enough for a lease; heartbeats can fail."""

    def __init__(self) -> None:
        self.descriptions: dict[str, str] = {}
        self.client: Any = SimpleNamespace(collections=self)
        self.data = self.config = self
        self.fails = False
        self.heartbeats = 0

    def call(self, operation: str, function: Callable[[], Any], *, retry: bool = True) -> Any:
        if operation == "renewing the write lease":
            self.heartbeats += 1
            if self.fails:
                raise ServiceError("vector_store: planted")
        return function()

    def list_all(self, *, simple: bool) -> dict[str, Any]:
        return {name: SimpleNamespace(description=text) for name, text in self.descriptions.items()}

    def exists(self, name: str) -> bool:
        return name in self.descriptions

    def create_from_dict(self, schema: dict[str, Any]) -> None:
        self.descriptions[schema["class"]] = schema["description"]

    def delete(self, name: str) -> None:
        del self.descriptions[name]

    def get(self, name: str | None = None, *, simple: bool = True) -> Any:
        if name is None:
            return SimpleNamespace(description=next(iter(self.descriptions.values())))
        return self

    def insert_many(self, objects: Sequence[Any]) -> None: ...


@pytest.mark.parametrize(("expiry", "is_lost"), [(0.01, True), (60.0, False)])
def test_lease_is_lost_once_its_heartbeat_fails_for_longer_than_it_lives(
    expiry: float, is_lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_lease, "HEARTBEAT_SECONDS", 0.005)
    monkeypatch.setattr(write_lease, "EXPIRY_SECONDS", expiry)
    server, label = LeaseServer(), CollectionLabel("Test", "corpus-1", LEASE, 1, "ingest", 16, 1, False)
    index = {"bm25_k1": 1.2, "bm25_b": 0.75, "replication": 1, "shards": 1}
    with WriteLease(server, label, index) as lease:  # type: ignore[arg-type]
        lease.demand_held()
        server.fails, before = True, server.heartbeats
        deadline = time.monotonic() + 30
        while server.heartbeats < before + 20 and time.monotonic() < deadline:
            if is_lost and not any(thread.name == "weaviate-lease" for thread in threading.enumerate()):
                break
            time.sleep(0.005)
        if is_lost:
            with pytest.raises(ServiceError, match=wording(lease_lost("corpus-1"), lease_not_renewed())):
                lease.demand_held()
        else:
            lease.demand_held()
    assert server.descriptions == {}

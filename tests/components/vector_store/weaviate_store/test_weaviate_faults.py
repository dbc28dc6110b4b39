"""Failing servers: errors for the user, and a complete index after one more ingest.

Against private servers, which are killed, paused, filled and restarted.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from messages import wording
from messages.weaviate import entries_without_chunk, too_large_document
from places import TESTS
from ragloom.components.vector_store.weaviate_store import write_lease
from ragloom.components.vector_store.weaviate_store.database import WeaviateDatabase
from ragloom.errors import DataError, RagloomError, ServiceError
from store_child import documents
from store_tools import BruteForce, Cut, assert_same_ranking, contents, cut, ranking, sync, vectors, write, writer
from weaviate_servers import Server
from weaviate_tools import weaviate_database

pytestmark = pytest.mark.weaviate
Start = Callable[..., Server]
QUICK = {"retry": 1.0, "connect": 2.0, "query": 2.0, "insert": 3.0}


def demand_equal(database: WeaviateDatabase, target: dict[str, Cut]) -> None:
    """Compare an index with an undisturbed one, BM25 after a rebuild."""
    index = database.open("corpus-1")
    chunks = {chunk.id: chunk for item in target.values() for chunk in item.chunks}
    stored = contents(index)
    assert stored.keys() == chunks.keys()
    expected = dict(zip(chunks, vectors([chunk.text for chunk in chunks.values()]).tolist(), strict=True))
    assert stored == {id: (chunk.text, expected[id]) for id, chunk in chunks.items()}
    for id, item in target.items():
        assert index.document(id).text == item.row.text
    database.rebuild("corpus-1")
    brute, index = BruteForce(target), database.open("corpus-1")
    for question in ("w1 w2 w3", "w5 w17", "w40"):
        assert_same_ranking(ranking(index.lexical(question, 20)), brute.lexical(question, 20))


@pytest.mark.parametrize("moment", ["append", "replace", "delete", "commit"])
def test_server_killed_while_an_ingest_writes_loses_nothing_and_keeps_nothing_twice(
    moment: str, weaviate_process: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_lease, "EXPIRY_SECONDS", 1.5)  # the killed server keeps the lease of this living process
    server = weaviate_process()
    database = weaviate_database(server.address, "Fault", timeouts=QUICK)
    before, target = documents(0, 120), documents(1, 120)
    with writer(database) as writing:
        sync(writing, before)
    seed = random.Random(moment)
    delay = seed.uniform(0.0, 0.05)
    killer = threading.Timer(delay, server.kill)
    once = [server.kill if moment == "commit" else killer.start]  # a step may be said for several batches

    def say(step: str) -> None:
        if step == moment and once:
            once.pop()()

    with pytest.raises(ServiceError) as caught, writer(database) as writing:
        sync(writing, target, say=say)
    killer.cancel()
    assert server.address.url.removeprefix("http://") in str(caught.value)
    assert "\n" not in str(caught.value)
    server.restart()
    again = weaviate_database(server.address, "Fault")
    with writer(again) as writing:
        sync(writing, target)
    demand_equal(again, target)
    database.close()
    again.close()


LOST_WRITES = [
    ("append", "chunks", "objects"),
    ("append", "chunks", "property__id"),
    ("append", "chunks", "property_document"),
    ("append", "chunks", "property_content_hash"),
    ("append", "chunks", "property_terms_searchable"),
    ("append", "chunks", "vectors"),
    ("finish", "documents", "objects"),
    ("finish", "documents", "property__id"),
    ("delete_chunks", "chunks", "objects"),
    ("delete_chunks", "chunks", "property__id"),
    ("delete_chunks", "chunks", "property_document"),
    ("delete_documents", "documents", "objects"),
    ("delete_documents", "documents", "property__id"),
    ("commit", "documents", "objects"),
    ("create", "documents", "objects"),
    ("create", "documents", "property__id"),
]
"""(a killed run's last step, collection, its bucket that lost what this step wrote)"""


class Interrupted(Exception):
    """End of a run before its commit."""


def interrupt(database: WeaviateDatabase, moment: str, target: dict[str, Cut], save: Callable[[], None]) -> None:
    """Run an ingest up to a step, then end it; `save` is called before this step."""
    with pytest.raises(Interrupted), writer(database) as writing:
        known = {row.id: row.content_hash for row in writing.manifest()}
        items = [item for id, item in target.items() if known.get(id) != item.row.manifest.content_hash]
        gone = [id for id in known if id not in target]
        writing.delete([])
        if moment == "append":
            writing.finish = lambda rows: None  # type: ignore[method-assign]
        elif moment == "finish":
            finish = writing.finish
            writing.finish = lambda rows: (save(), finish(rows))  # type: ignore[func-returns-value]
        elif moment == "commit":
            sync(writing, target, say=lambda step: save() if step == "commit" else None)
        save() if moment != "commit" else None
        if moment in ("append", "finish"):
            write(writing, items)
        elif moment == "delete_documents":
            writing.pair.delete_documents(gone)
        elif moment == "delete_chunks":
            writing.delete(gone)
        raise Interrupted


def test_server_killed_between_two_of_its_own_logs_loses_nothing(
    weaviate_process: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server writes an object into several buckets, each with its own log.

    A kill between two of these writes leaves objects that only some reads find, and that are skipped when sent again.
    Here the log of one bucket is cut off where an interrupted step began.
    """
    monkeypatch.setattr(write_lease, "EXPIRY_SECONDS", 1.5)
    server = weaviate_process()
    before, target = documents(0, 40), documents(1, 40)
    databases = [weaviate_database(server.address, f"Case{number}") for number in range(len(LOST_WRITES))]
    for database, (moment, *_) in zip(databases, LOST_WRITES, strict=True):
        if moment != "create":
            with writer(database) as writing:
                sync(writing, before)
    server.stop()  # turns all logs into segments
    server.restart()
    sizes: dict[Path, int] = {}

    def save(logs: str) -> None:
        sizes.update((log, log.stat().st_size) for log in server.data.glob(logs))

    globs = [f"case{number}_*_{part}1/*/lsm/{bucket}/*.wal" for number, (_, part, bucket) in enumerate(LOST_WRITES)]
    for database, (moment, *_), logs in zip(databases, LOST_WRITES, globs, strict=True):
        interrupt(database, moment, target, partial(save, logs) if moment != "create" else lambda: None)
    server.kill()
    for case, logs in zip(LOST_WRITES, globs, strict=True):
        cut = [log for log in server.data.glob(logs) if log.stat().st_size > sizes.get(log, 0)]
        assert cut, case
        for log in cut:
            os.truncate(log, sizes.get(log, 0))
    server.restart()
    problems = []
    for number, case in enumerate(LOST_WRITES):
        again = weaviate_database(server.address, f"Case{number}", timeouts=QUICK)
        try:
            with writer(again) as writing:
                notes = sync(writing, target).notes
            # Objects lost, and their entries in the other indexes kept: no API removes these.
            assert (entries_without_chunk() in " ".join(notes)) == (case == ("append", "chunks", "objects")), notes
            demand_equal(again, target)
        except (RagloomError, AssertionError, KeyError) as error:
            problems.append(f"{case}: {type(error).__name__}: {error}"[:500])
        again.close()
    for database in databases:
        database.close()
    assert not problems, "\n".join(problems)


def test_ingests_killed_at_random_moments_end_as_if_undisturbed(weaviate_process: Start) -> None:
    """SIGKILL of the ingesting process; the next one takes over its lease at once, since it is of this machine."""
    server = weaviate_process()
    seed = random.Random(20261124)
    steps: list[str] = []
    program = [sys.executable, str(TESTS / "support" / "store_child.py"), "weaviate"]
    for turn in range(8):
        command = [*program, f"{server.address.url} {server.address.grpc_port} Killed", str(turn % 3), "60"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            wanted = seed.choice(["recover", "delete", "replace", "append", "commit"])
            for line in child.stdout:
                if line.strip() == wanted:
                    break
            time.sleep(seed.uniform(0.0, 0.02))
            os.kill(child.pid, signal.SIGKILL)
            steps.append(wanted)
    database = weaviate_database(server.address, "Killed")
    target = documents(1, 60)
    with writer(database) as writing:
        sync(writing, target)
    demand_equal(database, target)
    database.close()
    assert len(set(steps)) > 2


def test_query_on_a_dead_server_is_one_line_and_goes_on_when_it_is_back(weaviate_process: Start) -> None:
    server = weaviate_process()
    database = weaviate_database(server.address, "Fault", timeouts=QUICK)
    with writer(database) as writing:
        write(writing, [cut("a.md", "some text")])
        writing.commit({})
    index = database.open("corpus-1")
    server.kill()
    for search in (lambda: index.lexical("text", 3), lambda: index.dense([1.0] * 16, 3), database.indexes):
        with pytest.raises(ServiceError) as caught:
            search()
        assert "\n" not in str(caught.value)
        assert "127.0.0.1" in str(caught.value)
    server.restart()
    until = time.monotonic() + 60
    while True:  # gRPC looks for a server that was gone once a second or two
        try:
            assert len(index.lexical("text", 3)) == 1
            break
        except ServiceError:
            assert time.monotonic() < until
    database.close()


def test_server_that_does_not_answer_is_a_time_out_and_not_a_hang(weaviate_process: Start) -> None:
    server = weaviate_process()
    database = weaviate_database(server.address, "Fault", timeouts=QUICK)
    with writer(database) as writing:
        write(writing, [cut("a.md", "some text")])
        writing.commit({})
    index = database.open("corpus-1")
    server.pause()
    began = time.monotonic()
    with pytest.raises(ServiceError, match=r"(?i)time|deadline"):
        index.lexical("text", 3)
    assert time.monotonic() - began < 60
    server.resume()
    assert len(index.lexical("text", 3)) == 1
    database.close()


def test_full_disk_is_reported_and_what_was_committed_stays(weaviate_process: Start) -> None:
    """A server whose disk is full makes its shards read-only; here they are made so by hand."""
    server = weaviate_process()
    database = weaviate_database(server.address, "Fault", timeouts=QUICK)
    with writer(database) as writing:
        write(writing, [cut("a.md", "some text")])
        writing.commit({})
    collections = [name for name in database.connection.client.collections.list_all() if name.startswith("Fault")]

    def set_shards(status: Any) -> None:
        for name in collections:
            database.connection.client.collections.get(name).config.update_shards(status=status)

    set_shards("READONLY")
    with pytest.raises(RagloomError, match=r"(?i)read-?only.*disk is full") as caught:  # noqa: SIM117
        with writer(database) as writing:
            write(writing, [cut("b.md", "other text")])
            writing.commit({})
    assert "\n" not in str(caught.value)
    assert [hit.chunk.text for hit in database.open("corpus-1").lexical("text", 3)] == ["some text"]
    set_shards("READY")
    with writer(database) as writing:
        sync(writing, {"a.md": cut("a.md", "some text"), "b.md": cut("b.md", "other text")})
    assert len(database.open("corpus-1").lexical("text", 3)) == 2
    database.close()


def test_document_over_the_servers_message_limit_is_named(weaviate_process: Start) -> None:
    server = weaviate_process(GRPC_MAX_MESSAGE_SIZE="1000000")
    database = weaviate_database(server.address, "Fault", timeouts=QUICK)
    large = cut("large.md", "letters " * 200_000, 20_000)
    with writer(database) as writing:
        write(writing, [cut("small.md", "some text")])
        with pytest.raises(DataError, match=wording(too_large_document("large.md"))) as caught:
            write(writing, [large])
        assert "GRPC_MAX_MESSAGE_SIZE" in str(caught.value)
        assert "\n" not in str(caught.value)
    with writer(database) as writing:
        sync(writing, {"small.md": cut("small.md", "some text")})
    assert [hit.chunk.document for hit in database.open("corpus-1").lexical("text letters", 3)] == ["small.md"]
    database.close()


def test_many_large_chunks_are_sent_in_requests_under_the_limit(weaviate_process: Start) -> None:
    server = weaviate_process(GRPC_MAX_MESSAGE_SIZE="2000000")
    database = weaviate_database(server.address, "Fault", batch={"megabytes": 1})
    target = {f"{n}.md": cut(f"{n}.md", "글자들 " * 20_000, 2_000) for n in range(5)}
    with writer(database) as writing:
        sync(writing, target)
    assert set(contents(database.open("corpus-1"))) == {c.id for item in target.values() for c in item.chunks}
    database.close()

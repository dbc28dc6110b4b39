"""Verification of stored chunks by search, before a commit (TRAPS 45)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from messages import wording
from messages.weaviate import (
    add_all_nodes_again,
    add_nodes_again,
    ingest_again,
    not_found_by_search,
    not_reached,
    rebuild_again,
    rebuild_writes_all,
    stored_but_not_found,
    written_again,
)
from ragloom.components.vector_store.record_types import ManifestRow, StoredDocumentRow
from ragloom.components.vector_store.weaviate_store import run_verification, search_verification
from ragloom.components.vector_store.weaviate_store.collection_pair import CollectionPair
from ragloom.components.vector_store.weaviate_store.database import WeaviateDatabase
from ragloom.components.vector_store.weaviate_store.grpc_channel import CallFailed
from ragloom.components.vector_store.weaviate_store.index_state import IndexState
from ragloom.components.vector_store.weaviate_store.object_mapping import chunk_uuid
from ragloom.components.vector_store.weaviate_store.search_verification import (
    SAMPLE,
    ChunkSample,
    LostToSearch,
    Verification,
    confirm,
)
from ragloom.components.vector_store.weaviate_store.uncertain_writes import remove, stable_ids
from ragloom.components.vector_store.weaviate_store.weaviate_vector_store import WeaviateVectorStore
from ragloom.core.records import Chunk, chunk_id, sha256
from ragloom.errors import ServiceError
from store_tools import Cut, contents, cut, sentence, store, sync, vectors, with_vector, write, writer
from weaviate_servers import Address, Server
from weaviate_tools import lost_in, unfound, weaviate_database


def test_sample_is_the_same_for_a_seed_and_of_bounded_size() -> None:
    made = [(np.random.default_rng(number).bytes(4).hex(), f"{number % 50}.md", "h") for number in range(3_000)]

    def drawn(seed: str) -> ChunkSample:
        sample = ChunkSample(seed)
        for start in range(0, len(made), 700):
            sample.add(made[start : start + 700])  # type: ignore[arg-type]
        return sample

    assert drawn("a").ids == drawn("a").ids
    assert drawn("a").ids != drawn("b").ids
    assert len(set(drawn("a").ids)) == SAMPLE >= 200
    sample = drawn("a")
    sample.drop(lambda document, _: document in ["7.md"])
    sample.drop(lambda *version: version == ("8.md", "h"))
    sample.drop(lambda document, hashed: {"9.md": "another", "10.md": "h"}.get(document, hashed) != hashed)
    gone = ("7.md", "8.md", "9.md")
    assert not {id for id, document, _ in made if document in gone} & set(sample.ids)
    assert {id for id, document, _ in made if document not in gone} >= set(sample.ids)
    assert len(sample.ids) > SAMPLE // 2
    few = ChunkSample("a")
    few.add(made[:5])  # type: ignore[arg-type]
    assert few.ids == [id for id, *_ in made[:5]]


@pytest.mark.parametrize(
    "is_gone",
    [
        lambda document, _: document == "a.md",
        lambda *version: version == ("a.md", cut("a.md", "one two").chunks[0].content_hash),
        lambda document, hashed: {"a.md": "another"}.get(document, hashed) != hashed,
    ],
    ids=["deleted", "discarded", "replaced"],
)
def test_chunk_of_unknown_outcome_is_not_searched_once_its_document_is_gone(
    is_gone: Callable[[str, str], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With asynchronous indexing such a chunk waits for the queue, and may be deleted before it was looked for."""
    queue, searched = [7], list[Any]()

    class Unsure:
        connection = chunks = label = SimpleNamespace(index="corpus-1")
        options = SimpleNamespace(timeouts={"indexing": -1})

        def put_chunks(self, objects: Sequence[Any], repair: Any) -> None:
            repair.suspects.update(objects)

        def queued(self) -> int:
            return queue[0]

    def confirmed(pair: Any, ids: Sequence[Any], *_: Any, **__: Any) -> Verification:
        searched.extend(str(id) for id in ids)
        return Verification()

    monkeypatch.setattr(search_verification, "confirm", confirmed)
    checking = run_verification.WriteAudit(Unsure(), IndexState(), "seed", lambda: None)  # type: ignore[arg-type]
    chunks = {id: cut(id, "one two").chunks for id in ("a.md", "b.md")}
    for some in chunks.values():
        checking.store([chunk_uuid(chunk.id) for chunk in some], some)  # type: ignore[misc]
    assert searched == []
    checking.sample.drop(is_gone)
    queue[0] = 0
    checking.verify()
    assert searched == [chunk.id for chunk in chunks["b.md"]]


@pytest.mark.parametrize("lost", [{"a": "chunk [0:3] of 'a.md'"}, {}], ids=["with a lost one", "without a lost one"])
def test_chunk_in_the_graph_that_no_search_reaches_is_rewritten_with_lost_ones_only(
    lost: dict[Any, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that was cut off leaves such chunks, and so do thousands of equal vectors: those are no false alarm."""
    answers, rewritten = [(lost, {"b"}), ({}, set[Any]())], list[Any]()

    def rewrite(pair: Any, ids: Sequence[Any]) -> int:
        rewritten.extend(ids)
        return len(ids)

    monkeypatch.setattr(search_verification, "find_lost", lambda *_, **__: answers.pop(0))
    monkeypatch.setattr(search_verification, "rewrite", rewrite)
    monkeypatch.setattr(search_verification, "wait_until_indexed", lambda _: 0)
    checked = confirm(None, ["a", "b", "c"], "")  # type: ignore[arg-type, list-item]
    assert rewritten == (["a", "b"] if lost else [])
    assert checked == (Verification(rewritten=2) if lost else Verification(unreached=1))


def pair_of(database: WeaviateDatabase, name: str = "corpus-1") -> CollectionPair:
    (label,) = [label for label in database.catalog.labels() if label.index == name and label.part == "Chunks"]
    return database.catalog.pair(label)


def many(count: int, words: int = 25) -> dict[str, Cut]:
    return {f"{n}.md": cut(f"{n}.md", sentence(random.Random(n), words), 5) for n in range(count)}


def plant_loss(pair: CollectionPair, address: Address, objects: Sequence[Any]) -> int:
    """Cut a write off by its deadline; return the number of lost objects.

    Which deadlines lose something depends on what else the machine does: they are drawn over the time that the write
    takes, and so is that time again and again.
    """
    ids, draws, whole = [item.uuid for item in objects], random.Random(0), 60.0
    for attempt in range(150):
        remove(pair.connection, pair.chunks, ids)
        seconds = whole if attempt % 10 == 0 else draws.uniform(0.2, 1.0) * whole
        hasty = weaviate_database(address, pair.options.prefix, timeouts={"insert": seconds})
        collection = CollectionPair(hasty.connection, pair.options, pair.label).chunks
        start = time.monotonic()
        try:
            collection.data.insert_many(list(objects))
            whole = time.monotonic() - start
        except CallFailed:  # too early, unless something is lost
            whole *= 1.5 if attempt % 10 == 0 else 1.0
        stable_ids(pair.connection, pair.chunks, ids)  # the server continues to store
        hasty.close()
        if (lost := len(lost_in(pair))) > len(objects) // 4:
            return lost
    return 0


@pytest.mark.weaviate
@pytest.mark.parametrize("kind", ["hnsw", "flat"])
def test_planted_loss_is_found_and_rewritten(
    kind: str, monkeypatch: pytest.MonkeyPatch, databases: Callable[..., WeaviateDatabase], weaviate_server: Address
) -> None:
    index = {"type": kind}
    database = databases(index=index)
    target = many(60)
    stored: list[Any] = []
    original = CollectionPair.put_chunks

    def put_chunks(self: CollectionPair, objects: Sequence[Any], repair: Any) -> None:
        if not stored:
            stored.extend(objects)
            assert plant_loss(self, weaviate_server, objects) > 10
        original(self, objects, repair)  # as the retry did: the server answers that all is well

    monkeypatch.setattr(CollectionPair, "put_chunks", put_chunks)
    with writer(database) as writing:
        write(writing, target.values())
        info = writing.commit({})
    chunks = [chunk.id for item in target.values() for chunk in item.chunks]
    assert set(contents(database.open("corpus-1"))) == set(chunks)
    assert info.deleted_chunks > 10
    (note,) = info.notes
    assert written_again() in note
    assert rebuild_writes_all("corpus-1") in note
    confirm(pair_of(database), [item.uuid for item in stored], "")
    assert unfound(database, "corpus-1") == []


@pytest.mark.weaviate
def test_loss_of_an_earlier_run_is_found_by_the_next_one(
    databases: Callable[..., WeaviateDatabase], weaviate_server: Address
) -> None:
    database = databases(index={"type": "hnsw"})
    target = many(6)  # few enough that the sample of older chunks has all of them
    with writer(database) as writing:
        sync(writing, target)
    chunks = pair_of(database)
    objects = [search_verification.copied_object(item) for item in chunks.objects("Chunks", 100)]
    assert plant_loss(chunks, weaviate_server, objects) > 5
    with writer(database) as writing:
        info = writing.commit({})
    assert not_found_by_search() in info.notes[0]
    assert unfound(database, "corpus-1") == []
    assert set(contents(database.open("corpus-1"))) == {chunk.id for item in target.values() for chunk in item.chunks}


def never_found(patched: pytest.MonkeyPatch, id: str) -> None:
    """Make all searches miss a chunk, however often it is written."""
    original = search_verification.missed_by_search

    def missed(pair: CollectionPair, items: list[Any], pool: Any) -> list[Any]:
        return [item for item in items if str(item.uuid) == id] or original(pair, items, pool)

    patched.setattr(search_verification, "missed_by_search", missed)
    patched.setattr(search_verification, "indexed_ids", lambda pair, items: set())
    patched.setattr(search_verification, "RETRY_DELAYS", ())


@pytest.mark.weaviate
def test_chunk_that_stays_lost_fails_the_commit_and_the_same_ingest_ends_right(
    monkeypatch: pytest.MonkeyPatch, database: WeaviateDatabase
) -> None:
    target = many(5)
    lost = target["3.md"].chunks[0]
    with monkeypatch.context() as patched:
        never_found(patched, lost.id)
        with pytest.raises(LostToSearch) as caught, writer(database) as writing:
            sync(writing, target)
        message = str(caught.value)
        assert f"chunk [0:{lost.end}] of '3.md' {stored_but_not_found(2)}" in message
        assert ingest_again() in message
        assert "\n" not in message
    with writer(database) as writing:
        sync(writing, target)
    assert set(contents(database.open("corpus-1"))) == {chunk.id for item in target.values() for chunk in item.chunks}
    assert unfound(database, "corpus-1") == []


@pytest.mark.weaviate
@pytest.mark.parametrize("how", ["stays lost", "cut off after the deletion"])
def test_failed_repair_by_a_run_that_changes_nothing_is_made_up_for_by_the_next_ingest(
    how: str, monkeypatch: pytest.MonkeyPatch, database: WeaviateDatabase
) -> None:
    target = many(5)
    with writer(database) as writing:
        sync(writing, target)
    chunks = {chunk.id for item in target.values() for chunk in item.chunks}
    lost = target["3.md"].chunks[0]

    def put_chunks(self: CollectionPair, objects: Sequence[Any], repair: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        never_found(patched, lost.id)
        if how != "stays lost":
            patched.setattr(CollectionPair, "put_chunks", put_chunks)
        with pytest.raises((LostToSearch, KeyboardInterrupt)), writer(database) as writing:
            writing.recover()
            writing.commit({})
    assert set(contents(database.open("corpus-1"))) == chunks - {lost.id}
    with writer(database) as writing:
        sync(writing, target)
    assert set(contents(database.open("corpus-1"))) == chunks
    assert unfound(database, "corpus-1") == []


@pytest.mark.weaviate
def test_run_that_changes_and_repairs_nothing_is_not_announced(
    monkeypatch: pytest.MonkeyPatch, database: WeaviateDatabase
) -> None:
    """An announcement waits until every reader has heard of it, and has the next run read the whole index."""
    with writer(database) as writing:
        sync(writing, many(5))
    states: list[IndexState] = []
    original = CollectionPair.put_state

    def put_state(self: CollectionPair, state: IndexState) -> None:
        states.append(state)
        original(self, state)

    monkeypatch.setattr(CollectionPair, "put_state", put_state)
    with writer(database) as writing:
        writing.recover()
        writing.commit({})
    assert [state.writing for state in states] == [None]


@pytest.mark.weaviate
def test_lost_chunk_of_a_rebuild_leaves_the_index_as_it_was(
    monkeypatch: pytest.MonkeyPatch, database: WeaviateDatabase
) -> None:
    target = many(5)
    with writer(database) as writing:
        sync(writing, target)
    before = contents(database.open("corpus-1"))
    with monkeypatch.context() as patched:
        patched.setattr(search_verification, "missed_by_search", lambda pair, items, pool: items)
        patched.setattr(search_verification, "indexed_ids", lambda pair, items: set())
        patched.setattr(search_verification, "RETRY_DELAYS", ())
        with pytest.raises(ServiceError, match=wording(rebuild_again("corpus-1"))):
            database.rebuild("corpus-1")
    assert contents(database.open("corpus-1")) == before
    assert [label.generation for label in database.catalog.labels()] == [1, 1]


@pytest.mark.weaviate
def test_vectors_of_zeros_are_searched_by_their_words(databases: Callable[..., WeaviateDatabase]) -> None:
    database = databases(index={"type": "hnsw"})
    item = cut("a.md", "one two three four " * 20, 2)
    silent = cut("b.md", "five", 1)
    with writer(database) as writing:
        for some in (item, silent):
            writing.append(some.chunks, np.zeros((len(some.chunks), 16), dtype=np.float32), [""] * len(some.chunks))
            writing.finish([some.row])
        assert writing.commit({}).notes == ()
    ids = [chunk.id for chunk in item.chunks]
    chunks = pair_of(database)
    assert confirm(chunks, [search_verification.UUID(id) for id in ids], "") == Verification()


SAME = "the same sentence again and again"
KINDS = [
    ({"type": "hnsw"}, {}, None),
    *[({"type": "hnsw", "quantization": name}, {}, None) for name in ("rq", "bq", "sq")],
    ({"type": "flat"}, {}, None),
    *[({"type": "flat", "quantization": name}, {}, None) for name in ("rq", "bq")],
    ({"type": "hnsw", "distance": "dot"}, {}, None),
    ({"type": "hnsw", "distance": "l2-squared"}, {}, None),
    ({"type": "hnsw"}, {}, "acme"),
    ({"type": "hnsw"}, {"ASYNC_INDEXING": "true", "ASYNC_INDEXING_STALE_TIMEOUT": "100ms"}, None),
    ({"type": "dynamic"}, {"ASYNC_INDEXING": "true", "ASYNC_INDEXING_STALE_TIMEOUT": "100ms"}, None),
]


def named(kind: tuple[dict[str, str], dict[str, str], str | None]) -> str:
    return "-".join([*kind[0].values(), *(["async"] if kind[1] else []), *([kind[2]] if kind[2] else [])])


@pytest.mark.weaviate
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=map(named, KINDS))
def test_3000_chunks_of_equal_text_among_others_are_no_false_alarm(
    kind: tuple[dict[str, str], dict[str, str], str | None], weaviate_process: Callable[..., Server]
) -> None:
    index, env, tenant = kind
    database = weaviate_database(weaviate_process(**env).address, "Equal", index=index, tenant=tenant)
    with writer(database) as writing:
        write(writing, many(40).values())
        write(writing, [repeated(3_000)])
        info = writing.commit({})
    assert info.deleted_chunks == 0
    assert all(not_reached() in note for note in info.notes)
    with writer(database) as writing:  # equal chunks among the older ones
        write(writing, [cut("new.md", "something new")])
        info = writing.commit({})
    # An hnsw graph may really not reach a chunk among so many equal ones: a note, and nothing is rewritten.
    assert info.deleted_chunks == 0
    assert all(not_reached() in note for note in info.notes)
    database.close()


def repeated(count: int) -> Cut:
    """Build a document with chunks of one text."""
    text = SAME * count
    hashed, size = sha256(text), len(SAME)
    chunks = tuple(
        Chunk(chunk_id("same.md", hashed, start, start + size), "same.md", hashed, start, start + size, SAME)
        for start in range(0, len(text), size)
    )
    row = ManifestRow("same.md", len(text), 1, hashed, hashed, "", hashed, count)
    return Cut(StoredDocumentRow(row, text, {}), chunks)


@pytest.mark.weaviate
def test_vectors_that_others_outweigh_under_a_dot_product_are_no_false_alarm(
    databases: Callable[..., WeaviateDatabase],
) -> None:
    """A short vector is not the nearest to itself there: all others may come first."""
    database = databases(index={"type": "hnsw", "distance": "dot"})
    item = cut("a.md", " ".join(f"w{n}" for n in range(300)), 1)
    made = (
        np.abs(vectors([chunk.text for chunk in item.chunks])) * np.linspace(0.01, 10, 300, dtype=np.float32)[:, None]
    )
    with writer(database) as writing:
        store(writing, [item.row], item.chunks, made, [""] * 300)
        info = writing.commit({})
    assert (info.notes, info.deleted_chunks) == ((), 0)


@pytest.mark.weaviate
def test_nodes_that_are_added_are_searched(
    databases: Callable[..., WeaviateDatabase], weaviate_server: Address
) -> None:
    database = databases(index={"type": "hnsw"})
    store = WeaviateVectorStore(database, "nodes")  # type: ignore[arg-type]
    nodes = [with_vector(chunk) for item in many(20).values() for chunk in item.chunks]
    store.add(nodes[:1])
    objects = []
    original = CollectionPair.put_chunks

    def put_chunks(self: CollectionPair, some: Sequence[Any], repair: Any) -> None:
        if not objects:
            objects.extend(some)
            assert plant_loss(self, weaviate_server, some) > 10
        original(self, some, repair)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(CollectionPair, "put_chunks", put_chunks)
        store.add(nodes)
    assert store.count() == len(nodes)
    assert unfound(database, "nodes") == []


@pytest.mark.weaviate
def test_node_that_stays_lost_is_kept_since_it_has_no_other_source(
    monkeypatch: pytest.MonkeyPatch, database: WeaviateDatabase
) -> None:
    store = WeaviateVectorStore(database, "nodes")  # type: ignore[arg-type]
    *nodes, new = (with_vector(chunk) for item in many(3).values() for chunk in item.chunks)
    store.add(nodes)
    with monkeypatch.context() as patched:
        never_found(patched, nodes[0].node_id)
        with pytest.raises(LostToSearch) as caught:
            store.add([new])
    message = str(caught.value)
    assert stored_but_not_found(2) in message
    assert add_nodes_again() in message
    assert "ingest" not in message
    assert {node.node_id for node in store.get_nodes()} == {node.node_id for node in (*nodes, new)}
    store.delete_nodes([nodes[0].node_id])
    store.add(nodes[:1])
    assert store.count() == len(nodes) + 1
    assert unfound(database, "nodes") == []


@pytest.mark.weaviate
def test_note_on_rewritten_nodes_names_what_a_plain_store_can_do(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, database: WeaviateDatabase
) -> None:
    store = WeaviateVectorStore(database, "nodes")  # type: ignore[arg-type]
    nodes = [with_vector(chunk) for item in many(2).values() for chunk in item.chunks]
    store.add(nodes)
    monkeypatch.setattr(search_verification, "confirm", lambda *_, **__: Verification(rewritten=1))
    store.add(nodes)
    (note,) = [record.getMessage() for record in caplog.records if "others may be lost" in record.getMessage()]
    assert add_all_nodes_again() in note
    assert "rebuild" not in note

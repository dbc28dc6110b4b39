"""Before a commit chunks are looked for by their own vectors (TRAPS 45): a loss is found, and what is there is no loss."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ragloom.components.vector_store.protocols import ManifestRow, StoredDocumentRow
from ragloom.components.vector_store.weaviate_store import write_audit, write_verification
from ragloom.components.vector_store.weaviate_store.collections import Place
from ragloom.components.vector_store.weaviate_store.database import WeaviateDatabase
from ragloom.components.vector_store.weaviate_store.grpc_channel import CallFailed
from ragloom.components.vector_store.weaviate_store.index_state import State
from ragloom.components.vector_store.weaviate_store.object_mapping import chunk_uuid
from ragloom.components.vector_store.weaviate_store.store import WeaviateVectorStore
from ragloom.components.vector_store.weaviate_store.write_repair import remove, settled
from ragloom.components.vector_store.weaviate_store.write_verification import (
    SAMPLE,
    Checked,
    LostToSearch,
    Sample,
    confirm,
)
from ragloom.core.records import Chunk, chunk_id, sha256
from ragloom.errors import ServiceError
from store_tools import Cut, contents, cut, sentence, sync, vectors, with_vector, write, writer
from weaviate_servers import Address, Server
from weaviate_tools import lost_in, unfound, weaviate_database


def test_sample_is_the_same_for_a_seed_and_of_bounded_size() -> None:
    made = [(np.random.default_rng(number).bytes(4).hex(), f"{number % 50}.md", "h") for number in range(3_000)]

    def drawn(seed: str) -> Sample:
        sample = Sample(seed)
        for start in range(0, len(made), 700):
            sample.add(made[start : start + 700])  # type: ignore[arg-type]
        return sample

    assert drawn("a").ids == drawn("a").ids
    assert drawn("a").ids != drawn("b").ids
    assert len(set(drawn("a").ids)) == SAMPLE >= 200
    sample = drawn("a")
    sample.forget_documents(["7.md"])
    sample.forget_version("8.md", "h")
    sample.forget_old({"9.md": "another", "10.md": "h"})
    gone = ("7.md", "8.md", "9.md")
    assert not {id for id, document, _ in made if document in gone} & set(sample.ids)
    assert {id for id, document, _ in made if document not in gone} >= set(sample.ids)
    assert len(sample.ids) > SAMPLE // 2
    few = Sample("a")
    few.add(made[:5])  # type: ignore[arg-type]
    assert few.ids == [id for id, *_ in made[:5]]


@pytest.mark.parametrize(
    "forget",
    [
        lambda sample: sample.forget_documents(["a.md"]),
        lambda sample: sample.forget_version("a.md", cut("a.md", "one two").chunks[0].content_hash),
        lambda sample: sample.forget_old({"a.md": "another"}),
    ],
    ids=["deleted", "discarded", "replaced"],
)
def test_chunk_of_unknown_outcome_is_not_looked_for_once_its_document_is_gone(
    forget: Callable[[Sample], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With asynchronous indexing such a chunk waits for the queue, and may be deleted before it was looked for."""
    queue, looked_for = [7], list[Any]()

    class Unsure:
        connection = chunks = label = SimpleNamespace(index="corpus-1")
        options = SimpleNamespace(indexing_seconds=-1)

        def put_chunks(self, objects: Sequence[Any], settle: Any) -> None:
            settle.suspects.update(objects)

        def queued(self) -> int:
            return queue[0]

    def confirmed(place: Any, ids: Sequence[Any], *_: Any, **__: Any) -> Checked:
        looked_for.extend(str(id) for id in ids)
        return Checked()

    monkeypatch.setattr(write_audit, "confirm", confirmed)
    checking = write_audit.Audit(Unsure(), State(), "seed", lambda: None)  # type: ignore[arg-type]
    chunks = {id: cut(id, "one two").chunks for id in ("a.md", "b.md")}
    for some in chunks.values():
        checking.store([chunk_uuid(chunk.id) for chunk in some], some)  # type: ignore[misc]
    assert looked_for == []
    forget(checking.sample)
    queue[0] = 0
    checking.verify()
    assert looked_for == [chunk.id for chunk in chunks["b.md"]]


@pytest.mark.parametrize("lost", [{"a": "chunk [0:3] of 'a.md'"}, {}], ids=["beside a lost one", "beside none"])
def test_chunk_in_the_graph_that_no_search_reaches_is_rewritten_beside_lost_ones_only(
    lost: dict[Any, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that was cut off leaves such chunks, and so do thousands of equal vectors: those are no false alarm."""
    answers, rewritten = [(lost, {"b"}), ({}, set[Any]())], list[Any]()

    def rewrite(place: Any, ids: Sequence[Any]) -> int:
        rewritten.extend(ids)
        return len(ids)

    monkeypatch.setattr(write_verification, "_lost", lambda *_, **__: answers.pop(0))
    monkeypatch.setattr(write_verification, "_rewrite", rewrite)
    monkeypatch.setattr(write_verification, "wait_until_indexed", lambda _: 0)
    checked = confirm(None, ["a", "b", "c"], "")  # type: ignore[arg-type, list-item]
    assert rewritten == (["a", "b"] if lost else [])
    assert checked == (Checked(rewritten=2) if lost else Checked(unreached=1))


def place_of(database: WeaviateDatabase, name: str = "corpus-1") -> Place:
    (label,) = [label for label in database._labels() if label.index == name and label.part == "Chunks"]
    return database._place(label)


def many(count: int, words: int = 25) -> dict[str, Cut]:
    return {f"{n}.md": cut(f"{n}.md", sentence(random.Random(n), words), 5) for n in range(count)}


def plant_loss(place: Place, address: Address, objects: Sequence[Any]) -> int:
    """Has a write cut off by its deadline, as a server that stalls does; returns how many objects are lost then."""
    needed = 0.0
    ids = [item.uuid for item in objects]
    for share in (None, 0.5, 0.3, 0.7, 0.2, 0.4, 0.6, 0.1, 0.8, 0.5, 0.3, 0.7):
        remove(place.connection, place.chunks, ids)
        limit = 60.0 if share is None else share * needed  # of what this machine needs for the whole write
        hasty = weaviate_database(address, place.options.prefix, timeouts={"insert": limit})
        collection = Place(hasty.connection, place.options, place.label).chunks
        began = time.monotonic()
        with contextlib.suppress(CallFailed):
            collection.data.insert_many(list(objects))
        needed = time.monotonic() - began if share is None else needed
        settled(place.connection, place.chunks, ids)  # the server goes on storing
        hasty.close()
        if (lost := len(lost_in(place))) > len(objects) // 4:
            return lost
    return 0


@pytest.mark.weaviate
@pytest.mark.parametrize("kind", ["hnsw", "flat"])
def test_planted_loss_is_found_and_rewritten(
    kind: str, weaviate_server: Address, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = {"type": kind}
    place = weaviate_database(weaviate_server, prefix, index=index)
    target = many(60)
    stored: list[Any] = []
    original = Place.put_chunks

    def put_chunks(self: Place, objects: Sequence[Any], settle: Any) -> None:
        if not stored:
            stored.extend(objects)
            assert plant_loss(self, weaviate_server, objects) > 10
        original(self, objects, settle)  # as the retry did: the server answers that all is well

    monkeypatch.setattr(Place, "put_chunks", put_chunks)
    with writer(place) as writing:
        write(writing, target.values())
        info = writing.commit({})
    chunks = [chunk.id for item in target.values() for chunk in item.chunks]
    assert set(contents(place.open("corpus-1"))) == set(chunks)
    assert info.deleted_chunks > 10
    (note,) = info.notes
    assert "were not found by search and were written again" in note
    assert "ragloom indexes rebuild corpus-1 writes all of them" in note
    confirm(place_of(place), [item.uuid for item in stored], "")
    assert unfound(place, "corpus-1") == []
    place.close()


@pytest.mark.weaviate
def test_loss_of_an_earlier_run_is_found_by_the_next_one(weaviate_server: Address, prefix: str) -> None:
    place = weaviate_database(weaviate_server, prefix, index={"type": "hnsw"})
    target = many(6)
    with writer(place) as writing:
        sync(writing, target)
    chunks = place_of(place)
    objects = [write_verification.copied(item) for item in chunks.objects("Chunks", 100)]
    assert plant_loss(chunks, weaviate_server, objects) > 5
    with writer(place) as writing:
        info = writing.commit({})
    assert "were not found by search" in info.notes[0]
    assert unfound(place, "corpus-1") == []
    assert set(contents(place.open("corpus-1"))) == {chunk.id for item in target.values() for chunk in item.chunks}
    place.close()


def never_found(patched: pytest.MonkeyPatch, id: str) -> None:
    """Has searches miss a chunk, however often it is written."""
    original = write_verification._missed

    def missed(place: Place, items: list[Any], pool: Any) -> list[Any]:
        return [item for item in items if str(item.uuid) == id] or original(place, items, pool)

    patched.setattr(write_verification, "_missed", missed)
    patched.setattr(write_verification, "_held", lambda place, items: set())
    patched.setattr(write_verification, "_PATIENCE", ())


@pytest.mark.weaviate
def test_chunk_that_stays_lost_fails_the_commit_and_the_same_ingest_ends_right(
    weaviate_server: Address, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = weaviate_database(weaviate_server, prefix)
    target = many(5)
    lost = target["3.md"].chunks[0]
    with monkeypatch.context() as patched:
        never_found(patched, lost.id)
        with pytest.raises(LostToSearch) as caught, writer(place) as writing:
            sync(writing, target)
        said = str(caught.value)
        assert f"chunk [0:{lost.end}] of '3.md' is stored and not found by search after 2 rewrites" in said
        assert "run the same ingest command again" in said
        assert "\n" not in said
    with writer(place) as writing:
        sync(writing, target)
    assert set(contents(place.open("corpus-1"))) == {chunk.id for item in target.values() for chunk in item.chunks}
    assert unfound(place, "corpus-1") == []
    place.close()


@pytest.mark.weaviate
@pytest.mark.parametrize("how", ["stays lost", "cut off after the deletion"])
def test_failed_repair_by_a_run_that_changes_nothing_is_made_up_for_by_the_next_ingest(
    how: str, weaviate_server: Address, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = weaviate_database(weaviate_server, prefix)
    target = many(5)
    with writer(place) as writing:
        sync(writing, target)
    chunks = {chunk.id for item in target.values() for chunk in item.chunks}
    lost = target["3.md"].chunks[0]

    def put_chunks(self: Place, objects: Sequence[Any], settle: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        never_found(patched, lost.id)
        if how != "stays lost":
            patched.setattr(Place, "put_chunks", put_chunks)
        with pytest.raises((LostToSearch, KeyboardInterrupt)), writer(place) as writing:
            writing.recover()
            writing.commit({})
    assert set(contents(place.open("corpus-1"))) == chunks - {lost.id}
    with writer(place) as writing:
        sync(writing, target)
    assert set(contents(place.open("corpus-1"))) == chunks
    assert unfound(place, "corpus-1") == []
    place.close()


@pytest.mark.weaviate
def test_run_that_changes_and_repairs_nothing_is_not_announced(
    weaviate_server: Address, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An announcement waits until every reader has heard of it, and has the next run read the whole index."""
    place = weaviate_database(weaviate_server, prefix)
    with writer(place) as writing:
        sync(writing, many(5))
    states: list[State] = []
    original = Place.put_state

    def put_state(self: Place, state: State) -> None:
        states.append(state)
        original(self, state)

    monkeypatch.setattr(Place, "put_state", put_state)
    with writer(place) as writing:
        writing.recover()
        writing.commit({})
    assert [state.writing for state in states] == [None]
    place.close()


@pytest.mark.weaviate
def test_lost_chunk_of_a_rebuild_leaves_the_index_as_it_was(
    weaviate_server: Address, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = weaviate_database(weaviate_server, prefix)
    target = many(5)
    with writer(place) as writing:
        sync(writing, target)
    before = contents(place.open("corpus-1"))
    with monkeypatch.context() as patched:
        patched.setattr(write_verification, "_missed", lambda place, items, pool: items)
        patched.setattr(write_verification, "_held", lambda place, items: set())
        patched.setattr(write_verification, "_PATIENCE", ())
        with pytest.raises(ServiceError, match="run ragloom indexes rebuild corpus-1 again"):
            place.rebuild("corpus-1")
    assert contents(place.open("corpus-1")) == before
    assert [label.generation for label in place._labels()] == [1, 1]
    place.close()


@pytest.mark.weaviate
def test_vectors_of_zeros_are_looked_for_by_their_words(weaviate_server: Address, prefix: str) -> None:
    place = weaviate_database(weaviate_server, prefix, index={"type": "hnsw"})
    item = cut("a.md", "one two three four " * 20, 2)
    silent = cut("b.md", "five", 1)
    with writer(place) as writing:
        for some in (item, silent):
            writing.append(some.chunks, np.zeros((len(some.chunks), 16), dtype=np.float32), [""] * len(some.chunks))
            writing.finish([some.row])
        assert writing.commit({}).notes == ()
    ids = [chunk.id for chunk in item.chunks]
    chunks = place_of(place)
    assert confirm(chunks, [write_verification.UUID(id) for id in ids], "") == Checked()
    place.close()


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
    place = weaviate_database(weaviate_process(**env).address, "Equal", index=index, tenant=tenant)
    with writer(place) as writing:
        write(writing, many(40).values())
        write(writing, [repeated(3_000)])
        info = writing.commit({})
    assert info.deleted_chunks == 0
    assert all("dense search does not reach them" in note for note in info.notes)
    with writer(place) as writing:  # equal chunks among the older ones
        write(writing, [cut("new.md", "something new")])
        info = writing.commit({})
    # An hnsw graph may really not get to a chunk beside so many equal ones; that is said, and rewrites nothing.
    assert info.deleted_chunks == 0
    assert all("dense search does not reach them" in note for note in info.notes)
    place.close()


def repeated(count: int) -> Cut:
    """Makes a document of chunks of one text."""
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
    weaviate_server: Address, prefix: str
) -> None:
    """A short vector is not the nearest to itself there: all others may come first."""
    place = weaviate_database(weaviate_server, prefix, index={"type": "hnsw", "distance": "dot"})
    item = cut("a.md", " ".join(f"w{n}" for n in range(300)), 1)
    made = (
        np.abs(vectors([chunk.text for chunk in item.chunks])) * np.linspace(0.01, 10, 300, dtype=np.float32)[:, None]
    )
    with writer(place) as writing:
        writing.write([item.row], item.chunks, made, [""] * 300)
        info = writing.commit({})
    assert (info.notes, info.deleted_chunks) == ((), 0)
    place.close()


@pytest.mark.weaviate
def test_nodes_that_are_added_are_looked_for(weaviate_server: Address, prefix: str) -> None:
    place = weaviate_database(weaviate_server, prefix, index={"type": "hnsw"})
    store = WeaviateVectorStore(place, "nodes")  # type: ignore[arg-type]
    nodes = [with_vector(chunk) for item in many(20).values() for chunk in item.chunks]
    store.add(nodes[:1])
    objects = []
    original = Place.put_chunks

    def put_chunks(self: Place, some: Sequence[Any], settle: Any) -> None:
        if not objects:
            objects.extend(some)
            assert plant_loss(self, weaviate_server, some) > 10
        original(self, some, settle)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Place, "put_chunks", put_chunks)
        store.add(nodes)
    assert store.count() == len(nodes)
    assert unfound(place, "nodes") == []
    place.close()


@pytest.mark.weaviate
def test_node_that_stays_lost_is_kept_since_it_has_no_other_source(
    weaviate_server: Address, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = weaviate_database(weaviate_server, prefix)
    store = WeaviateVectorStore(place, "nodes")  # type: ignore[arg-type]
    *nodes, new = (with_vector(chunk) for item in many(3).values() for chunk in item.chunks)
    store.add(nodes)
    with monkeypatch.context() as patched:
        never_found(patched, nodes[0].node_id)
        with pytest.raises(LostToSearch) as caught:
            store.add([new])
    said = str(caught.value)
    assert "is stored and not found by search after 2 rewrites" in said
    assert "delete_nodes() and add() them again" in said
    assert "ingest" not in said
    assert {node.node_id for node in store.get_nodes()} == {node.node_id for node in (*nodes, new)}
    store.delete_nodes([nodes[0].node_id])
    store.add(nodes[:1])
    assert store.count() == len(nodes) + 1
    assert unfound(place, "nodes") == []
    place.close()


@pytest.mark.weaviate
def test_note_on_rewritten_nodes_names_what_a_plain_store_can_do(
    weaviate_server: Address, prefix: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place = weaviate_database(weaviate_server, prefix)
    store = WeaviateVectorStore(place, "nodes")  # type: ignore[arg-type]
    nodes = [with_vector(chunk) for item in many(2).values() for chunk in item.chunks]
    store.add(nodes)
    monkeypatch.setattr(write_audit, "confirm", lambda *_, **__: Checked(rewritten=1))
    store.add(nodes)
    (note,) = [record.getMessage() for record in caplog.records if "others may be lost" in record.getMessage()]
    assert "clear() the store and add() all nodes again" in note
    assert "rebuild" not in note
    place.close()

"""Traps of the published integration and of the server (TRAPS 1-7, 39-43).

Against a real server. Metadata filters have their own file, and so have connection and embedded server.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from llama_index.core.schema import QueryBundle
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

from fakes import LetterEmbedding
from made import defaults
from messages import ANY, wording
from messages.vector_store import being_written_since
from messages.weaviate import (
    changed_on_server,
    chunk_not_stored,
    chunk_refused,
    lease_lost,
    other_distance,
    shard_statistics,
    vectors_in_queue,
)
from ragloom.components.analyzer import multilingual
from ragloom.components.retriever import hybrid
from ragloom.components.vector_store.record_types import IndexMissing
from ragloom.components.vector_store.weaviate_store import object_mapping, write_lease
from ragloom.components.vector_store.weaviate_store.database import WeaviateDatabase
from ragloom.core.records import Chunk, sha256
from ragloom.errors import DataError, ServiceError
from store_tools import (
    DIMENSIONS,
    BruteForce,
    assert_same_ranking,
    contents,
    cut,
    ranking,
    sentence,
    store,
    vectors,
    write,
    writer,
)
from weaviate_servers import Address, Server
from weaviate_tools import weaviate_database

pytestmark = pytest.mark.weaviate


def test_one_object_that_the_server_rejects_is_an_error_that_names_it_and_its_document_is_not_committed(
    database: WeaviateDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRAPS 1: the published integration returned 10 ids when 5 of 10 objects were stored."""
    original = object_mapping.chunk_object

    def spoiled(chunk: Chunk, *arguments: Any) -> Any:
        item = original(chunk, *arguments)
        if chunk.document == "bad.md":
            item.vector = [1.0, 2.0]  # the others have 16 dimensions
        return item

    with writer(database) as writing:
        write(writing, [cut("good.md", "some text")])
        monkeypatch.setattr(object_mapping, "chunk_object", spoiled)
        with pytest.raises(DataError, match=wording(chunk_refused("[0:9]", "bad.md"), "vector")) as caught:
            write(writing, [cut("fine.md", "more text"), cut("bad.md", "more text")])
        assert "\n" not in str(caught.value)
    monkeypatch.undo()
    with writer(database) as writing:
        assert [row.id for row in writing.manifest()] == ["good.md"]
        assert writing.recover().chunks == 1  # of fine.md, whose manifest row was never written
        write(writing, [cut("fine.md", "more text")])
        assert writing.commit({}).chunks == 2
    assert set(contents(database.open("corpus-1"))) == {
        chunk.id for item in (cut("good.md", "some text"), cut("fine.md", "more text")) for chunk in item.chunks
    }


def test_an_object_that_is_taken_and_not_kept_is_an_error(
    monkeypatch: pytest.MonkeyPatch, databases: Callable[..., WeaviateDatabase]
) -> None:
    """TRAPS 1: what the server has accepted is confirmed by id (a server that forgets cannot be had for real)."""
    from weaviate.collections.classes.batch import BatchObjectReturn

    database = databases(timeouts={"retry": 0.5})
    with writer(database) as writing:
        collection = writing.pair.chunks  # type: ignore[attr-defined]
        empty = BatchObjectReturn(_all_responses=[], elapsed_seconds=0.0, errors={}, uuids={}, has_errors=False)
        monkeypatch.setattr(collection.data, "insert_many", lambda objects: empty)
        with pytest.raises(ServiceError, match=wording(chunk_not_stored("[0:4]", "a.md"))):
            write(writing, [cut("a.md", "text")])


def test_document_of_12_000_chunks_is_stored_read_replaced_and_deleted_whole(database: WeaviateDatabase) -> None:
    """TRAPS 2: of 12,000 matches 2,000 stayed, and nothing was said."""
    long, short = cut("long.md", "word " * 12_000, 1), cut("other.md", "word " * 300, 1)
    with writer(database) as writing:
        write(writing, [long, short])
        assert writing.commit({}).chunks == 12_300
        assert len(writing.vectors_of(["long.md"])) == 1  # all chunks have one text
    with writer(database) as writing:
        replaced = cut("long.md", "term " * 11_000, 1)
        write(writing, [replaced])
        info = writing.commit({})
        assert (info.chunks, info.deleted_chunks) == (11_300, 12_000)
        assert writing.delete(["long.md"]) == 1
        assert writing.commit({}).chunks == 300
    assert {hit.chunk.document for hit in database.open("corpus-1").lexical("word term", 500)} == {"other.md"}


def test_weights_zero_and_one_are_the_pure_arms_with_their_raw_scores(database: WeaviateDatabase) -> None:
    """TRAPS 3: alpha 0 became 0.5, and every query was hybrid with normalised scores."""
    embedding = LetterEmbedding()
    documents = {f"{n}.md": cut(f"{n}.md", sentence(random.Random(n)), n=n) for n in range(20)}
    dimensions = len(embedding.get_text_embedding("a"))
    with database.writer("corpus-1", dimensions=dimensions, description={}, root="/") as writing:
        chunks = [chunk for item in documents.values() for chunk in item.chunks]
        vectors = np.array(embedding.get_text_embedding_batch([chunk.text for chunk in chunks]), dtype=np.float32)
        hashes = [sha256(chunk.text) for chunk in chunks]
        store(writing, [item.row for item in documents.values()], chunks, vectors, hashes)
        writing.commit({})
    index = database.open("corpus-1")
    query = QueryBundle("w1 w2 w7")
    dense = index.dense(embedding.get_query_embedding(query.query_str), 10)
    lexical = index.lexical(query.query_str, 10)
    assert ranking(dense) != ranking(lexical)
    for weight, arm in ((1.0, dense), (0.0, lexical)):
        retriever = hybrid(
            index, embedding, **(defaults("retriever", "hybrid") | {"top_k": 10, "dense_weight": weight})
        )
        nodes = retriever.retrieve(query)
        assert [node.node.node_id for node in nodes] == [hit.chunk.id for hit in arm]
        candidates = [node.node for node in nodes]
        assert candidates[0].get_content() == arm[0].chunk.text
    raw = [hit.score for hit in lexical]
    assert_same_ranking(ranking(lexical), BruteForce(documents).lexical(query.query_str, 10))
    assert raw[0] > 1  # nothing was normalised
    assert asyncio.run(retriever.aretrieve(query)) == nodes  # TRAPS 5: one object serves both


KEYS = {
    "text": "not the text",
    "doc_id": "not the id",
    "document": "x",
    "content_hash": "x",
    "bucket": 7,
    "terms": "zebra",
    "about": [1],
    "id": "x",
    "vector": [0.5],
    "_node_content": "{}",
    "ref_doc_id": "y",
    "document_id": "z",
    "부서": "영업",
    "page label": "iv",
    "Ä.b-c": True,
    "large": 2**53 + 1,
    "nothing": None,
    "nested": {"a": [1, "2", None]},
}


def test_user_keys_that_are_reserved_lose_nothing(database: WeaviateDatabase) -> None:
    """TRAPS 4: a key `text` replaced the chunk's text, ids were overwritten; 39: 2**53 + 1 was rounded."""
    item = cut("a.md", "the text itself", 12, **KEYS)
    with writer(database) as writing:
        write(writing, [item])
        writing.commit({})
    index = database.open("corpus-1")
    (hit,) = index.lexical("itself", 5)
    assert hit.chunk == item.chunks[0]
    assert index.document("a.md").metadata == KEYS
    assert index.lexical("zebra x", 5) == []  # TRAPS 3: BM25 searched ids and metadata too
    for key, value in KEYS.items():
        if type(value) in (str, int):
            same = MetadataFilters(filters=[MetadataFilter(key=key, value=value)])
            assert len(index.lexical("text", 5, same)) == 1, key
    off_by_one = MetadataFilters(filters=[MetadataFilter(key="large", value=2**53)])
    assert index.lexical("text", 5, off_by_one) == []


def test_property_whose_type_changes_loses_no_document(database: WeaviateDatabase) -> None:
    """TRAPS 4: the type of a key's first value was every value's type, and other objects were lost."""
    values = ["2024-01-01", 7, 7.5, True, ["a", "b"], [1, 2], {"k": 1}, "6ba7b810-9dad-11d1-80b4-00c04fd430c8", None]
    with writer(database) as writing:
        for number, value in enumerate(values):
            write(writing, [cut(f"{number}.md", "text", 12, key=value)])
        writing.commit({})
    index = database.open("corpus-1")
    stored = {hit.chunk.document: hit.chunk.metadata["key"] for hit in index.lexical("text", 50)}
    assert stored == {f"{number}.md": value for number, value in enumerate(values)}


def test_korean_words_match_whatever_particle_follows(databases: Callable[..., WeaviateDatabase]) -> None:
    """TRAPS 6: with Weaviate's own tokenization 계약서를 does not match 계약서."""
    database = databases(analyzer=multilingual())
    with writer(database) as writing:
        write(writing, [cut("계약.md", "근로 계약서를 두 부 작성한다"), cut("휴가.md", "연차 휴가는 스무 날이다")])
        writing.commit({})
    index = database.open("corpus-1")
    assert [hit.chunk.document for hit in index.lexical("계약서", 5)] == ["계약.md"]
    assert [hit.chunk.document for hit in index.lexical("the of 휴가", 5)] == ["휴가.md"]  # no stop words either


def test_deleted_chunks_count_in_the_statistics_until_the_index_is_rebuilt(
    weaviate_process: Callable[..., Server],
) -> None:
    """TRAPS 40: the server keeps counting what was deleted; we say how much, and `rebuild` ends it."""
    server = weaviate_process()
    documents = {f"{n}.md": cut(f"{n}.md", sentence(random.Random(n)), n=n) for n in range(60)}
    remaining = {id: item for id, item in documents.items() if int(id[:-3]) % 3}
    database = weaviate_database(server.address, "Drift")
    with writer(database) as writing:
        write(writing, documents.values())
        writing.commit({})
    database.close()
    server.stop()  # what is in memory goes to disk, where it is not corrected by what is deleted later
    server.restart()
    database = weaviate_database(server.address, "Drift")
    with writer(database) as writing:
        writing.delete([id for id in documents if id not in remaining])
        info = writing.commit({})
    assert info.deleted_chunks == sum(len(item.chunks) for id, item in documents.items() if id not in remaining)
    brute, questions = BruteForce(remaining), [f"w{n} w{n + 1}" for n in range(1, 12)]
    drifted = database.open("corpus-1")
    scores = [[hit.score for hit in drifted.lexical(question, 10)] for question in questions]
    true = [[score for *_, score in brute.lexical(question, 10)] for question in questions]
    assert not np.allclose(np.concatenate(scores), np.concatenate(true), rtol=1e-3)
    before, document = contents(drifted), drifted.document("1.md")
    rebuilt = database.rebuild("corpus-1")
    assert (rebuilt.deleted_chunks, rebuilt.chunks, rebuilt.documents) == (0, info.chunks, info.documents)
    index = database.open("corpus-1")
    for question in questions:
        assert_same_ranking(ranking(index.lexical(question, 10)), brute.lexical(question, 10))
    assert contents(index) == before
    assert index.document("1.md") == document
    assert [label.generation for label in database.catalog.labels()] == [2, 2]
    database.close()


def test_killed_rebuild_leaves_the_index_and_the_next_one_succeeds(
    database: WeaviateDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ragloom.components.vector_store.weaviate_store.collection_pair import CollectionPair

    with writer(database) as writing:
        write(writing, [cut(f"{n}.md", sentence(random.Random(n))) for n in range(5)])
        writing.commit({})
    before = contents(database.open("corpus-1"))
    with monkeypatch.context() as patched:
        patched.setattr(CollectionPair, "put_documents", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            database.rebuild("corpus-1")
    assert contents(database.open("corpus-1")) == before
    database.rebuild("corpus-1")
    assert contents(database.open("corpus-1")) == before
    assert [label.generation for label in database.catalog.labels()] == [2, 2]


def test_schema_that_was_changed_by_somebody_is_an_error_that_says_in_what(
    database: WeaviateDatabase, databases: Callable[..., WeaviateDatabase]
) -> None:
    with writer(database) as writing:
        write(writing, [cut("a.md", "text")])
        writing.commit({})
    other = databases(index={"distance": "dot", "bm25_b": 0.5})
    with pytest.raises(DataError, match=wording(other_distance("cosine", "dot"))), writer(other):
        pass


def test_mutable_settings_are_changed_in_place_and_reported(
    database: WeaviateDatabase, databases: Callable[..., WeaviateDatabase]
) -> None:
    with writer(database) as writing:
        write(writing, [cut("a.md", "text")])
        assert writing.commit({}).notes == ()
    other = databases(index={"bm25_b": 0.5})
    with writer(other) as writing:
        write(writing, [cut("b.md", "text")])
        assert writing.commit({}).notes == (changed_on_server("vector_store.index.bm25_b", 0.75, 0.5),)
    with writer(other) as writing:
        assert writing.commit({}).notes == ()


def test_several_shards_tell_that_bm25_is_per_shard(databases: Callable[..., WeaviateDatabase]) -> None:
    """TRAPS 40."""
    database = databases(index={"shards": 3})
    with writer(database) as writing:
        write(writing, [cut(f"{n}.md", "some text") for n in range(20)])
        (note,) = writing.commit({}).notes
    assert shard_statistics(3) in note
    assert len(database.open("corpus-1").lexical("text", 50)) == 20


def test_collections_of_others_are_never_listed_or_touched(database: WeaviateDatabase) -> None:
    foreign = [f"{database.options.prefix}_Mine", f"{database.options.prefix}2_corpus_1_Chunks1"]
    client = database.connection.client
    for name, description in zip(foreign, ("not JSON", '{"ragloom": 1, "of": "another program"}'), strict=True):
        client.collections.create(name, description=description)
    assert database.indexes() == []
    with writer(database) as writing:
        write(writing, [cut("a.md", "text")])
        writing.commit({})
    assert [info.name for info in database.indexes()] == ["corpus-1"]
    database.delete("corpus-1")
    with pytest.raises(IndexMissing):
        database.delete("Mine")
    ours = [name for name in client.collections.list_all() if name.startswith(database.options.prefix)]
    assert sorted(ours) == sorted(foreign)
    for name in foreign:
        client.collections.delete(name)


def test_tenants_never_see_each_other(
    databases: Callable[..., WeaviateDatabase], weaviate_server: Address, prefix: str
) -> None:
    """TRAPS 5: no multi-tenancy."""
    without = databases()
    with writer(without) as writing:
        write(writing, [cut("w.md", "text without tenant")])
        writing.commit({})
    acme, other = (databases(tenant=name) for name in ("acme", "other"))
    assert acme.indexes() == []
    with writer(acme, root="/acme") as writing:
        write(writing, [cut("a.md", "acme text"), cut("shared.md", "acme text")])
        writing.commit({})
    assert other.indexes() == []
    with pytest.raises(IndexMissing, match="tenant other"):
        other.open("corpus-1")
    with writer(other, root="/other") as writing, writer(acme, root="/acme"):  # a lease each
        write(writing, [cut("b.md", "other text"), cut("shared.md", "other text")])
        writing.commit({})
    assert {hit.chunk.text for hit in acme.open("corpus-1").lexical("text", 9)} == {"acme text"}
    assert {hit.chunk.text for hit in other.open("corpus-1").lexical("text", 9)} == {"other text"}
    assert (acme.indexes()[0].root, other.indexes()[0].root) == ("/acme", "/other")
    other.rebuild("corpus-1")
    assert len(acme.open("corpus-1").lexical("text", 9)) == len(other.open("corpus-1").lexical("text", 9)) == 2
    acme.delete("corpus-1")
    assert acme.indexes() == []
    assert len(other.open("corpus-1").lexical("text", 9)) == 2
    other.delete("corpus-1")
    assert [hit.chunk.document for hit in without.open("corpus-1").lexical("text", 9)] == ["w.md"]
    without.delete("corpus-1")
    assert weaviate_server.collections(prefix) == []


def test_reader_sees_each_document_in_one_version_while_it_is_replaced(
    database: WeaviateDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the commit both versions are on the server; a query keeps the committed one only, and never none."""
    from ragloom.components.vector_store.weaviate_store.collection_pair import CollectionPair

    with writer(database) as writing:
        write(writing, [cut("a.md", "word old one"), cut("b.md", "word other")])
        writing.commit({})
    index = database.open("corpus-1")
    seen: list[list[str]] = []

    def look(name: str) -> None:
        original = getattr(CollectionPair, name)

        def spying(self: CollectionPair, *arguments: object) -> object:
            result = original(self, *arguments)
            seen.append(sorted(hit.chunk.text for hit in index.lexical("word", 9)))
            return result

        monkeypatch.setattr(CollectionPair, name, spying)

    for name in ("put_chunks", "put_documents", "delete_chunks", "delete_documents"):
        look(name)
    with writer(database) as writing:
        write(writing, [cut("a.md", "word new one"), cut("c.md", "word more")])
        writing.delete(["b.md"])
        writing.commit({})
    before, after = ["word old one", "word other"], ["word more", "word new one", "word other"]
    assert seen == [before, after, after, after[:2], after[:2]]


def test_reader_trusts_the_state_only_as_long_as_the_writer_waits(
    database: WeaviateDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that knows a quiet state asks nothing; the writer that starts waits until it asks again."""
    from ragloom.components.vector_store.weaviate_store.collection_pair import CollectionPair

    with writer(database) as writing:
        write(writing, [cut("a.md", "word")])
        writing.commit({})
    index = database.open("corpus-1")
    reads: list[float] = []
    original = CollectionPair.state
    monkeypatch.setattr(CollectionPair, "state", lambda self: reads.append(time.monotonic()) or original(self))
    # After a commit nothing is written, so that no query needs to look into the manifest.
    monkeypatch.setattr(CollectionPair, "manifest_objects", lambda *_: pytest.fail("the manifest was asked"))
    until = time.monotonic() + 1.2
    while time.monotonic() < until:
        assert len(index.lexical("word", 3)) == 1
    assert 1 <= len(reads) <= 4


def test_second_writer_is_reported_who_writes_and_since_when_and_takes_over_from_the_dead(
    database: WeaviateDatabase, monkeypatch: pytest.MonkeyPatch, databases: Callable[..., WeaviateDatabase]
) -> None:
    """TRAPS 43: creating a collection goes through the cluster's consensus, so that only one can."""
    monkeypatch.setattr(write_lease, "EXPIRY_SECONDS", 3.0)
    other = databases()
    with writer(database) as first:
        with pytest.raises(ServiceError, match=wording(being_written_since())), writer(other):
            pass
        first.lease.abandon()  # type: ignore[attr-defined]  # as if its machine had died
        with writer(other) as second:
            write(second, [cut("b.md", "text")])
            with pytest.raises(ServiceError, match=wording(lease_lost("corpus-1"))):
                write(first, [cut("a.md", "text")])
            with pytest.raises(ServiceError, match=wording(lease_lost(ANY))):
                first.commit({})
            second.commit({})
    assert list(contents(database.open("corpus-1"))) == [cut("b.md", "text").chunks[0].id]
    assert [label for label in database.catalog.labels() if label.holder] == []


def test_writer_that_is_overtaken_while_it_looks_for_leftovers_removes_none_of_them(
    database: WeaviateDatabase, monkeypatch: pytest.MonkeyPatch, databases: Callable[..., WeaviateDatabase]
) -> None:
    """What it found left over has been completed since, under the same ids."""
    monkeypatch.setattr(write_lease, "EXPIRY_SECONDS", 2.0)
    left = cut("a.md", "text")
    with writer(database) as killed:
        killed.append(left.chunks, vectors(["text"]), [sha256("text")])
    other = databases()
    with writer(database) as first:
        scan, looks = first.pair.scan, iter([False, True])  # type: ignore[attr-defined]

        def slow(*arguments: Any, **named: Any) -> Iterator[Any]:
            yield from scan(*arguments, **named)
            if next(looks):
                first.lease.abandon()  # type: ignore[attr-defined]  # as if its machine had slept
                with writer(other) as second:
                    write(second, [left])
                    second.commit({})

        monkeypatch.setattr(first.pair, "scan", slow)  # type: ignore[attr-defined]
        with pytest.raises(ServiceError, match=wording(lease_lost("corpus-1"))):
            first.recover()
    assert list(contents(database.open("corpus-1"))) == [left.chunks[0].id]


def test_discarded_chunks_are_reported_as_deleted_since_bm25_counts_them(database: WeaviateDatabase) -> None:
    """TRAPS 40."""
    item = cut("a.md", "text")
    with writer(database) as writing:
        writing.append(item.chunks, vectors(["text"]), [sha256("text")])
        writing.discard([(item.row.manifest.id, item.row.manifest.content_hash)])
        write(writing, [cut("b.md", "text")])
        info = writing.commit({})
    assert (info.documents, info.chunks, info.deleted_chunks) == (1, 1, 1)


def test_stored_is_searchable_when_commit_returns_also_with_asynchronous_indexing(
    weaviate_process: Callable[..., Server],
) -> None:
    """TRAPS 42: with ASYNC_INDEXING what is stored is not searchable yet."""
    server = weaviate_process(ASYNC_INDEXING="true", ASYNC_INDEXING_STALE_TIMEOUT="100ms")
    database = weaviate_database(server.address, "Late", index={"type": "hnsw"})
    with writer(database) as writing:
        write(writing, [cut("a.md", " ".join(f"w{n}" for n in range(3000)), 1)])
        assert writing.commit({}).notes == ()
        queued = writing.pair.queued()  # type: ignore[attr-defined]
    assert queued == 0
    assert len(database.open("corpus-1").dense(vectors(["w5"])[0].tolist(), 2000)) == 2000
    hasty = weaviate_database(server.address, "Hasty", index={"type": "hnsw"}, timeouts={"indexing": 0.001})
    with writer(hasty) as writing:
        write(writing, [cut("a.md", " ".join(f"w{n}" for n in range(6000)), 1)])
        info = writing.commit({})
    assert info.notes == () or vectors_in_queue() in info.notes[0]
    database.close()
    hasty.close()


def test_vectors_come_back_bit_by_bit_and_zeros_have_no_direction(database: WeaviateDatabase) -> None:
    item = cut("a.md", "one two three", 1)
    rows = np.array([[3.0, *[1e-7] * (DIMENSIONS - 1)], [0.0] * DIMENSIONS, [-2.5] * DIMENSIONS], dtype=np.float32)
    with writer(database) as writing:
        store(writing, [item.row], item.chunks, rows, ["a", "b", "c"])
        writing.commit({})
        stored = writing.vectors_of(["a.md"])
    for name, row in zip("abc", rows, strict=True):
        np.testing.assert_array_equal(stored["a.md", name], row)
    index = database.open("corpus-1")
    assert [hit.chunk.text.strip() for hit in index.dense([1.0] * DIMENSIONS, 9)] == ["one", "three"]
    stored = index.vectors([chunk.id for chunk in item.chunks])
    assert [stored[chunk.id] for chunk in item.chunks] == rows.tolist()

"""What every store promises of databases, writers and indexes: one suite, unchanged on each of them.

Searches are in `test_store_contract_search.py`, the LlamaIndex side in `test_store_contract_llamaindex.py`. What only one
store promises (snapshots, files, clusters) is tested where that store is.
"""

import json
import os
import random
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from messages import wording
from messages.vector_store import (
    being_written,
    being_written_since,
    comes_twice,
    interrupted_ingest,
    missing_documents,
    no_document,
    no_index,
    other_source,
    wrong_dimensions,
)
from places import TESTS
from ragloom.components.vector_store.record_types import IndexMissing
from ragloom.core.records import sha256
from ragloom.errors import ConfigError, DataError, ServiceError
from store_tools import contents, cut, ranking, sentence, store, vectors, write, writer

if TYPE_CHECKING:
    from store_places import Place

pytest_plugins = ["store_places"]

CORPUS = {f"{n}.md": cut(f"{n}.md", sentence(random.Random(n), 30), n=n) for n in range(8)}
CHUNKS = sum(len(item.chunks) for item in CORPUS.values())


def test_store_says_nothing_on_standard_output(place: "Place", capfd: pytest.CaptureFixture[str]) -> None:
    place.fresh(CORPUS).lexical("w1", 3)
    assert capfd.readouterr() == ("", "")


def test_index_holds_what_was_written(place: "Place") -> None:
    before = datetime.now(UTC)
    index = place.fresh(CORPUS)
    for item in CORPUS.values():
        stored = index.document(item.row.manifest.id)
        assert (stored.text, stored.metadata) == (item.row.text, item.row.metadata)
        hits = index.lexical(item.row.text, 10, doc_ids=[stored.id], with_vectors=True)
        assert sorted((hit.chunk for hit in hits), key=lambda chunk: chunk.start) == list(item.chunks)
        assert index.chunks_of([stored.id]) == list(item.chunks)
        for hit in hits:
            assert stored.text[hit.chunk.start : hit.chunk.end] == hit.chunk.text
            np.testing.assert_array_equal(np.float32(hit.vector), vectors([hit.chunk.text])[0])
    info = index.info
    assert (info.documents, info.chunks, info.version, info.dimensions) == (8, CHUNKS, 1, 16)
    assert (info.name, info.source, info.root) == ("corpus-1", "corpus", "/documents")
    assert (info.description, info.summary) == ({"chunking": {"words": 12}}, {})
    assert (info.deleted_chunks, info.notes) == (0, ())
    assert info.bytes > 0
    assert before - timedelta(seconds=1) < info.committed_at < datetime.now(UTC) + timedelta(seconds=1)
    assert len(index.vectors([hit.chunk.id for hit in hits] + ["none such"])) == len(hits)


def test_absent_document_is_named(place: "Place") -> None:
    with pytest.raises(DataError, match=wording(no_document("x.md"))):
        place.fresh(CORPUS).document("x.md")


def test_blank_document_is_kept_without_chunks_and_can_become_one_with(place: "Place") -> None:
    for text, chunks in (("", 0), ("now there is text", 1), ("", 0)):
        with writer(place.database) as writing:
            write(writing, [cut("a.md", text)])
            info = writing.commit({})
        assert (info.documents, info.chunks) == (1, chunks)
        assert place.database.open("corpus-1").document("a.md").text == text
        assert len(place.database.open("corpus-1").lexical("text", 5)) == chunks


def test_writing_twice_stores_once(place: "Place") -> None:
    with writer(place.database) as writing:
        for _ in range(2):
            write(writing, CORPUS.values())
        first = writing.commit({})
        write(writing, CORPUS.values())
        second = writing.commit({})
    assert (first.documents, first.chunks) == (second.documents, second.chunks) == (8, CHUNKS)
    assert second.version == first.version + 1
    assert len(contents(place.database.open("corpus-1"))) == CHUNKS


def test_replacing_leaves_nothing_of_the_old_text(place: "Place") -> None:
    """TRAPS 33: adding a known id again must not keep the old content."""
    with writer(place.database) as writing:
        write(writing, [cut("a.md", "old words here", lang="en"), cut("b.md", "other words")])
        writing.commit({})
        write(writing, [cut("a.md", "new words there")])
        writing.commit({})
    index = place.database.open("corpus-1")
    assert index.lexical("old here", 5) == []
    (hit,) = index.lexical("new", 5)
    assert hit.chunk.metadata == {"part": 0}  # the key `lang` is gone, not left over from the old row
    assert index.document("a.md").metadata == {}


@pytest.mark.parametrize("gone", ["report.pdf", "docs/a.md", "the", "a", " a", "it's", "x' OR '1'='1"])
def test_delete_takes_exactly_the_document_of_that_id(place: "Place", gone: str) -> None:
    """TRAPS 2, 32, 39: no tokens, no trimming, no SQL."""
    ids = ["report.pdf", "annual-report.pdf", "docs/a.md", "docs/md/a.md", "the", "a", "a ", " a", "it's"]
    ids += ["x' OR '1'='1", "%", "the a", "*", "?"]
    with writer(place.database) as writing:
        write(writing, [cut(id, "text") for id in ids])
        writing.commit({})
        assert writing.delete([gone]) == 1
        assert writing.delete([gone]) == 0
        writing.commit({})
        assert {row.id for row in writing.manifest()} == set(ids) - {gone}
    assert {hit.chunk.document for hit in place.database.open("corpus-1").lexical("text", 99)} == set(ids) - {gone}


def test_delete_takes_thousands_of_documents_and_of_chunks(place: "Place") -> None:
    """TRAPS 2: of 12,000 matches 2,000 stayed in the published Weaviate integration."""
    with writer(place.database) as writing:
        write(writing, [cut(f"{n}", "text") for n in range(2500)])
        write(writing, [cut("long", "word " * 12_000, 1)])
        assert writing.delete(["long", *(f"{n}" for n in range(1, 2500))]) == 2500
        assert writing.commit({}).chunks == 1
    assert len(contents(place.database.open("corpus-1"))) == 1


def test_vectors_of_known_text_are_found_by_document_and_hash(place: "Place") -> None:
    place.fresh(CORPUS)
    with writer(place.database) as writing:
        found = writing.vectors_of(["1.md", "2.md", "none"])
    chunks = [chunk for id in ("1.md", "2.md") for chunk in CORPUS[id].chunks]
    assert set(found) == {(chunk.document, sha256(chunk.text)) for chunk in chunks}
    for chunk in chunks:
        np.testing.assert_array_equal(found[chunk.document, sha256(chunk.text)], vectors([chunk.text])[0])
    one = sha256(chunks[0].text)
    with writer(place.database) as writing:
        assert set(writing.vectors_of(["1.md", "2.md"], {one, "none"})) == {key for key in found if key[1] == one}
        assert writing.vectors_of(["1.md", "2.md"], set()) == {}
    assert set(place.database.open("corpus-1").vectors_of(["1.md"], {one})) == {("1.md", one)} & set(found)


def test_touch_changes_the_manifest_and_neither_text_nor_chunks(place: "Place") -> None:
    before = place.fresh(CORPUS)
    document, found = before.document("1.md"), ranking(before.lexical("w1 w2", 99))
    with writer(place.database) as writing:
        rows = {row.id: row for row in writing.manifest()}
        assert rows == {id: item.row.manifest for id, item in CORPUS.items()}
        touched = replace(rows["1.md"], size=99, mtime_ns=None, bytes_hash="new")
        writing.touch([touched])
        writing.commit({})
        assert {row.id: row for row in writing.manifest()} == {**rows, "1.md": touched}
        with pytest.raises(ValueError, match=wording(missing_documents(1, 0))):
            writing.touch([replace(touched, id="none")])
    after = place.database.open("corpus-1")
    assert after.document("1.md") == document
    assert ranking(after.lexical("w1 w2", 99)) == found


@pytest.mark.slow
def test_each_document_is_seen_in_one_version_while_a_writer_is_at_work(place: "Place") -> None:
    """Never in two versions, never in none while it is replaced, by readers opened before and during the write."""
    versions = [{f"{n}.md": cut(f"{n}.md", f"w1 of{v} " * (20 + 5 * v)) for n in range(6)} for v in range(6)]
    known = [{item.row.manifest.content_hash for item in version.values()} for version in versions]
    opened = [place.fresh(versions[0])]
    wrong: list[Any] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                for index in (*opened, place.database.open("corpus-1")):
                    for hits in (index.lexical("w1", 500), index.dense(vectors(["w1"])[0].tolist(), 500)):
                        seen = {(hit.chunk.document, hit.chunk.content_hash) for hit in hits}
                        if sorted(document for document, _ in seen) != sorted(versions[0]):
                            wrong.append(seen)
                        for document, hashed in seen:
                            expected = next(v for v, hashes in zip(versions, known, strict=True) if hashed in hashes)
                            chunks = [hit.chunk for hit in hits if hit.chunk.document == document]
                            if sorted(chunk.start for chunk in chunks) != [c.start for c in expected[document].chunks]:
                                wrong.append(chunks)
        except BaseException as error:
            wrong.append(error)
            raise

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        with writer(place.another()) as writing:
            for version in versions[1:]:
                for item in version.values():
                    write(writing, [item])
                if version is versions[3]:
                    writing.commit({})
                    opened.append(place.database.open("corpus-1"))
            writing.commit({})
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert wrong == []
    assert {hit.chunk.content_hash for hit in place.database.open("corpus-1").lexical("w1", 500)} == known[-1]


@pytest.mark.slow
def test_open_sees_the_newest_commit_of_another_process(place: "Place") -> None:
    """TRAPS 32: without a read consistency interval a reader stays behind."""
    place.fresh(CORPUS)
    assert place.database.open("corpus-1").info.version == 1
    program = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import ragloom.components.vector_store as builders\n"
        "from store_tools import *\n"
        "place = getattr(builders, sys.argv[2])(Words(), **json.loads(sys.argv[3]))\n"
        "with writer(place) as w: write(w, [cut('new.md', 'zebra')]); w.commit({})\n"
        "place.close()"
    )
    tests = str(TESTS / "support")
    subprocess.run([sys.executable, "-c", program, tests, place.option, json.dumps(place.keys)], check=True)
    index = place.database.open("corpus-1")
    assert index.info.version == 2
    assert [hit.chunk.document for hit in index.lexical("zebra", 5)] == ["new.md"]


def test_second_writer_is_told_who_writes_and_since_when(place: "Place") -> None:
    with (
        writer(place.database),
        pytest.raises(ServiceError, match=wording(being_written_since(process=os.getpid()))),
        writer(place.another()),
    ):
        pass
    with writer(place.database):  # the end of the first let go
        pass
    with writer(place.database), writer(place.database, "other-1"):  # another index is another lock
        pass


def test_index_may_have_any_name(place: "Place") -> None:
    names = ["한국 어-1", "a/../b-2", "UPPER-3", "upper-3", ".-4", "x" * 300 + "-5", "it's-6", "con.-7"]
    for name in names:
        with writer(place.database, name) as writing:
            write(writing, [cut("a.md", name)])
            writing.commit({})
    infos = place.database.indexes()
    assert [info.name for info in infos] == sorted(names)
    assert [info.source for info in infos] == [name.rpartition("-")[0] for name in sorted(names)]
    for name in names:
        assert place.database.open(name).document("a.md").text == name


def test_indexes_lists_what_is_committed_and_delete_leaves_nothing(place: "Place") -> None:
    database = place.database
    assert database.indexes() == []
    for name in ("a-1", "b-1"):
        with writer(database, name) as writing:
            write(writing, CORPUS.values())
            committed = writing.commit({"seconds": 1.5})
    with writer(database, "c-1") as writing:
        write(writing, CORPUS.values())
    listed = database.indexes()
    assert [info.name for info in listed] == ["a-1", "b-1"]
    assert listed[0].summary == {"seconds": 1.5}
    assert replace(listed[1], bytes=0) == replace(committed, bytes=0)
    with pytest.raises(IndexMissing, match=wording(no_index("c-1"))):
        database.open("c-1")
    for name in ("a-1", "b-1", "c-1"):  # also the one that was never committed
        database.delete(name)
    assert database.indexes() == []
    assert place.leftovers() == []
    with pytest.raises(IndexMissing, match=wording(no_index("a-1"))):
        database.open("a-1")
    with pytest.raises(IndexMissing, match=wording(no_index("a-1"))):
        database.delete("a-1")


def test_index_that_is_being_written_is_neither_deleted_nor_rebuilt(place: "Place") -> None:
    place.fresh(CORPUS)
    with writer(place.database) as writing:
        write(writing, CORPUS.values())
        for change in (place.another().delete, place.another().rebuild):
            with pytest.raises(ServiceError, match=wording(being_written())):
                change("corpus-1")
        writing.commit({})
    assert place.database.open("corpus-1").info.documents == 8


def test_same_name_with_another_root_is_refused_even_before_the_first_commit(place: "Place") -> None:
    with writer(place.database):
        pass
    with (
        pytest.raises(ConfigError, match=wording(other_source("corpus", "/documents"), "set source.name")),
        writer(place.database, root="/elsewhere"),
    ):
        pass


def test_index_is_relocated_without_another_change(place: "Place") -> None:
    place.fresh(CORPUS)
    before = place.database.open("corpus-1")
    place.database.relocate("corpus-1", "/elsewhere")
    after = place.another().open("corpus-1")
    assert after.info.root == "/elsewhere"
    assert replace(after.info, root=before.info.root, bytes=0) == replace(before.info, bytes=0)
    assert contents(after) == contents(before)
    with writer(place.database, root="/elsewhere") as writing:
        assert len(list(writing.manifest())) == 8
    with pytest.raises(IndexMissing):
        place.database.relocate("none-1", "/elsewhere")


def test_database_tells_whether_anything_of_an_index_is_there(place: "Place") -> None:
    assert not place.database.has("corpus-1")
    with writer(place.database):
        pass
    assert place.database.has("corpus-1")  # never committed
    place.database.delete("corpus-1")
    assert not place.database.has("corpus-1")


def test_other_dimensions_are_refused(place: "Place") -> None:
    place.fresh(CORPUS)
    other = place.database.writer("corpus-1", dimensions=7, description={}, root="/documents")
    with pytest.raises(DataError, match=wording(wrong_dimensions(16, 7))), other:
        pass


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.ones((2, 16), np.float32), r"vectors of shape \[2, 16\]"),
        (np.full((1, 16), np.nan, np.float32), r"'a.md' \[0:4\] holds NaN"),
        (np.ones((1, 3), np.float32), r"one vector of 16 dimensions"),
    ],
)
def test_chunk_without_a_right_vector_is_refused_and_nothing_is_written(
    place: "Place", given: Any, message: str
) -> None:
    """TRAPS 12: nodes without an embedding were skipped, and their document counted as ingested."""
    item = cut("a.md", "text")
    with writer(place.database) as writing:
        with pytest.raises(DataError, match=message):
            store(writing, [item.row], item.chunks, given, [""])
        assert list(writing.manifest()) == []
        assert writing.commit({}).chunks == 0


def test_half_a_document_is_refused(place: "Place") -> None:
    item, other = cut("a.md", "w " * 30), cut("b.md", "text")
    with writer(place.database) as writing:
        for documents, chunks in (([item], item.chunks[:1]), ([item], other.chunks), ([item, item], item.chunks)):
            with pytest.raises(ValueError, match="document"):
                store(
                    writing, [x.row for x in documents], chunks, vectors([c.text for c in chunks]), [""] * len(chunks)
                )
        twice = [item.chunks[0], item.chunks[0], item.chunks[2]]
        with pytest.raises(DataError, match=wording(comes_twice())):
            store(writing, [item.row], twice, vectors([c.text for c in twice]), [""] * 3)
        assert list(writing.manifest()) == []


def test_rebuilt_index_is_the_same_index_with_a_later_commit(place: "Place") -> None:
    state = dict(CORPUS)
    place.fresh(CORPUS)
    with writer(place.database) as writing:
        writing.delete(["1.md", "2.md"])
        write(writing, [cut("3.md", "w1 changed", lang="ko")])
        before = writing.commit({"seconds": 2})
    state = {id: item for id, item in CORPUS.items() if id not in ("1.md", "2.md")}
    state["3.md"] = cut("3.md", "w1 changed", lang="ko")
    held = contents(place.database.open("corpus-1"))
    place.database.promote("corpus-1", "prod")
    after = place.database.rebuild("corpus-1")
    assert (after.version, after.deleted_chunks) == (before.version + 1, 0)
    same = {"version": 0, "deleted_chunks": 0, "bytes": 0, "committed_at": before.committed_at}
    assert replace(after, **same) == replace(before, **same)  # type: ignore[arg-type]
    assert after.committed_at > before.committed_at
    index = place.database.open("corpus-1")
    assert replace(index.info, bytes=0) == replace(after, bytes=0)
    assert contents(index) == held
    assert {id: index.document(id).text for id in state} == {id: item.row.text for id, item in state.items()}
    with writer(place.database) as writing:
        assert {row.id: row for row in writing.manifest()} == {id: item.row.manifest for id, item in state.items()}
        assert not writing.recover()
    assert place.database.aliases() == {"prod": "corpus-1"}


def test_index_that_is_not_there_cannot_be_rebuilt(place: "Place") -> None:
    with pytest.raises(IndexMissing, match=wording(no_index("none-1"))):
        place.database.rebuild("none-1")


def test_index_that_was_left_half_done_is_not_rebuilt(place: "Place") -> None:
    place.fresh(CORPUS)
    with writer(place.database) as writing:
        write(writing, [cut("new.md", "zebra")])
    with pytest.raises(ServiceError, match=wording(interrupted_ingest())):
        place.database.rebuild("corpus-1")
    assert place.database.open("corpus-1").info.version == 1


def test_alias_is_made_moved_and_goes_with_its_index(place: "Place") -> None:
    database = place.database
    assert database.aliases() == {}
    for name in ("a-1", "b-1"):
        place.fresh(CORPUS, name)
    database.promote("a-1", "prod")
    database.promote("b-1", "Next_one-2")
    assert place.another().aliases() == {"Next_one-2": "b-1", "prod": "a-1"}
    database.promote("b-1", "prod")
    database.promote("b-1", "prod")
    assert database.aliases() == {"Next_one-2": "b-1", "prod": "b-1"}
    assert [info.name for info in database.indexes()] == ["a-1", "b-1"]
    database.promote("a-1", "prod")
    database.delete("b-1")
    assert database.aliases() == {"prod": "a-1"}
    database.delete("a-1")
    assert database.aliases() == {}
    assert place.leftovers() == []


def test_aliases_that_differ_only_a_little_are_different(place: "Place") -> None:
    names = ["prod", "PROD", "prod_", "prod-", "_", "-", "x" * 64]
    for n, alias in enumerate(names):
        place.fresh(CORPUS, f"corpus-{n % 2}") if n < 2 else None
        place.database.promote(f"corpus-{n % 2}", alias)
    assert place.database.aliases() == {alias: f"corpus-{n % 2}" for n, alias in enumerate(names)}


@pytest.mark.parametrize("alias", ["", "a b", "한국", "a/b", "../a", "x" * 65, "corpus-1", "a\n"])
def test_alias_that_is_no_name_or_an_indexes_is_refused(place: "Place", alias: str) -> None:
    place.fresh({"a.md": cut("a.md", "text")})
    with pytest.raises(DataError, match="alias"):
        place.database.promote("corpus-1", alias)
    assert place.database.aliases() == {}


def test_alias_of_no_index_is_refused(place: "Place") -> None:
    with pytest.raises(IndexMissing, match=wording(no_index("none-1"))):
        place.database.promote("none-1", "prod")
    with writer(place.database, "begun-1"):
        pass
    with pytest.raises(IndexMissing, match=wording(no_index("begun-1"))):
        place.database.promote("begun-1", "prod")
    assert place.database.aliases() == {}


def test_database_may_be_closed_twice_and_used_again(place: "Place") -> None:
    place.fresh(CORPUS)
    place.database.close()
    place.database.close()
    assert [info.name for info in place.database.indexes()] == ["corpus-1"]
    assert len(place.database.open("corpus-1").lexical("w1", 3)) == 3
    place.another().close()  # one that was never used

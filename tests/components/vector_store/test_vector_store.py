"""What LanceDB's database promises beyond every store's (`test_store_contract.py`): snapshots, files, crashes."""

import inspect
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ragloom.components.vector_store as builders
from places import TESTS
from ragloom.components.vector_store.lancedb_store import index_folder
from ragloom.components.vector_store.lancedb_store.id_filter import Seen
from ragloom.core.records import canonical_json, sha256
from ragloom.errors import DataError
from store_tools import cut, database, fresh, ranking, sentence, sync, vectors, write, writer

GOLDEN = TESTS / "golden" / "vector_store.json"
CORPUS = {f"{n}.md": cut(f"{n}.md", sentence(random.Random(n), 30), n=n) for n in range(8)}


def files_of(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file() and ".locks" not in file.parts]


def test_group_and_records_are_imported_without_the_engine() -> None:
    program = "import sys, ragloom.components.vector_store, ragloom.components.vector_store.protocols; print({'lancedb', 'weaviate'} & {*sys.modules})"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "set()"


def test_uncommitted_writes_are_seen_by_no_reader(tmp_path: Path) -> None:
    """TRAPS 32: a running ingest changes no answer, of open readers and of new ones."""
    before = fresh(tmp_path, CORPUS)
    expected = ranking(before.lexical("w1 w2 w3", 99))
    with writer(database(tmp_path)) as writing:
        writing.delete(["1.md"])
        write(writing, [cut("2.md", "w1 w2 w3"), cut("new.md", "w1 w2 w3 " * 9, brand_new_key=1)])
        for index in (before, database(tmp_path).open("corpus-1")):
            assert ranking(index.lexical("w1 w2 w3", 99)) == expected
            assert index.document("1.md").text == CORPUS["1.md"].row.text
            with pytest.raises(DataError):
                index.document("new.md")
        writing.commit({})
    assert ranking(before.lexical("w1 w2 w3", 99)) == expected
    after = database(tmp_path).open("corpus-1")
    assert {hit.chunk.document for hit in after.lexical("w1 w2 w3", 99)} >= {"2.md", "new.md"}


def test_replaced_states_stay_for_the_retention_and_go_with_the_next_commit_after(tmp_path: Path) -> None:
    for retention, kept in ((60, True), (0, False)):
        folder = tmp_path / str(retention)
        place = database(folder, retention)
        with writer(place) as writing:
            write(writing, [cut("secret.md", "confidential zebra " * 50), cut("a.md", "text")])
            writing.commit({})
        before = place.open("corpus-1")
        with writer(place) as writing:
            writing.delete(["secret.md"])
            writing.commit({})
        found = any(b"zebra" in file.read_bytes() for file in files_of(folder))
        assert found is kept
        if kept:
            assert len(before.lexical("zebra", 99)) == len(cut("", "confidential zebra " * 50).chunks)
        assert place.open("corpus-1").lexical("zebra", 5) == []


def test_commit_older_than_a_week_survives_the_maintenance_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRAPS 32: `optimize()` removes versions of 7 days and older by itself, the one that queries read included."""
    from datetime import timedelta

    from ragloom.components.vector_store.lancedb_store import tables

    place = database(tmp_path)
    index = fresh(tmp_path, CORPUS)
    expected = ranking(index.lexical("w1 w2", 99))
    monkeypatch.setattr(index_folder.IndexFolder, "record", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt), writer(place) as writing:
        sync(writing, {"other.md": cut("other.md", "w1")})
    assert ranking(place.open("corpus-1").lexical("w1 w2", 99)) == expected
    assert timedelta(days=365) < tables.FOREVER


def test_names_that_no_file_system_takes_have_folders_that_every_one_does(tmp_path: Path) -> None:
    names = ["한국 어-1", "a/../b-2", "UPPER-3", "upper-3", ".-4", "x" * 300 + "-5", "it's-6", "con.-7"]
    place = database(tmp_path)
    for name in names:
        with writer(place, name) as writing:
            writing.commit({})
    folders = {file.relative_to(tmp_path).parts[0] for file in tmp_path.rglob("*")} - {".locks"}
    assert len(folders) == len(names)
    assert all(name.isascii() and name == name.lower() and len(name) <= 80 for name in folders)


def test_size_is_that_of_all_files_and_delete_removes_every_byte(tmp_path: Path) -> None:
    place = database(tmp_path)
    fresh(tmp_path, CORPUS)
    (listed,) = place.indexes()
    assert listed.bytes == sum(file.stat().st_size for file in files_of(tmp_path / "corpus-1"))
    assert not listed.bytes_estimated
    place.delete("corpus-1")
    assert files_of(tmp_path) == []


def test_index_opened_before_a_rebuild_keeps_its_commit(tmp_path: Path) -> None:
    before = fresh(tmp_path, CORPUS)
    expected = ranking(before.lexical("w1 w2", 99))
    was = index_folder.IndexFolder(tmp_path, "corpus-1").commits()[-1].versions["chunks"]
    assert database(tmp_path).rebuild("corpus-1").version == 2
    assert index_folder.IndexFolder(tmp_path, "corpus-1").commits()[-1].versions["chunks"] > was  # it was rebuilt
    assert ranking(before.lexical("w1 w2", 99)) == expected
    assert ranking(database(tmp_path).open("corpus-1").lexical("w1 w2", 99)) == expected


def test_rebuild_that_was_killed_leaves_the_commit_as_it_was_and_an_ingest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = database(tmp_path)
    expected = ranking(fresh(tmp_path, CORPUS).lexical("w1 w2", 99))
    with monkeypatch.context() as patch:
        patch.setattr(index_folder.IndexFolder, "record", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            place.rebuild("corpus-1")
    assert place.open("corpus-1").info.version == 1
    assert ranking(place.open("corpus-1").lexical("w1 w2", 99)) == expected
    with writer(place) as writing:
        sync(writing, CORPUS)
    assert ranking(place.open("corpus-1").lexical("w1 w2", 99)) == expected
    assert place.rebuild("corpus-1").version == 3


def test_alias_is_moved_in_one_step_that_a_crash_does_not_halve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = database(tmp_path)
    for name in ("a-1", "b-1"):
        fresh(place, CORPUS, name)
    place.promote("a-1", "prod")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))  # the draft is written
        with pytest.raises(KeyboardInterrupt):
            place.promote("b-1", "prod")
    assert place.aliases() == {"prod": "a-1"}
    place.promote("b-1", "prod")
    assert place.aliases() == {"prod": "b-1"}


def test_aliases_that_several_set_at_once_are_all_kept(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    fresh(tmp_path, CORPUS)
    names = [f"alias{n}" for n in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda alias: database(tmp_path).promote("corpus-1", alias), names))
    assert sorted(database(tmp_path).aliases()) == sorted(names)


def test_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with writer(database(Path("~/a b/한국"))) as writing:
        writing.commit({})
    assert (tmp_path / "a b" / "한국" / "corpus-1").is_dir()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text()), st.lists(st.text()))
def test_ids_once_seen_are_never_forgotten(ids: list[str], others: list[str]) -> None:
    seen = Seen()
    seen.update(ids)
    assert all(id in seen for id in ids)
    assert not any(id in seen for id in others if id not in ids)  # a false alarm is 1 in 10**27 with so few


def test_removal_that_was_killed_is_finished_by_the_next(tmp_path: Path) -> None:
    place = database(tmp_path)
    fresh(tmp_path, CORPUS)
    (tmp_path / ".deleted-abc").mkdir()
    (tmp_path / ".deleted-abc" / "file").write_text("left")
    assert [info.name for info in place.indexes()] == ["corpus-1"]
    place.delete("corpus-1")
    assert files_of(tmp_path) == []


def test_lancedb_output_is_bound_to_its_code_version(tmp_path: Path) -> None:
    """When this fails, raise the builder's code version, then write its new digest into the golden file."""
    index = fresh(tmp_path, CORPUS)
    lists = [index.lexical("w1 w2 W1", 9), index.dense(vectors(["question"])[0].tolist(), 9)]
    rounded = [[(hit.chunk.id, f"{hit.score:.4f}", hit.chunk.metadata) for hit in hits] for hits in lists]
    layout = sorted(file.suffix or file.name for file in (tmp_path / "corpus-1").iterdir())
    digest = sha256(canonical_json([rounded, layout]))
    assert json.loads(GOLDEN.read_text())["lancedb"] == {
        "code_version": builders.lancedb.code_version,  # type: ignore[attr-defined]
        "digest": digest,
    }


def test_builder_takes_the_analyzer_and_nothing_else_from_assembly() -> None:
    kinds = {name: item.kind.name for name, item in inspect.signature(builders.lancedb).parameters.items()}
    assert kinds == {
        "analyzer": "POSITIONAL_OR_KEYWORD",
        "path": "KEYWORD_ONLY",
        "retention_minutes": "KEYWORD_ONLY",
        "ann_threshold": "KEYWORD_ONLY",
        "min_ann_recall": "KEYWORD_ONLY",
        "alias": "KEYWORD_ONLY",
    }

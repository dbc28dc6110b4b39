"""What a LanceDB database refuses, and how it says so: nothing half written, nothing damaged taken for empty."""

import sys
from pathlib import Path

import pytest

from messages import WORD, wording
from messages.vector_store import (
    damaged_aliases,
    damaged_index,
    unlistable_folder,
    unwritable_folder,
    written_by_version,
)
from ragloom.components.vector_store.lancedb_store.tables import engine
from ragloom.errors import DataError, RagloomError, ServiceError
from store_tools import cut, database, fresh, writer

CORPUS = {f"{n}.md": cut(f"{n}.md", f"text number {n}", n=n) for n in range(8)}


def files_of(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file() and ".locks" not in file.parts]


def test_index_of_another_code_version_is_refused(tmp_path: Path) -> None:
    fresh(tmp_path, CORPUS)
    file = tmp_path / "corpus-1" / "index.json"
    file.write_text(file.read_text().replace('"code_version": 1', '"code_version": 0'))
    with pytest.raises(DataError, match=wording(written_by_version(0))):
        database(tmp_path).open("corpus-1")
    with pytest.raises(DataError, match=wording(written_by_version(0))), writer(database(tmp_path)):
        pass


@pytest.mark.parametrize("damage", ["commits.json", "index.json", "chunks.lance", "documents.lance"])
def test_damaged_index_is_named_with_what_to_do_and_can_be_deleted(tmp_path: Path, damage: str) -> None:
    fresh(tmp_path, CORPUS)
    found = tmp_path / "corpus-1" / damage
    if found.is_dir():
        for file in found.glob("_versions/*"):
            file.unlink()
    else:
        found.write_bytes(found.read_bytes()[:20])
    place = database(tmp_path)
    with pytest.raises(DataError, match=wording(damaged_index("corpus-1"))):
        place.open("corpus-1")
    with pytest.raises(DataError, match="is damaged"), writer(place):
        pass
    place.delete("corpus-1")
    assert files_of(tmp_path) == []


def test_damaged_data_file_is_an_error_and_not_an_empty_answer(tmp_path: Path) -> None:
    fresh(tmp_path, CORPUS)
    for file in (tmp_path / "corpus-1" / "chunks.lance" / "data").iterdir():
        file.write_bytes(b"")
    with pytest.raises(RagloomError, match="corpus-1"):
        database(tmp_path).open("corpus-1").dense([1.0] * 16, 5)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("/usr/bin/ragloom", "delete it (ragloom indexes delete NAME)"),
        ("scripts/ingest.py", "delete it (indexes.py delete NAME)"),
    ],
)
def test_failure_of_the_engine_names_the_program_as_it_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, said: str
) -> None:
    monkeypatch.setattr(sys, "argv", [program])
    with pytest.raises(ServiceError) as caught, engine(tmp_path / "corpus-{1}", "writing"):
        raise OSError("disk {full}")
    assert said in str(caught.value)
    assert "corpus-{1} (disk {full})" in str(caught.value)


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ServiceError, match=wording(unwritable_folder())),
        writer(database(tmp_path / "file")),
    ):
        pass
    with pytest.raises(ServiceError, match=wording(unlistable_folder(WORD + "file"))):
        database(tmp_path / "file").indexes()


def test_damaged_aliases_are_an_error_and_not_none(tmp_path: Path) -> None:
    place = database(tmp_path)
    fresh(tmp_path, CORPUS)
    place.promote("corpus-1", "prod")
    (tmp_path / ".aliases.json").write_text('{"prod": ')
    for ask in (place.aliases, lambda: place.promote("corpus-1", "prod"), lambda: place.delete("corpus-1")):
        with pytest.raises(DataError, match=wording(damaged_aliases())):
            ask()
    assert [info.name for info in place.indexes()] == ["corpus-1"]

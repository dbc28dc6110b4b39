"""Long texts in a LanceDB folder: a file each, there while a commit that is kept needs it, and no longer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from messages import wording
from messages.vector_store import failed_read
from ragloom.components.vector_store.protocols import Database, Index
from ragloom.core import file_backed_text
from ragloom.errors import ServiceError
from store_tools import Cut, cut, database, write, writer

LONG = "하나 둘 셋 넷 다섯 여섯\r\n" * 20


def spooled_cut(folder: Path, id: str, text: str) -> Cut:
    whole = cut(id, text)
    return replace(whole, row=replace(whole.row, text=file_backed_text.write_text(text, folder)))


def committed(place: Database, cuts: Iterable[Cut], gone: Iterable[str] = ()) -> Index:
    with writer(place) as open_writer:
        open_writer.recover()
        write(open_writer, cuts)
        open_writer.delete(list(gone))
        open_writer.commit({})
    return place.open("corpus-1")


def kept_texts(place: Path) -> set[str]:
    return {path.name for path in place.glob("corpus-1/texts/*")}


def test_a_long_text_is_read_back_with_short_ones(tmp_path: Path) -> None:
    index = committed(database(tmp_path / "store"), [spooled_cut(tmp_path, "long", LONG), cut("short", "a b c")])
    assert index.document("long").text == LONG
    assert index.document("short").text == "a b c"
    assert [LONG[chunk.start : chunk.end] for chunk in index.chunks_of(["long"])] == [
        chunk.text for chunk in index.chunks_of(["long"])
    ]


def test_two_documents_of_one_long_text_share_a_file_that_stays_until_both_are_gone(tmp_path: Path) -> None:
    place = database(tmp_path / "store", retention_minutes=0)
    first = spooled_cut(tmp_path, "first", LONG)
    committed(place, [first, spooled_cut(tmp_path, "second", LONG)])
    assert kept_texts(tmp_path / "store") == {first.row.manifest.text_hash}
    assert committed(place, [], ["first"]).document("second").text == LONG
    committed(place, [cut("other", "a b c")], ["second"])
    assert kept_texts(tmp_path / "store") == set()


def test_a_replaced_long_text_is_read_until_its_commit_is_kept_no_longer(tmp_path: Path) -> None:
    place = database(tmp_path / "store", retention_minutes=60)
    before = committed(place, [spooled_cut(tmp_path, "long", LONG)])
    after = committed(place, [spooled_cut(tmp_path, "long", LONG + "new")])
    assert (before.document("long").text, after.document("long").text) == (LONG, LONG + "new")
    at_once = database(tmp_path / "store", retention_minutes=0)
    last = committed(at_once, [cut("other", "a b c")])
    assert last.document("long").text == LONG + "new"
    assert len(kept_texts(tmp_path / "store")) == 1
    with pytest.raises(ServiceError, match=wording(failed_read())):
        before.document("long")


def test_a_long_text_that_becomes_short_leaves_its_file(tmp_path: Path) -> None:
    place = database(tmp_path / "store", retention_minutes=0)
    committed(place, [spooled_cut(tmp_path, "long", LONG)])
    assert committed(place, [cut("long", "a b c")]).document("long").text == "a b c"
    assert kept_texts(tmp_path / "store") == set()


def test_what_a_killed_writer_left_goes_with_the_next_commit(tmp_path: Path) -> None:
    place = database(tmp_path / "store", retention_minutes=0)
    committed(place, [spooled_cut(tmp_path, "long", LONG)])
    left = tmp_path / "store" / "corpus-1" / "texts"
    (left / f"{'0' * 64}.new").write_text("half")
    (left / ("1" * 64)).write_text("never named by a row")
    assert committed(place, [cut("other", "a b c")]).document("long").text == LONG
    assert len(kept_texts(tmp_path / "store")) == 1

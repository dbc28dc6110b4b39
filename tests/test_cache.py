"""The embedding cache: what was kept comes back bit by bit, and what is damaged is a counted miss."""

import os
import pickle
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ragloom.cache.rows
from cache_tools import BATCH, DIMENSIONS, model, names, vectors, wrong
from ragloom.cache import bypassed, is_bypassed
from ragloom.cache.file import DAMAGED_NAME, NAME
from ragloom.cache.rows import Layout, key_of
from ragloom.cache.upkeep import forget, prune, report, verify
from ragloom.cache.vectors import ModelCache, VectorCache
from ragloom.core import sqlite
from ragloom.errors import ConfigError, DataError, ServiceError
from ragloom.records import sha256

CHILD = Path(__file__).with_name("cache_tools.py")
TEXTS = names(0)
in_a_folder = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def kept(tmp_path: Path) -> ModelCache:
    """A cache that holds `TEXTS`."""
    cache = model(tmp_path / "cache")
    assert cache.keep(TEXTS, vectors(TEXTS))
    return cache


def folder_of(cache: ModelCache) -> Path:
    return cache.cache.file.folder


def closed(cache: ModelCache) -> Path:
    """Closes a cache; returns its file, which then holds everything."""
    cache.cache.close()
    return cache.cache.file.path


@contextmanager
def tables(cache: ModelCache) -> Iterator[sqlite3.Connection]:
    """The file's tables, behind the cache's back."""
    with closing(sqlite3.connect(closed(cache))) as connection, connection:
        yield connection


def flip(path: Path, offset: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1 << bit
    path.write_bytes(content)


def offset_of(cache: ModelCache, text: str, within: int) -> int:
    """The place of a byte of a text's row in the file: the row begins with the text's hash, and so does its entry."""
    content = closed(cache).read_bytes()
    row = key_of(text) + vectors([text]).tobytes()
    return content.index(row) + within


# What is kept, and what is found.


def test_what_was_kept_is_found_and_nothing_else(kept: ModelCache) -> None:
    found = kept.find([*TEXTS, "another text"])
    assert set(found.vectors) == set(TEXTS)
    assert wrong(found.vectors) == []
    assert (found.damaged, found.unavailable) == (0, 0)
    assert kept.known(["another text", *TEXTS]) == [False, *[True] * BATCH]


def test_another_process_finds_it(kept: ModelCache) -> None:
    code = "import sys; from cache_tools import *; c = model(Path(sys.argv[1])); print(len(c.find(names(0)).vectors))"
    arguments = [sys.executable, "-c", code, str(folder_of(kept))]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=CHILD.parent)
    assert done.stdout == f"{BATCH}\n"


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), st.lists(st.integers(0, 2**32 - 1), min_size=3, max_size=3)
    ),
    st.integers(1, 200),
)
@in_a_folder
def test_vectors_come_back_bit_by_bit(tmp_path: Path, bits: dict[str, list[int]], pack_bytes: int) -> None:
    """All bit patterns of float32: negative zero, subnormal numbers, infinities, payloads of NaN."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ragloom.cache.rows, "PACK_BYTES", pack_bytes)
        cache = VectorCache(tmp_path / "bits", max_bytes=1 << 30).of(
            {"case": sorted(bits.items())}, dimensions=3, name="m"
        )
        made = np.array(list(bits.values()), dtype=np.uint32).reshape(-1, 3).view(np.float32)
        assert cache.keep(list(bits), made)
        found = cache.find(list(bits)).vectors
    assert {text: vector.view(np.uint32).tolist() for text, vector in found.items()} == bits


def test_texts_that_look_alike_do_not_share_a_vector(kept: ModelCache) -> None:
    alike = ["text 0 ", " text 0", "text\u00a00", "Text 0", "text 0\n", "téxt 0", "te\u0301xt 0"]
    assert kept.known(alike) == [False] * len(alike)


def test_other_models_and_dimensions_do_not_share_vectors(kept: ModelCache) -> None:
    cache = kept.cache
    others = [
        cache.of({"model": "another"}, dimensions=DIMENSIONS, name="a model"),
        cache.of({"model": "a model", "revision": "2"}, dimensions=DIMENSIONS, name="a model"),
        cache.of({"model": "a model"}, dimensions=4, name="a model"),
        cache.of({"model": ["a model"]}, dimensions=DIMENSIONS, name="a model"),
    ]
    assert len({other.layout.identity for other in [kept, *others]}) == 5
    for other in others:
        assert other.find(TEXTS).vectors == {}
    assert others[2].keep(TEXTS, vectors(TEXTS)[:, :4])
    assert wrong(kept.find(TEXTS).vectors) == []
    renamed = cache.of({"model": "a model"}, dimensions=DIMENSIONS, name="as others call it")
    assert len(renamed.find(TEXTS).vectors) == BATCH


def test_vector_that_is_there_is_not_stored_again(kept: ModelCache) -> None:
    before = report(kept.cache)
    assert kept.keep([*TEXTS[5:], "new"], vectors([*TEXTS[5:], "new"]))
    assert report(kept.cache).entries == before.entries + 1
    with tables(kept) as inside:
        assert inside.execute("SELECT sum(length(content)) FROM contents").fetchone() == (21 * kept.layout.size,)


def test_no_text_is_in_the_folder(tmp_path: Path) -> None:
    cache = model(tmp_path / "cache")
    cache.keep(["비밀 문서의 내용", "a very private sentence"], vectors(["a", "b"]))
    for path in folder_of(cache).iterdir():
        assert "비밀 문서".encode() not in path.read_bytes()
        assert b"private" not in path.read_bytes()


def test_cache_can_be_sent_to_another_process(kept: ModelCache) -> None:
    assert wrong(pickle.loads(pickle.dumps(kept)).find(TEXTS).vectors) == []


def test_threads_share_one_cache(tmp_path: Path) -> None:
    cache, failures = model(tmp_path), []

    def work(first: int) -> None:
        for number in range(first, first + 10):
            texts = names(number * 5)
            failures.extend(wrong(cache.find(texts).vectors))
            assert cache.keep(texts, vectors(texts))

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 3, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(cache.known(names(0, 95)))


def test_bypass_belongs_to_the_block() -> None:
    assert not is_bypassed()
    with bypassed():
        assert is_bypassed()
        assert threading_says(is_bypassed) is False, "another thread's context is its own"
    assert not is_bypassed()


def threading_says(ask: Callable[[], bool]) -> bool:
    said: list[bool] = []
    thread = threading.Thread(target=lambda: said.append(ask()))
    thread.start()
    thread.join()
    return said[0]


# Damage.


@given(st.integers(0, 10**6), st.integers(0, 7))
@settings(in_a_folder, max_examples=150)
@pytest.mark.slow
def test_any_flipped_bit_costs_vectors_and_never_changes_one(tmp_path: Path, offset: int, bit: int) -> None:
    pristine = tmp_path / "pristine.sqlite"
    if not pristine.exists():
        cache = model(tmp_path / "first")
        for first in range(0, 200, BATCH):
            cache.keep(names(first), vectors(names(first)))
        shutil.copy(closed(cache), pristine)
    texts = names(0, 200)
    folder = tmp_path / "flipped"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(pristine, folder / NAME)
    flip(folder / NAME, offset % pristine.stat().st_size, bit)
    check_that_it_heals(folder, texts)


@given(st.integers(0, 10**6), st.binary(max_size=64))
@settings(in_a_folder, max_examples=60)
def test_truncated_or_overwritten_file_is_a_miss(tmp_path: Path, size: int, garbage: bytes) -> None:
    folder = tmp_path / "cut"
    shutil.rmtree(folder, ignore_errors=True)
    cache = model(folder)
    cache.keep(TEXTS, vectors(TEXTS))
    path = closed(cache)
    path.write_bytes(path.read_bytes()[: size % path.stat().st_size] + garbage)
    check_that_it_heals(folder, TEXTS)


def check_that_it_heals(folder: Path, texts: list[str]) -> None:
    """Holds that whatever is found is right, that the rest can be kept again, and that all is found then."""
    cache = model(folder)
    first = cache.find(texts)
    assert wrong(first.vectors) == []
    missing = [text for text in texts if text not in first.vectors]
    assert first.unavailable == 0
    if missing:
        assert cache.keep(missing, vectors(missing))
    for _ in range(3):  # a structure that is damaged where only writing comes by is set aside now, and heals as well
        again = cache.find(texts)
        assert wrong(again.vectors) == []
        missing = [text for text in texts if text not in again.vectors]
        if not missing:
            return
        assert cache.keep(missing, vectors(missing))
    raise AssertionError("the cache does not heal")


@pytest.mark.parametrize("within", [0, 31, 32, 40, 63, 64, 79], ids=lambda at: f"byte {at} of 80")
def test_damaged_entry_is_a_counted_miss_and_is_replaced(kept: ModelCache, within: int) -> None:
    flip(closed(kept), offset_of(kept, TEXTS[7], within))
    found = kept.find(TEXTS)
    assert set(TEXTS) - set(found.vectors) == {TEXTS[7]}
    assert wrong(found.vectors) == []
    assert found.damaged == 1
    assert kept.find(TEXTS).damaged == 0, "it is told once"
    assert kept.keep([TEXTS[7]], vectors([TEXTS[7]]))
    again = kept.find(TEXTS)
    assert (len(again.vectors), again.damaged) == (BATCH, 0)
    assert wrong(again.vectors) == []


def test_entry_that_leads_to_anothers_vector_is_a_counted_miss(kept: ModelCache) -> None:
    with tables(kept) as inside:
        inside.execute("UPDATE entries SET place = 3 WHERE text = ?", (key_of(TEXTS[7]),))
        inside.execute("UPDATE entries SET pack = 99 WHERE text = ?", (key_of(TEXTS[8]),))
        inside.execute("UPDATE entries SET place = 'x', pack = x'00' WHERE text = ?", (key_of(TEXTS[9]),))
    found = kept.find(TEXTS)
    assert set(TEXTS) - set(found.vectors) == set(TEXTS[7:10])
    assert found.damaged == 3


def test_vectors_of_another_model_under_this_ones_number_are_not_its_own(kept: ModelCache) -> None:
    other = kept.cache.of({"model": "other"}, dimensions=DIMENSIONS, name="other")
    other.keep(["x"], vectors(["x"]))
    with tables(kept) as inside:
        inside.execute("UPDATE entries SET model = 2")
    found = other.find(TEXTS)
    assert found.vectors == {}
    assert found.damaged == BATCH


@pytest.mark.parametrize("content", [b"", b"no database", b"\0" * 100_000, os.urandom(50_000)])
def test_file_that_is_no_database_is_a_counted_miss_and_begun_anew(kept: ModelCache, content: bytes) -> None:
    closed(kept).write_bytes(content)
    found = kept.find(TEXTS)
    assert found.vectors == {}
    assert found.damaged == (BATCH if content else 0)
    assert (folder_of(kept) / DAMAGED_NAME).exists() == bool(content)
    assert kept.keep(TEXTS, vectors(TEXTS))
    assert wrong(kept.find(TEXTS).vectors) == []


def test_damage_found_while_keeping_loses_nothing_that_is_kept_and_is_counted(kept: ModelCache) -> None:
    path = closed(kept)
    path.write_bytes(b"x" * path.stat().st_size)
    assert kept.keep(["new"], vectors(["new"]))
    found = kept.find(["new", *TEXTS])
    assert set(found.vectors) == {"new"}
    assert found.damaged == BATCH


def test_garbage_in_the_log_is_a_miss(kept: ModelCache) -> None:
    Path(f"{closed(kept)}-wal").write_bytes(os.urandom(100_000))
    check_that_it_heals(folder_of(kept), TEXTS)


def test_file_set_aside_by_another_process_is_let_go_of(kept: ModelCache) -> None:
    other = model(folder_of(kept))
    assert other.find(TEXTS).vectors
    kept.cache.file._set_aside()
    assert kept.keep(["new"], vectors(["new"]))
    assert set(other.find(["new", *TEXTS]).vectors) == {"new"}
    assert other.keep(TEXTS, vectors(TEXTS))
    other.cache.close()
    assert len(kept.find(TEXTS).vectors) == BATCH


def test_folder_deleted_under_a_running_process_is_made_again(kept: ModelCache) -> None:
    shutil.rmtree(folder_of(kept))
    assert kept.find(TEXTS).vectors == {}
    assert kept.keep(TEXTS, vectors(TEXTS))
    assert len(kept.find(TEXTS).vectors) == BATCH
    shutil.rmtree(folder_of(kept))
    kept.cache.close()
    assert not folder_of(kept).exists(), "closing makes no folder"


# What cannot be written.


def test_folder_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match=r"cache: cache\.path=.*file' must be a folder that can be written"):
        model(tmp_path / "file")


def test_cache_that_another_process_holds_is_read_and_counted_as_not_written(
    kept: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    path = closed(kept)
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert len(kept.find(TEXTS).vectors) == BATCH, "readers do not wait for writers"
        assert not kept.keep(["new"], vectors(["new"]))
        with pytest.raises(ServiceError, match="must be free to be read and written"):
            forget(kept.cache, [sha256(TEXTS[0])])
        holder.execute("ROLLBACK")
    assert kept.keep(["new"], vectors(["new"]))
    assert not (folder_of(kept) / DAMAGED_NAME).exists(), "a busy file is no damaged one"


def test_full_disk_is_counted_as_not_written_and_keeps_what_was(kept: ModelCache) -> None:
    with kept.cache.file.plain() as inside:
        inside.execute("PRAGMA max_page_count = 20").fetchall()
    many = names(100, 2000)
    assert not kept.keep(many, vectors(many))
    assert len(kept.find(TEXTS).vectors) == BATCH
    assert not any(kept.known(many))
    assert not (folder_of(kept) / DAMAGED_NAME).exists()


# Several processes.


def run_child(folder: Path, begin: int, batches: int) -> "subprocess.Popen[str]":
    arguments = [sys.executable, str(CHILD), str(folder), str(begin), str(batches)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_several_processes_fill_and_read_one_cache_at_once(tmp_path: Path) -> None:
    children = [run_child(tmp_path, begin, 40) for begin in (0, 10, 20, 0)]
    for child in children:
        out, err = child.communicate()
        assert child.returncode == 0, err
        assert len(out.splitlines()) == 40
    cache = model(tmp_path)
    texts = names(0, 60 * BATCH)
    found = cache.find(texts)
    assert len(found.vectors) == len(texts)
    assert wrong(found.vectors) == []
    with tables(cache) as inside:
        assert inside.execute("SELECT count(*) FROM entries").fetchone() == (len(texts),)
        assert inside.execute("SELECT sum(length(content)) FROM contents").fetchone() == (
            len(texts) * cache.layout.size,
        ), "what two processes made at once is stored once"


@pytest.mark.slow
def test_killed_writer_loses_nothing_that_it_kept(tmp_path: Path) -> None:
    moments = random.Random(5)
    for number in range(6):
        child = run_child(tmp_path, number * 1000, 1000)
        assert child.stdout is not None
        told = [child.stdout.readline() for _ in range(moments.randrange(1, 60))]
        child.send_signal(signal.SIGKILL)
        told += child.stdout.readlines()
        child.communicate()
        cache = model(tmp_path)
        for line in told:
            if line.endswith("\n"):
                texts = names(int(line) * BATCH)
                found = cache.find(texts)
                assert len(found.vectors) == BATCH
                assert wrong(found.vectors) == []
        checked = verify(cache.cache)
        assert checked.damaged == checked.taken_back == 0
        cache.cache.close()


def test_forked_child_uses_a_connection_of_its_own(kept: ModelCache) -> None:
    assert kept.find(TEXTS).vectors
    parents = kept.cache.file._connection
    child = os.fork()
    if child == 0:  # nothing may leave this block but an exit status
        status = 1
        try:
            right = len(kept.find(TEXTS).vectors) == BATCH and kept.keep(["child"], vectors(["child"]))
            status = 0 if right and kept.cache.file._connection is not parents else 2
            kept.cache.close()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert kept.keep(["parent"], vectors(["parent"]))
    assert len(kept.find([*TEXTS, "child", "parent"]).vectors) == BATCH + 2
    assert verify(kept.cache).damaged == 0


# Size.


def test_size_is_bounded_and_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path, max_bytes=4_000_000).of({}, dimensions=256, name="m")
    made = np.random.default_rng(1).standard_normal((100, 256)).astype(np.float32)
    written = []
    for number in range(50):  # 5.4 MB
        texts = names(number * 100, 100)
        written.append(texts)
        assert cache.keep(texts, made)
        if number == 20:
            with cache.cache.file.transaction(write=True) as inside:  # all that is there was used a day ago,
                inside.execute("UPDATE packs SET used = used - 86400")
            assert len(cache.find(written[0]).vectors) == 100  # but for these
    assert all(cache.known(written[0])), "what was used lately stays"
    assert all(cache.known(written[-1]))
    assert not any(cache.known(written[1])), "what was not goes first"
    assert not any(cache.known(written[2]))
    assert report(cache.cache).entries * cache.layout.size > 3_000_000
    assert closed(cache).stat().st_size < 4_400_000, "the room of what went is used again"
    assert verify(cache.cache).damaged == 0


def test_hit_that_was_noted_lately_writes_nothing(kept: ModelCache) -> None:
    before = closed(kept).read_bytes()
    cache = model(folder_of(kept))
    assert cache.find(TEXTS).vectors
    assert not Path(f"{cache.cache.file.path}-wal").stat().st_size
    cache.cache.hits.taken()
    assert closed(cache).read_bytes() == before


def test_prune_removes_by_size_age_and_model(kept: ModelCache) -> None:
    other = kept.cache.of({"model": "other"}, dimensions=DIMENSIONS, name="other-model")
    other.keep(TEXTS, vectors(TEXTS))
    with kept.cache.file.transaction(write=True) as inside:
        inside.execute("UPDATE packs SET used = used - 864000 WHERE model = 1")
    assert prune(kept.cache, unused_seconds=20 * 86400).entries == 0
    assert prune(kept.cache, unused_seconds=86400, model="other-model").entries == 0
    assert prune(kept.cache, unused_seconds=86400).entries == BATCH
    assert (any(kept.known(TEXTS)), all(other.known(TEXTS))) == (False, True)
    kept.keep(TEXTS, vectors(TEXTS))
    with pytest.raises(DataError, match=r"--model=othr-model must be .*; did you mean 'other-model'\?"):
        prune(kept.cache, model="othr-model")
    assert prune(kept.cache, model=other.layout.identity.hex()[:6]).entries == BATCH
    assert (all(kept.known(TEXTS)), any(other.known(TEXTS))) == (True, False)
    assert [item.name for item in report(kept.cache).models] == ["a model"]
    many = names(100, 5000)
    kept.keep(many, vectors(many))
    large = closed(kept).stat().st_size
    pruned = prune(kept.cache, max_bytes=0)
    assert pruned.entries == BATCH + 5000
    assert closed(kept).stat().st_size == large - pruned.bytes < 100_000


# Deleted means deleted.


def test_forgotten_text_is_gone_from_every_model_and_from_the_disk(kept: ModelCache) -> None:
    other = kept.cache.of({"model": "other"}, dimensions=DIMENSIONS, name="other")
    other.keep(TEXTS, vectors(TEXTS))
    gone = [TEXTS[3], TEXTS[11], "never there"]
    assert forget(kept.cache, [sha256(text) for text in gone]) == 4
    for cache in (kept, other):
        found = cache.find(TEXTS)
        assert set(TEXTS) - set(found.vectors) == set(gone[:2])
        assert wrong(found.vectors) == []
        assert found.damaged == 0
    for path in folder_of(kept).iterdir():  # while it is open: also from the log
        content = path.read_bytes()
        for text in gone:
            assert vectors([text]).tobytes() not in content, path.name
            assert key_of(text) not in content, path.name
    assert forget(kept.cache, [sha256(text) for text in TEXTS]) == 2 * (BATCH - 2)
    with tables(kept) as inside:
        assert inside.execute("SELECT count(*) FROM contents").fetchone() == (0,)


def test_forgotten_text_does_not_come_back_from_a_file_that_was_set_aside(kept: ModelCache) -> None:
    kept.cache.file._set_aside()
    assert forget(kept.cache, [sha256(TEXTS[0])]) == 1
    assert not (folder_of(kept) / DAMAGED_NAME).exists()
    assert verify(kept.cache).entries == BATCH - 1
    assert kept.known(TEXTS[:2]) == [False, True]


# Verify.


def test_verify_removes_what_is_damaged_and_counts_it(kept: ModelCache) -> None:
    assert verify(kept.cache).entries == BATCH
    for text in TEXTS[:3]:
        flip(closed(kept), offset_of(kept, text, 40))
    with tables(kept) as inside:
        inside.execute("UPDATE entries SET pack = 99 WHERE text = ?", (key_of(TEXTS[8]),))
    found = verify(kept.cache)
    assert (found.entries, found.damaged, found.taken_back) == (BATCH - 4, 4, 0)
    assert kept.find(TEXTS).damaged == 0
    assert sum(kept.known(TEXTS)) == BATCH - 4
    assert verify(kept.cache).damaged == 0


@pytest.mark.parametrize("table", ["entries", "packs", "models"])
def test_verify_takes_back_what_a_damaged_file_still_holds(tmp_path: Path, table: str) -> None:
    cache = model(tmp_path)
    texts = names(0, 3000)
    for first in range(0, 3000, BATCH):
        cache.keep(names(first), vectors(names(first)))
    with tables(cache) as inside:
        (root,) = inside.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    content = bytearray(closed(cache).read_bytes())
    content[(root - 1) * 4096 : root * 4096] = os.urandom(4096)
    cache.cache.file.path.write_bytes(content)
    found = verify(cache.cache)
    if table == "models":  # without them nothing says whose vectors these are
        assert found.entries == 0
        assert found.damaged > 0
    else:
        assert (found.entries, found.taken_back, found.damaged) == (3000, 3000, 0)
        assert wrong(cache.find(texts).vectors) == []
    assert not (tmp_path / DAMAGED_NAME).exists()


def test_verify_takes_back_all_but_what_lay_on_a_damaged_page(tmp_path: Path) -> None:
    cache = model(tmp_path)
    for first in range(0, 3000, BATCH):
        cache.keep(names(first), vectors(names(first)))
    path = closed(cache)
    content = bytearray(path.read_bytes())
    page = offset_of(cache, "text 1500", 0) // 4096 * 4096
    content[page : page + 4096] = os.urandom(4096)
    path.write_bytes(content)
    found = verify(cache.cache)
    assert found.damaged > 0
    assert 2800 < found.entries < 3000
    kept = cache.find(names(0, 3000))
    assert len(kept.vectors) == found.entries
    assert wrong(kept.vectors) == []


def test_report_counts_by_model(kept: ModelCache) -> None:
    kept.find(TEXTS[:5])
    kept.find(["unknown"])
    other = kept.cache.of({"model": "other", "dimensions": 4}, dimensions=4, name="other")
    other.keep(TEXTS[:3], vectors(TEXTS[:3])[:, :4])
    found = report(kept.cache)
    assert [(item.name, item.entries, item.hits, item.dimensions) for item in found.models] == [
        ("a model", BATCH, 5, 8),
        ("other", 3, 0, 4),
    ]
    assert found.models[0].made_by == {"model": "a model"}
    assert (found.entries, found.hits, found.set_aside_bytes) == (BATCH + 3, 5, 0)
    assert found.models[0].bytes == BATCH * (32 + 4 * 8 + 16)
    assert found.bytes > 0


def test_hits_are_counted_over_processes(kept: ModelCache) -> None:
    for _ in range(3):
        cache = model(folder_of(kept))
        cache.find(TEXTS)
        cache.cache.close()
    assert report(kept.cache).hits == 3 * BATCH


def test_row_proves_itself_only_whole_and_under_its_own_key() -> None:
    layout = Layout(b"i" * 32, 2)
    (pack,) = [content for _, content in layout.packs([b"k" * 32], np.array([[1.5, -2]], dtype=np.float32))]
    found = layout.row(pack, 0, b"k" * 32)
    assert found is not None
    assert found.tolist() == [1.5, -2]
    refused: list[tuple[Any, Any, bytes]] = [
        (pack, 1, b"k" * 32),
        (pack, -1, b"k" * 32),
        (pack[:-1], 0, b"k" * 32),
        (pack, 0, b"x" * 32),
        (None, 0, b"k" * 32),
        ("text", 0, b"k" * 32),
        (pack, "0", b"k" * 32),
        (pack, None, b"k" * 32),
    ]
    assert [layout.row(*case) for case in refused] == [None] * len(refused)
    assert Layout(b"j" * 32, 2).row(pack, 0, b"k" * 32) is None

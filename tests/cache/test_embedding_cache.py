"""The embedding cache: stored vectors come back bit by bit, and damage is a counted miss."""

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

import ragloom.cache.embeddings.cache_file
import ragloom.cache.embeddings.row_format
from cache_tools import BATCH, DIMENSIONS, names, open_cache, vectors, wrong
from messages import wording
from messages.cache import cache_held_by_other, unknown_model
from messages.config import did_you_mean
from places import TESTS
from ragloom.cache.embeddings import bypassed, is_bypassed
from ragloom.cache.embeddings.cache_file import DAMAGED_NAME, NAME, PAGE_BYTES
from ragloom.cache.embeddings.embedding_cache import EmbeddingCache, ModelCache
from ragloom.cache.embeddings.maintenance import forget, prune, report, verify
from ragloom.cache.embeddings.row_format import RowFormat, key_of
from ragloom.core import sqlite_connections
from ragloom.core.records import sha256
from ragloom.errors import ConfigError, DataError, ServiceError

CHILD = TESTS / "support" / "cache_tools.py"
TEXTS = names(0)
in_a_folder = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def cache(tmp_path: Path) -> ModelCache:
    """A cache that holds `TEXTS`."""
    opened = open_cache(tmp_path / "cache")
    assert opened.store(TEXTS, vectors(TEXTS))
    return opened


def folder_of(cache: ModelCache) -> Path:
    return cache.cache.database.folder


def closed(cache: ModelCache) -> Path:
    """Close a cache; return its file, which then holds everything."""
    cache.cache.close()
    return cache.cache.database.path


@contextmanager
def tables(cache: ModelCache) -> Iterator[sqlite3.Connection]:
    """Change the tables behind the cache's back."""
    with closing(sqlite3.connect(closed(cache))) as connection, connection:
        yield connection


def flip(path: Path, offset: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1 << bit
    path.write_bytes(content)


def overwrite_page(cache: ModelCache, page: int) -> None:
    """Overwrite a page, counted from 0, in place."""
    with closed(cache).open("r+b") as file:
        file.seek(page * PAGE_BYTES)
        file.write(os.urandom(PAGE_BYTES))


def overwrite_root(cache: ModelCache, table: str) -> None:
    """Overwrite a table's first page, so that nothing in the table can be found any more."""
    with tables(cache) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    overwrite_page(cache, root - 1)


def offset_of(cache: ModelCache, text: str, within: int) -> int:
    """Return the place of a byte of a text's row in the file."""
    content = closed(cache).read_bytes()
    row = key_of(text) + vectors([text]).tobytes()
    return content.index(row) + within


# Storing and looking up.


def test_stored_texts_are_hits_and_no_others(cache: ModelCache) -> None:
    lookup = cache.look_up([*TEXTS, "another text"])
    assert set(lookup.vectors) == set(TEXTS)
    assert wrong(lookup.vectors) == []
    assert (lookup.damaged, lookup.unavailable) == (0, 0)
    assert cache.contains(["another text", *TEXTS]) == [False, *[True] * BATCH]


def test_another_process_has_the_same_hits(cache: ModelCache) -> None:
    code = "import sys; from cache_tools import *; print(len(open_cache(Path(sys.argv[1])).look_up(names(0)).vectors))"
    arguments = [sys.executable, "-c", code, str(folder_of(cache))]
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
        patch.setattr(ragloom.cache.embeddings.row_format, "PACK_BYTES", pack_bytes)
        cache = EmbeddingCache(tmp_path / "bits", max_bytes=1 << 30).for_model(
            {"case": sorted(bits.items())}, dimensions=3, name="m"
        )
        expected = np.array(list(bits.values()), dtype=np.uint32).reshape(-1, 3).view(np.float32)
        assert cache.store(list(bits), expected)
        hits = cache.look_up(list(bits)).vectors
    assert {text: vector.view(np.uint32).tolist() for text, vector in hits.items()} == bits


def test_texts_that_look_alike_do_not_share_a_vector(cache: ModelCache) -> None:
    alike = ["text 0 ", " text 0", "text\u00a00", "Text 0", "text 0\n", "téxt 0", "te\u0301xt 0"]
    assert cache.contains(alike) == [False] * len(alike)


def test_other_models_and_dimensions_do_not_share_vectors(cache: ModelCache) -> None:
    shared = cache.cache
    others = [
        shared.for_model({"model": "another"}, dimensions=DIMENSIONS, name="a model"),
        shared.for_model({"model": "a model", "revision": "2"}, dimensions=DIMENSIONS, name="a model"),
        shared.for_model({"model": "a model"}, dimensions=4, name="a model"),
        shared.for_model({"model": ["a model"]}, dimensions=DIMENSIONS, name="a model"),
    ]
    assert len({other.rows.identity for other in [cache, *others]}) == 5
    for other in others:
        assert other.look_up(TEXTS).vectors == {}
    assert others[2].store(TEXTS, vectors(TEXTS)[:, :4])
    assert wrong(cache.look_up(TEXTS).vectors) == []
    renamed = shared.for_model({"model": "a model"}, dimensions=DIMENSIONS, name="as others call it")
    assert len(renamed.look_up(TEXTS).vectors) == BATCH


def test_stored_vector_is_not_stored_again(cache: ModelCache) -> None:
    before = report(cache.cache)
    assert cache.store([*TEXTS[5:], "new"], vectors([*TEXTS[5:], "new"]))
    assert report(cache.cache).entries == before.entries + 1
    with tables(cache) as connection:
        size = connection.execute("SELECT sum(length(content)) FROM contents").fetchone()
        assert size == (21 * cache.rows.size,)


def test_no_text_is_in_the_folder(tmp_path: Path) -> None:
    cache = open_cache(tmp_path / "cache")
    cache.store(["비밀 문서의 내용", "a very private sentence"], vectors(["a", "b"]))
    for path in folder_of(cache).iterdir():
        assert "비밀 문서".encode() not in path.read_bytes()
        assert b"private" not in path.read_bytes()


def test_cache_can_be_pickled(cache: ModelCache) -> None:
    copy = pickle.loads(pickle.dumps(cache))
    assert len(copy.look_up(TEXTS).vectors) == BATCH
    assert copy.cache.max_bytes == cache.cache.max_bytes


def test_threads_share_one_cache(tmp_path: Path) -> None:
    cache, failures = open_cache(tmp_path), []

    def work(first: int) -> None:
        for number in range(first, first + 10):
            texts = names(number * 5)
            failures.extend(wrong(cache.look_up(texts).vectors))
            assert cache.store(texts, vectors(texts))

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 3, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(cache.contains(names(0, 95)))


def test_bypass_belongs_to_the_block() -> None:
    assert not is_bypassed()
    with bypassed():
        assert is_bypassed()
        assert in_a_thread(is_bypassed) is False, "another thread's context is its own"
    assert not is_bypassed()


def in_a_thread(function: Callable[[], bool]) -> bool:
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


# Damage.


@given(st.integers(0, 10**6), st.integers(0, 7))
@settings(in_a_folder, max_examples=150)
@pytest.mark.slow
def test_flipped_bit_costs_vectors_and_never_changes_one(tmp_path: Path, offset: int, bit: int) -> None:
    pristine = tmp_path / "pristine.sqlite"
    if not pristine.exists():
        cache = open_cache(tmp_path / "first")
        for first in range(0, 200, BATCH):
            cache.store(names(first), vectors(names(first)))
        shutil.copy(closed(cache), pristine)
    folder = tmp_path / "flipped"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(pristine, folder / NAME)
    flip(folder / NAME, offset % pristine.stat().st_size, bit)
    check_that_it_heals(folder, names(0, 200))


@given(st.integers(0, 10**6), st.binary(max_size=64))
@settings(in_a_folder, max_examples=60)
def test_truncated_or_overwritten_file_is_a_miss(tmp_path: Path, size: int, garbage: bytes) -> None:
    folder = tmp_path / "cut"
    shutil.rmtree(folder, ignore_errors=True)
    cache = open_cache(folder)
    cache.store(TEXTS, vectors(TEXTS))
    path = closed(cache)
    path.write_bytes(path.read_bytes()[: size % path.stat().st_size] + garbage)
    check_that_it_heals(folder, TEXTS)


def check_that_it_heals(folder: Path, texts: list[str]) -> None:
    """Check that every hit is right, that the misses can be stored again, and that all texts are hits then."""
    cache = open_cache(folder)
    first = cache.look_up(texts)
    assert wrong(first.vectors) == []
    missing = [text for text in texts if text not in first.vectors]
    assert first.unavailable == 0
    if missing:
        assert cache.store(missing, vectors(missing))
    for _ in range(3):  # a structure that is damaged where only writing comes by is set aside now, and heals as well
        again = cache.look_up(texts)
        assert wrong(again.vectors) == []
        missing = [text for text in texts if text not in again.vectors]
        if not missing:
            return
        assert cache.store(missing, vectors(missing))
    raise AssertionError("the cache does not heal")


@pytest.mark.parametrize("within", [0, 31, 32, 40, 63, 64, 79], ids=lambda at: f"byte {at} of 80")
def test_damaged_entry_is_a_miss_counted_once_and_can_be_stored_again(cache: ModelCache, within: int) -> None:
    flip(closed(cache), offset_of(cache, TEXTS[7], within))
    lookup = cache.look_up(TEXTS)
    assert set(TEXTS) - set(lookup.vectors) == {TEXTS[7]}
    assert wrong(lookup.vectors) == []
    assert lookup.damaged == 1
    assert cache.look_up(TEXTS).damaged == 0
    assert cache.store([TEXTS[7]], vectors([TEXTS[7]]))
    again = cache.look_up(TEXTS)
    assert (len(again.vectors), again.damaged) == (BATCH, 0)
    assert wrong(again.vectors) == []


def test_each_damaged_entry_of_a_pack_is_counted_when_it_is_looked_up(cache: ModelCache) -> None:
    for text in TEXTS[:3]:
        flip(closed(cache), offset_of(cache, text, 40))
    assert [cache.look_up([text]).damaged for text in TEXTS[:4]] == [1, 1, 1, 0]
    assert len(cache.look_up(TEXTS).vectors) == BATCH - 3


def test_entry_that_leads_to_another_vector_is_a_counted_miss(cache: ModelCache) -> None:
    with tables(cache) as connection:
        connection.execute("UPDATE entries SET place = 3 WHERE text = ?", (key_of(TEXTS[7]),))
        connection.execute("UPDATE entries SET pack = 99 WHERE text = ?", (key_of(TEXTS[8]),))
        connection.execute("UPDATE entries SET place = 'x', pack = x'00' WHERE text = ?", (key_of(TEXTS[9]),))
    lookup = cache.look_up(TEXTS)
    assert set(TEXTS) - set(lookup.vectors) == set(TEXTS[7:10])
    assert lookup.damaged == 3


def test_vectors_under_another_models_number_are_not_its_hits(cache: ModelCache) -> None:
    other = cache.cache.for_model({"model": "other"}, dimensions=DIMENSIONS, name="other")
    other.store(["x"], vectors(["x"]))
    with tables(cache) as connection:
        connection.execute("UPDATE entries SET model = 2")
    lookup = other.look_up(TEXTS)
    assert lookup.vectors == {}
    assert lookup.damaged == BATCH


@pytest.mark.parametrize("content", [b"", b"no database", b"\0" * 100_000, os.urandom(50_000)])
def test_file_that_is_no_database_is_a_counted_miss_and_replaced(cache: ModelCache, content: bytes) -> None:
    closed(cache).write_bytes(content)
    lookup = cache.look_up(TEXTS)
    assert lookup.vectors == {}
    assert lookup.damaged == (BATCH if content else 0)
    assert (folder_of(cache) / DAMAGED_NAME).exists() == bool(content)
    assert cache.store(TEXTS, vectors(TEXTS))
    assert wrong(cache.look_up(TEXTS).vectors) == []


def test_damage_noticed_while_storing_is_counted_and_does_not_lose_new_vectors(cache: ModelCache) -> None:
    path = closed(cache)
    path.write_bytes(b"x" * path.stat().st_size)
    assert cache.store(["new"], vectors(["new"]))
    lookup = cache.look_up(["new", *TEXTS])
    assert set(lookup.vectors) == {"new"}
    assert lookup.damaged == BATCH


def test_garbage_in_the_log_is_a_miss(cache: ModelCache) -> None:
    Path(f"{closed(cache)}-wal").write_bytes(os.urandom(100_000))
    check_that_it_heals(folder_of(cache), TEXTS)


def test_file_set_aside_by_another_process_is_closed(cache: ModelCache) -> None:
    closed(cache)
    other = open_cache(folder_of(cache))
    assert other.look_up(TEXTS).vectors
    overwrite_page(cache, 0)
    assert cache.store(["new"], vectors(["new"]))
    assert (folder_of(cache) / DAMAGED_NAME).exists()
    assert set(other.look_up(["new", *TEXTS]).vectors) == {"new"}
    assert other.store(TEXTS, vectors(TEXTS))
    other.cache.close()
    assert len(cache.look_up(TEXTS).vectors) == BATCH


def test_folder_deleted_under_a_running_process_is_created_again(cache: ModelCache) -> None:
    shutil.rmtree(folder_of(cache))
    assert cache.look_up(TEXTS).vectors == {}
    assert cache.store(TEXTS, vectors(TEXTS))
    assert len(cache.look_up(TEXTS).vectors) == BATCH
    shutil.rmtree(folder_of(cache))
    cache.cache.close()
    assert not folder_of(cache).exists(), "closing creates no folder"


# Files that cannot be written.


def test_folder_that_cannot_be_written_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match=wording("cache: cache.path=", "file' cannot be written")):
        open_cache(tmp_path / "file")


def test_cache_locked_by_another_process_can_be_read_and_counts_as_unavailable_for_writing(
    cache: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_connections, "BUSY_SECONDS", 0.05)
    path = closed(cache)
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert len(cache.look_up(TEXTS).vectors) == BATCH, "readers do not wait for writers"
        assert not cache.store(["new"], vectors(["new"]))
        with pytest.raises(ServiceError, match=wording(cache_held_by_other())):
            forget(cache.cache, [sha256(TEXTS[0])])
        holder.execute("ROLLBACK")
    assert cache.store(["new"], vectors(["new"]))
    assert not (folder_of(cache) / DAMAGED_NAME).exists(), "a busy file is not damaged"


def test_full_disk_counts_as_unavailable_and_keeps_stored_vectors(cache: ModelCache) -> None:
    with cache.cache.database.connection() as connection:
        connection.execute("PRAGMA max_page_count = 20").fetchall()
    many = names(100, 2000)
    assert not cache.store(many, vectors(many))
    assert len(cache.look_up(TEXTS).vectors) == BATCH
    assert not any(cache.contains(many))
    assert not (folder_of(cache) / DAMAGED_NAME).exists()


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
    cache = open_cache(tmp_path)
    texts = names(0, 60 * BATCH)
    lookup = cache.look_up(texts)
    assert len(lookup.vectors) == len(texts)
    assert wrong(lookup.vectors) == []
    with tables(cache) as connection:
        assert connection.execute("SELECT count(*) FROM entries").fetchone() == (len(texts),)
        assert connection.execute("SELECT sum(length(content)) FROM contents").fetchone() == (
            len(texts) * cache.rows.size,
        ), "a vector computed by two processes at once is stored once"


@pytest.mark.slow
def test_killed_writer_loses_no_stored_vector(tmp_path: Path) -> None:
    moments = random.Random(5)
    for number in range(6):
        child = run_child(tmp_path, number * 1000, 1000)
        assert child.stdout is not None
        printed = [child.stdout.readline() for _ in range(moments.randrange(1, 60))]
        child.send_signal(signal.SIGKILL)
        printed += child.stdout.readlines()
        child.communicate()
        cache = open_cache(tmp_path)
        for line in printed:
            if line.endswith("\n"):
                texts = names(int(line) * BATCH)
                lookup = cache.look_up(texts)
                assert len(lookup.vectors) == BATCH
                assert wrong(lookup.vectors) == []
        verification = verify(cache.cache)
        assert verification.damaged == verification.taken_back == 0
        cache.cache.close()


def test_forked_child_uses_a_connection_of_its_own(cache: ModelCache, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.look_up(TEXTS).vectors
    opened: list[Path] = []
    connect = sqlite_connections.connect_shared
    monkeypatch.setattr(
        sqlite_connections, "connect_shared", lambda path, *rest: (opened.append(path), connect(path, *rest))[1]
    )
    child = os.fork()
    if child == 0:  # nothing may leave this block but an exit status
        status = 1
        try:
            right = len(cache.look_up(TEXTS).vectors) == BATCH and cache.store(["child"], vectors(["child"]))
            status = 0 if right and len(opened) == 1 else 2
            cache.cache.close()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert cache.store(["parent"], vectors(["parent"]))
    assert opened == [], "the parent's connection is still open"
    assert len(cache.look_up([*TEXTS, "child", "parent"]).vectors) == BATCH + 2
    assert verify(cache.cache).damaged == 0


# Size.


def test_size_is_bounded_and_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, max_bytes=4_000_000).for_model({}, dimensions=256, name="m")
    values = np.random.default_rng(1).standard_normal((100, 256)).astype(np.float32)
    written = []
    for number in range(50):  # 5.4 MB
        texts = names(number * 100, 100)
        written.append(texts)
        assert cache.store(texts, values)
        if number == 20:
            with cache.cache.database.transaction(write=True) as connection:  # all entries were used a day ago,
                connection.execute("UPDATE packs SET used = used - 86400")
            assert len(cache.look_up(written[0]).vectors) == 100  # but for these
    assert all(cache.contains(written[0])), "recently used entries stay"
    assert all(cache.contains(written[-1]))
    assert not any(cache.contains(written[1])), "the others go first"
    assert not any(cache.contains(written[2]))
    assert report(cache.cache).entries * cache.rows.size > 3_000_000
    assert closed(cache).stat().st_size < 4_400_000, "the space of removed entries is used again"
    assert verify(cache.cache).damaged == 0


def test_hit_whose_use_was_recorded_lately_writes_nothing(cache: ModelCache) -> None:
    before = closed(cache).read_bytes()
    again = open_cache(folder_of(cache))
    assert again.look_up(TEXTS).vectors
    assert not Path(f"{again.cache.database.path}-wal").stat().st_size
    again.cache.hits.clear()
    assert closed(again).read_bytes() == before


def test_prune_removes_by_size_age_and_model(cache: ModelCache) -> None:
    other = cache.cache.for_model({"model": "other"}, dimensions=DIMENSIONS, name="other-model")
    other.store(TEXTS, vectors(TEXTS))
    with cache.cache.database.transaction(write=True) as connection:
        connection.execute("UPDATE packs SET used = used - 864000 WHERE model = 1")
    assert prune(cache.cache, unused_seconds=20 * 86400).entries == 0
    assert prune(cache.cache, unused_seconds=86400, model="other-model").entries == 0
    assert prune(cache.cache, unused_seconds=86400).entries == BATCH
    assert (any(cache.contains(TEXTS)), all(other.contains(TEXTS))) == (False, True)
    cache.store(TEXTS, vectors(TEXTS))
    with pytest.raises(DataError, match=wording(unknown_model("othr-model"), did_you_mean("other-model"))):
        prune(cache.cache, model="othr-model")
    assert prune(cache.cache, model=other.rows.identity.hex()[:6]).entries == BATCH
    assert (all(cache.contains(TEXTS)), any(other.contains(TEXTS))) == (True, False)
    assert [item.name for item in report(cache.cache).models] == ["a model"]
    many = names(100, 5000)
    cache.store(many, vectors(many))
    large = closed(cache).stat().st_size
    pruned = prune(cache.cache, max_bytes=0)
    assert pruned.entries == BATCH + 5000
    assert closed(cache).stat().st_size == large - pruned.bytes < 100_000


# Deleted means deleted.


def test_forgotten_text_is_gone_from_every_model_and_from_the_disk(cache: ModelCache) -> None:
    other = cache.cache.for_model({"model": "other"}, dimensions=DIMENSIONS, name="other")
    other.store(TEXTS, vectors(TEXTS))
    gone = [TEXTS[3], TEXTS[11], "never stored"]
    assert forget(cache.cache, [sha256(text) for text in gone]) == 4
    for part in (cache, other):
        lookup = part.look_up(TEXTS)
        assert set(TEXTS) - set(lookup.vectors) == set(gone[:2])
        assert wrong(lookup.vectors) == []
        assert lookup.damaged == 0
    for path in folder_of(cache).iterdir():  # while it is open: also from the log
        content = path.read_bytes()
        for text in gone:
            assert vectors([text]).tobytes() not in content, path.name
            assert key_of(text) not in content, path.name
    assert forget(cache.cache, [sha256(text) for text in TEXTS]) == 2 * (BATCH - 2)
    with tables(cache) as connection:
        assert connection.execute("SELECT count(*) FROM contents").fetchone() == (0,)


@pytest.mark.parametrize("within", [0, 40], ids=["damaged key", "damaged vector"])
def test_forgotten_text_is_gone_from_the_disk_also_when_its_row_is_damaged(cache: ModelCache, within: int) -> None:
    flip(closed(cache), offset_of(cache, TEXTS[3], within))
    assert forget(cache.cache, [sha256(TEXTS[3])]) == 1
    assert vectors([TEXTS[3]]).tobytes()[16:] not in closed(cache).read_bytes()


def test_forgotten_text_does_not_come_back_from_a_file_that_was_set_aside(cache: ModelCache) -> None:
    overwrite_root(cache, "entries")
    cache.look_up(TEXTS)
    assert (folder_of(cache) / DAMAGED_NAME).exists()
    assert forget(cache.cache, [sha256(TEXTS[0])]) == 1
    assert not (folder_of(cache) / DAMAGED_NAME).exists()
    assert verify(cache.cache).entries == BATCH - 1
    assert cache.contains(TEXTS[:2]) == [False, True]


def test_forgotten_text_counts_as_no_damage_of_a_file_that_was_set_aside(cache: ModelCache) -> None:
    assert forget(cache.cache, [sha256(TEXTS[0])]) == 1
    overwrite_root(cache, "entries")
    result = verify(cache.cache)
    assert (result.entries, result.taken_back, result.damaged) == (BATCH - 1, BATCH - 1, 0)


# Verification and recovery.


def test_verify_removes_and_counts_damaged_entries(cache: ModelCache) -> None:
    assert verify(cache.cache).entries == BATCH
    for text in TEXTS[:3]:
        flip(closed(cache), offset_of(cache, text, 40))
    with tables(cache) as connection:
        connection.execute("UPDATE entries SET pack = 99 WHERE text = ?", (key_of(TEXTS[8]),))
    result = verify(cache.cache)
    assert (result.entries, result.damaged, result.taken_back) == (BATCH - 4, 4, 0)
    assert cache.look_up(TEXTS).damaged == 0
    assert sum(cache.contains(TEXTS)) == BATCH - 4
    assert verify(cache.cache).damaged == 0


def test_verify_removes_entries_of_a_model_without_record(cache: ModelCache) -> None:
    with tables(cache) as connection:
        connection.execute("UPDATE entries SET model = 9 WHERE text = ?", (key_of(TEXTS[8]),))
    assert verify(cache.cache).damaged == 1
    assert verify(cache.cache).damaged == 0


def test_verify_leaves_entries_that_are_stored_meanwhile(cache: ModelCache, monkeypatch: pytest.MonkeyPatch) -> None:
    other, pending, rows = open_cache(folder_of(cache)), ["new"], RowFormat.rows

    def rows_after_a_write(self: RowFormat, content: object) -> Any:
        if pending:
            assert other.store([pending.pop()], vectors(["new"]))
        return rows(self, content)

    monkeypatch.setattr(RowFormat, "rows", rows_after_a_write)
    result = verify(cache.cache)
    assert (result.entries, result.damaged) == (BATCH, 0)
    assert other.contains(["new"]) == [True]


@pytest.mark.parametrize("table", ["entries", "packs", "models"])
def test_verify_recovers_what_a_damaged_file_still_holds(tmp_path: Path, table: str) -> None:
    cache = open_cache(tmp_path)
    texts = names(0, 3000)
    for first in range(0, 3000, BATCH):
        cache.store(names(first), vectors(names(first)))
    overwrite_root(cache, table)
    result = verify(cache.cache)
    if table == "models":  # without them nothing says whose vectors these are
        assert result.entries == 0
        assert result.damaged > 0
    else:
        assert (result.entries, result.taken_back, result.damaged) == (3000, 3000, 0)
        assert wrong(cache.look_up(texts).vectors) == []
    assert not (tmp_path / DAMAGED_NAME).exists()


def test_verify_recovers_all_but_the_vectors_on_a_damaged_page(tmp_path: Path) -> None:
    cache = open_cache(tmp_path)
    for first in range(0, 3000, BATCH):
        cache.store(names(first), vectors(names(first)))
    overwrite_page(cache, offset_of(cache, "text 1500", 0) // PAGE_BYTES)
    result = verify(cache.cache)
    assert result.damaged > 0
    assert 2800 < result.entries < 3000
    lookup = cache.look_up(names(0, 3000))
    assert len(lookup.vectors) == result.entries
    assert wrong(lookup.vectors) == []


def test_report_counts_by_model(cache: ModelCache) -> None:
    cache.look_up(TEXTS[:5])
    cache.look_up(["unknown"])
    other = cache.cache.for_model({"model": "other", "dimensions": 4}, dimensions=4, name="other")
    other.store(TEXTS[:3], vectors(TEXTS[:3])[:, :4])
    result = report(cache.cache)
    assert [(item.name, item.entries, item.hits, item.dimensions) for item in result.models] == [
        ("a model", BATCH, 5, 8),
        ("other", 3, 0, 4),
    ]
    assert result.models[0].made_by == {"model": "a model"}
    assert (result.entries, result.hits, result.set_aside_bytes) == (BATCH + 3, 5, 0)
    assert result.models[0].bytes == BATCH * (32 + 4 * 8 + 16)
    assert result.bytes > 0


def test_hits_are_counted_over_processes(cache: ModelCache) -> None:
    for _ in range(3):
        again = open_cache(folder_of(cache))
        again.look_up(TEXTS)
        again.cache.close()
    assert report(cache.cache).hits == 3 * BATCH


def test_row_is_read_only_whole_and_under_its_own_key() -> None:
    rows = RowFormat(b"i" * 32, 2)
    (pack,) = [content for _, content in rows.packs([b"k" * 32], np.array([[1.5, -2]], dtype=np.float32))]
    vector = rows.vector(pack, 0, b"k" * 32)
    assert vector is not None
    assert vector.tolist() == [1.5, -2]
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
    assert [rows.vector(*case) for case in refused] == [None] * len(refused)
    assert RowFormat(b"j" * 32, 2).vector(pack, 0, b"k" * 32) is None

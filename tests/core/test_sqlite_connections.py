"""SQLite connections: nothing half-written, settings by purpose, errors with their fix."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from messages import wording
from messages.source import is_full
from messages.vector_store import no_temporary_room
from ragloom.core import sqlite_connections
from ragloom.core.sqlite_connections import (
    ScratchTables,
    connect_shared,
    error_code,
    failures_as,
    is_damage,
    log_transaction,
)
from ragloom.errors import DataError, ServiceError

SCHEMA = "CREATE TABLE numbers (number INTEGER PRIMARY KEY)"
LOG_SCHEMA = SCHEMA.replace("TABLE", "TABLE IF NOT EXISTS")


@pytest.fixture
def scratch() -> Iterator[ScratchTables]:
    tables = ScratchTables(SCHEMA, "numbers")
    yield tables
    tables.close()


def test_shared_file_survives_a_kill_without_its_last_transaction_being_torn(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from ragloom.core.sqlite_connections import *; c = connect_shared(Path(sys.argv[1]))\n"
        f"c.execute('{SCHEMA}'); c.execute('INSERT INTO numbers VALUES (1)')\n"
        "with transaction(c, write=True): c.execute('INSERT INTO numbers VALUES (2)'); os._exit(1)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "file")], check=False).returncode == 1
    connection = connect_shared(tmp_path / "file")
    assert connection.execute("SELECT * FROM numbers").fetchall() == [(1,)]
    connection.close()


def test_shared_file_is_read_while_another_connection_writes(tmp_path: Path) -> None:
    writer, reader = connect_shared(tmp_path / "file"), connect_shared(tmp_path / "file")
    writer.execute(SCHEMA)
    with sqlite_connections.transaction(writer, write=True):
        writer.execute("INSERT INTO numbers VALUES (1)")
        assert reader.execute("SELECT * FROM numbers").fetchall() == []
    assert reader.execute("SELECT * FROM numbers").fetchall() == [(1,)]
    writer.close()
    reader.close()


def test_creation_settings_apply_to_a_new_file_only(tmp_path: Path) -> None:
    connect_shared(tmp_path / "file", {"page_size": 8192}).execute(SCHEMA)
    connection = connect_shared(tmp_path / "file")
    assert connection.execute("PRAGMA page_size").fetchone() == (8192,)
    assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)
    connection.close()


def test_log_transaction_that_raises_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "log"
    with log_transaction(path, LOG_SCHEMA) as tables:
        tables.execute("INSERT INTO numbers VALUES (1)")
    with pytest.raises(ZeroDivisionError), log_transaction(path, LOG_SCHEMA) as tables:
        tables.execute("INSERT INTO numbers VALUES (2)")
        raise ZeroDivisionError
    with log_transaction(path, LOG_SCHEMA) as tables:
        assert tables.execute("SELECT * FROM numbers").fetchall() == [(1,)]
    assert list(path.parent.iterdir()) == [path], "no file of SQLite's own remains"


def test_log_writers_wait_for_each_other(tmp_path: Path) -> None:
    def add(first: int) -> None:
        for number in range(first, first + 20):
            with log_transaction(tmp_path / "log", LOG_SCHEMA) as tables:
                tables.execute("INSERT INTO numbers VALUES (?)", (number,))

    threads = [threading.Thread(target=add, args=(first,)) for first in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with log_transaction(tmp_path / "log", LOG_SCHEMA) as tables:
        assert tables.execute("SELECT count(*) FROM numbers").fetchone() == (60,)


def test_scratch_tables_return_what_was_inserted_and_count_changes(scratch: ScratchTables) -> None:
    assert scratch.insert("INSERT OR IGNORE INTO numbers VALUES (?)", ((number,) for number in range(2500))) == 2500
    assert scratch.insert("INSERT OR IGNORE INTO numbers VALUES (?)", [(1,), (2500,)]) == 1
    assert scratch.rows("SELECT number FROM numbers WHERE number > ?", (2498,)) == [(2499,), (2500,)]


def test_scratch_rows_may_come_from_the_same_tables(scratch: ScratchTables) -> None:
    """A source that is listed may note what it could not read."""
    scratch.insert("INSERT INTO numbers VALUES (?)", [(1,)])
    doubled = ((10 * number,) for (number,) in scratch.rows("SELECT number FROM numbers"))
    assert scratch.insert("INSERT INTO numbers VALUES (?)", doubled) == 1


def test_full_temporary_disk_names_what_needs_room_and_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sqlite_connections.SCRATCH_SETTINGS, "max_page_count", 3)
    scratch = ScratchTables(SCHEMA, "numbers, 1 MB per million")
    with pytest.raises(DataError, match=wording(no_temporary_room("numbers, 1 MB per million: "), is_full())):
        scratch.insert("INSERT INTO numbers VALUES (?)", ((number,) for number in range(10_000)))
    scratch.close()


def test_wrong_statement_on_scratch_tables_is_a_bug(scratch: ScratchTables) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        scratch.rows("SELECT * FROM missing")
    with pytest.raises(sqlite3.IntegrityError):
        scratch.insert("INSERT INTO numbers VALUES (?)", [(1,), (1,)])


@pytest.mark.parametrize(
    "error", [sqlite3.DatabaseError("why"), UnicodeDecodeError("utf-8", b"", 0, 1, "why"), OSError("why")]
)
def test_failures_are_raised_with_their_reason_between_problem_and_fix(error: Exception) -> None:
    with (
        pytest.raises(ServiceError, match=r"^a: it fails: .*why; do that$"),
        failures_as(ServiceError, "a: it fails", "do that"),
    ):
        raise error


def test_wrong_use_of_sqlite3_is_a_bug() -> None:
    with pytest.raises(sqlite3.ProgrammingError), failures_as(ServiceError, "a", "b"):
        raise sqlite3.ProgrammingError("closed")


def test_busy_file_is_not_damaged_and_garbage_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_connections, "BUSY_SECONDS", 0.01)
    one, other = connect_shared(tmp_path / "file"), connect_shared(tmp_path / "file")
    one.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError) as busy:
        other.execute("BEGIN IMMEDIATE")
    assert not is_damage(busy.value)
    one.close()
    other.close()
    (tmp_path / "garbage").write_bytes(b"x" * 5000)
    with pytest.raises(sqlite3.DatabaseError) as damaged:
        connect_shared(tmp_path / "garbage")
    assert is_damage(damaged.value)
    assert error_code(damaged.value) == sqlite3.SQLITE_NOTADB
    assert is_damage(UnicodeDecodeError("utf-8", b"", 0, 1, "why"))

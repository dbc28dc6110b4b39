"""SQLite connections by purpose, and one way to report their failures.

shared    results that several threads and processes read and write; all of it can be computed again
scratch   private tables of one process, in an unnamed temporary file that vanishes with the process
log       a record of events; opened for each change and closed, and safe on a network drive
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from ragloom.errors import DataError, RagloomError

BUSY_SECONDS = 60.0
"""How long a statement waits for another process's transaction; each takes milliseconds."""
SHARED_SETTINGS: dict[str, str | int] = {
    "journal_mode": "WAL",
    "synchronous": "NORMAL",  # a killed process loses nothing; a power cut may lose the last entries
    "secure_delete": "ON",  # deleted means deleted
    "cell_size_check": "ON",
    "journal_size_limit": 64 << 20,  # bytes to which the write-ahead log is cut back
}
SCRATCH_SETTINGS: dict[str, str | int] = {"journal_mode": "OFF", "synchronous": "OFF", "cache_size": -16_000}
FAILURES = (sqlite3.DatabaseError, UnicodeDecodeError)
"""Errors that a statement on a damaged file may raise: sqlite3 cannot decode a message that quotes a damaged schema."""

_ROWS_AT_ONCE = 1000
_TRANSIENT = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}


def connect_shared(path: Path, creation: Mapping[str, str | int] | None = None) -> sqlite3.Connection:
    """Open or create a file that several threads and processes share.

    Args:
        creation: further settings of a new file. On an existing one they would wait for other writers.
    """
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        for name, value in {**(creation or {}), **SHARED_SETTINGS}.items():
            connection.execute(f"PRAGMA {name}={value}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_damaged(path: Path) -> sqlite3.Connection:
    """Open a file for recovery; any statement may raise one of `FAILURES`."""
    return sqlite3.connect(path, isolation_level=None)


@contextmanager
def transaction(connection: sqlite3.Connection, *, write: bool) -> Iterator[sqlite3.Connection]:
    """Run the block in a transaction; roll back if it raises."""
    connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def log_transaction(path: Path, schema: str) -> Iterator[sqlite3.Connection]:
    """Open a log for one transaction.

    Args:
        path: created with its folder if missing.
        schema: statement that creates the table if it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    with closing(connection), transaction(connection, write=True) as tables:
        tables.execute(schema)
        yield tables


@contextmanager
def failures_as(error_class: type[RagloomError], problem: str, fix: str) -> Iterator[None]:
    """Raise failures as `error_class`: problem, reason, fix.

    Failures of SQLite and of the file system count; wrong use of the module `sqlite3` stays as it is.
    """
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # a bug of ours
    except (OSError, *FAILURES) as error:
        raise error_class(f"{problem}: {error}; {fix}") from error


def error_code(error: Exception) -> int:
    """Return SQLite's extended code of an error."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)  # without one: text that is not UTF-8


def is_damage(error: Exception) -> bool:
    """Return whether an error means damage, not a busy or full disk."""
    code = error_code(error)
    return code & 0xFF not in _TRANSIENT or code == sqlite3.SQLITE_IOERR_SHORT_READ


class ScratchTables:
    """Private tables on disk: memory does not grow with the corpus.

    Safe for several threads.

    Args:
        schema: statements that create the tables.
        content: what they hold and how much of it, for the error message.

    Raises (also when used):
        DataError: the disk of the temporary folder is full.
    """

    def __init__(self, schema: str, content: str) -> None:
        self._content = content
        self._using = threading.Lock()
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        settings = "".join(f"PRAGMA {name}={value};" for name, value in SCRATCH_SETTINGS.items())
        with self._room():
            # One transaction that never ends: there is no other reader, and nothing to restore.
            self._connection.executescript(f"{settings}{schema};BEGIN")

    def insert(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> int:
        """Run a statement for each row; return how many rows it changed."""
        changed, remaining = 0, iter(rows)
        while some := list(islice(remaining, _ROWS_AT_ONCE)):
            with self._using, self._room():
                changed += self._connection.executemany(statement, some).rowcount
        return changed

    def rows(self, query: str, values: tuple[Any, ...] | dict[str, Any] = ()) -> list[Any]:
        """Return all rows of a query."""
        with self._using, self._room():
            return self._connection.execute(query, values).fetchall()

    def close(self) -> None:
        """Remove the tables."""
        self._connection.close()

    @contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if is_damage(error):
                raise  # a bug of ours: nobody else writes these tables
            raise DataError(
                f"source: the folder of temporary files has no room for {self._content}: {error}; make room, or set "
                "TMPDIR to another folder"
            ) from None

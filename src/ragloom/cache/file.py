"""The file of the cache: opened, locked, found damaged, set aside. Knows its tables, not what they are for."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from ragloom.cache import NAME
from ragloom.core import sqlite
from ragloom.core.sqlite import FAILURES, connect_shared, error_code, is_damage, transaction
from ragloom.errors import ConfigError

DAMAGED_NAME, LOCK_NAME = "vectors.damaged.sqlite", "vectors.lock"
PAGE_BYTES = 4096

_CREATION: dict[str, str | int] = {"page_size": PAGE_BYTES, "auto_vacuum": "INCREMENTAL"}
_TABLES = {
    "models": "CREATE TABLE models (id INTEGER PRIMARY KEY, identity BLOB NOT NULL UNIQUE, "
    "dimensions INTEGER NOT NULL, name TEXT NOT NULL, described TEXT NOT NULL, hits INTEGER NOT NULL DEFAULT 0)",
    "packs": "CREATE TABLE packs (id INTEGER PRIMARY KEY, model INTEGER NOT NULL, used INTEGER NOT NULL, "
    "bytes INTEGER NOT NULL)",
    "contents": "CREATE TABLE contents (id INTEGER PRIMARY KEY, content BLOB NOT NULL)",
    "entries": "CREATE TABLE entries (model INTEGER NOT NULL, text BLOB NOT NULL, pack INTEGER NOT NULL, "
    "place INTEGER NOT NULL, PRIMARY KEY (model, text)) WITHOUT ROWID",
}
_inherited: list[sqlite3.Connection] = []  # a parent's connections, which SQLite forbids a forked child to close


class Damaged(Exception):
    """The file was damaged; it was set aside, and the next call begins a new one."""


class Unavailable(Exception):
    """The file cannot be read or written now: locked for too long, disk full, not writable."""


class CacheFile:
    """One process's way to the file; safe to be used by several threads, and in a forked child.

    Args:
        folder: made when it is not there.

    Raises:
        ConfigError: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / NAME
        self._using = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None
        self._process = os.getpid()
        self._lost = self._checked = False
        try:
            with self._alone():
                pass
        except OSError as error:
            raise ConfigError(
                f"cache: cache.path={str(folder)!r} must be a folder that can be written ({error.strerror or error}); "
                "set cache.path to another, or cache.enabled=false"
            ) from None

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[sqlite3.Connection]:
        """Runs the block on one state of the file; what it writes is there wholly or not at all.

        Raises:
            Damaged, Unavailable: nothing of the block was written.
        """
        with self._using, self._told(), transaction(self._current(), write=write) as connection:
            yield connection

    @contextmanager
    def plain(self) -> Iterator[sqlite3.Connection]:
        """Runs the block without a transaction: for what SQLite does in none.

        Raises:
            Damaged, Unavailable: as `transaction`.
        """
        with self._using, self._told():
            yield self._current()

    def is_open(self) -> bool:
        """Says whether this process has the file open, and it is still the one of its name."""
        with self._using:
            self._leave_the_parents()
            return self._connection is not None and self._opened == _stamp(self.path)

    def lost(self) -> bool:
        """Says whether a damaged file was set aside by this process since it was last asked."""
        lost, self._lost = self._lost, False
        return lost

    def close(self) -> None:
        """Lets go of the file; a later call opens it again."""
        with self._using:
            self._leave_the_parents()
            if self._connection is not None:
                self._let_go()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Says of an error whether the file is damaged, and sets a damaged one aside."""
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # a bug of ours
        except FAILURES as error:
            if not self._is_damage(error):
                raise Unavailable(str(error)) from error
            self._set_aside()
            raise Damaged(str(error)) from error
        except OSError as error:  # of the folder or its lock
            raise Unavailable(str(error)) from error

    def _is_damage(self, error: Exception) -> bool:
        code = error_code(error)
        if code == sqlite3.SQLITE_READONLY:  # also a damaged header can say so
            return os.access(self.path, os.W_OK)
        if code & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR) and code != sqlite3.SQLITE_IOERR_SHORT_READ:
            return not self._is_sound()  # a damaged page number leads beyond any disk
        return is_damage(error)

    def _is_sound(self) -> bool:
        """Checks the file's structure, which reads all of it: once for each time that it is opened."""
        if self._connection is None or self._checked:
            return True
        self._checked = True
        try:
            return bool(self._connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
        except FAILURES:
            return False

    def _current(self) -> sqlite3.Connection:
        self._leave_the_parents()
        if self._connection is not None and self._opened != _stamp(self.path):
            self._let_go()  # another process set the file aside, or somebody deleted it
        if self._connection is None:
            self._open()
        assert self._connection is not None
        return self._connection

    def _leave_the_parents(self) -> None:
        if self._process != os.getpid():
            if self._connection is not None:
                _inherited.append(self._connection)
            self._connection, self._process = None, os.getpid()

    def _open(self) -> None:
        with self._alone():
            begun = not self.path.exists() or not self.path.stat().st_size
            if begun:
                _remove_logs(self.path)
            try:
                connection = connect_shared(self.path, _CREATION if begun else None)
            finally:
                self._opened = _stamp(self.path)  # by which a damaged file is set aside
            try:
                _prepare_tables(connection)
            except BaseException:
                connection.close()
                raise
            self._connection, self._checked = connection, False

    def _let_go(self) -> None:
        connection, self._connection, self._opened = self._connection, None, None
        assert connection is not None
        with suppress(sqlite3.Error):  # a damaged file cannot be closed in order; nothing of ours is in it any more
            connection.close()

    def _set_aside(self) -> None:
        """Moves the damaged file away, unless another process has done so already."""
        opened, self._lost = self._opened, True
        if self._connection is not None:
            self._let_go()
        with self._alone():
            if opened == _stamp(self.path):
                aside = self.folder / DAMAGED_NAME
                _remove_logs(aside)
                self.path.replace(aside)
                log = Path(f"{self.path}-wal")
                if log.exists():
                    log.replace(f"{aside}-wal")
                _remove_logs(self.path)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Holds the lock in which the file is opened or moved, so that nobody opens a half-moved one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / LOCK_NAME, timeout=sqlite.BUSY_SECONDS):
            yield


def _prepare_tables(connection: sqlite3.Connection) -> None:
    """Makes the tables that are missing; refuses any that are not as they were made.

    A file can be sound to SQLite and yet mean something else: `PRIMARY KEY` with one bit flipped is the name of a type.
    """
    with transaction(connection, write=False):
        there = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
        if not there.items() <= _TABLES.items():
            raise sqlite3.DatabaseError("its tables are not as they were made")
        for name, statement in _TABLES.items():
            if name not in there:
                connection.execute(statement)


def _stamp(path: Path) -> tuple[int, int] | None:
    """Tells one file from another of the same name."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _remove_logs(path: Path) -> None:
    for end in ("-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)

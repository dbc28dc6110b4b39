"""Database file of the embedding cache."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from ragloom.cache.embeddings import NAME
from ragloom.core import sqlite_connections
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


class CacheDamaged(Exception):
    """The file was damaged and set aside; the next call creates another."""


class CacheUnavailable(Exception):
    """The file cannot be used now: locked, disk full, not writable."""


class CacheDatabase:
    """Access of one process to the file; sets a damaged file aside.

    Safe for several threads, and in a forked child.

    Args:
        folder: created if missing.

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
        self._set_aside = self._checked = False
        try:
            with self._locked():
                pass
        except OSError as error:
            raise ConfigError(
                f"cache: cache.path={str(folder)!r} cannot be written: {error.strerror or error}; set cache.path to "
                "another folder, or cache.enabled=false"
            ) from None

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[sqlite3.Connection]:
        """Run the block in a transaction.

        Raises:
            CacheDamaged, CacheUnavailable: nothing of the block was written.
        """
        with self.connection() as connection, sqlite_connections.transaction(connection, write=write):
            yield connection

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Run the block outside of a transaction, as some statements need.

        Raises:
            CacheDamaged, CacheUnavailable: as `transaction`.
        """
        with self._using:
            try:
                yield self._connected()
            except sqlite3.ProgrammingError:
                raise  # a bug of ours
            except sqlite_connections.FAILURES as error:
                if not self._is_damage(error):
                    raise CacheUnavailable(str(error)) from error
                self._move_aside()
                raise CacheDamaged(str(error)) from error
            except OSError as error:  # of the folder or its lock
                raise CacheUnavailable(str(error)) from error

    def is_open(self) -> bool:
        """Return whether the current file is open in this process."""
        with self._using:
            self._drop_inherited()
            return self._connection is not None and self._opened == _file_id(self.path)

    def was_set_aside(self) -> bool:
        """Return whether a damaged file was set aside since the last call."""
        set_aside, self._set_aside = self._set_aside, False
        return set_aside

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        with self._using:
            self._drop_inherited()
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(sqlite3.Error):  # a damaged file cannot be closed in order, and holds nothing of ours
                    connection.close()

    def _is_damage(self, error: Exception) -> bool:
        code = sqlite_connections.error_code(error)
        if code == sqlite3.SQLITE_READONLY:  # also a damaged header can say so
            return os.access(self.path, os.W_OK)
        if code & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR) and code != sqlite3.SQLITE_IOERR_SHORT_READ:
            return not self._is_sound()  # a damaged page number leads beyond any disk
        return sqlite_connections.is_damage(error)

    def _is_sound(self) -> bool:
        """Check the file's structure, once per opening: it reads everything."""
        if self._connection is None or self._checked:
            return True
        self._checked = True
        try:
            return bool(self._connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
        except sqlite_connections.FAILURES:
            return False

    def _connected(self) -> sqlite3.Connection:
        if not self.is_open():
            self.close()  # another process set the file aside, or somebody deleted it
            self._connection, self._checked = self._open(), False
        assert self._connection is not None
        return self._connection

    def _drop_inherited(self) -> None:
        if self._process != os.getpid():
            if self._connection is not None:
                _inherited.append(self._connection)
            self._connection, self._process = None, os.getpid()

    def _open(self) -> sqlite3.Connection:
        with self._locked():
            empty = not self.path.exists() or not self.path.stat().st_size
            if empty:
                _remove_logs(self.path)
            try:
                connection = sqlite_connections.connect_shared(self.path, _CREATION if empty else None)
            finally:
                self._opened = _file_id(self.path)  # also of a damaged file, by which it is set aside
            try:
                _prepare_tables(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    def _move_aside(self) -> None:
        """Move the damaged file away, unless another process has done so already."""
        self._set_aside = True
        self.close()
        with self._locked():
            if self._opened == _file_id(self.path):
                aside = self.folder / DAMAGED_NAME
                _remove_logs(aside)
                self.path.replace(aside)
                log = Path(f"{self.path}-wal")
                if log.exists():
                    log.replace(f"{aside}-wal")
                _remove_logs(self.path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock under which the file is opened or moved."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / LOCK_NAME, timeout=sqlite_connections.BUSY_SECONDS):
            yield


def _prepare_tables(connection: sqlite3.Connection) -> None:
    """Create the missing tables; refuse a table with another definition.

    A file can be sound to SQLite and yet mean something else: `PRIMARY KEY` with one bit flipped is the name of a type.
    """
    with sqlite_connections.transaction(connection, write=False):
        existing = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
        if not existing.items() <= _TABLES.items():
            raise sqlite3.DatabaseError("its tables have another definition")
        for name, statement in _TABLES.items():
            if name not in existing:
                connection.execute(statement)


def _file_id(path: Path) -> tuple[int, int] | None:
    """Return device and inode; None if no file exists."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _remove_logs(path: Path) -> None:
    for end in ("-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)

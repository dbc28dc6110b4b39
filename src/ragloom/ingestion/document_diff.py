"""Difference between the source and the index, on disk.

It lives for one ingest, in a temporary folder: what must outlive it is the manifest in the store.
"""

from __future__ import annotations

import contextlib
import shutil
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Literal, NamedTuple, Self

from filelock import FileLock, Timeout

from ragloom.components.vector_store.record_types import ManifestRow
from ragloom.core.records import Entry
from ragloom.core.sqlite_connections import ScratchTables

_PREFIX, _LOCK = "ragloom-ingest-", "lock"
_YOUNG = 60
"""Seconds in which a folder may not have its lock yet."""
_AT_ONCE = 1000
"""Rows that are read or written together."""
_ROW = [field.name for field in fields(ManifestRow)]
_COLUMNS = ", ".join(f"{name} {'BLOB PRIMARY KEY' if name == 'id' else ''}" for name in _ROW)
_TABLES = f"""
    CREATE TABLE held ({_COLUMNS}) WITHOUT ROWID;
    CREATE INDEX held_texts ON held (text_hash);
    CREATE TABLE listed (number INTEGER PRIMARY KEY, id BLOB UNIQUE, location BLOB, size INTEGER, mtime_ns INTEGER,
                         start INTEGER);
    CREATE TABLE late (id BLOB PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE hidden (id BLOB PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE written (id BLOB PRIMARY KEY, text_hash) WITHOUT ROWID;
    CREATE INDEX written_texts ON written (text_hash);
"""
_IS_NEW = (
    "held.id IS NULL OR :verify OR held.size != listed.size OR listed.mtime_ns IS NOT held.mtime_ns "
    "OR listed.mtime_ns IS NULL"
)
_GONE = "id NOT IN (SELECT id FROM listed) AND id NOT IN (SELECT id FROM hidden)"


class Staying(NamedTuple):
    """Documents that an index holds on to, and their chunks."""

    documents: int
    chunks: int


class DocumentDiff:
    """A context manager: leaving it removes the folder.

    Attributes:
        folder: the temporary one, for what else has to go when the ingest ends.
    """

    def __init__(self) -> None:
        _remove_left()
        self._folder = TemporaryDirectory(prefix=_PREFIX)
        self.folder = Path(self._folder.name)
        self._held = FileLock(self.folder / _LOCK)
        self._held.acquire()
        self._tables = ScratchTables(_TABLES, "what source and index list, about 800 MB per million documents")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._tables.close()
        self._held.release()
        self._folder.cleanup()

    def hold(self, rows: Iterable[ManifestRow]) -> None:
        """Take in what the index holds."""
        marks = ", ".join("?" * len(_ROW))
        values = ((_bytes(row.id), *astuple(row)[1:]) for row in rows)
        self._tables.insert(f"INSERT INTO held VALUES ({marks})", values)

    def enter(self, entries: Iterable[Entry]) -> None:
        """Take in what the source lists, in its order.

        Raises:
            sqlite3.IntegrityError: an id comes twice, which a source must not let happen.
        """
        values = ((_bytes(e.id), _bytes(e.location), e.size, e.mtime_ns, e.offset) for e in entries)
        self._tables.insert("INSERT INTO listed (id, location, size, mtime_ns, start) VALUES (?, ?, ?, ?, ?)", values)

    def hide(self, location: str) -> None:
        """Record an unreadable place: its documents are not known to have vanished."""
        parts = unicodedata.normalize("NFC", location).split("/")
        values = ((_bytes("/".join(parts[at:])),) for at in range(len(parts)))
        self._tables.insert("INSERT OR IGNORE INTO hidden VALUES (?)", values)

    def wrote(self, rows: Iterable[ManifestRow]) -> None:
        """Take in documents whose new version is stored."""
        self._tables.insert(
            "INSERT OR REPLACE INTO written VALUES (?, ?)", ((_bytes(row.id), row.text_hash) for row in rows)
        )

    def count(self, documents: Literal["held", "listed", "written"]) -> int:
        """Count documents.

        Args:
            documents: those that the index held, that the source lists, or whose new version is stored.
        """
        return self._number(f"SELECT count(*) FROM {documents}")

    def to_read(self, *, verify: bool) -> tuple[int, int]:
        """Count documents that are new or may have changed, and their bytes."""
        ((documents, size),) = self._tables.rows(
            f"SELECT count(*), coalesce(sum(listed.size), 0) FROM listed LEFT JOIN held USING (id) WHERE {_IS_NEW}",
            {"verify": verify},
        )
        return int(documents), int(size)

    def changes(self, *, verify: bool) -> Iterator[tuple[Entry, ManifestRow | None]]:
        """Yield new and changed documents in source order, with their stored state.

        Args:
            verify: size and modification time are no proof that a document has not changed.
        """
        return self._listed_where(_IS_NEW, verify=verify)

    def postpone(self, id: str) -> None:
        """Postpone a document whose file changed a moment ago."""
        self._tables.insert("INSERT OR IGNORE INTO late VALUES (?)", [(_bytes(id),)])

    def postponed(self) -> Iterator[tuple[Entry, ManifestRow | None]]:
        """Yield the documents that were postponed, as `changes` does."""
        return self._listed_where("id IN (SELECT id FROM late)", verify=False)

    def _listed_where(self, condition: str, *, verify: bool) -> Iterator[tuple[Entry, ManifestRow | None]]:
        columns = ", ".join(f"held.{name}" for name in _ROW)
        query = (
            f"SELECT listed.number, listed.id, location, listed.size, listed.mtime_ns, start, {columns} "
            f"FROM listed LEFT JOIN held USING (id) WHERE listed.number > :last AND ({condition}) "
            f"ORDER BY listed.number LIMIT {_AT_ONCE}"
        )
        last = 0
        while some := self._tables.rows(query, {"verify": verify, "last": last}):
            for number, id, location, size, mtime_ns, start, *row in some:
                entry = Entry(_text(id), _text(location), size, mtime_ns, start)
                yield entry, None if row[0] is None else ManifestRow(entry.id, *row[1:])
                last = number

    def holding(self, text_hashes: Sequence[str]) -> list[str]:
        """Return for each text a document that held it, if any."""
        query = "SELECT id FROM held WHERE text_hash = ? LIMIT 1"
        return [_text(id) for text_hash in text_hashes for (id,) in self._tables.rows(query, (text_hash,))]

    def texts(self, at_once: int) -> Iterator[list[tuple[str, str]]]:
        """Yield text hash and id of indexed documents, some at a time."""
        last = b""
        query = f"SELECT text_hash, id FROM held WHERE id > ? ORDER BY id LIMIT {at_once}"
        while some := self._tables.rows(query, (last,)):
            yield [(text_hash, _text(id)) for text_hash, id in some]
            last = some[-1][1]

    def sample(self, count: int) -> list[Entry]:
        """Return listed documents from the beginning, the middle and the end."""
        listed = self.count("listed")
        places = sorted({1 + at * (listed - 1) // max(count - 1, 1) for at in range(count)}) if listed else []
        columns = "id, location, size, mtime_ns, start"
        rows = [
            row for at in places for row in self._tables.rows(f"SELECT {columns} FROM listed WHERE number = ?", (at,))
        ]
        return [Entry(_text(id), _text(location), *others) for id, location, *others in rows]

    def gone(self) -> int:
        """Count indexed documents that the source neither lists nor may hide."""
        return self._number(f"SELECT count(*) FROM held WHERE {_GONE}")

    def staying(self, *, without_gone: bool) -> Staying:
        """Count documents that are neither rewritten nor deleted.

        Args:
            without_gone: the gone are deleted.
        """
        gone = f"AND NOT ({_GONE})" if without_gone else ""
        where = f"id NOT IN (SELECT id FROM written) {gone}"
        ((documents, chunks),) = self._tables.rows(f"SELECT count(*), coalesce(sum(chunks), 0) FROM held WHERE {where}")
        return Staying(int(documents), int(chunks))

    def moved(self) -> int:
        """Count vanished documents whose text is in a new document."""
        gone = f"SELECT text_hash, count(*) AS times FROM held WHERE {_GONE} GROUP BY text_hash"
        came = (
            "SELECT text_hash, count(*) AS times FROM written WHERE id NOT IN (SELECT id FROM held) GROUP BY text_hash"
        )
        return self._number(
            f"SELECT coalesce(sum(min(gone.times, came.times)), 0) FROM ({gone}) gone JOIN ({came}) came "
            "USING (text_hash)"
        )

    def vanished(self) -> Iterator[list[str]]:
        """Yield the ids of the gone, ordered, some at a time."""
        last = b""
        query = f"SELECT id FROM held WHERE id > ? AND {_GONE} ORDER BY id LIMIT {_AT_ONCE}"
        while some := [id for (id,) in self._tables.rows(query, (last,))]:
            yield [_text(id) for id in some]
            last = some[-1]

    def unshared(self, names: Sequence[str]) -> list[str]:
        """Return vanished documents whose text no remaining document has."""
        query = (
            "SELECT 1 FROM held AS mine WHERE mine.id = ? AND ("
            "EXISTS (SELECT 1 FROM written WHERE written.text_hash = mine.text_hash) OR EXISTS ("
            "SELECT 1 FROM held WHERE held.text_hash = mine.text_hash AND held.id NOT IN (SELECT id FROM written) "
            "AND (held.id IN (SELECT id FROM listed) OR held.id IN (SELECT id FROM hidden))))"
        )
        return [name for name in names if not self._tables.rows(query, (_bytes(name),))]

    def _number(self, query: str) -> int:
        return int(self._tables.rows(query)[0][0])


def _remove_left() -> None:
    """Remove folders of killed processes, found by their free locks."""
    for folder in Path(gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, Timeout):  # somebody else's, or removed by another at this moment
            if time.time() - folder.stat().st_mtime > _YOUNG:
                with FileLock(folder / _LOCK, timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")

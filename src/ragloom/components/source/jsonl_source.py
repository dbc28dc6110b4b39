"""Sources of JSON Lines files: one document per line, by byte offset."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

from llama_index.core.schema import Document

from ragloom.components.source.base import (
    CannotRead,
    ListedItem,
    Source,
    new_document,
    os_error_reason,
    path_identity,
    read_file_part,
)
from ragloom.components.source.file_age import stat_after_pause, trusted_mtime
from ragloom.components.source.readers.json_reader import MAX_DEPTH, is_nested_deeper
from ragloom.core.records import Entry, Unreadable
from ragloom.core.sqlite_connections import ScratchTables
from ragloom.core.text_normalization import normalize_text
from ragloom.errors import DataError

_UTF8_BOM = b"\xef\xbb\xbf"
_MAX_ID = 4096
"""Characters of an id, repeated in each chunk; the limit of a path."""
_MAX_DEPTH = 100
"""Levels of metadata; later readers of it are recursive, here and in every store."""
_MAX_VALUES = 1_000_000
"""Values in a line: as objects they take some thirty times their bytes."""
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_LOOKUP_BATCH = 256
"""Lines per lookup of ids."""
_READ_SIZE = 1 << 16
"""Bytes per read of an oversized line."""


class _LineIds:
    """First line of each id, in a temporary SQLite database.

    A million ids would take some 140 MB of memory.
    """

    def __init__(self) -> None:
        schema = "CREATE TABLE lines (id BLOB PRIMARY KEY, line INTEGER) WITHOUT ROWID"
        self._tables = ScratchTables(schema, "the ids of the corpus, about 40 MB per million")
        self.close = self._tables.close

    def add(self, ids: list[tuple[str, int]]) -> dict[int, int]:
        """Add ids with their lines; return the first line of repeated ids."""
        keys = [(hashlib.blake2b(id.encode(), digest_size=16).digest(), line) for id, line in ids]
        if self._tables.insert("INSERT OR IGNORE INTO lines VALUES (?, ?)", keys) == len(keys):
            return {}
        firsts = [self._tables.rows("SELECT line FROM lines WHERE id = ?", (key,))[0][0] for key, _ in keys]
        return {line: first for first, (_, line) in zip(firsts, keys, strict=True) if first != line}


class JsonlSource(Source):
    """One document per line: id, text and exact metadata.

    Args:
        id_field, text_field, metadata_field: names in a line; without one for metadata, all other fields are metadata.
    """

    def __init__(
        self, *, path: Path, id_field: str, text_field: str, metadata_field: str | None, max_bytes: int, **options: Any
    ) -> None:
        self._path = Path(os.path.realpath(path))  # Path.resolve raises on a loop
        self._fields = (id_field, text_field, metadata_field)
        self._max_bytes = max_bytes
        super().__init__(root=path_identity(self._path), **options)

    def entries(self) -> Iterator[ListedItem]:
        """List the lines in file order; see `Source.entries`.

        Ids are remembered, texts are not.
        """
        try:
            if not self._path.is_file():
                problem = "is a folder" if self._path.is_dir() else "does not exist"
                raise DataError(f"source: path={self.root!r} {problem}; set it to a JSON Lines file")
            file = self._path.open("rb")
        except OSError as error:
            raise DataError(f"source: path={self.root!r} cannot be read: {os_error_reason(error)}") from None
        return self._list(file)

    def _list(self, file: BinaryIO) -> Iterator[ListedItem]:
        with file, closing(_LineIds()) as seen:
            before = stat_after_pause(self._path)
            if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
                raise DataError(f"source: path={self.root!r} is UTF-16; convert it to UTF-8, as JSON Lines require")
            file.seek(0)
            lines = self._parse_lines(file, trusted_mtime(before.st_mtime_ns))
            while batch := list(itertools.islice(lines, _LOOKUP_BATCH)):
                first_lines = seen.add([(item.id, number) for number, item in batch if isinstance(item, Entry)])
                for number, item in batch:
                    if number in first_lines and isinstance(item, Entry):
                        reason = f"its id {item.id!r} is already used in line {first_lines[number]}"
                        item = Unreadable(item.location, CannotRead(reason).reason, hides=True)
                    yield item
            after = self._path.stat()
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                yield Unreadable(self.root, "it is being written to: it changed while it was listed", hides=True)

    def _parse_lines(self, file: BinaryIO, mtime_ns: int | None) -> Iterator[tuple[int, Entry | Unreadable]]:
        """Yield number and entry, or problem, of each non-blank line."""
        for number, offset, size, line in _read_lines(file, self._max_bytes):
            location = f"{self.root}:{number}"
            try:
                if line is None:
                    limit = self._max_bytes / 1_000_000
                    raise CannotRead(f"the line has {size / 1_000_000:.1f} MB, over source.max_line_mb={limit:g}")
                if line.strip():
                    id, _, _ = self._id_text_metadata(line)
                    yield number, Entry(id=id, location=location, size=size, mtime_ns=mtime_ns, offset=offset)
            except CannotRead as error:
                yield number, Unreadable(location, error.reason, hides=True)

    def read(self, entry: Entry) -> bytes:
        """Read one line; see `Source.read`."""
        return read_file_part(self._path, self._max_bytes, offset=entry.offset, size=entry.size)

    def parse(self, entry: Entry, content: bytes) -> Document:
        """Parse one line; see `Source.parse`."""
        try:
            id, text, metadata = self._id_text_metadata(content.removeprefix(_UTF8_BOM))
        except CannotRead as error:
            raise CannotRead(f"{error.reason}; the file may have changed after it was listed") from None
        if id != entry.id:
            raise CannotRead("the file changed after it was listed")
        return new_document(id, text, metadata)

    def _parse_record(self, line: bytes) -> dict[str, Any]:
        """Parse a line; a subclass maps its own fields."""
        return _parse_object(line)

    def _id_text_metadata(self, line: bytes) -> tuple[str, str, dict[str, Any]]:
        """Return id, normalized text and metadata of a line."""
        record = self._parse_record(line)
        id_field, text_field, metadata_field = self._fields
        for name in (id_field, text_field):
            if name not in record:
                raise CannotRead(f"the line has no field {name!r}; its fields are: {', '.join(map(repr, record))}")
        id, text = record[id_field], record[text_field]
        if isinstance(id, int) and not isinstance(id, bool):
            id = str(id)
        if not isinstance(id, str) or not normalize_text(id).strip():
            raise CannotRead(f"its {id_field!r} is {_json_type(id)}; it must be a non-blank text or an integer")
        if len(id) > _MAX_ID:
            raise CannotRead(f"its {id_field!r} has {len(id):,} characters; the limit is {_MAX_ID:,}")
        if not isinstance(text, str):
            raise CannotRead(f"its {text_field!r} is {_json_type(text)}; it must be a text")
        metadata: Any = {key: value for key, value in record.items() if key not in (id_field, text_field)}
        if metadata_field is not None:
            metadata = {} if record.get(metadata_field) is None else record[metadata_field]
        if not isinstance(metadata, dict):
            raise CannotRead(f"its {metadata_field!r} is {_json_type(metadata)}; it must be an object")
        if metadata and line.count(b"[") + line.count(b"{") > _MAX_DEPTH and _is_nested_deeper(metadata, _MAX_DEPTH):
            raise CannotRead(f"its metadata is nested more than {_MAX_DEPTH} levels deep")
        return unicodedata.normalize("NFC", id), normalize_text(text), metadata


class BeirSource(JsonlSource):
    """Corpus of a BEIR folder; titles precede texts and are metadata."""

    def __init__(self, *, title_separator: str | None, **options: Any) -> None:
        super().__init__(id_field="_id", text_field="text", metadata_field="metadata", **options)
        self._separator = title_separator

    def _parse_record(self, line: bytes) -> dict[str, Any]:
        record = _parse_object(line)
        title, text = record.get("title"), record.get("text")
        if title is not None and not isinstance(title, str):
            raise CannotRead(f"its 'title' is {_json_type(title)}; it must be a text")
        metadata = record.get("metadata")
        if title and isinstance(metadata or {}, dict):
            record["metadata"] = {**(metadata or {}), "title": title}
        if title and isinstance(text, str) and self._separator is not None:
            record["text"] = f"{title}{self._separator}{text}"
        return record


def _read_lines(file: BinaryIO, limit: int) -> Iterator[tuple[int, int, int, bytes | None]]:
    """Yield number, byte offset, size and bytes of each line.

    Numbers begin at 1; the bytes of a line over `limit` are None.
    """
    number = offset = 0
    while line := file.readline(limit + 1):
        number += 1
        size = len(line)
        content: bytes | None = line
        if size > limit:
            content = None
            while not line.endswith(b"\n") and (line := file.readline(_READ_SIZE)):
                size += len(line)
        yield number, offset, size, content.removeprefix(_UTF8_BOM) if content and number == 1 else content
        offset += size


def _parse_object(line: bytes) -> dict[str, Any]:
    """Parse a line of JSON strictly: nothing is dropped or replaced."""
    if len(line) > _MAX_VALUES < _count_values(line) and _count_values(_STRING.sub(b"", line)) > _MAX_VALUES:
        raise CannotRead(f"the line has over {_MAX_VALUES:,} values")
    try:
        text = line.decode("utf-8")
        if is_nested_deeper(text, MAX_DEPTH):
            raise CannotRead(f"the line is nested too deeply: more than {MAX_DEPTH} levels")
        record = _DECODER.decode(text)
        if b"\\u" in line:  # the only source of lone surrogates
            json.dumps(record, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise CannotRead(f"the line is not UTF-8: byte 0x{line[error.start]:02x} at column {error.start + 1}") from None
    except UnicodeEncodeError:
        raise CannotRead("the line has a lone surrogate (such as \\ud800), not a character") from None
    except json.JSONDecodeError as error:
        raise CannotRead(f"the line is not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:  # too little stack left by the callers
        raise CannotRead("the line is nested too deeply") from None
    except ValueError as error:  # from the hooks below, and for integers over Python's 4,300 digits
        raise CannotRead(f"the line is not readable JSON: {error}") from None
    if not isinstance(record, dict):
        raise CannotRead(f"the line is {_json_type(record)}; it must be an object")
    return record


def _count_values(line: bytes) -> int:
    """Estimate the values in a line of JSON, by its punctuation."""
    return line.count(b",") + line.count(b"[") + line.count(b"{")


def _is_nested_deeper(value: Any, levels: int) -> bool:
    values = [value]
    while values and levels >= 0:
        levels -= 1
        lists = [item if isinstance(item, list) else item.values() for item in values if isinstance(item, list | dict)]
        values = [item for each in lists for item in each]
    return bool(values)


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        times = Counter(name for name, _ in pairs)
        raise ValueError(f"the field {next(name for name, count in times.items() if count > 1)!r} occurs twice")
    return record


def _refuse_constant(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number")


def _finite_float(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"the number {number} is too large")
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_fields, parse_constant=_refuse_constant, parse_float=_finite_float
)


def _json_type(value: Any) -> str:
    """Name the JSON type of a value."""
    kinds: dict[type, str] = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}
    if value == "":
        return "empty"
    return "null" if value is None else kinds.get(type(value), "an object")

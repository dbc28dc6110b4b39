"""Base class of sources, file access, and printable paths."""

from __future__ import annotations

import errno
import os
import stat
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llama_index.core.readers.base import BaseReader
from llama_index.core.schema import Document
from pydantic import Field

from ragloom.core.records import Entry, Skipped, Unreadable
from ragloom.errors import DataError

ListedItem = Entry | Unreadable | Skipped

_MAX_REASON = 400
"""Characters of a reason."""
STILL_WRITTEN = "it is being written to: it changed each time it was read; the next ingest reads it again"


class CannotRead(DataError):
    """One document cannot be read.

    Args:
        reason: one plain sentence without the document's name, such as `it is encrypted and needs a password`.
    """

    def __init__(self, reason: str) -> None:
        self.reason = _shorten(reason)
        super().__init__(self.reason)


class SourceDocument(Document):
    """LlamaIndex document with the warnings of its reader.

    Attributes:
        warnings: doubtful or missing content, one sentence each; not part of text, metadata or hashes.
    """

    warnings: list[str] = Field(default_factory=list, exclude=True)

    def __init__(self, **data: Any) -> None:
        super().__init__(**data)


class FileChanged(CannotRead):
    """A file changed after it was listed, or while it was read."""

    def __init__(self) -> None:
        super().__init__(STILL_WRITTEN)


class Source(BaseReader):
    """A corpus: listing, reading and parsing of documents; a LlamaIndex reader.

    Attributes:
        name: stable name of the corpus; part of the index's identity.
        root: identity of the location of the documents, such as a resolved absolute path.
        on_unreadable: `report` continues after unreadable documents, `stop` does not; applied by ingestion.
        verify: whether content is read despite unchanged size and modification time; applied by ingestion.
        moved: whether an index of this name, filled from another root, accepts this one; applied by ingestion.
    """

    moved: bool = False

    def __init__(self, *, name: str, root: str, on_unreadable: str, verify: bool, moved: bool = False) -> None:
        self.name = name
        self.root = root
        self.on_unreadable = on_unreadable
        self.verify = verify
        self.moved = moved

    @abstractmethod
    def entries(self) -> Iterator[ListedItem]:
        """List the corpus lazily, in the same order each time.

        Reads nothing beyond what listing needs.

        Raises:
            DataError: the root does not exist or cannot be listed.
        """

    @abstractmethod
    def read(self, entry: Entry) -> bytes:
        """Read the content of an entry.

        Raises:
            CannotRead: it was deleted, is not a regular file, or permission is missing.
        """

    @abstractmethod
    def parse(self, entry: Entry, content: bytes) -> Document:
        """Turn the bytes of `entry` into a document with normalized text.

        Raises:
            CannotRead: the bytes are damaged, encrypted, empty, or of another type than the name says.
        """

    def key_location(self, location: str) -> str:
        """Return the location used in stage keys; differs for moved files."""
        return location

    def refresh(self, entry: Entry) -> Entry:
        """Return the entry with the present size and time of its file.

        Sources without a file per document return the entry itself.
        """
        return entry

    def lazy_load_data(self, *args: Any, **load_kwargs: Any) -> Iterator[Document]:
        """Read every document, for LlamaIndex; it cannot report a single failure.

        Raises:
            DataError: the first document that cannot be read, with its reason.
        """
        for listed in self.entries():
            if isinstance(listed, Unreadable):
                raise DataError(f"{listed.location}: {listed.reason}")
            if isinstance(listed, Entry):
                try:
                    yield self.parse(listed, self.read(listed))
                except CannotRead as error:
                    raise DataError(f"{listed.location}: {error.reason}") from None


def new_document(id: str, text: str, metadata: dict[str, Any], warnings: Sequence[str] = ()) -> SourceDocument:
    """Create a document without metadata in the texts LlamaIndex embeds (TRAPS 36)."""
    keys = list(metadata)
    return SourceDocument(
        id_=id,
        text=text,
        metadata=metadata,
        excluded_embed_metadata_keys=keys,
        excluded_llm_metadata_keys=keys,
        warnings=[_shorten(warning) for warning in warnings],
    )


def read_regular_file(path: Path, limit: int, entry: Entry) -> bytes:
    """Read a regular file as it was listed.

    Does not hang on a FIFO in its place.

    Raises:
        FileChanged: it changed after it was listed, or during the read (see `file_age`).
        CannotRead: it is no regular file, has more than `limit` bytes, or the system denies access.
    """
    content, before, after = _read(path, limit, 0, None)
    listed = (entry.size, after[1] if entry.mtime_ns is None else entry.mtime_ns)
    if before != after or after != listed:
        raise FileChanged
    return content


def read_file_part(path: Path, limit: int, *, offset: int, size: int) -> bytes:
    """Read a part of a regular file; the file may grow.

    Raises:
        CannotRead: it is no regular file, the part has more than `limit` bytes, or the system denies access.
    """
    return _read(path, limit, offset, size)[0]


def _read(path: Path, limit: int, offset: int, size: int | None) -> tuple[bytes, tuple[int, int], tuple[int, int]]:
    """Read bytes, with size and modification time before and after."""
    try:
        # Without O_NONBLOCK, opening a FIFO waits forever for a writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            before = os.fstat(descriptor)
            if kind := special_file_type(before.st_mode):
                raise CannotRead(f"it is {kind}, not a file")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                file.seek(offset)
                length = size if size is not None else before.st_size or limit  # files in /proc have no size
                content = file.read(min(length, limit) + (size is None or size > limit))
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise CannotRead(os_error_reason(error)) from None
    if len(content) > limit:
        raise CannotRead(f"it grew over the limit of {limit / 1_000_000:g} MB after it was listed")
    return content, (before.st_size, before.st_mtime_ns), (after.st_size, after.st_mtime_ns)


def special_file_type(mode: int) -> str | None:
    """Name the type of a special file; None for a regular file."""
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a FIFO (named pipe)",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return None if stat.S_ISREG(mode) else kinds.get(stat.S_IFMT(mode), "a special file")


def os_error_reason(error: OSError) -> str:
    """Describe an error of the operating system in plain words."""
    if isinstance(error, PermissionError):
        return "there is no permission to read it"
    if isinstance(error, FileNotFoundError):
        return "it no longer exists, or it is a broken link"
    if error.errno == errno.ELOOP:
        return "it is a symbolic link that leads back to itself"
    return f"the system cannot read it: {error.strerror or error}"


def printable_path(path: str | Path) -> str:
    """Escape control characters and invalid Unicode of a path."""
    return printable_line(os.fspath(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))


def path_identity(path: str | Path) -> str:
    """Escape a path unambiguously: different paths give different names.

    Backslashes in names are doubled, since `printable_path` writes escapes with them.
    """
    name = os.fspath(path)
    return printable_path(name if os.sep == "\\" else name.replace("\\", "\\\\"))


def printable_line(text: str) -> str:
    """Escape line ends, control characters and lone surrogates of a text."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def _shorten(reason: str) -> str:
    """Put a reason on one line; shorten a long one."""
    reason = printable_line(reason)
    if len(reason) > _MAX_REASON:
        reason = f"{reason[: _MAX_REASON * 3 // 4]} … {reason[-_MAX_REASON // 4 :]}"
    return reason


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")

"""What every source can do, and the error of what cannot be read. Knows no kind of source and no file format."""

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
"""Characters."""
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
        warnings: what is doubtful or missing, one plain sentence each; no part of text, metadata or hashes.
    """

    warnings: list[str] = Field(default_factory=list, exclude=True)

    def __init__(self, **data: Any) -> None:
        super().__init__(**data)


class FileChanged(CannotRead):
    """A file changed after it was listed, or while it was read."""

    def __init__(self) -> None:
        super().__init__(STILL_WRITTEN)


class Source(BaseReader):
    """A corpus: lists its documents, reads and parses one at a time. It is a LlamaIndex reader as well.

    Attributes:
        name: stable name of the corpus; part of the index's identity.
        root: identity of the place the documents come from, such as a resolved absolute path.
        on_unreadable: `report` goes on past what cannot be read, `stop` does not; ingestion obeys it.
        verify: whether content is read also where size and modification time are unchanged; ingestion obeys it.
        moved: whether an index of the same name that was filled from another root takes this one; ingestion obeys it.
    """

    moved: bool = False

    def __init__(self, *, name: str, root: str, on_unreadable: str, verify: bool) -> None:
        self.name = name
        self.root = root
        self.on_unreadable = on_unreadable
        self.verify = verify

    @abstractmethod
    def entries(self) -> Iterator[ListedItem]:
        """List the corpus lazily, in the same order each time, reading nothing but what listing needs.

        Raises:
            DataError: the root does not exist or cannot be listed.
        """

    @abstractmethod
    def read(self, entry: Entry) -> bytes:
        """Read what `entry` names.

        Raises:
            CannotRead: it vanished, may not be read, or is no regular file.
        """

    @abstractmethod
    def parse(self, entry: Entry, content: bytes) -> Document:
        """Turn the bytes of `entry` into a document with normalised text.

        Raises:
            CannotRead: the bytes are damaged, encrypted, empty, or not what they are named.
        """

    def refreshed(self, entry: Entry) -> Entry:
        """Return an entry with the size and time that its file has now; of other sources the entry itself."""
        return entry

    def lazy_load_data(self, *args: Any, **load_kwargs: Any) -> Iterator[Document]:
        """Read every document, for LlamaIndex, which has no way to report one that fails.

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
    """Make a document whose metadata takes no part in what plain LlamaIndex embeds or prompts with (TRAPS 36)."""
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
    """Read a regular file as it was listed, and never hangs on a FIFO that took its place.

    Raises:
        FileChanged: it is not as it was listed, or changed while it was read (see `source.settling`).
        CannotRead: it is no regular file, has more than `limit` bytes, or the system refuses.
    """
    content, before, after = _read_once(path, limit, 0, None)
    if len(content) > limit:
        raise CannotRead(f"it grew over the limit of {limit / 1_000_000:g} MB after it was listed")
    listed = (entry.size, after[1] if entry.mtime_ns is None else entry.mtime_ns)
    if before != after or after != listed:
        raise FileChanged
    return content


def read_file_part(path: Path, limit: int, *, offset: int, size: int) -> bytes:
    """Read a part of a regular file, which may grow at its end.

    Raises:
        CannotRead: it is no regular file, the part has more than `limit` bytes, or the system refuses.
    """
    content, _, _ = _read_once(path, limit, offset, size)
    if len(content) > limit:
        raise CannotRead(f"it grew over the limit of {limit / 1_000_000:g} MB after it was listed")
    return content


def _read_once(path: Path, limit: int, offset: int, size: int | None) -> tuple[bytes, tuple[int, int], tuple[int, int]]:
    """Read at most one byte over `limit`; also returns size and time before and after.

    Raises:
        CannotRead: it is no regular file, or the system refuses.
    """
    try:
        return _read_with_status(path, limit, offset, size)
    except OSError as error:
        raise CannotRead(os_error_reason(error)) from None


def _read_with_status(
    path: Path, limit: int, offset: int, size: int | None
) -> tuple[bytes, tuple[int, int], tuple[int, int]]:
    # Without O_NONBLOCK opening a FIFO waits for a writer, for ever.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        before = os.fstat(descriptor)
        if kind := special_file_type(before.st_mode):
            raise CannotRead(f"it is {kind}, not a file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            file.seek(offset)
            wanted = size if size is not None else before.st_size or limit  # what /proc shows has no size
            content = file.read(min(wanted, limit) + (size is None or size > limit))
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return content, (before.st_size, before.st_mtime_ns), (after.st_size, after.st_mtime_ns)


def special_file_type(mode: int) -> str | None:
    """Explain what a file that is not regular is; None for a regular file."""
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a FIFO (named pipe)",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return None if stat.S_ISREG(mode) else kinds.get(stat.S_IFMT(mode), "a special file")


def os_error_reason(error: OSError) -> str:
    """Put a refusal of the operating system in one plain sentence."""
    if isinstance(error, PermissionError):
        return "there is no permission to read it"
    if isinstance(error, FileNotFoundError):
        return "it does not exist any more, or it is a link to nothing"
    if error.errno == errno.ELOOP:
        return "it is a symbolic link that leads back to itself"
    return f"the system cannot read it: {error.strerror or error}"


def printable_path(path: str | Path) -> str:
    """Make a path printable: bytes that are not Unicode and control characters become escapes."""
    return printable_line(os.fspath(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))


def path_identity(path: str | Path) -> str:
    """Name a place: printable as `printable_path`, and never the name of another place.

    A backslash of a name's own is doubled where it is no separator, since `printable_path` writes escapes with one.
    """
    name = os.fspath(path)
    return printable_path(name if os.sep == "\\" else name.replace("\\", "\\\\"))


def printable_line(text: str) -> str:
    """Make a text printable on one line: line ends, control characters and halves of characters become escapes."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def _shorten(reason: str) -> str:
    """Make a reason one line, and cuts its middle when it quotes much of the file."""
    reason = printable_line(reason)
    if len(reason) > _MAX_REASON:
        reason = f"{reason[: _MAX_REASON * 3 // 4]} … {reason[-_MAX_REASON // 4 :]}"
    return reason


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")

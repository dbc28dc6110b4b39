"""The sources whose documents are files: a folder of the user's, and the sample that comes with Ragloom."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from llama_index.core.schema import Document

from ragloom.components.source.base import (
    CannotRead,
    ListedItem,
    Source,
    new_document,
    os_error_reason,
    path_identity,
    read_regular_file,
)
from ragloom.components.source.directory_listing import ListingRules, list_folder
from ragloom.components.source.file_age import trusted_mtime
from ragloom.components.source.readers.file_types import no_reader, parse_file
from ragloom.core.records import Entry
from ragloom.errors import DataError

SAMPLE_ROOT = "ragloom:sample"
"""Identity of the sample: the same wherever Ragloom is installed."""
_MAX_GROWTH = 4
"""How many times the largest file's bytes a text may have characters: a PDF, DOCX, CSV or JSON can say more than it
is long, and everything behind the source is bounded by what comes from it."""


class FolderSource(Source):
    """All files of a folder and its sub-folders that there is a reader for."""

    def __init__(
        self,
        *,
        name: str,
        path: Path,
        include: list[str],
        exclude: list[str],
        max_bytes: int,
        on_unreadable: str,
        verify: bool,
    ) -> None:
        self._path = Path(os.path.realpath(path))  # Path.resolve raises on a loop
        self._rules = ListingRules(include, exclude, max_bytes, no_reader)
        super().__init__(name=name, root=path_identity(self._path), on_unreadable=on_unreadable, verify=verify)

    def entries(self) -> Iterator[ListedItem]:
        """List the files below the folder, ordered by id; see `Source.entries`."""
        try:
            str(self._path).encode("utf-8")
            return list_folder(self._path, self._rules)
        except UnicodeEncodeError:
            problem = "must be a path whose name is Unicode; rename the folder"
        except FileNotFoundError:
            problem = "must be an existing folder; there is nothing of this name"
        except NotADirectoryError:
            problem = "must be a folder, not a file; to read one file set source.path to its folder and source.include"
        except OSError as error:
            problem = f"must be a folder that can be listed: {os_error_reason(error)}"
        raise DataError(f"source: path={self.root!r} {problem}")

    def read(self, entry: Entry) -> bytes:
        """Read a file; see `Source.read`."""
        return read_regular_file(Path(entry.location), self._rules.max_bytes, entry)

    def refreshed(self, entry: Entry) -> Entry:
        """Return an entry with its file's size and time now; see `Source.refreshed`."""
        try:
            status = Path(entry.location).stat()
        except OSError:
            return entry  # reading it says why
        return replace(entry, size=status.st_size, mtime_ns=trusted_mtime(status.st_mtime_ns))

    def parse(self, entry: Entry, content: bytes) -> Document:
        """Parse a file by its suffix; see `Source.parse`."""
        text, metadata, warnings = parse_file(entry.id, content)
        if len(text) > _MAX_GROWTH * self._rules.max_bytes:
            limit = f"{_MAX_GROWTH} times source.max_file_mb={self._rules.max_bytes / 1_000_000:g}"
            raise CannotRead(f"it unpacks to {len(text) / 1_000_000:,.0f} million characters of text, over {limit}")
        return new_document(entry.id, text, metadata, warnings)


class SampleSource(FolderSource):
    """The short documents, Korean and English, that come with Ragloom."""

    def __init__(self, *, name: str, on_unreadable: str, verify: bool) -> None:
        super().__init__(
            name=name,
            path=Path(__file__).parent / "sample",
            include=["**"],
            exclude=[],
            max_bytes=1_000_000,
            on_unreadable=on_unreadable,
            verify=verify,
        )
        self.root = SAMPLE_ROOT

    def entries(self) -> Iterator[ListedItem]:
        """List the sample without times: every wheel stamps its files alike, so that they would prove nothing."""
        for listed in super().entries():
            yield replace(listed, mtime_ns=None) if isinstance(listed, Entry) else listed

    def refreshed(self, entry: Entry) -> Entry:
        """Return the entry itself: a time proves nothing here."""
        return entry

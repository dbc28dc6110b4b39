"""Sources of files: a folder, and the sample documents of Ragloom."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

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
"""Characters of a text per byte of `max_bytes`: a PDF, DOCX, CSV or JSON can unpack to more text than its own length,
and all later stages depend on this bound."""


class FolderSource(Source):
    """All files with a reader, in a folder and its sub-folders."""

    def __init__(self, *, path: Path, include: list[str], exclude: list[str], max_bytes: int, **options: Any) -> None:
        self._path = Path(os.path.realpath(path))  # Path.resolve raises on a loop
        self._rules = ListingRules(include, exclude, max_bytes, no_reader)
        super().__init__(root=path_identity(self._path), **options)

    def entries(self) -> Iterator[ListedItem]:
        """List the files below the folder, ordered by id; see `Source.entries`."""
        try:
            str(self._path).encode("utf-8")
            return list_folder(self._path, self._rules)
        except UnicodeEncodeError:
            problem = "is not a Unicode name; rename the folder"
        except FileNotFoundError:
            problem = "does not exist; set it to an existing folder"
        except NotADirectoryError:
            problem = "is a file, not a folder; for one file, set source.path to its folder, source.include to its name"
        except OSError as error:
            problem = f"cannot be listed: {os_error_reason(error)}"
        raise DataError(f"source: path={self.root!r} {problem}")

    def read(self, entry: Entry) -> bytes:
        """Read a file; see `Source.read`."""
        return read_regular_file(Path(entry.location), self._rules.max_bytes, entry)

    def refresh(self, entry: Entry) -> Entry:
        """Return an entry with its file's size and time now; see `Source.refresh`."""
        try:
            status = Path(entry.location).stat()
        except OSError:
            return entry  # reading it reports the reason
        return replace(entry, size=status.st_size, mtime_ns=trusted_mtime(status.st_mtime_ns))

    def parse(self, entry: Entry, content: bytes) -> Document:
        """Parse a file by its suffix; see `Source.parse`."""
        text, metadata, warnings = parse_file(entry.id, content)
        if len(text) > _MAX_GROWTH * self._rules.max_bytes:
            limit = f"{_MAX_GROWTH} times source.max_file_mb={self._rules.max_bytes / 1_000_000:g}"
            raise CannotRead(f"it unpacks to {len(text):,} characters; the limit is {limit}: raise it")
        return new_document(entry.id, text, metadata, warnings)


class SampleSource(FolderSource):
    """Sample documents of Ragloom, in Korean and English."""

    def __init__(self, **options: Any) -> None:
        path = Path(__file__).parent / "sample"
        super().__init__(path=path, include=["**"], exclude=[], max_bytes=1_000_000, **options)
        self.root = SAMPLE_ROOT

    def entries(self) -> Iterator[ListedItem]:
        """List the sample without times: all wheels stamp files alike."""
        for listed in super().entries():
            yield replace(listed, mtime_ns=None) if isinstance(listed, Entry) else listed

    def key_location(self, location: str) -> str:
        """Return the location of the file in the first stage keys."""
        package = self._path.parents[2]
        return str(package / "sample" / Path(location).relative_to(self._path))

    def refresh(self, entry: Entry) -> Entry:
        """Return the entry itself: a time proves nothing here."""
        return entry

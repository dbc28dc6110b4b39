"""Source of a SQuAD file: a document per paragraph or article."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llama_index.core.schema import Document

from ragloom.components.source.base import CannotRead, ListedItem, Source, new_document, path_identity
from ragloom.components.source.file_age import stat_after_pause, trusted_mtime
from ragloom.core import squad_format
from ragloom.core.records import FORMAT_KEY, Entry


class SquadSource(Source):
    """Paragraphs or articles of a SQuAD file; read once per process."""

    def __init__(self, *, path: Path, document: squad_format.Unit, max_bytes: int, **options: Any) -> None:
        self._path = Path(os.path.realpath(path))  # Path.resolve raises on a loop
        self._document = document
        self._max_bytes = max_bytes
        self._read: dict[str, squad_format.SquadDocument] | None = None
        super().__init__(root=path_identity(self._path), **options)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the documents; workers read the file themselves."""
        return {**self.__dict__, "_read": None}

    def entries(self) -> Iterator[ListedItem]:
        """List the documents in file order; see `Source.entries`."""
        # Taken before the read, since later changes give another time. A missing file is reported by the read.
        mtime_ns = trusted_mtime(stat_after_pause(self._path).st_mtime_ns) if self._path.is_file() else None
        documents = self._documents()
        for id, document in documents.items():
            location = f"{self.root}: {id}"
            yield Entry(id=id, location=location, size=len(document.text.encode()), mtime_ns=mtime_ns)

    def read(self, entry: Entry) -> bytes:
        """Return the text of a document; see `Source.read`."""
        documents = self._documents()
        if entry.id not in documents:
            raise CannotRead("the file changed after it was listed")
        return documents[entry.id].text.encode()

    def parse(self, entry: Entry, content: bytes) -> Document:
        """Build the document; see `Source.parse`."""
        title = self._documents()[entry.id].article
        return new_document(entry.id, content.decode(), {FORMAT_KEY: "text", "title": title})

    def _documents(self) -> dict[str, squad_format.SquadDocument]:
        if self._read is None:
            documents, _ = squad_format.read(self._path, self._document, self._max_bytes, "source")
            self._read = {document.id: document for document in documents}
        return self._read

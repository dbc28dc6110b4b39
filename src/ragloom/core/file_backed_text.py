"""Long texts in files, read piece by piece."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

LONG = 16_000_000
"""Characters of the shortest text kept in a file."""
PIECE = 1 << 20
"""Characters per read or write."""


@dataclass(frozen=True, slots=True)
class FileBackedText:
    """A UTF-8 text in a file; lone surrogates are allowed.

    Attributes:
        path: of the file, with nothing else in it.
    """

    path: Path

    def read(self) -> str:
        """Read all of it."""
        return str(self.path.read_bytes(), "utf-8", "surrogatepass")

    def slices(self, spans: Iterable[tuple[int, int]]) -> Iterator[str]:
        """Yield `text[start:end]` for each span, with bounded memory.

        Holds no more than the span and a piece.

        Args:
            spans: in order of their start, as yielded by chunkers.

        Raises:
            ValueError: a span starts before the one before it.
        """
        with self.path.open(encoding="utf-8", errors="surrogatepass", newline="") as file:
            buffer, offset, last = "", 0, 0
            for start, end in spans:
                if start < last:
                    raise ValueError(f"spans must be in order of their start; {start} comes after {last}")
                last = start
                if offset + len(buffer) < end:
                    passed = min(start - offset, len(buffer))
                    buffer, offset = buffer[passed:], offset + passed
                while offset + len(buffer) < end and (more := file.read(PIECE)):
                    if offset + len(buffer) <= start:  # the buffer is no longer needed
                        buffer, offset = "", offset + len(buffer)
                    buffer += more
                yield buffer[start - offset : end - offset]

    def copy_to(self, path: Path) -> None:
        """Copy the file atomically.

        Raises:
            OSError: the system denies access.
        """
        draft = path.with_name(f"{path.name}.new")
        shutil.copyfile(self.path, draft)
        draft.replace(path)

    def remove(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)


def full_text(text: str | FileBackedText) -> str:
    """Return a text from memory or its file."""
    return text.read() if isinstance(text, FileBackedText) else text


def write_text(text: str, folder: Path) -> FileBackedText:
    """Write a text to a new file in a folder.

    Raises:
        OSError: the system denies access.
    """
    path = folder / f"{uuid.uuid4().hex}.txt"
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        for at in range(0, len(text), PIECE):
            file.write(text[at : at + PIECE])
    return FileBackedText(path)

"""A text too long to be passed about in memory: UTF-8 in a file of its own, read a piece at a time. Knows no stage."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

LONG = 16_000_000
"""Characters from which a text is kept in a file."""
_PIECE = 1 << 20
"""Characters that are read or written together."""


@dataclass(frozen=True, slots=True)
class FileBackedText:
    """A text in a file; half surrogate pairs included, as in memory.

    Attributes:
        path: of the file, which holds nothing else.
    """

    path: Path

    def read(self) -> str:
        """Read all of it."""
        return str(self.path.read_bytes(), "utf-8", "surrogatepass")

    def slices(self, spans: Iterable[tuple[int, int]]) -> Iterator[str]:
        """Yield `text[start:end]` for each span; holds no more than the span and a piece.

        Args:
            spans: in order of their start, as chunkings yield them.

        Raises:
            ValueError: a span starts before the one before it.
        """
        with self.path.open(encoding="utf-8", errors="surrogatepass", newline="") as file:
            held, begins, last = "", 0, 0
            for start, end in spans:
                if start < last:
                    raise ValueError(f"spans must come in order of their start, and {start} comes after {last}")
                last = start
                if begins + len(held) < end:
                    passed = min(start - begins, len(held))
                    held, begins = held[passed:], begins + passed
                while begins + len(held) < end and (more := file.read(_PIECE)):
                    if begins + len(held) <= start:  # nothing of what is held is needed any more
                        held, begins = "", begins + len(held)
                    held += more
                yield held[start - begins : end - begins]

    def copy_to(self, path: Path) -> None:
        """Copy it, so that a crash leaves all of it there or nothing.

        Raises:
            OSError: the system refuses.
        """
        draft = path.with_name(f"{path.name}.new")
        shutil.copyfile(self.path, draft)
        draft.replace(path)

    def remove(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)


def full_text(text: str | FileBackedText) -> str:
    """Return a text, wherever it is."""
    return text.read() if isinstance(text, FileBackedText) else text


def write_text(text: str, folder: Path) -> FileBackedText:
    """Write a text to a new file of a folder.

    Raises:
        OSError: the system refuses.
    """
    path = folder / f"{uuid.uuid4().hex}.txt"
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        for at in range(0, len(text), _PIECE):
            file.write(text[at : at + _PIECE])
    return FileBackedText(path)

"""Sources over the files of a test, and the documents in them."""

from pathlib import Path
from typing import Any

from made import make
from ragloom.components.source.base import Source
from ragloom.core.records import Entry


def folder(path: Path, **changed: Any) -> Source:
    """Build the source of a folder."""
    source: Source = make("source", "folder", path=str(path), **changed)
    return source


def jsonl(path: Path, content: bytes | str, **changed: Any) -> Source:
    """Write `corpus.jsonl` into a folder and build its source."""
    path = path / "corpus.jsonl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    source: Source = make("source", "jsonl", path=str(path), **changed)
    return source


def documents(source: Source) -> dict[str, tuple[str, dict[str, Any]]]:
    """Read all entries: text and metadata by id."""
    parsed = [source.parse(e, source.read(e)) for e in source.entries() if isinstance(e, Entry)]
    return {document.id_: (document.text, document.metadata) for document in parsed}

"""Interface of file readers, their result, and checks around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ragloom.components.source.base import CannotRead
from ragloom.core.records import FORMAT_KEY

ENCODING_KEY = "encoding"
"""Document metadata key: encoding of a text file."""

Reader = Callable[[bytes, dict[str, Any], list[str]], str]
"""Turns a file's bytes into normalized text; adds to the metadata and the warnings; raises `CannotRead`."""

_SIGNATURES = (
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an OLE file, such as Word 97-2003 wrote"),
    (b"\x1f\x8b\x08", "gzip data"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"\x7fELF", "a program"),
    (b"{\\rtf", "an RTF document"),
    (b"SQLite format 3\0", "an SQLite database"),
)


class ParsedFile(NamedTuple):
    """The content of a file.

    Attributes:
        text: normalized.
        metadata: format; encoding of a text file; title of an HTML document.
        warnings: doubtful or missing content, one plain sentence each.
    """

    text: str
    metadata: dict[str, Any]
    warnings: list[str]


def run_reader(reader: Reader, format: str, content: bytes) -> ParsedFile:
    """Run a reader on the content of a file.

    Args:
        format: written into the metadata; decides the structure of the text (`core.outline`).

    Raises:
        CannotRead: the content is empty, or the reader refuses it.
    """
    if not content:
        raise CannotRead("it is empty (0 bytes)")
    metadata: dict[str, Any] = {FORMAT_KEY: format}
    warnings: list[str] = []
    text = reader(content, metadata, warnings)
    if not text or text.isspace():
        raise CannotRead("it is empty: it has no text")
    return ParsedFile(text, metadata, warnings)


def content_type(content: bytes) -> str | None:
    """Name the type of known content; None for text."""
    return next((name for start, name in _SIGNATURES if content.startswith(start)), None)

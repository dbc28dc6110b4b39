"""Which reader a file has, by its suffix, and whether its bytes are what the suffix says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from ragloom.components.source.base import CannotRead
from ragloom.components.source.encoding import decoded
from ragloom.core.records import FORMAT_KEY
from ragloom.core.text_normalization import normalised

ENCODING_KEY = "encoding"
"""Document metadata key: the encoding that a text file was decoded with."""

_FORMATS = {
    ".txt": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".docm": "docx",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
}
_BINARY = {"pdf": "a PDF", "docx": "a DOCX"}
_KINDS_OF_TEXT = ("a PDF", "an RTF document")  # these may have no NUL near their beginning
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


def no_reader(name: str) -> str | None:
    """Says why files of this name are not read; None where they are."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in _FORMATS:
        return None
    if suffix in (".jsonl", ".ndjson"):
        return f"no reader for {suffix} in a folder; it is read by source=jsonl"
    return f"no reader for {suffix}" if suffix else "no reader for names without a suffix"


class Parsed(NamedTuple):
    """The content of a file.

    Attributes:
        text: normalised.
        metadata: format, encoding where there is one, an HTML document's title.
        warnings: what is doubtful or missing in the text, one plain sentence each.
    """

    text: str
    metadata: dict[str, Any]
    warnings: list[str]


def parsed(id: str, content: bytes) -> Parsed:
    """Parses a file by the suffix of its id.

    Raises:
        CannotRead: with a reason that is true of these bytes.
    """
    suffix = PurePosixPath(id).suffix.lower()
    format = _FORMATS[suffix]
    if not content:
        raise CannotRead("it is empty (0 bytes)")
    _check_kind(format, content)
    metadata: dict[str, Any] = {FORMAT_KEY: format}
    warnings: list[str] = []
    text = (_tsv if suffix == ".tsv" else _READERS[format])(content, metadata, warnings)
    if not text or text.isspace():
        raise CannotRead("it is empty: it has no text")
    return Parsed(text, metadata, warnings)


def _check_kind(format: str, content: bytes) -> None:
    """Refuses content that is evidently of another kind than the file's name says."""
    kind = next((kind for start, kind in _SIGNATURES if content.startswith(start)), None)
    if (
        format == "docx"
        and content.startswith(b"\xd0\xcf\x11\xe0")
        and "EncryptedPackage".encode("utf-16-le") in content
    ):
        raise CannotRead("it is encrypted and needs a password")
    if format == "pdf" and kind != "a PDF":
        if b"%PDF-" in content[:1024]:  # readers accept that much before the header
            return
        raise CannotRead(f"its name says PDF, but it is {kind}" if kind else "it is no PDF, or its beginning is lost")
    if format == "docx" and kind != "a ZIP archive":
        raise CannotRead(f"its name says DOCX, but it is {kind or 'no ZIP archive, as DOCX files are'}")
    if format not in _BINARY and kind and (b"\0" in content[:1000] or kind in _KINDS_OF_TEXT):
        raise CannotRead(f"its name says {format}, but it is {kind}")


def _plain(content: bytes, metadata: dict[str, Any], warnings: list[str]) -> str:
    text, metadata[ENCODING_KEY] = decoded(content, warnings=warnings)
    return normalised(text)


def _csv(content: bytes, metadata: dict[str, Any], warnings: list[str]) -> str:
    from ragloom.components.source.readers.csv_json import csv_text

    return csv_text(_plain(content, metadata, warnings), warnings)


def _tsv(content: bytes, metadata: dict[str, Any], warnings: list[str]) -> str:
    from ragloom.components.source.readers.csv_json import csv_text

    return csv_text(_plain(content, metadata, warnings), warnings, tabs=True)


def _json(content: bytes, metadata: dict[str, Any], warnings: list[str]) -> str:
    from ragloom.components.source.readers.json_values import json_text

    return normalised(json_text(_plain(content, metadata, warnings), warnings))


def _html(content: bytes, metadata: dict[str, Any], warnings: list[str]) -> str:
    from ragloom.components.source.readers.html import declared_encoding, html_text

    text, metadata[ENCODING_KEY] = decoded(content, declared_encoding(content), warnings)
    body, title = html_text(normalised(text))
    if title:
        metadata["title"] = normalised(title)
    return normalised(body)


def _pdf(content: bytes, metadata: dict[str, Any], warnings: list[str]) -> str:
    from ragloom.components.source.readers.pdf import pdf_text

    return pdf_text(content, warnings)


def _docx(content: bytes, metadata: dict[str, Any], warnings: list[str]) -> str:
    from ragloom.components.source.readers.docx import docx_text

    return normalised(docx_text(content, warnings))


_READERS: dict[str, Callable[[bytes, dict[str, Any], list[str]], str]] = {
    "text": _plain,
    "markdown": _plain,
    "html": _html,
    "pdf": _pdf,
    "docx": _docx,
    "csv": _csv,
    "json": _json,
}

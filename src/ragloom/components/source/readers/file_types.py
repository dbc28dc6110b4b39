"""Table of file types by suffix.

A new reader is a module of this package with a function `read`, and a line in the table.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import PurePosixPath

from ragloom.components.source.readers.reader_interface import ParsedFile, Reader, run_reader

_FILE_TYPES = {  # suffix: format in the metadata, module of this package with the reader (its function `read`)
    ".txt": ("text", "text_reader"),
    **dict.fromkeys((".md", ".markdown"), ("markdown", "text_reader")),
    **dict.fromkeys((".html", ".htm", ".xhtml"), ("html", "html_reader")),
    ".pdf": ("pdf", "pdf_reader"),
    **dict.fromkeys((".docx", ".docm"), ("docx", "docx_reader")),
    ".csv": ("csv", "csv_reader"),
    ".tsv": ("csv", "tsv_reader"),
    ".json": ("json", "json_reader"),
}


def no_reader(name: str) -> str | None:
    """Explain why a file is not read; None with a reader."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in _FILE_TYPES:
        return None
    if suffix in (".jsonl", ".ndjson"):
        return f"no reader for {suffix} in a folder; it is read by source=jsonl"
    return f"no reader for {suffix}" if suffix else "no reader for names without a suffix"


def parse_file(id: str, content: bytes) -> ParsedFile:
    """Parse a file by the suffix of its id.

    Raises:
        CannotRead: with a reason that is true of these bytes.
    """
    format, module = _FILE_TYPES[PurePosixPath(id).suffix.lower()]
    return run_reader(_reader(module), format, content)


def load_readers() -> None:
    """Import all readers, for processes forked afterwards."""
    for _, module in _FILE_TYPES.values():
        _reader(module)


def _reader(module: str) -> Reader:
    reader: Reader = import_module(f"{__package__}.{module}").read
    return reader

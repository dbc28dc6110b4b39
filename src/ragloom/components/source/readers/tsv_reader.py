"""Reader of TSV files: CSV with tabs between the cells."""

from __future__ import annotations

from typing import Any

from ragloom.components.source.readers import text_reader
from ragloom.components.source.readers.csv_reader import csv_text


def read(content: bytes, metadata: dict[str, Any], warnings: list[str]) -> str:
    """Read a TSV file; see `csv_text`."""
    return csv_text(text_reader.read(content, metadata, warnings), warnings, tabs=True)

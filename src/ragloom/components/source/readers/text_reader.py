"""Reader of plain text and Markdown; decoding for all text formats."""

from __future__ import annotations

from typing import Any

from ragloom.components.source.base import CannotRead
from ragloom.components.source.encoding_detection import decode_text
from ragloom.components.source.readers.reader_interface import ENCODING_KEY, content_type
from ragloom.core.records import FORMAT_KEY
from ragloom.core.text_normalization import normalize_text

_TYPES_OF_TEXT = ("a PDF", "an RTF document")  # these may have no NUL near their beginning


def read(content: bytes, metadata: dict[str, Any], warnings: list[str], declared: str | None = None) -> str:
    """Decode and normalize a text file; record its encoding.

    Args:
        declared: the encoding named by the document itself.

    Raises:
        CannotRead: the content is binary, of another file type, or fits no encoding.
    """
    type = content_type(content)
    if type and (b"\0" in content[:1000] or type in _TYPES_OF_TEXT):
        raise CannotRead(f"its name says {metadata[FORMAT_KEY]}, but it is {type}")
    text, metadata[ENCODING_KEY] = decode_text(content, declared, warnings)
    return normalize_text(text)

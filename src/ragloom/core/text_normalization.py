"""Normalization of stored texts, and offsets in normalized texts."""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def normalize_text(text: str) -> str:
    """Normalize line ends and remove characters no store accepts.

    `\\n` line ends; no NUL, U+FFFE, form feed or lone surrogate.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")
    text = text.replace("\0", "").replace("\ufffe", "").removeprefix("\ufeff")
    return _SURROGATE.sub("\ufffd", text)


def quote_pattern(quote: str) -> str:
    """Return a pattern for a quote with any white space."""
    return r"\s+".join(map(re.escape, quote.split())) or r"(?!)"


def normalized_offset(text: str, at: int) -> int:
    """Return the offset in `normalize_text(text)` of a character.

    The `\\n` of a CRLF is at the position of its `\\r`.
    """
    before = text[:at]
    if before.endswith("\r") and text.startswith("\n", at):
        before = before[:-1]
    return len(normalize_text(before))


def join_surrogates(text: str) -> str:
    """Join surrogate pairs; replace lone halves by U+FFFD.

    UTF-8 cannot encode them.
    """
    if has_whole_characters(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def has_whole_characters(text: str) -> bool:
    """Return whether a text has no lone surrogates."""
    return text.isascii() or not _SURROGATE.search(text)

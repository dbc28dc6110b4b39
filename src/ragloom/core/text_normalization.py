"""The one normalisation that stored texts go through, and where a character is after it. Knows no format."""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def normalize_text(text: str) -> str:
    """Normalize a text once for all: `\\n` line ends, no NUL, no U+FFFE, no form feed, no half surrogate pair."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")
    text = text.replace("\0", "").replace("\ufffe", "").removeprefix("\ufeff")
    return _SURROGATE.sub("\ufffd", text)


def quote_pattern(quote: str) -> str:
    """Write the pattern that finds a quote word for word, with any white space between its words."""
    return r"\s+".join(map(re.escape, quote.split())) or r"(?!)"


def normalized_offset(text: str, at: int) -> int:
    """Return where the character at `at` of a text is in `normalised(text)`.

    The `\\n` of a CRLF is where its `\\r` was.
    """
    before = text[:at]
    if before.endswith("\r") and text.startswith("\n", at):
        before = before[:-1]
    return len(normalize_text(before))


def join_surrogates(text: str) -> str:
    """Join surrogate pairs, and puts U+FFFD for each half without the other: UTF-8 has none."""
    if has_whole_characters(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def has_whole_characters(text: str) -> bool:
    """Return whether a text has no half of a surrogate pair."""
    return text.isascii() or not _SURROGATE.search(text)

"""The one normalisation that stored texts go through, and where a character is after it. Knows no format."""

from __future__ import annotations

import re


def normalised(text: str) -> str:
    """Normalises a text once for all: `\\n` line ends, no NUL, no U+FFFE, no form feed, no half surrogate pair."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")
    text = text.replace("\0", "").replace("\ufffe", "").removeprefix("\ufeff")
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def spaced(quote: str) -> str:
    """Writes the pattern that finds a quote word for word, with any white space between its words."""
    return r"\s+".join(map(re.escape, quote.split())) or r"(?!)"


def shifted(text: str, at: int) -> int:
    """Returns where the character at `at` of a text is in `normalised(text)`.

    The `\\n` of a CRLF is where its `\\r` was.
    """
    before = text[:at]
    if before.endswith("\r") and text.startswith("\n", at):
        before = before[:-1]
    return len(normalised(before))

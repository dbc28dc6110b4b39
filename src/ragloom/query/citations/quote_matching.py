"""Matching of quoted words, tolerant of white space and typography."""

from __future__ import annotations

import re

# What word processors and models write for one another.
_ALIKE = {
    **dict.fromkeys("'\u2018\u2019\u02bc\uff07", "['\u2018\u2019\u02bc\uff07]"),
    **dict.fromkeys('"\u201c\u201d\u201e\u201f\uff02', '["\u201c\u201d\u201e\u201f\uff02]'),
    **dict.fromkeys("-\u2010\u2011\u2012\u2013\u2014\u2212", "[-\u2010\u2011\u2012\u2013\u2014\u2212]"),
}


def words_of(quote: str) -> re.Pattern[str]:
    """Build a pattern for a quote with any white space between words.

    It neither begins nor ends inside a number or a Latin word: "5 years" is not in "15 years". Korean words may be cut,
    since particles are written onto them.
    """
    words = quote.split()
    if not words:
        return re.compile(r"(?!)")
    before = r"(?<![0-9A-Za-z])" if re.match(r"[0-9A-Za-z]", words[0]) else ""
    after = r"(?![0-9A-Za-z])" if re.search(r"[0-9A-Za-z]\Z", words[-1]) else ""
    escaped = ("".join(_ALIKE.get(character) or re.escape(character) for character in word) for word in words)
    return re.compile(before + r"\s+".join(escaped) + after)


def find_near(pattern: re.Pattern[str], text: str, start: int, end: int, reach: int) -> tuple[int, int] | None:
    """Find a match within a span, or the first overlapping match nearby."""
    if match := pattern.search(text, start, end):
        return match.span()
    at = max(0, start - reach)
    while match := pattern.search(text, at, end + reach):
        if match.start() >= end:
            return None
        if match.end() > start:
            return match.span()
        at = match.start() + 1
    return None

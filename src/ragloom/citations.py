"""Reads the citations out of an answer and checks each against the stored document. Knows no LLM and no store.

An answer cites by number, as `[1]` behind a statement, and quotes below it, a line each: `[1] "words of the passage"`.
A citation is verified when its number was supplied, the cited chunk's span of the stored document still reads as the
chunk did, and the quote stands inside that span: word for word, differences of white space aside (a quote has no line
ends). The offsets given are those of the quote in the stored document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ragloom.normal import spaced
from ragloom.records import Chunk, Citation

_QUOTE_LINE = re.compile(
    r"^[ \t]*(?:[-*][ \t]+|\d{1,3}[.)][ \t]+)?\**\[(\d{1,6})\]\**[ \t]*:?\**[ \t]*"
    r"[\"“”「『'‘](.+)[\"“”」』'’][ \t.,;]*$",
    re.MULTILINE,
)
_HEADER = re.compile(
    r"^[ \t#*]*(?:quotes|sources|citations|인용|출처|근거)[ \t*]*:?[ \t*]*$", re.IGNORECASE | re.MULTILINE
)
_MARK = re.compile(r"\[(\d{1,6}(?:[ \t]*,[ \t]*\d{1,6})*)\]")


@dataclass(frozen=True)
class Cited:
    """An answer taken apart.

    Attributes:
        answer: the text for people, with its `[1]` marks, without the quote lines.
        citations: in the order of the answer; a number may be cited with several quotes.
    """

    answer: str
    citations: tuple[Citation, ...]


def read(reply: str) -> tuple[str, list[tuple[int, str]]]:
    """Splits a reply into answer and (number, quote) pairs; a mark without a quote line has the quote "".

    Marks inside quoted words are the document's own (such as Wikipedia's `[2]`) and cite nothing.
    """
    quotes = [(int(match[1]), match[2].strip()) for match in _QUOTE_LINE.finditer(reply)]
    answer = (_HEADER.sub("", _QUOTE_LINE.sub("", reply)) if quotes else reply).strip()
    answer = re.sub(r"\n{3,}", "\n\n", answer)
    claims = answer
    for _, quote in sorted(quotes, key=lambda item: len(item[1]), reverse=True):
        claims = _flexible(quote).sub(" ", claims)
    quoted = {number for number, _ in quotes}
    marked = [int(number) for match in _MARK.finditer(claims) for number in match[1].split(",")]
    unquoted = [(number, "") for number in dict.fromkeys(marked) if number not in quoted]
    return answer, [*dict.fromkeys(quotes), *unquoted]


def verify(reply: str, supplied: Sequence[Chunk], stored_text: Callable[[str], str | None]) -> Cited:
    """Reads a reply's citations and checks each.

    Args:
        reply: the LLM's whole text.
        supplied: the chunks in the prompt; number n is `supplied[n - 1]`.
        stored_text: document id -> text as stored in the index; None when there is no such document.
    """
    answer, pairs = read(reply)
    return Cited(answer, tuple(_checked(number, quote, supplied, stored_text) for number, quote in pairs))


def locate(quote: str, chunk: Chunk, text: str | None) -> tuple[int, int] | None:
    """Finds a quote inside a chunk's span of its stored document.

    Returns:
        (start, end) in characters of the document; None when the quote says nothing (no letter or digit), the span no
        longer reads as the chunk, or the quote is not in it.
    """
    if text is None or text[chunk.start : chunk.end] != chunk.text or not any(map(str.isalnum, quote)):
        return None
    match = _flexible(quote).search(text, chunk.start, chunk.end)
    return match.span() if match else None


def _checked(number: int, quote: str, supplied: Sequence[Chunk], stored_text: Callable[[str], str | None]) -> Citation:
    if not 1 <= number <= len(supplied):
        return Citation(number, None, None, None, quote, verified=False)
    chunk = supplied[number - 1]
    text = stored_text(chunk.document)
    span = locate(quote, chunk, text)
    if span is None or text is None:
        return Citation(number, chunk.document, None, None, quote, verified=False)
    return Citation(number, chunk.document, *span, quote=text[slice(*span)], verified=True)


def _flexible(quote: str) -> re.Pattern[str]:
    """Matches a quote word for word, with any white space between its words.

    It neither begins nor ends inside a number or a Latin word: "5 years" is not in "15 years". Korean words may be cut,
    since particles are written onto them.
    """
    words = quote.split()
    if not words:
        return re.compile(r"(?!)")
    before = r"(?<![0-9A-Za-z])" if re.match(r"[0-9A-Za-z]", words[0]) else ""
    after = r"(?![0-9A-Za-z])" if re.search(r"[0-9A-Za-z]\Z", words[-1]) else ""
    return re.compile(before + spaced(quote) + after)

"""Citations of an answer, each verified against the stored document.

An answer cites by number, as `[1]` behind a statement, and quotes words of the passage; `forms` says how models do.
A citation is verified when its number was supplied, the cited chunk's span of the stored document still reads as the
chunk did, and the quote stands inside that span or across its border: word for word, differences of white space and
typography aside. The offsets given are those of the quote in the stored document. Whether a verified quote bears the
answer out is not checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import starmap

from ragloom.core.records import Chunk, Citation
from ragloom.query.citations.citation_forms import read
from ragloom.query.citations.quote_matching import find_near, words_of

_END = " .,;:。…"  # models end a quote as their own sentence ends
_WHITE_SPACE = 200  # characters of it that a quote beyond its chunk may have more in the document than in the reply


@dataclass(frozen=True)
class Cited:
    """An answer taken apart.

    Attributes:
        answer: the text for people, with its `[1]` marks, without the quote lines.
        citations: in the order of the answer; a number may be cited with several quotes.
    """

    answer: str
    citations: tuple[Citation, ...]


def verify(reply: str, supplied: Sequence[Chunk], stored_text: Callable[[str], str | None]) -> Cited:
    """Read a reply's citations and checks each.

    Args:
        reply: the LLM's whole text.
        supplied: the chunks in the prompt; number n is `supplied[n - 1]`.
        stored_text: document id -> text as stored in the index; None when there is no such document.
    """
    check = partial(_checked, supplied, cache(stored_text))
    answer, pairs = read(reply, lambda number, quote: check(number, quote).verified)
    return Cited(answer, tuple(starmap(check, pairs)))


def locate(quote: str, chunk: Chunk, text: str | None) -> tuple[int, int] | None:
    """Find a quote within a chunk's span or across its border.

    A full stop or comma at the quote's end may be the reply's own.

    Returns:
        (start, end) in characters of the document; None when the quote says nothing (no letter or digit), the span no
        longer reads as the chunk, or the quote is not in it.
    """
    if text is None or text[chunk.start : chunk.end] != chunk.text or not any(map(str.isalnum, quote)):
        return None
    for words in dict.fromkeys((quote, quote.rstrip(_END))):
        if span := find_near(words_of(words), text, chunk.start, chunk.end, reach=2 * len(quote) + _WHITE_SPACE):
            return span
    return None


def _checked(supplied: Sequence[Chunk], stored_text: Callable[[str], str | None], number: int, quote: str) -> Citation:
    if not 1 <= number <= len(supplied):
        return Citation(number, None, None, None, quote, verified=False)
    chunk = supplied[number - 1]
    text = stored_text(chunk.document)
    span = locate(quote, chunk, text)
    if span is None or text is None:
        return Citation(number, chunk.document, None, None, quote, verified=False)
    return Citation(number, chunk.document, *span, quote=text[slice(*span)], verified=True)

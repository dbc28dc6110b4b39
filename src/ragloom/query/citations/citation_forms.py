"""Citation forms of language models: numbers and quotes, and their pairing.

A number stands in brackets (`[1]`, `【1】`, `[1, 2]`, `[1-3]`, `[^1]`, `[Passage 1]`, `(문단 1)`), before or after its
quote, on the same line or on the one before or after; a number may have several quotes, and a quote several numbers.
Where a line can be read in several ways, the reading whose quotes stand in their passages is taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ragloom.query.citations.quote_matching import words_of

Pair = tuple[int, str]
"""A cited number and a quote; "" without one."""
Holds = Callable[[int, str], bool]
"""Tells whether a quote stands in the passage of a number."""

_LABEL = (
    r"(?:passages?|sources?|documents?|docs?|references?|refs?|quotes?|citations?|문단|출처|문서|인용문?|근거|자료)"
)
_ONE = rf"\^?(?:(?:{_LABEL}|no\.|#)[ \t]*:?[ \t]*)?\d{{1,6}}번?"
_LIST = rf"{_ONE}(?:[ \t]*(?:[,;、·&~–—-]|and|및)[ \t]*{_ONE}){{0,20}}+"
_MARK = (
    rf"(?:\[\[?[ \t]*{_LIST}(?:†[^\]\n]*)?[ \t]*\]\]?|[【［〔〖][ \t]*{_LIST}(?:†[^】］〕〗\n]*)?[ \t]*[】］〕〗]"
    rf"|\({_LABEL}[ \t]*:?[ \t]*{_LIST}\))"
)
_MARKS = rf"{_MARK}(?:[ \t]{{0,3}}[,;]?[ \t]{{0,3}}{_MARK}){{0,20}}+"
_AT_START = rf"(?:{_MARKS}|\(\d{{1,6}}\)|(?:{_LABEL}[ \t]*)?\d{{1,6}}(?=[.:：)]))"
_NUMBERS = re.compile(rf"(\d{{1,6}})번?(?:[ \t]*[~–—-][ \t]*{_LABEL}?[ \t]*(\d{{1,3}})(?!\d))?", re.IGNORECASE)
_LONGEST_RANGE = 20

_OPEN, _CLOSE = r"(?<![0-9A-Za-z])[\"“”„‟＂«「『]", r"[\"“”‟＂»」』](?![0-9A-Za-z])"
_WORDS = r"(?=\S)[^\"“”„‟＂«»「」『』\n]+"
_SINGLE = r"(?<![0-9A-Za-z])['‘`](?=\S)[^'‘’`\n]*(?:['’](?=[A-Za-z])[^'‘’`\n]*)*['’`](?![0-9A-Za-z])"
_QUOTE = rf"(?:{_OPEN}{_WORDS}{_CLOSE}|{_SINGLE})"
_BETWEEN = r"[ \t]{0,3}(?:(?:[,;/|·]|\.{3}|…|and\b|및|와|과|그리고)[ \t*_]{0,3}){0,3}"
_QUOTES = rf"{_QUOTE}(?:{_BETWEEN}{_QUOTE}){{0,20}}+"
_PLACE = r"[^\"“”„‟＂«「『\n]{0,100}[:：)–—-]"  # "guide.md, p. 3:" between a number and its quote

_START = r"[ \t>|#]*(?:[-*+•][ \t]+|\d{1,3}[.)][ \t]+(?=[\[【(*]))?[*_]*"
_END = r"[\s.,;:)\]|*_。]*"
_GLUE = r"[ \t:：,.;=>|(*_–—-]{0,40}"

_FIRST_NUMBER = re.compile(rf"(?P<marks>{_MARKS})[ \t:：,.;=>|*_–—-]{{0,40}}(?P<quotes>\(?{_QUOTES}\)?)", re.IGNORECASE)
_FIRST_NUMBER_LINE = re.compile(
    rf"{_START}(?P<marks>{_AT_START}){_GLUE}(?:{_PLACE})?[ \t*_]{{0,5}}(?P<quotes>{_QUOTES}){_END}", re.IGNORECASE
)
_FIRST_QUOTE = re.compile(rf"(?P<quotes>{_QUOTES}){_GLUE}(?P<marks>{_MARKS})", re.IGNORECASE)
_INSIDE = re.compile(rf"[\[(【](?P<marks>{_LIST})[ \t]*[:,–—-][ \t]*(?P<quotes>{_QUOTES})[ \t]*[\])】]", re.IGNORECASE)
_WHOLE = re.compile(
    rf"(?P<marks>{_MARKS}){_GLUE}{_OPEN}(?P<inner>\S.*){_CLOSE}{_END}$"
    rf"|^{_START}{_OPEN}(?P<inner2>\S.*){_CLOSE}{_GLUE}(?P<marks2>{_MARKS}){_END}$",
    re.IGNORECASE,
)
_BARE = re.compile(rf"{_START}(?P<marks>{_MARKS}){_GLUE}(?P<words>\S.*)", re.IGNORECASE)
_BLOCK = re.compile(rf"[ \t]*>[ \t>]*(?P<words>.*?\S){_GLUE}(?P<marks>{_MARKS}){_END}", re.IGNORECASE)
_ONLY_MARKS = re.compile(rf"{_START}(?P<marks>{_AT_START}){_END}", re.IGNORECASE)
_ONLY_QUOTES = re.compile(rf"{_START}(?:\d{{1,3}}[.)][ \t]+)?(?P<quotes>{_QUOTES}){_END}")
_LAST_MARKS = re.compile(rf"(?P<marks>{_MARKS}){_END}$", re.IGNORECASE)
_NOTHING = re.compile(rf"(?:{_MARK}|{_LABEL}|[\s\W_]|and\b|및)*", re.IGNORECASE)
_HEADER = re.compile(
    r"[ \t#*_]*(?:(?:supporting |verbatim |direct )?(?:quotes|quotations|sources|citations|references|evidence)"
    r"|인용문?|출처|근거|참고|인용 ?문장|근거 ?문장)[ \t*_]*[:：]?[ \t*_]*",
    re.IGNORECASE,
)
_AT_BEGIN = re.compile(rf"{_START}{_AT_START}", re.IGNORECASE)
_MARK_ONCE = re.compile(_MARK, re.IGNORECASE)
_QUOTE_ONCE = re.compile(_QUOTE)
_DOUBLE = re.compile(r"[\"“”„‟＂]")
_LONGEST_WRAP = 10  # lines of one quote


@dataclass(frozen=True)
class Line:
    """One reading of a line.

    Attributes:
        rest: what belongs to the answer; None where nothing does.
        inside: the quotes are words of a sentence, and count where their numbers have no others.
    """

    pairs: list[Pair]
    rest: str | None
    inside: bool = False


def read(reply: str, holds: Holds = lambda number, quote: False) -> tuple[str, list[Pair]]:
    """Split a reply into answer and citations.

    A number without a quote has the quote "".

    Args:
        reply: the LLM's whole text.
        holds: tells whether a quote stands in a passage.

    Returns:
        the answer with its numbers as `[1]`, without the lines of quotes; the pairs in the order of the reply.
    """
    lines = _Lines(_unwrapped(reply.split("\n")), holds).read()
    apart = {number for line in lines if not line.inside for number, _ in line.pairs}
    pairs = [pair for line in lines for pair in line.pairs if not (line.inside and pair[0] in apart)]
    rest = [line.rest for line in lines if line.rest is not None and not (pairs and _HEADER.fullmatch(line.rest))]
    answer = re.sub(r"\n{3,}", "\n\n", "\n".join(rest)).strip() if pairs else reply.strip()
    if _NOTHING.fullmatch(answer):
        answer = reply.strip()  # nothing but quotes: they are the answer
    answer = _MARK_ONCE.sub(lambda match: f"[{', '.join(map(str, _numbers(match[0])))}]", answer)
    return answer, [*dict.fromkeys(pairs), *_unquoted(answer, pairs)]


def _unquoted(answer: str, pairs: list[Pair]) -> list[Pair]:
    """List the numbers without a quote.

    Numbers within quoted words belong to the document and cite nothing.
    """
    claims = answer
    for _, quote in sorted(pairs, key=lambda pair: len(pair[1]), reverse=True):
        claims = words_of(quote).sub(" ", claims)
    numbers = dict.fromkeys(number for match in _MARK_ONCE.finditer(claims) for number in _numbers(match[0]))
    return [(number, "") for number in numbers if number not in {quoted for quoted, _ in pairs}]


class _Lines:
    """Read the lines of a reply; quotes take numbers from neighbouring lines."""

    def __init__(self, lines: list[str], holds: Holds) -> None:
        self._lines = lines
        self._holds = holds
        self._current: list[int] = []  # of the line before

    def read(self) -> list[Line]:
        return [self._line(at, text) for at, text in enumerate(self._lines)]

    def _line(self, at: int, text: str) -> Line:
        if not text.strip() or _HEADER.fullmatch(text):
            return Line([], text)
        if match := _ONLY_MARKS.fullmatch(text):
            return self._only_marks(at, text, _numbers(match["marks"]))
        if match := _ONLY_QUOTES.fullmatch(text):
            return self._only_quotes(at, text, match["quotes"])
        marked = _MARK_ONCE.search(text) or _AT_BEGIN.match(text) or _INSIDE.search(text)
        readings = [reading for reading in self._readings(text) if reading.pairs] if marked else []
        if readings:
            # The first reading of the most quotes that hold.
            best = max(readings, key=lambda reading: sum(self._holds(*pair) for pair in reading.pairs))
            self._current = [number for number, _ in best.pairs]
            return best
        last = _LAST_MARKS.search(text)
        before, self._current = self._current, _numbers(last["marks"]) if last else []
        if before and (pairs := self._held(before, text.strip(" \t>*_"))):
            self._current = before
            return Line(pairs, None)
        return Line([], text)

    def _only_marks(self, at: int, text: str, numbers: list[int]) -> Line:
        self._current = numbers
        quoted = any(
            0 <= near < len(self._lines) and _ONLY_QUOTES.fullmatch(self._lines[near]) for near in (at - 1, at + 1)
        )
        following = self._lines[at + 1].strip(" \t>*_") if at + 1 < len(self._lines) else ""
        return Line([], None if quoted or (following and self._held(numbers, following)) else text)

    def _only_quotes(self, at: int, text: str, quotes: str) -> Line:
        """Pair quotes with numbers before them, on their line, or below."""
        following = _ONLY_MARKS.fullmatch(self._lines[at + 1]) if at + 1 < len(self._lines) else None
        own = re.match(r"[ \t>]*(\d{1,3})[.)]", text)
        choices = [self._current, [int(own[1])] if own else [], _numbers(following["marks"]) if following else []]
        readings = [self._paired(numbers, quotes) for numbers in choices if numbers]
        if not readings:
            return Line([], text)
        best = max(readings, key=lambda pairs: sum(self._holds(*pair) for pair in pairs))
        return Line(best, None)

    def _readings(self, text: str) -> Iterator[Line]:
        if (match := _WHOLE.search(text)) and _DOUBLE.search(match["inner"] or match["inner2"]):
            pairs = self._held(_numbers(match["marks"] or match["marks2"]), match["inner"] or match["inner2"])
            yield Line(pairs, _rest(text, [match.span()], text[: match.end("marks")] if match["marks"] else ""))
        if match := _INSIDE.search(text):
            pairs = self._paired(_numbers(match["marks"]), match["quotes"])
            yield Line(pairs, f"{text[: match.start()]}[{match['marks']}]{text[match.end() :]}")
        after = self._all(_FIRST_QUOTE, text)
        if after is not None and after.rest is None and re.match(rf"{_START}{_QUOTE}", text):
            yield after
            after = None
        if match := _FIRST_NUMBER_LINE.fullmatch(text):
            yield Line(self._paired(_numbers(match["marks"]), match["quotes"]), None)
        if (before := self._all(_FIRST_NUMBER, text)) is not None:
            yield before
        if after is not None:
            yield Line(after.pairs, text, inside=True)
        for form in (_BARE, _BLOCK):
            if match := form.fullmatch(text):
                yield Line(self._held(_numbers(match["marks"]), match["words"]), None)

    def _all(self, form: re.Pattern[str], text: str) -> Line | None:
        matches = list(form.finditer(text))
        pairs = [pair for match in matches for pair in self._paired(_numbers(match["marks"]), match["quotes"])]
        return Line(pairs, _rest(text, [match.span("quotes") for match in matches])) if matches else None

    def _paired(self, numbers: list[int], quotes: str) -> list[Pair]:
        """Pair each quote with the numbers of passages that contain it.

        Where none does, it is paired with all of them.
        """
        pairs: list[Pair] = []
        for match in _QUOTE_ONCE.finditer(quotes):
            quote = clean(match[0][1:-1])
            pairs += [(number, quote) for number in numbers if self._holds(number, quote)] or [
                (number, quote) for number in numbers
            ]
        return pairs

    def _held(self, numbers: list[int], words: str) -> list[Pair]:
        words = clean(words)
        return [(number, words) for number in numbers if self._holds(number, words)]


def clean(quote: str) -> str:
    """Strip blanks, emphasis and ellipses around quoted words."""
    return re.sub(r"^(?:\.{3}|…|\[(?:\.{3}|…)\])|(?:\.{3}|…|\[(?:\.{3}|…)\])$", "", quote.strip(" \t*_`")).strip()


def _rest(text: str, spans: list[tuple[int, int]], begin: str = "") -> str | None:
    """Leaves spans out of a line; None where no words remain."""
    remaining, at = begin, 0
    for start, end in spans:
        remaining, at = remaining + ("" if begin else text[at:start]), end
    remaining = re.sub(r"\([ \t]{0,3}\)|[ \t:]{1,3}(?=[.,;])", "", remaining + text[at:]).rstrip(" \t*_(")
    return None if _NOTHING.fullmatch(remaining) else remaining


def _numbers(text: str) -> list[int]:
    numbers: list[int] = []
    for match in _NUMBERS.finditer(text.partition("†")[0]):
        first, last = int(match[1]), int(match[2] or match[1])
        numbers += range(first, last + 1) if first <= last < first + _LONGEST_RANGE else (first, last)
    return numbers


def _unwrapped(lines: list[str]) -> list[str]:
    """Join a quote that goes on over several lines."""
    joined: list[str] = []
    at = 0
    while at < len(lines):
        text, end = lines[at], at + 1
        while _is_open(text) and end < min(len(lines), at + _LONGEST_WRAP) and lines[end].strip():
            text, end = f"{text} {lines[end].strip(' >')}", end + 1
        whole = end > at + 1 and not _is_open(text)
        joined.append(text if whole else lines[at])
        at = end if whole else at + 1
    return joined


def _is_open(text: str) -> bool:
    """Return whether a quote begins in a citation line and ends later."""
    begins = re.search(rf"(?:{_MARKS}{_GLUE}|^{_START}){_OPEN}\S", text, re.IGNORECASE)
    return bool(begins) and len(_DOUBLE.findall(text)) % 2 == 1

"""The multilingual analyzer: terms by script alone.

The text is normalised, then read as runs of one kind:

* letters and digits of scripts that put blanks between words: the run is one term;
* Hangul, Han and kana (one kind, whichever of them stand together): each two neighbouring characters are a term, and
  a character alone is one. Overlapping bigrams are how Lucene's `CJKBigramFilter` indexes these scripts; a Korean word
  is found whatever particle follows it, without a dictionary;
* pictographs: each is a term; two regional indicators are one (a flag).

So `3월` gives `3`, `월`, and `K팝은` gives `k`, `팝은`. Everything else (blanks, punctuation, `_`, symbols) separates.
A combining mark belongs to the character that it follows.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable
from operator import add

from ragloom.components.analyzer.base import Analyzer

# Unicode blocks whose characters make bigrams. Han: radicals, iteration marks and numerals, the ideographs.
_HAN = "\u2e80-\u2fd5\u3005\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
_KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\U0001aff0-\U0001b16f"
_SYLLABLE = "\uac00-\ud7a3"
# Conjoining jamo: leading consonants, vowels, trailing consonants. They are what NFKC makes of `ㅋㅋ`, and what old
# Korean is written with; a leading consonant, vowel and trailing consonant together are one character.
_LEAD = "\u1100-\u115e\ua960-\ua97c"
_VOWEL = "\u1161-\u11a7\ud7b0-\ud7c6"
_TAIL = "\u11a8-\u11ff\ud7cb-\ud7fb"
_JAMO = _LEAD + _VOWEL + _TAIL
_BIGRAM = _HAN + _KANA + _SYLLABLE + _JAMO

# Default-ignorable characters (Unicode DerivedCoreProperties) that stand inside words: soft hyphen, grapheme joiner,
# Hangul fillers, joiners, direction marks, variation selectors. NFKC_Casefold drops them as well. The zero-width space
# (U+200B) is left to separate, since it is used to mark the end of a word.
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u180b-\u180f\u200c-\u200f\u202a-\u202e\u2060-\u2064\u3164\ufe00-\ufe0f\ufeff"
    "\uffa0\U000e0100-\U000e01ef]"
)
_PICTOGRAPHS = (range(0x2600, 0x27C0), range(0x2B00, 0x2C00), range(0x1F300, 0x1FB00))


def _class_of(codes: Iterable[int], member: Callable[[str], bool]) -> str:
    """Write the member characters as the inside of a regular expression's `[...]`."""
    ranges: list[list[int]] = []
    for code in codes:
        if member(chr(code)):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in ranges)


_in_bigram = re.compile(f"[{_BIGRAM}]").match
_ascii_words = re.compile("[a-z0-9]+").findall
_beyond_bmp = re.compile("[\U00010000-\U0010ffff]").search


class _ScriptPatterns:
    """The compiled expressions for characters below a limit.

    Two of them, because `re` tests a class of BMP characters by a bitmap, and every range beyond by itself
    (CPython 3.11 `re._compiler._optimize_charset`): one class for all is four times slower on Korean text.
    """

    def __init__(self, limit: int) -> None:
        word = _class_of(range(limit), lambda c: unicodedata.category(c)[0] in "LN" and not _in_bigram(c))
        mark = _class_of(range(limit), lambda c: unicodedata.category(c) in ("Mn", "Mc") and not _IGNORABLE.match(c))
        codes = (code for block in _PICTOGRAPHS for code in block if code < limit)
        symbol = _class_of(codes, lambda c: unicodedata.category(c) == "So")
        kinds = [f"[{word}][{word}{mark}]*", f"[{_BIGRAM}][{_BIGRAM}{mark}]*", f"[{symbol}]"]
        clusters = [f"[{_SYLLABLE}][{_TAIL}]?", f"[{_LEAD}][{_VOWEL}]?[{_TAIL}]?", f"[{_VOWEL}][{_TAIL}]?"]
        clusters += [f"[{_TAIL}]", f"[{_HAN}{_KANA}]"]
        self.runs = re.compile("|".join([*kinds, "[\U0001f1e6-\U0001f1ff]{2}"])).findall
        self.clusters = re.compile(f"(?:{'|'.join(clusters)})[{mark}]*").findall
        self.any_cluster = re.compile(f"[{_JAMO}{mark}]").search
        self.any_bigram = re.compile(f"[{_BIGRAM}]").search


@functools.cache
def _patterns(limit: int) -> _ScriptPatterns:
    """Compile the expressions at their first use; ASCII text needs none."""
    return _ScriptPatterns(limit)


_BMP = 0x10000
# Nothing from the ideographs' planes (U+20000) on is a letter of a script with blanks, or a mark that is kept.
_ALL = 0x20000


def normalize(text: str) -> str:
    """Fold compatibility forms (NFKC), case and invisible characters."""
    if text.isascii():
        return text.lower()
    folded = _IGNORABLE.sub("", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFKC", folded)


class Multilingual(Analyzer):
    """Words of scripts with blanks, overlapping bigrams of Hangul, Han and kana."""

    def terms(self, text: str) -> list[str]:
        """Return the folded terms of a text, as the module defines them."""
        text = normalize(text)
        if text.isascii():
            return _ascii_words(text)
        patterns = _patterns(_ALL if _beyond_bmp(text) else _BMP)
        runs: list[str] = patterns.runs(text)
        if not patterns.any_bigram(text):
            return runs
        clustered = patterns.any_cluster(text)
        terms: list[str] = []
        for run in runs:
            # U+1100 is the first character that makes bigrams: it settles most words of other scripts.
            if run[0] < "\u1100" or not _in_bigram(run):
                terms.append(run)
                continue
            characters = patterns.clusters(run) if clustered else run
            if len(characters) == 1:
                terms.append(characters[0])
            else:  # `map` ends with the shorter one
                terms.extend(map(add, characters, characters[1:]))
        return terms

"""Answer metrics: overlap with reference answers, and citations against gold.

Exact match and F1 follow the official scripts: of SQuAD (Rajpurkar et al. 2016) for words, and of KorQuAD 1 (Lim et
al. 2019) for the characters of Korean, which hangs particles on words. Of several right answers the nearest counts.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from ragloom.core.gold import GoldSpan
from ragloom.evaluation.metrics import Passage

Unit = Literal["characters", "words"]
"""What F1 counts."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_MARKS = re.compile(r"[ \t]{0,3}\[\d{1,6}(?:[ \t]*,[ \t]*\d{1,6})*\]")
_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)
# The Korean quotation marks and brackets that KorQuAD's script takes out (evaluate-v1.0.py, `remove_`).
_KOREAN_MARKS = str.maketrans(dict.fromkeys("'\"《》<>〈〉()‘’", " "))


def unit_of(language: str) -> Unit:
    """Return the unit of F1 in a language.

    Characters for Korean (`ko`), otherwise words.
    """
    return "characters" if language == "ko" else "words"


def answer_scores(answer: str, right: Sequence[str], unit: Unit) -> tuple[float, float]:
    """Return exact match and F1, each by the best reference.

    Args:
        answer: as it was given; its `[1]` marks are not its words. The empty text for a question that failed.
        right: at least one.
        unit: what F1 counts.

    Raises:
        ValueError: there is no right answer.
    """
    if not right:
        raise ValueError("a question must have a right answer; one without is not scored but counted apart")
    words = normal_answer(_MARKS.sub("", answer), unit)
    wanted = [normal_answer(each, unit) for each in right]
    return float(words in wanted), max(_f1(_parts(words, unit), _parts(each, unit)) for each in wanted)


def normal_answer(text: str, unit: Unit) -> str:
    """Normalize as the official scripts do.

    Case, punctuation and blanks do not count, nor English articles.

    Unicode is brought to NFC first, since Hangul may be written in parts.
    """
    text = unicodedata.normalize("NFC", text)
    if unit == "characters":
        text = text.translate(_KOREAN_MARKS).lower().translate(_ASCII_PUNCTUATION)
        return " ".join(text.split())
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_ASCII_PUNCTUATION)).split())


def citation_scores(
    citations: Sequence[Passage | None], gold: Sequence[GoldSpan], grades: Iterable[str] = ()
) -> tuple[float, float]:
    """Return precision and recall of citations against gold.

    Precision is the share of citations that share a character with a gold span, recall the share of gold spans that
    share one with a citation; without gold spans, graded documents count.

    Args:
        citations: where each verified quote stands; None for one that could not be verified, which is never right.
        gold: of a question that is answered.
        grades: documents with a grade of 1 or more, where there are no spans.

    Raises:
        ValueError: there is no gold.
    """
    documents = set(grades)
    if not gold and not documents:
        raise ValueError("a question must have gold; one without is not scored but counted apart")
    quotes = [quote for quote in citations if quote is not None]
    if gold:
        right = sum(any(_shares(quote, span) for span in gold) for quote in quotes)
        hits = sum(any(_shares(quote, span) for quote in quotes) for span in gold)
    else:
        right = sum(quote.document in documents for quote in quotes)
        hits = len(documents & {quote.document for quote in quotes})
    return right / len(citations) if citations else 0.0, hits / (len(gold) or len(documents))


def _parts(text: str, unit: Unit) -> list[str]:
    return [character for word in text.split() for character in word] if unit == "characters" else text.split()


def _f1(answer: list[str], wanted: list[str]) -> float:
    if not answer or not wanted:  # as the official script of SQuAD 2: both empty agree
        return float(answer == wanted)
    same = sum((Counter(answer) & Counter(wanted)).values())
    return 2 * same / (len(answer) + len(wanted))


def _shares(quote: Passage, span: GoldSpan) -> bool:
    return quote.document == span.document and any(
        quote.start < end and start < quote.end for start, end in span.places
    )

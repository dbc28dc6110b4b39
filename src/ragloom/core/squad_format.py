"""Files in SQuAD 1, SQuAD 2 and KorQuAD form.

The source and the dataset read the same file, and their ids and ranges have to agree: this is what both use.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ragloom.core.gold import Range
from ragloom.core.text_normalization import normalize_text, normalized_offset
from ragloom.errors import DataError

Unit = Literal["context", "article"]
"""What a document is: a paragraph of an article, or all of its paragraphs."""
BETWEEN = "\n\n"
"""Stands between the paragraphs of an article."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question of the file.

    Attributes:
        answers: different texts, in order; none where it has no answer.
        places: different ranges of them in the document's stored text.
    """

    id: str
    text: str
    answers: tuple[str, ...]
    places: tuple[Range, ...]


@dataclass(slots=True)
class SquadDocument:
    """A context or an article, with its questions.

    Attributes:
        text: as the source stores it.
        article: the article's name; in Unicode NFC, as the id.
    """

    id: str
    text: str
    article: str
    questions: list[Question] = field(default_factory=list)


def read(path: Path, unit: Unit, max_bytes: int, group: str) -> tuple[list[SquadDocument], list[str]]:
    """Read a file whole: it is one JSON value.

    A context that stands in the file twice is one document, with the questions of both.

    Args:
        group: who asks, for the error's text (`source` or `dataset`).

    Returns:
        The documents in file order, and answers that are not where the file says, one line each.

    Raises:
        DataError: the file is missing, too large, or not of this form.
    """
    articles = _articles(path, max_bytes, group)
    problems: list[str] = []
    try:
        if unit == "article":
            return [_article(title, item, problems) for title, item in articles], problems
        contexts: dict[str, SquadDocument] = {}
        for title, item in articles:
            for context in _contexts(title, item, problems):
                contexts.setdefault(context.text, context)
                if contexts[context.text] is not context:
                    contexts[context.text].questions += context.questions
        return list(contexts.values()), problems
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{group}: path={str(path)!r} must be a file in SQuAD's form (data, paragraphs, context, qas, answers); "
            f"it is not: {type(error).__name__} at {error}"
        ) from None


def _articles(path: Path, max_bytes: int, group: str) -> list[tuple[str, Any]]:
    """Return the articles with their names, none of which is there twice."""
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise DataError(
                f"{group}: path={str(path)!r} must have at most {max_bytes / 1e6:g} MB and has {size / 1e6:.1f}; "
                f"raise {group}.max_file_mb, or split the file"
            )
        data = json.loads(path.read_bytes())["data"]
        titles = [unicodedata.normalize("NFC", str(item.get("title") or "")).strip() for item in data]
    except OSError as error:
        raise DataError(f"{group}: path={str(path)!r} must be a readable file: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{group}: path={str(path)!r} must be a file in SQuAD's form; it is not: {error}") from None
    times: Counter[str] = Counter()
    named: list[tuple[str, Any]] = []
    for number, (title, item) in enumerate(zip(titles, data, strict=True), start=1):
        title = title or f"article {number}"
        times[title] += 1
        named.append((title if times[title] == 1 else f"{title} ({times[title]})", item))
    return named


def _contexts(title: str, article: Any, problems: list[str]) -> Iterator[SquadDocument]:
    for number, paragraph in enumerate(article["paragraphs"], start=1):
        text = normalize_text(paragraph["context"])
        yield SquadDocument(f"{title}/{number}", text, title, list(_questions(paragraph, 0, problems)))


def _article(title: str, article: Any, problems: list[str]) -> SquadDocument:
    joined = SquadDocument(title, "", title)
    texts: list[str] = []
    at = 0
    for paragraph in article["paragraphs"]:
        texts.append(normalize_text(paragraph["context"]))
        joined.questions += _questions(paragraph, at, problems)
        at += len(texts[-1]) + len(BETWEEN)
    joined.text = BETWEEN.join(texts)
    return joined


def _questions(paragraph: Any, at: int, problems: list[str]) -> Iterator[Question]:
    """Yield a paragraph's questions; it stands at character `at` of its document."""
    context = paragraph["context"]
    for item in paragraph["qas"]:
        texts: list[str] = []
        places: list[Range] = []
        for answer in () if item.get("is_impossible") else item["answers"]:
            texts.append(answer["text"])
            if place := _place(context, answer["text"], answer["answer_start"]):
                places.append((at + place[0], at + place[1]))
            else:
                problems.append(f"{item['id']}: the answer {answer['text']!r} is not in its context")
        yield Question(str(item["id"]), item["question"], tuple(dict.fromkeys(texts)), tuple(dict.fromkeys(places)))


def _place(context: str, text: str, start: int) -> Range | None:
    """Locate an answer in the normalized context, near its recorded place."""
    if not text.strip():
        return None
    if context[start : start + len(text)] != text:
        places = [at for at in range(len(context)) if context.startswith(text, at)]
        if not places:
            return None
        start = min(places, key=lambda at: (abs(at - start), at))
    return normalized_offset(context, start), normalized_offset(context, start + len(text))

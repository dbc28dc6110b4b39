"""Datasets in the form of SQuAD and KorQuAD: answers are ranges."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ragloom.components.dataset.base import Dataset, demand_few
from ragloom.core.gold import GoldSpan, Query
from ragloom.core.prompt_and_reply import language_of
from ragloom.core.records import sha256
from ragloom.core.squad_format import Question, SquadDocument, Unit
from ragloom.core.squad_format import read as read_squad
from ragloom.errors import counted

Group = Literal["document", "article", "query"]


def read(path: Path, *, name: str, document: Unit, group: Group, max_missing: float, max_bytes: int) -> Dataset:
    """Read a file.

    A question's gold is its answer's range, with several annotators' answers as its places, and the document, graded 1.
    A question without an answer (SQuAD 2) has no gold.

    Raises:
        DataError: the file is missing or malformed, or too many answers are not where it says.
    """
    documents, wrong = read_squad(path, document, max_bytes, "dataset")
    queries = [_query(item, question, group) for item in documents for question in item.questions]
    hashes = {item.id: sha256(item.text) for item in documents}
    demand_few(name, wrong, sum(map(len, (query.spans for query in queries))) + len(wrong), max_missing)
    problems = [f"{counted(wrong, 'answer')} left out"] if wrong else []
    return Dataset(name, queries, "first", problems, hashes)


def _query(document: SquadDocument, question: Question, group: Group) -> Query:
    groups = {"document": document.id, "article": document.article, "query": question.id}
    answerable = bool(question.answers)
    return Query(
        id=question.id,
        text=question.text,
        spans=(GoldSpan(document.id, question.places),) if question.places else (),
        grades={document.id: 1} if answerable else {},
        answers=question.answers,
        answerable=answerable,
        group=groups[group],
        tags={"language": language_of(question.text)},
    )

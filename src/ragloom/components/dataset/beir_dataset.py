"""Datasets in BEIR's form: `queries.jsonl` and graded documents in `qrels/SPLIT.tsv`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ragloom.components.dataset.base import Dataset, Group, demand_well_formed, lines_of, nfc, with_group
from ragloom.core.gold import Query
from ragloom.core.prompt_and_reply import language_of
from ragloom.errors import DataError, counted

_HEADER = ("query-id", "corpus-id", "score")


def read(folder: Path, split: str, *, name: str, group: Group) -> Dataset:
    """Read the questions of a split's qrels, in the order of `queries.jsonl`.

    Grades of 0 and less mean a document without relevance, and are left out.

    Raises:
        DataError: a file is missing or malformed, the split is unknown, or its qrels name an unknown question.
    """
    grades = _grades(folder, split)
    texts = dict(_texts(folder / "queries.jsonl"))
    if unknown := [query for query in grades if query not in texts]:
        raise DataError(
            f"dataset: {counted(unknown, 'question')} of {folder / 'qrels' / split}.tsv must be in queries.jsonl"
        )
    queries = []
    for id, text in texts.items():
        if id in grades:
            gold = {document: grade for document, grade in grades[id].items() if grade > 0}
            tags = {"language": language_of(text)}
            queries.append(with_group(Query(id, text, grades=gold, answerable=bool(gold) or None, tags=tags), group))
    return Dataset(f"{name}-{split}", queries, "first")


def _grades(folder: Path, split: str) -> dict[str, dict[str, int]]:
    path = folder / "qrels" / f"{split}.tsv"
    if not path.is_file() and (known := sorted(item.stem for item in path.parent.glob("*.tsv"))):
        raise DataError(f"dataset: dataset.split={split} must be one of {', '.join(known)}, the files of {path.parent}")
    grades: dict[str, dict[str, int]] = {}
    wrong = []
    for number, line in lines_of(path):
        fields = tuple(line.split("\t"))
        if number == 1 and fields == _HEADER:
            continue
        try:
            query, document, grade = fields
            value, document = int(grade), nfc(document)
        except ValueError:
            wrong.append(f"dataset: {path}:{number}: must be query-id, corpus-id and a whole number, with tabs between")
            continue
        if grades.setdefault(query, {}).setdefault(document, value) != value:
            wrong.append(f"dataset: {path}:{number}: must not grade document {document!r} again for query {query!r}")
    demand_well_formed(wrong)
    return grades


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    wrong = []
    for number, line in lines_of(path):
        try:
            record = json.loads(line)
            id, text = record["_id"], record["text"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            wrong.append(f"dataset: {path}:{number}: must be an object with _id and text; {error}")
            continue
        id = str(id)
        if not isinstance(text, str) or not text.strip():
            wrong.append(f"dataset: {path}:{number}: text must be a text that is not blank")
        if id in seen:
            wrong.append(f"dataset: {path}:{number}: _id {id!r} must be unique")
        seen.add(id)
        yield id, text
    demand_well_formed(wrong)

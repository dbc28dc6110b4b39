"""Datasets in Ragloom's own form: one JSON object a line.

The form is explained in `conf/dataset/jsonl.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from ragloom.components.dataset.base import Dataset, Occurrence, demand_well_formed, lines_of, nfc, with_group
from ragloom.core.gold import GoldSpan, Query
from ragloom.errors import nearest

Group = Literal["own", "document", "query"]
"""Group of a question: its own field (by default its first gold document), that document, or itself."""
_EXAMPLE = '{"id": "q1", "question": "How long?", "gold": [{"document": "en/warranty.md", "quote": "five years"}]}'
_Text = Annotated[str, Field(min_length=1, pattern=r"\S")]


class _GoldField(BaseModel, extra="forbid", strict=True):
    document: _Text
    quote: _Text | None = None
    range: tuple[Annotated[int, Field(ge=0)], int] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.quote is None and self.range is None:
            raise ValueError("must have a quote or a range")
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError("range must be [first character, the one after the last]")
        return self


class _QuestionLine(BaseModel, extra="forbid", strict=True):
    id: _Text
    question: _Text
    answers: list[_Text] = []
    gold: list[_GoldField] = []
    documents: dict[_Text, Annotated[int, Field(ge=1)]] = {}
    answerable: bool | None = None
    tags: dict[_Text, str] = {}
    group: _Text | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.answerable is False and (self.gold or self.documents or self.answers):
            raise ValueError("answerable is false, so that there must be no gold, documents or answers")
        return self


def read(path: Path, *, name: str, group: Group, occurrence: Occurrence, max_missing: float) -> Dataset:
    """Read a file.

    Raises:
        DataError: it is missing, or lines are malformed; each is named with its number.
    """
    queries, wrong = [], []
    for number, line in lines_of(path):
        try:
            queries.append(_query(_QuestionLine.model_validate_json(line), group))
        except ValidationError as error:
            wrong += [f"dataset: {path}:{number}: {reason}" for reason in _reasons(error)]
    demand_well_formed(wrong)
    return Dataset(name, queries, occurrence, max_missing=max_missing)


def _query(line: _QuestionLine, group: Group) -> Query:
    spans = [
        GoldSpan(nfc(item.document), (item.range,) if item.range else (), quote=item.quote or "") for item in line.gold
    ]
    query = Query(
        id=line.id,
        text=line.question,
        spans=tuple(spans),
        grades={nfc(document): grade for document, grade in line.documents.items()},
        answers=tuple(line.answers),
        answerable=True if line.answerable is None and (spans or line.documents) else line.answerable,
        group=line.group or "",
        tags=dict(line.tags),
    )
    return query if group == "own" and line.group else with_group(query, "document" if group == "own" else group)


def _reasons(error: ValidationError) -> Iterator[str]:
    for item in error.errors(include_url=False):
        place = ".".join(map(str, item["loc"]))
        if item["type"] == "extra_forbidden":
            form = _GoldField if item["loc"][0] == "gold" else _QuestionLine
            meant = nearest(str(item["loc"][-1]), form.model_fields)
            yield f"{place} is no key of a dataset line{meant}; a line looks like {_EXAMPLE}"
            continue
        message: Any = item["msg"].removeprefix("Value error, ")
        yield f"{place}: {message[:1].lower()}{message[1:]}" if place else message

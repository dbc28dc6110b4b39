"""Datasets of a corpus and a table of reference quotes, Chroma's form.

The table is CSV with the columns `question`, `references` (JSON: a list of objects with `content`, and where known
`start_index` and `end_index`) and `corpus_id`, the name of the question's document without its suffix.
"""

from __future__ import annotations

import csv
import functools
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ragloom.components.dataset.base import (
    Dataset,
    Group,
    Occurrence,
    demand_well_formed,
    file_bytes,
    file_text,
    nfc,
    with_group,
)
from ragloom.core.gold import GoldSpan, Query, Range
from ragloom.core.prompt_and_reply import language_of
from ragloom.core.text_normalization import normalize_text, normalized_offset
from ragloom.errors import DataError

_COLUMNS = ("question", "references", "corpus_id")
_MAX_FIELD = 50_000_000
"""Characters of a table's field: csv's own limit of 131,072 is less than a question's references may be."""


def read(table: Path, corpora: Path, *, name: str, group: Group, occurrence: Occurrence, max_missing: float) -> Dataset:
    """Read a table; a question's id is its row number, from 1.

    Raises:
        DataError: a file is missing or malformed; each wrong row is named.
    """
    files = _corpus_files(corpora)
    text = functools.cache(lambda file: file_bytes(file).decode("utf-8"))  # line ends unchanged
    queries: list[Query] = []
    wrong: list[str] = []
    for number, row in _rows(table):
        try:
            queries.append(with_group(_query(number, row, files, text), group))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            wrong.append(f"dataset: {table}: row {number}: {error}")
    demand_well_formed(wrong)
    return Dataset(name, queries, occurrence, max_missing=max_missing)


def _corpus_files(folder: Path) -> dict[str, Path]:
    """Return the files of the corpus by name, with and without suffix."""
    if not folder.is_dir():
        raise DataError(f"dataset: {folder} must be the folder of the corpus; set dataset.path and dataset.corpora")
    files: dict[str, Path] = {}
    for path in sorted(item for item in folder.iterdir() if item.is_file() and not item.name.startswith(".")):
        files.setdefault(nfc(path.stem), path)
        files[nfc(path.name)] = path
    return files


def _rows(table: Path) -> list[tuple[int, dict[str, str]]]:
    content = file_text(table)
    before = csv.field_size_limit(_MAX_FIELD)
    try:
        rows = csv.DictReader(io.StringIO(content, newline=""))
        if missing := [column for column in _COLUMNS if column not in (rows.fieldnames or ())]:
            raise DataError(f"dataset: {table} must have the columns {', '.join(_COLUMNS)}; it lacks {missing[0]}")
        return list(enumerate(rows, start=1))
    except csv.Error as error:
        raise DataError(f"dataset: {table} must be CSV: {error}") from None
    finally:
        csv.field_size_limit(before)


def _query(number: int, row: Mapping[str, str], files: Mapping[str, Path], text: Callable[[Path], str]) -> Query:
    corpus, question = row["corpus_id"], row["question"]
    if not question or not question.strip():
        raise ValueError("question must not be blank")
    if (file := files.get(nfc(corpus))) is None:
        raise ValueError(f"corpus_id {corpus!r} must name a file of the corpus")
    references = json.loads(row["references"])
    spans = tuple(GoldSpan(nfc(file.name), _places(item, text(file)), item["content"]) for item in references)
    tags = {"language": language_of(question), "corpus": corpus}
    return Query(str(number), question, spans, answerable=True if spans else None, tags=tags)


def _places(reference: Mapping[str, Any], text: str) -> tuple[Range, ...]:
    """Return the table's places of a quote, in the normalised text."""
    if not isinstance(reference["content"], str) or not reference["content"].strip():
        raise ValueError("a reference's content must be a text that is not blank")
    if "start_index" not in reference:
        return ()
    start, end = int(reference["start_index"]), int(reference["end_index"])
    if text[start:end] == reference["content"]:
        return ((normalized_offset(text, start), normalized_offset(text, end)),)
    if normalize_text(text)[start:end] == normalize_text(reference["content"]):  # of translated line ends
        return ((start, end),)
    return ((start, max(end, start + 1)),)  # the check reports it and looks for the quote

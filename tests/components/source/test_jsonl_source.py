"""What the `jsonl` source promises: every line in or named, ids and metadata kept exactly."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from made import make
from messages import wording
from messages.source import (
    changed_after_listing,
    convert_to_utf8,
    field_not_text,
    gone_or_broken_link,
    id_used_twice,
    line_too_long,
    lone_surrogate_in_line,
    missing_field,
    nested_too_deeply,
    no_valid_id,
    not_an_object,
    not_json_text,
    not_readable_json,
    set_to_jsonl,
    undecodable_line,
)
from ragloom.components.source.base import CannotRead, Source
from ragloom.core.records import Entry, Unreadable
from ragloom.errors import DataError
from source_tools import jsonl


def problems(corpus: Source) -> dict[str, str]:
    return {Path(e.location).name: e.reason for e in corpus.entries() if isinstance(e, Unreadable)}


def test_jsonl_reads_each_line_by_its_byte_offset(tmp_path: Path) -> None:
    lines = ['\ufeff{"id": "한", "text": "첫 줄\\r\\n둘째"}', "", "  ", '{"id": 2, "text": "b", "metadata": {"k": 1}}']
    corpus = jsonl(tmp_path, "\r\n".join(lines))  # CRLF, and no line end at the end
    entries = list(corpus.entries())
    assert [(e.id, e.location.rpartition(":")[2]) for e in entries if isinstance(e, Entry)] == [("한", "1"), ("2", "4")]
    assert [d.text for d in (corpus.parse(e, corpus.read(e)) for e in reversed(entries))] == ["b", "첫 줄\n둘째"]  # type: ignore[arg-type]
    assert (corpus.name, corpus.root) == ("corpus", str(tmp_path / "corpus.jsonl"))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": "x", "text": }', "the line " + not_json_text(21)),
        ('["x"]', not_an_object("the line is a list")),
        ('{"text": "t"}', missing_field("id", "text")),
        ('{"id": "x", "Text": "t"}', missing_field("text", "id", "Text")),
        ('{"id": "x", "text": 3}', field_not_text("text", "a number")),
        ('{"id": "x", "text": null}', field_not_text("text", "null")),
        (
            '{"id": true, "text": "t"}',
            no_valid_id("id", "true or false"),
        ),
        ('{"id": "", "text": "t"}', no_valid_id("id", "empty")),
        ('{"id": "x", "text": "t", "metadata": [1]}', not_an_object("its 'metadata' is a list")),
        ('{"id": "x", "text": "t", "text": "u"}', not_readable_json("the field 'text' occurs twice")),
        ('{"id": "x", "text": "t", "metadata": {"n": NaN}}', not_readable_json("NaN is no JSON number")),
        (
            '{"id": "x", "text": "t", "metadata": {"n": 1e999}}',
            not_readable_json("the number 1e999 is too large"),
        ),
        (
            '{"id": "x\\ud800", "text": "t"}',
            lone_surrogate_in_line(),
        ),
        ('{"id": "x", "text": ' + "[" * 100_000, nested_too_deeply("the line", 500)),
        (
            '{"id": "x", "text": "y", "more": ' + "[" * 501 + "]" * 501 + "}",
            nested_too_deeply("the line", 500),
        ),
        ('{"id": "first", "text": "again"}', id_used_twice("first", 1)),
        ('{"id": "x", "text": "' + "t" * 1000 + '"}', line_too_long(0.0, 0.001)),
    ],
)
def test_jsonl_names_file_line_and_reason_and_goes_on(line: str, reason: str, tmp_path: Path) -> None:
    limit = 0.001 if "max_line_mb" in reason else 50
    content = f'{{"id": "first", "text": "a"}}\n{line}\n{{"id": "last", "text": "b"}}\n'
    corpus = jsonl(tmp_path, content, max_line_mb=limit)
    assert problems(corpus) == {"corpus.jsonl:2": reason}
    assert [e.id for e in corpus.entries() if isinstance(e, Entry)] == ["first", "last"]


def test_jsonl_bytes_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    """TRAPS 35: never decoded with errors dropped."""
    corpus = jsonl(tmp_path, b'{"id": "a", "text": "' + "한글".encode("cp949") + b'"}\n{"id": "b", "text": "t"}')
    assert problems(corpus) == {"corpus.jsonl:1": undecodable_line("0xc7", 22)}
    with pytest.raises(DataError, match=wording(convert_to_utf8("UTF-16"))):
        list(jsonl(tmp_path, '{"id": "a", "text": "t"}'.encode("utf-16")).entries())


def test_jsonl_ids_are_nfc_and_collide_there(tmp_path: Path) -> None:
    composed, cut = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")
    lines = [json.dumps({"id": id, "text": "t"}) for id in (cut, composed)]
    corpus = jsonl(tmp_path, "\n".join(lines))
    assert [e.id for e in corpus.entries() if isinstance(e, Entry)] == [composed]
    assert problems(corpus) == {"corpus.jsonl:2": id_used_twice("é", 1)}


def test_jsonl_field_names_are_keys(tmp_path: Path) -> None:
    line = json.dumps({"_id": "a", "title": "T", "text": "body", "year": 2026})
    corpus = jsonl(tmp_path, line, id_field="_id", metadata_field=None)
    assert corpus.load_data()[0].metadata == {"title": "T", "year": 2026}
    assert jsonl(tmp_path, line, id_field="_id").load_data()[0].metadata == {}


KEYS = st.text(st.characters(codec="utf-8")) | st.sampled_from(
    ["id", "text", "metadata", "doc_id", "document_id", "ref_doc_id", "_node_content", "page", "heading", "encoding"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | KEYS
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metadata=st.dictionaries(KEYS, JSON, max_size=4), ascii=st.booleans())
def test_jsonl_user_metadata_survive_exactly_whatever_their_keys(
    metadata: dict[str, Any], ascii: bool, tmp_path: Path
) -> None:
    line = json.dumps({"id": "a", "text": "t", "metadata": metadata}, ensure_ascii=ascii)
    assert jsonl(tmp_path, line).load_data()[0].metadata == metadata


def test_jsonl_that_changed_after_listing_cannot_be_read(tmp_path: Path) -> None:
    corpus = jsonl(tmp_path, '{"id": "a", "text": "t"}\n{"id": "b", "text": "t"}\n')
    second = list(corpus.entries())[1]
    assert isinstance(second, Entry)
    jsonl(tmp_path, '{"id": "b", "text": "t"}\n{"id": "c", "text": "t"}\n')
    with pytest.raises(CannotRead, match=wording(changed_after_listing())):
        corpus.parse(second, corpus.read(second))
    (tmp_path / "corpus.jsonl").unlink()
    with pytest.raises(CannotRead, match=wording(gone_or_broken_link())):
        corpus.read(second)


@pytest.mark.parametrize(("name", "problem"), [("missing", "does not exist"), (".", "is a folder")])
def test_jsonl_without_its_file_is_a_data_error(name: str, problem: str, tmp_path: Path) -> None:
    corpus = make("source", "jsonl", path=str(tmp_path / name), name="x")
    with pytest.raises(DataError, match=wording(set_to_jsonl(problem))):
        list(corpus.entries())

"""Metadata filters answer as LlamaIndex's own reference evaluator does, on the engine and for any metadata."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters

from messages import wording
from messages.vector_store import filters_too_deep, half_surrogate, half_surrogate_in_filter, metadata_not_text
from metadata_rows import (
    filters,
    floats,
    grouped,
    integers,
    lance_table,
    matching,
    nested,
    passing_on_lance,
    rows,
    sought,
    values,
)
from ragloom.components.vector_store import filter_tree, metadata_columns
from ragloom.components.vector_store.lancedb_store import sql_filters
from ragloom.errors import DataError
from store_tools import cut, database, fresh, write, writer


def passing(folder: Path, stored: list[dict[str, Any]], item: MetadataFilter | MetadataFilters) -> list[int]:
    """Evaluates a filter by the engine; returns the places of the rows that pass."""
    return passing_on_lance(lance_table(folder, stored), item)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rows, min_size=1, max_size=12), filters)
@pytest.mark.slow
def test_filters_match_what_the_reference_matches(
    tmp_path: Path, stored: list[dict[str, Any]], item: MetadataFilter | MetadataFilters
) -> None:
    stored = [json.loads(json.dumps(row)) for row in stored]
    assert passing(tmp_path, stored, item) == matching(item, stored)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(values, min_size=1, max_size=12), st.sampled_from(list(FilterOperator)), sought)
def test_every_operator_on_one_key_matches_what_the_reference_matches(
    tmp_path: Path, found: list[Any], operator: FilterOperator, value: Any
) -> None:
    stored = [json.loads(json.dumps({"a": item})) for item in found]
    item = MetadataFilter(key="a", operator=operator, value=value)
    assert passing(tmp_path, stored, item) == matching(item, stored)


@given(st.lists(integers | floats.filter(lambda value: value == value), min_size=2, max_size=2))
def test_tokens_of_numbers_are_ordered_as_the_numbers(pair: list[Any]) -> None:
    left, right = pair
    first, second = metadata_columns.token(left).encode(), metadata_columns.token(right).encode()
    assert (first < second, first == second) == (left < right, left == right)


@given(st.lists(st.text(st.characters(codec="utf-8")) | st.text("부_a", min_size=35, max_size=60), unique=True))
def test_columns_of_different_keys_differ_need_no_quoting_and_are_never_too_long(keys: list[str]) -> None:
    names = [metadata_columns.column(key) for key in keys]
    assert len(set(names)) == len(keys)
    assert all(name.replace("_", "a").isalnum() and name.isascii() and name.islower() for name in names)
    assert all(len(name) <= 230 for name in names)  # Weaviate's limit


def test_column_of_a_key_that_would_make_too_long_a_name_is_no_other_keys_column() -> None:
    assert metadata_columns.column("a" * 228) == "m_" + "a" * 228
    digest = metadata_columns.column("a" * 229)
    assert (len(digest), digest[:3], digest.count("_") % 2) == (67, "m__", 0)
    assert metadata_columns.column("a" * 230) != digest


@given(st.dictionaries(st.text(), values))
def test_metadata_comes_back_from_json_as_it_was(stored: dict[str, Any]) -> None:
    back = json.loads(metadata_columns.to_json(stored, "a document"))
    assert repr(back) == repr(stored)


NOT_JSON = [(1, 2), {1: "a"}, b"bytes", {"a": {1}}, [object()], 10**5000, Path("x")]


@pytest.mark.parametrize("value", NOT_JSON, ids=lambda value: type(value).__name__)
def test_metadata_that_json_would_change_is_refused_by_name(value: Any) -> None:
    with pytest.raises(DataError, match=wording(metadata_not_text("when", "docs/a.md"))):
        metadata_columns.to_json({"fine": 1, "when": value}, "docs/a.md")


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("==", 1, ["bool", "float", "int"]),  # True == 1 == 1.0, as in Python
        ("==", "1", ["text"]),
        ("!=", 1, ["big", "list", "none", "text"]),  # a missing key matches, in SQL it would not
        (">", 0, ["big", "bool", "float", "int"]),
        (">", "0", ["text"]),  # another type does not match, and is no error
        ("==", 2**53 + 1, ["big"]),
        ("==", 2**53, []),
        ("==", 2.0**53, []),
        ("nin", [1, 2], ["big", "list", "none", "text"]),
        ("in", ["1", "2"], ["text"]),
        ("contains", "x", ["list"]),
        ("any", ["x", "z"], ["list"]),
        ("all", ["x", "z"], []),
        ("is_empty", None, ["none"]),
    ],
)
def test_rule_for_mixed_types(tmp_path: Path, operator: str, value: Any, expected: list[str]) -> None:
    found = {"int": 1, "float": 1.0, "bool": True, "text": "1", "big": 2**53 + 1, "none": None, "list": ["x", "y"]}
    item = MetadataFilter(key="key", operator=FilterOperator(operator), value=value)
    places = passing(tmp_path, [{"key": value} for value in found.values()], item)
    assert sorted(list(found)[place] for place in places) == expected


def test_element_that_ends_as_another_begins_is_not_taken_for_it(tmp_path: Path) -> None:
    stored: list[dict[str, Any]] = [{"a": ["sa"]}, {"a": ["a"]}, {"a": {"sa": 1}}, {"a": ["as"]}]
    item = MetadataFilter(key="a", operator=FilterOperator.CONTAINS, value="a")
    assert passing(tmp_path, stored, item) == matching(item, stored) == [1]


def test_user_keys_named_like_columns_lose_nothing_and_can_be_filtered(tmp_path: Path) -> None:
    """TRAPS 4: reserved-looking keys, and a key whose type changes from document to document."""
    keys = ["text", "doc_id", "ref_doc_id", "_node_content", "id", "vector", "부서", "page label"]
    documents = {str(n): cut(str(n), f"text {n}", **{key: [n, str(n), n / 2][n % 3] for key in keys}) for n in range(6)}
    index = fresh(tmp_path, documents)
    for n, key in enumerate(keys):
        item = MetadataFilter(key=key, operator=FilterOperator.EQ, value=[n % 6, str(n % 6), n % 6 / 2][n % 6 % 3])
        hits = index.lexical("text", 10, MetadataFilters(filters=[item]))
        assert [hit.chunk.document for hit in hits] == [str(n % 6)]
        assert hits[0].chunk.metadata == documents[str(n % 6)].chunks[0].metadata
        assert index.document(str(n % 6)).metadata == documents[str(n % 6)].row.metadata


def test_filter_that_holds_sql_matches_only_its_text(tmp_path: Path) -> None:
    """TRAPS 32: `x' OR '1'='1` matched all rows in the published integration."""
    index = fresh(tmp_path, {id: cut(id, "text", city=id) for id in ("York", "New York", "x' OR '1'='1")})
    for city, expected in (("York", ["York"]), ("x' OR '1'='1", ["x' OR '1'='1"]), ("' OR true --", [])):
        some = MetadataFilters(filters=[MetadataFilter(key="city", value=city)])
        assert [hit.chunk.document for hit in index.lexical("text", 10, some)] == expected


def test_filters_nested_too_deep_are_refused_rather_than_misread() -> None:
    item = nested(MetadataFilter(key="a", value=1), filter_tree.MAX_DEPTH + 1)
    with pytest.raises(DataError, match=wording(filters_too_deep(16))):
        sql_filters.where(item, ["m_a"])


def test_deepest_allowed_filter_is_evaluated(tmp_path: Path) -> None:
    item = nested(MetadataFilter(key="a", value=1), filter_tree.MAX_DEPTH)
    stored = [{"a": 1}, {"a": 2}]
    assert passing(tmp_path, stored, item) == matching(item, stored)


def test_filter_value_with_half_a_surrogate_pair_is_refused_by_key() -> None:
    for value in ("\ud800", ["a", "b\udfff"]):
        item = grouped(MetadataFilter(key="city", operator=FilterOperator.IN, value=value))
        with pytest.raises(DataError, match=wording(half_surrogate_in_filter("city"))):
            sql_filters.where(item, ["m_city"])


def test_half_a_surrogate_pair_is_refused_by_document(tmp_path: Path) -> None:
    with writer(database(tmp_path)) as writing, pytest.raises(DataError, match=wording(half_surrogate("odd.md"))):
        write(writing, [cut("odd.md", "text", title="\ud800")])

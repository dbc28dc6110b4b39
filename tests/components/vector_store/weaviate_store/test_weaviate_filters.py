"""Metadata and filters on a real server, against LlamaIndex and LanceDB."""

import json
import random
import re
import secrets
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
import weaviate
from hypothesis import example, given, settings
from hypothesis import strategies as st
from llama_index.core.vector_stores import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters
from weaviate.classes.config import Configure, DataType, Property, Tokenization
from weaviate.classes.data import DataObject
from weaviate.classes.query import Filter

from messages import wording
from messages.vector_store import filters_too_deep
from messages.weaviate import filter_needs_version, key_too_long
from metadata_rows import (
    FLOATS,
    INTEGERS,
    KEYS,
    TEXTS,
    filters,
    grouped,
    lance_table,
    leaves,
    matching,
    nested,
    passing_on_lance,
    rows,
)
from ragloom.components.vector_store import filter_tree
from ragloom.components.vector_store.metadata_columns import column
from ragloom.components.vector_store.weaviate_store.filters import (
    MAX_IN_TEXT,
    NOTHING,
    all_of,
    columns_of,
    kinds_of,
    none_of,
    one_of,
    where,
    wrapped,
)
from ragloom.errors import DataError
from weaviate_servers import Address

Item = MetadataFilter | MetadataFilters
NEW, OLD = (1, 39, 0), (1, 30, 0)
# Everything that is spelled, its neighbours, and what the server trims; now and then any letter.
tricky = st.text("\0\x01\x02\x03\x04\x08\t\n\x0b ()*+=>?@aA\x85\u2003é한😀", max_size=6)
any_text = tricky | st.text(st.characters(codec="utf-8"), max_size=6)


def spelled(text: str) -> str:
    return wrapped(text)[1:-1]


@settings(max_examples=1000)
@given(any_text, any_text)
@example("", "\0")
@example("a", "a\x01")
@example(")", "*")
@example("\t\n", "\n")
def test_spelling_keeps_order_equality_and_being_a_part(left: str, right: str) -> None:
    first, second = wrapped(left).encode(), wrapped(right).encode()
    assert (first < second, first == second) == (left < right, left == right)
    assert (spelled(left).encode() in second[1:]) == (left in right)  # a pattern for `Like` names the first letter


@settings(max_examples=500)
@given(any_text, any_text, any_text)
def test_spelling_finds_a_part_between_others(before: str, part: str, after: str) -> None:
    assert spelled(part) in wrapped(before + part + after)[1:]
    assert (spelled(after) in wrapped(before + part)[1:]) == (after in before + part)


@settings(max_examples=500)
@given(any_text)
def test_spelled_text_holds_no_wildcard_and_no_line_break_and_is_not_trimmed(text: str) -> None:
    assert not re.search(r"[*?\n]", wrapped(text))
    assert wrapped(text).strip() == wrapped(text)
    assert wrapped(text).startswith("s")


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, {}),
        ({"n": None}, {}),
        ({"n": 1}, {"m_n": "n680000\x01"}),
        ({"t": "Ab"}, {"m_t": "sAb\x01", "i_t": "sab\x01"}),
        ({"l": []}, {"m_l": "l\x03\x01\x01\x01"}),
        ({"l": ["a", "a"]}, {"m_l": "l" + "\x03\x01\x01sa" * 2 + "\x03\x01\x01\x01", "e_l": ["sa\x01"]}),
        ({"d": {"k": 1}}, {"m_d": "d\x03\x01\x01sk\x03\x01\x01\x01", "e_d": ["sk\x01"]}),
    ],
)
def test_metadata_becomes_a_token_its_elements_and_its_lower_case(metadata: Any, expected: Any) -> None:
    assert columns_of(metadata) == expected


def test_kinds_are_those_of_metadata_properties_only() -> None:
    properties = {**columns_of({"부서": "A", "tags": ["x"]}), "document": "d", "terms": "x", "bucket": 1}
    assert kinds_of([properties, {}, columns_of({"n": 1})]) == {
        "e_tags": "text[]",
        "i__bd80__c11c_": "text",
        "m__bd80__c11c_": "text",
        "m_n": "text",
        "m_tags": "text",
    }


@settings(max_examples=300, deadline=None)
@given(filters)
def test_filter_on_keys_that_no_object_has_is_settled_without_the_server(item: Item) -> None:
    """A property that the schema lacks would be an error."""
    assert where(grouped(item), [], NEW) is (None if matching(item, [{}]) else NOTHING)


def test_no_filter_passes_everything() -> None:
    assert where(None, ["m_a"], NEW) is None
    assert where(MetadataFilters(filters=[]), ["m_a"], NEW) is None


def test_joined_filters_are_nothing_when_one_is_and_nothing_is_sent_for_none() -> None:
    some = one_of("document", ["a"])
    assert all_of(None, NOTHING, some) is NOTHING
    assert all_of(None, None) is None
    assert all_of(None, some) is some


def test_old_server_is_named_when_a_filter_needs_not() -> None:
    def on(operator: FilterOperator, value: Any) -> Any:
        item = MetadataFilters(
            filters=[MetadataFilter(key="a", operator=operator, value=value)], condition=FilterCondition.NOT
        )
        return where(item, ["m_a", "e_a"], OLD)

    for operator, value in [(FilterOperator.EQ, 1), (FilterOperator.IN, ["a", "b"]), (FilterOperator.CONTAINS, 1)]:
        on(operator, value)
    with pytest.raises(DataError, match=wording(filter_needs_version("1.33", "1.30.0"))):
        on(FilterOperator.TEXT_MATCH, "x")


def test_text_too_long_to_be_looked_into_is_refused() -> None:
    item = MetadataFilter(key="a", operator=FilterOperator.IN, value="x" * (MAX_IN_TEXT + 1))
    with pytest.raises(DataError, match=wording(key_too_long(257, 256))):
        where(grouped(item), ["m_a"], NEW)


@dataclass
class Objects:
    """Objects on the server, one for each row of metadata, in order."""

    client: weaviate.WeaviateClient
    name: str

    @property
    def collection(self) -> Any:
        return self.client.collections.get(self.name)

    @property
    def columns(self) -> list[str]:
        return [item.name for item in self.collection.config.get(simple=True).properties]

    def add(self, stored: Sequence[dict[str, Any]], first: int = 0) -> None:
        """Store rows as an ingest does, with new properties first."""
        objects, columns = [columns_of(row) for row in stored], set(self.columns)
        for name, kind in kinds_of(objects).items():
            if name not in columns:
                self.collection.config.add_property(_property(name, kind))
        items = [
            DataObject(properties=item, uuid=uuid.UUID(int=position), vector=[1.0, position])
            for position, item in enumerate(objects, start=first + 1)
        ]
        for start in range(0, len(items), 100):
            done = self.collection.data.insert_many(items[start : start + 100])
            assert not done.has_errors, done.errors

    def passing(self, item: Item, columns: Sequence[str]) -> list[int]:
        """Return the positions of the rows in a filter."""
        condition = where(grouped(item), columns, NEW)
        return [] if condition is NOTHING else self.matches(condition)

    def matches(self, condition: Any) -> list[int]:
        answer = self.collection.query.fetch_objects(filters=condition, limit=10_000, return_properties=[])
        return sorted(item.uuid.int - 1 for item in answer.objects)


def _property(name: str, kind: str = "text") -> Property:
    return Property(
        name=name,
        data_type=DataType(kind),
        tokenization=Tokenization.FIELD,
        index_filterable=True,
        index_searchable=False,
    )


@pytest.fixture(scope="module")
def client(weaviate_server: Address) -> Iterator[weaviate.WeaviateClient]:
    connected = weaviate.connect_to_custom(
        http_host=weaviate_server.host,
        http_port=weaviate_server.http_port,
        http_secure=weaviate_server.url.startswith("https"),
        grpc_host=weaviate_server.host,
        grpc_port=weaviate_server.grpc_port,
        grpc_secure=weaviate_server.url.startswith("https"),
    )
    with connected:
        yield connected


def _objects(client: weaviate.WeaviateClient, *properties: str) -> Objects:
    name = f"Filters{secrets.token_hex(5)}"
    client.collections.create(
        name,
        vector_config=Configure.Vectors.self_provided(vector_index_config=Configure.VectorIndex.flat()),
        inverted_index_config=Configure.inverted_index(index_null_state=True),
        properties=[_property(item) for item in properties],
    )
    return Objects(client, name)


@pytest.fixture(scope="module")
def shelf(client: weaviate.WeaviateClient) -> Iterator[Any]:
    """Create collections; remove them at the end."""
    shelf: list[Objects] = []

    def make(*properties: str) -> Objects:
        shelf.append(_objects(client, *properties))
        return shelf[-1]

    yield make
    for item in shelf:
        client.collections.delete(item.name)


def _made_up(count: int) -> list[dict[str, Any]]:
    """Generate rows of metadata of all kinds, the same each time."""
    seed = random.Random(4)

    def scalar() -> Any:
        return seed.choice([seed.choice(TEXTS), seed.choice(INTEGERS), seed.choice(FLOATS), seed.random() < 0.5, None])

    def value() -> Any:
        some = [scalar() for _ in range(seed.randrange(4))]
        return seed.choice([scalar(), scalar(), scalar(), some, [some], {seed.choice(TEXTS): some}])

    made_up = [{key: value() for key in seed.sample(KEYS, seed.randrange(len(KEYS)))} for _ in range(count)]
    return json.loads(json.dumps(made_up))


@pytest.fixture(scope="module")
def both(shelf: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], Objects, list[str], Any]:
    """The same rows on the server, in two batches, and in LanceDB."""
    stored = _made_up(160)
    stored[:80] = [{key: row[key] for key in row if key in KEYS[:8]} for row in stored[:80]]
    objects = shelf()
    objects.add(stored[:80])
    objects.add(stored[80:], first=80)
    return stored, objects, objects.columns, lance_table(tmp_path_factory.mktemp("lance"), stored)


@pytest.mark.weaviate
@settings(max_examples=300, deadline=None)
@given(item=filters | leaves)
def test_both_stores_pass_what_the_reference_passes(both: Any, item: Item) -> None:
    stored, objects, columns, table = both
    expected = matching(item, stored)
    assert objects.passing(item, columns) == expected
    assert passing_on_lance(table, item) == expected


@pytest.mark.weaviate
@settings(max_examples=8, deadline=None)
@given(st.lists(rows, min_size=1, max_size=60), st.lists(filters | leaves, min_size=15, max_size=40))
def test_any_metadata_passes_any_filter_as_in_the_reference(
    client: weaviate.WeaviateClient, stored: list[dict[str, Any]], items: list[Item]
) -> None:
    stored = json.loads(json.dumps(stored))
    objects = _objects(client)
    try:
        objects.add(stored)
        columns = objects.columns
        for item in items:
            assert objects.passing(item, columns) == matching(item, stored), item
    finally:
        client.collections.delete(objects.name)


@pytest.fixture(scope="module")
def one_key(shelf: Any) -> tuple[list[dict[str, Any]], Objects, list[str]]:
    """All kinds of values under one key."""
    lists = [
        [],
        [""],
        ["a"],
        ["sa"],
        ["a", "b"],
        ["b", "a"],
        [1],
        [1, 2],
        [2, 1],
        [1, "a"],
        [None],
        [1.5],
        [[1]],
        [{"a": 1}],
    ]
    lists += [["\0"], ["\x01"], ["\0", "a"], ["*?"], ["a "], [True], [float("nan")], [1, float("nan")], [2**53 + 1]]
    dicts = [{}, {"a": 1}, {"": 2}, {"*?": 1}, {"a": 1, "b": 2}]
    stored = [{"a": value} for value in [*TEXTS, *INTEGERS, *FLOATS, True, False, None, *lists, *dicts]]
    objects = shelf()
    objects.add(stored)
    return stored, objects, objects.columns


SOUGHT = [
    None,
    *TEXTS,
    *INTEGERS,
    *FLOATS,
    [],
    ["a"],
    ["a", "b"],
    ["b", "a"],
    ["a", "a"],
    [1],
    [1, 2],
    [2, 1],
    [1.0, 2.5],
]
SOUGHT += [["*?", "a "], ["\0"], ["\x01"], ["\0", "b"], [float("nan")], [2**53 + 1], [""], ["", "\n"], [2.0**53]]


@pytest.mark.weaviate
@pytest.mark.parametrize("operator", list(FilterOperator), ids=lambda operator: operator.name)
def test_every_operator_on_one_key_passes_what_the_reference_passes(one_key: Any, operator: FilterOperator) -> None:
    stored, objects, columns = one_key
    for value, condition in product(SOUGHT, (FilterCondition.AND, FilterCondition.NOT)):
        item = MetadataFilters(filters=[MetadataFilter(key="a", operator=operator, value=value)], condition=condition)
        assert objects.passing(item, columns) == matching(item, stored), item


@pytest.mark.weaviate
def test_objects_stored_before_a_key_was_known_count_as_missing(shelf: Any) -> None:
    """Weaviate 1.39: `is_none(True)` finds no object that was stored before its property was created."""
    stored: list[dict[str, Any]] = [{"a": 1}, {}, {"b": "x"}, {"a": 2, "b": ""}]
    objects = shelf()
    objects.add(stored[:2])
    objects.add(stored[2:], first=2)
    assert objects.matches(Filter.by_property("m_b").is_none(True)) == [], "fixed: `Missing` may use is_none(True)"
    for operator, value in [("is_empty", None), ("nin", "xy"), ("nin", ["x"]), ("!=", "x")]:
        item = MetadataFilter(key="b", operator=FilterOperator(operator), value=value)
        assert objects.passing(item, objects.columns) == matching(item, stored), operator


@pytest.mark.weaviate
def test_texts_that_differ_in_blanks_only_are_distinguished_also_when_deleting(shelf: Any) -> None:
    """TRAPS 39: `field` tokenization trims, so that deleting 'a' took 'a ' and ' a' with it."""
    ids = ["a", "a ", " a", "\ta", "a\n", "", " ", "\x85", "a*", "*", "?", "report.pdf", "annual-report.pdf", "부서"]
    objects = shelf("document", "content_hash")
    items = [{"document": wrapped(id), "content_hash": wrapped(f"{position % 2}")} for position, id in enumerate(ids)]
    data = [
        DataObject(properties=item, uuid=uuid.UUID(int=position), vector=[1.0, 0.0])
        for position, item in enumerate(items, start=1)
    ]
    assert not objects.collection.data.insert_many(data).has_errors
    for position, id in enumerate(ids):
        assert objects.matches(one_of("document", [id])) == [position], id
        assert objects.matches(none_of("document", [id])) == [other for other in range(len(ids)) if other != position]
        assert objects.matches(one_of("document", [id]) & none_of("content_hash", [f"{position % 2}", "x"])) == []
    for count, id in enumerate(ids, start=1):
        assert objects.collection.data.delete_many(one_of("document", [id])).successful == 1
        assert objects.matches(None) == list(range(count, len(ids)))


@pytest.mark.weaviate
def test_long_texts_and_long_keys_are_stored_and_found(shelf: Any) -> None:
    keys = ["부" * 37, "부" * 38, "부" * 39, "k" * 228, "k" * 229, "k" * 5000, "K" * 5000]
    long = [f"{n} " + "한x " * 40_000 for n in range(3)]  # 200 KB of UTF-8 each, the same but for the first letter
    stored: list[dict[str, Any]] = [dict.fromkeys(keys, position) for position in range(2)]
    stored += [{"long": text, "tags": [text, "x"]} for text in long]
    objects = shelf()
    objects.add(stored)
    assert max(map(len, objects.columns)) == 230
    columns = objects.columns
    for key in keys:
        assert objects.passing(MetadataFilter(key=key, value=1), columns) == [1]
    for position, text in enumerate(long, start=2):
        for operator, value in [
            ("==", text),
            ("<=", text),
            ("in", [text, "y"]),
            ("nin", [text]),
            ("text_match", f"{position - 2} 한x 한x"),
            ("text_match_insensitive", f"{position - 2} 한X 한x"),
        ]:
            item = MetadataFilter(key="long", operator=FilterOperator(operator), value=value)
            assert objects.passing(item, columns) == matching(item, stored), (position, operator)
        assert objects.passing(MetadataFilter(key="tags", operator=FilterOperator.CONTAINS, value=text), columns) == [
            position
        ]


@pytest.mark.weaviate
@pytest.mark.parametrize("text", ["x" * MAX_IN_TEXT, ("제5조 (목적) * 이 규정은 a > b ? c " * 20)[:MAX_IN_TEXT]])
def test_longest_text_that_metadata_may_be_a_part_of(shelf: Any, text: str) -> None:
    stored = [
        {"a": value} for value in (text, text[:-1], text[3:90], text + "x", "", "이 규정은", "nowhere", 5, [text])
    ]
    objects = shelf()
    objects.add(stored)
    for operator in (FilterOperator.IN, FilterOperator.NIN):
        item = MetadataFilter(key="a", operator=operator, value=text)
        assert objects.passing(item, objects.columns) == matching(item, stored)


@pytest.mark.weaviate
def test_deepest_allowed_filter_is_answered(shelf: Any) -> None:
    stored: list[dict[str, Any]] = [{"a": 1}, {"a": 2}, {"a": "x"}, {}]
    objects = shelf()
    objects.add(stored)
    item = nested(MetadataFilter(key="a", value=1), filter_tree.MAX_DEPTH)
    assert objects.passing(item, objects.columns) == matching(item, stored)
    deep: Item = MetadataFilter(key="a", operator=FilterOperator.TEXT_MATCH, value="x")
    for level in range(filter_tree.MAX_DEPTH + 1):  # and, or by turns: nothing can be flattened
        other = MetadataFilter(key="a", operator=FilterOperator.NE, value=level)
        condition = FilterCondition.AND if level % 2 else FilterCondition.OR
        deep = MetadataFilters(filters=[deep, other], condition=condition)
    assert objects.passing(deep, objects.columns) == matching(deep, stored)
    with pytest.raises(DataError, match=wording(filters_too_deep(16))):
        where(MetadataFilters(filters=[deep]), objects.columns, NEW)


@pytest.mark.weaviate
def test_filters_of_thousands_of_values_are_answered(shelf: Any) -> None:
    stored = [{"a": n} for n in range(50)]
    objects = shelf()
    objects.add(stored)
    for operator in (FilterOperator.IN, FilterOperator.NIN):
        item = MetadataFilter(key="a", operator=operator, value=list(range(25, 5000)))
        assert objects.passing(item, objects.columns) == matching(item, stored)


def test_columns_of_reserved_looking_keys_are_no_property_of_ours() -> None:
    ours = {"document", "content_hash", "bucket", "terms", "text", "about", "id", "vector"}
    columns = columns_of({key: ["x"] for key in [*KEYS, *ours]} | {f"{key}2": "x" for key in ours})
    assert not ours & set(columns)
    assert len({column(key) for key in KEYS}) == len(KEYS)

"""Made-up metadata and filters for tests, and LlamaIndex's own answer to them."""

from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa
from hypothesis import strategies as st
from llama_index.core.vector_stores import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters
from llama_index.core.vector_stores.utils import build_metadata_filter_fn

from ragloom.components.vector_store import metadata_columns
from ragloom.components.vector_store.lancedb_store import sql_filters

KEYS = ["a", "A", "부서", "page label", "id", "text", "vector", "doc_id", "_node_content", "end", "m_a"]
KEYS += ["", "x'y", "a.b", "document", "부" * 50]
TEXTS = ["", "a", "A", "ab", " a", "a ", "%", "_", "*?", "a*", "'", "' OR '1'='1", "\\", "Σ", "ΑΣ", "ß", "é"]
TEXTS += ["한국", "\0", "\x01", "\0\x01", "1", "true", "n5", "sa", "l\0", "İ", "\n", "`", '"', "--", "{x}", "?"]
TEXTS += [
    " ",
    "\t",
    "\t\x01",
    ")",
    ")\x01",
    ">",
    ">?",
    "*",
    "a\nb",
    "\x02",
    "\x03",
    "\x03\x01\x01",
    "\\*",
    "\u2028",
    "😀",
]
INTEGERS = [0, 1, -1, 2, 3, 2**53, 2**53 + 1, 2**63, 2**64 + 1, 10**30, -(10**30)]
FLOATS = [0.0, -0.0, 1.0, 1.5, -1.5, 2.0**53, 1e30, float("inf"), float("-inf"), float("nan"), 1e-300, 5e-324, 0.1]

# lower() of LanceDB follows a newer Unicode than Python 3.11: 55 letters, none of them assigned in Unicode 14.
texts = (
    st.sampled_from(TEXTS)
    | st.text("\0\x01\x02\x03\x04\t\n\x0b ()*+>?@aAb", max_size=4)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cn"]), max_size=4)
)
integers = st.sampled_from(INTEGERS) | st.integers()
floats = st.sampled_from(FLOATS) | st.floats()
scalars = texts | integers | floats | st.booleans() | st.none()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
rows = st.dictionaries(st.sampled_from(KEYS), values, max_size=5)
lists = st.lists(texts, max_size=3) | st.lists(integers, max_size=3) | st.lists(floats, max_size=3)
sought = st.none() | texts | integers | floats | lists
leaves = st.builds(
    lambda key, operator, value: MetadataFilter(key=key, operator=operator, value=value),
    st.sampled_from([*KEYS, "no such key"]),
    st.sampled_from(list(FilterOperator)),
    sought,
)
filters = st.recursive(
    leaves,
    lambda inner: st.builds(
        lambda some, condition: MetadataFilters(filters=some, condition=condition),
        st.lists(inner, max_size=3),
        st.sampled_from(list(FilterCondition)),
    ),
    max_leaves=5,
)


def grouped(item: MetadataFilter | MetadataFilters) -> MetadataFilters:
    """Makes a group of a single filter."""
    return item if isinstance(item, MetadataFilters) else MetadataFilters(filters=[item])


def nested(item: MetadataFilter, depth: int) -> MetadataFilters:
    """Wraps a filter in groups of the condition `not`, one in another."""
    group = MetadataFilters(filters=[item], condition=FilterCondition.NOT)
    for _ in range(depth):
        group = MetadataFilters(filters=[group], condition=FilterCondition.NOT)
    return group


def reference(item: MetadataFilter | MetadataFilters, row: dict[str, Any]) -> bool:
    """LlamaIndex's evaluator for one filter, its conditions for nested ones, and no match where it raises TypeError."""
    if isinstance(item, MetadataFilters):
        found = [reference(inner, row) for inner in item.filters]
        return not found or {"and": all(found), "or": any(found), "not": not any(found)}[item.condition.value]
    try:
        return bool(build_metadata_filter_fn(lambda _: row, MetadataFilters(filters=[item]))("row"))
    except TypeError:
        return False


def matching(item: MetadataFilter | MetadataFilters, stored: list[dict[str, Any]]) -> list[int]:
    """Returns the places of the rows that the reference lets pass."""
    return [place for place, row in enumerate(stored) if reference(item, row)]


def lance_table(folder: Path, stored: list[dict[str, Any]]) -> Any:
    """Makes a LanceDB table of rows of metadata."""
    tokens = [metadata_columns.tokens(row) for row in stored]
    names = sorted({name for row in tokens for name in row})
    columns = {name: pa.array([row.get(name) for row in tokens], pa.utf8()) for name in names}
    rows = pa.table({"place": list(range(len(stored))), **columns})
    return lancedb.connect(folder).create_table("rows", rows, mode="overwrite")


def passing_on_lance(table: Any, item: MetadataFilter | MetadataFilters) -> list[int]:
    """Returns the places of the rows that LanceDB lets pass."""
    condition = sql_filters.where(grouped(item), table.schema.names)
    found = table.search().where(condition or "true").limit(None).select(["place"]).to_arrow()
    return sorted(found["place"].to_pylist())

"""Config form of metadata filters: validation and conversion to `MetadataFilters`.

A filter is `{key, operator, value}`, a group is `{condition, filters}`, and a list stands for the group "all of these".
The meaning of an operator is LlamaIndex's reference, `build_metadata_filter_fn`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ragloom.errors import ConfigError, nearest

if TYPE_CHECKING:
    from llama_index.core.vector_stores import MetadataFilters

CONDITIONS = ("and", "or", "not")
"""LlamaIndex's `FilterCondition`; `not` holds when none of its filters does."""

# What a value may be. LlamaIndex's filter has no place for booleans, dates or lists of mixed types.
_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "scalar": (
        "be text or a number",
        lambda value: isinstance(value, str | int | float) and not isinstance(value, bool),
    ),
    "text": ("be text", lambda value: isinstance(value, str)),
    "list": (
        "be a list of texts, of whole numbers or of fractions, such as [a,b]",
        lambda value: (
            isinstance(value, list) and bool(value) and any(all(type(v) is t for v in value) for t in (str, int, float))
        ),
    ),
    "nothing": ("be left out", lambda value: value is None),
}
OPERATORS = {
    **dict.fromkeys(("==", "!=", ">", ">=", "<", "<=", "contains"), "scalar"),
    **dict.fromkeys(("in", "nin", "any", "all"), "list"),
    **dict.fromkeys(("text_match", "text_match_insensitive"), "text"),
    "is_empty": "nothing",
}
"""LlamaIndex's `FilterOperator` -> what its value may be (held against the enum by a test, so that none is missing)."""


def problems(filters: Any, path: str = "retriever.filters") -> list[str]:
    """List the errors of filters in a config, without heavy imports.

    Args:
        filters: None, a list of filters and groups, or one group.
        path: where they stand, for the messages.

    Returns:
        One line a problem, in the form `retriever: path=value must RULE`; empty when they are right.
    """
    if filters is None:
        return []
    if isinstance(filters, Mapping):
        return _group_problems(filters, path)
    if isinstance(filters, list):
        return [line for at, item in enumerate(filters) for line in _item_problems(item, f"{path}[{at}]")]
    return [_line(path, filters, "be a list of {key, operator, value}, or one {condition, filters}")]


def _line(path: str, value: Any, rule: str) -> str:
    return f"retriever: {path}={value!r} must {rule}"


def _item_problems(item: Any, path: str) -> list[str]:
    if not isinstance(item, Mapping):
        return [_line(path, item, "be {key, operator, value} or {condition, filters}")]
    return _group_problems(item, path) if "filters" in item else _filter_problems(item, path)


def _unknown(item: Mapping[Any, Any], known: tuple[str, ...], path: str) -> list[str]:
    return [
        f"retriever: {path}.{key}={item[key]!r} must name a key of it{nearest(str(key), known)}"
        for key in item
        if key not in known
    ]


def _group_problems(group: Mapping[Any, Any], path: str) -> list[str]:
    errors = _unknown(group, ("condition", "filters"), path)
    condition = group.get("condition", "and")
    if condition not in CONDITIONS:
        rule = f"be a condition{nearest(str(condition), CONDITIONS)}"
        errors.append(_line(f"{path}.condition", condition, rule))
    members = group.get("filters")
    if not isinstance(members, list) or not members:
        return [*errors, _line(f"{path}.filters", members, "be a list that is not empty; leave the group out for none")]
    return errors + problems(members, f"{path}.filters")


def _filter_problems(item: Mapping[Any, Any], path: str) -> list[str]:
    problems = _unknown(item, ("key", "operator", "value"), path)
    key = item.get("key")
    if not isinstance(key, str) or not key:
        problems.append(_line(f"{path}.key", key, "be the name of a metadata key"))
    operator = item.get("operator", "==")
    if operator not in OPERATORS:
        rule = f"be an operator{nearest(str(operator), OPERATORS)}"
        return [*problems, _line(f"{path}.operator", operator, rule)]
    rule, fits = _RULES[OPERATORS[operator]]
    if not fits(item.get("value")):
        problems.append(_line(f"{path}.value", item.get("value"), f"{rule} for the operator {operator}"))
    return problems


def metadata_filters(filters: Any) -> MetadataFilters | None:
    """Convert the config form to LlamaIndex filters; None for no filter.

    Raises:
        ConfigError: all problems, one line each.
    """
    wrong = problems(filters)
    if wrong:
        raise ConfigError(*wrong)
    if not filters:
        return None
    return _group(filters if isinstance(filters, Mapping) else {"filters": filters})


def _group(group: Mapping[str, Any]) -> MetadataFilters:
    from llama_index.core.vector_stores import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

    members = [
        _group(item)
        if "filters" in item
        else MetadataFilter(
            key=item["key"], value=item.get("value"), operator=FilterOperator(item.get("operator", "=="))
        )
        for item in group["filters"]
    ]
    return MetadataFilters(filters=members, condition=FilterCondition(group.get("condition", "and")))

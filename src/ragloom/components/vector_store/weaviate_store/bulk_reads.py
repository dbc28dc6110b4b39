"""Batches, and paged reads of many objects by id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from weaviate.collections import Collection

from ragloom.components.vector_store.weaviate_store.connection import Connection
from ragloom.components.vector_store.weaviate_store.errors import TooLarge, TooMany

Item = TypeVar("Item")

PAGE, PAGE_WITH_VECTORS = 2_000, 500
"""Objects of one read request."""


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield items in lists of a size, the last one perhaps shorter."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


def by_ids(
    connection: Connection,
    collection: Collection[Any, Any],
    operation: str,
    ids: Sequence[UUID],
    *,
    properties: list[str] | None,
    include_vector: bool = False,
) -> Iterator[Any]:
    """Yield the stored objects of some ids.

    Args:
        connection: to the server.
        collection: with tenant and consistency level.
        operation: such as `reading vectors`, for messages.
        ids: missing ones are left out.
        properties: None = all.
        include_vector: objects come with their vectors.
    """
    page, start = PAGE_WITH_VECTORS if include_vector else PAGE, 0

    def fetch(ids: Sequence[UUID], *, limit: int) -> Any:
        return collection.query.fetch_objects_by_ids(
            ids[:limit], limit=limit, return_properties=properties, include_vector=include_vector
        )

    while start < len(ids):
        rest = ids[start : start + page]
        objects, page = fetch_page(connection, operation, len(rest), partial(fetch, rest))
        yield from objects
        start += page


def fetch_page(connection: Connection, operation: str, page: int, fetch: Callable[..., Any]) -> tuple[list[Any], int]:
    """Read a page of objects, or what the server can send.

    Args:
        connection: to the server.
        operation: for messages.
        page: objects.
        fetch: reads at most `limit` of them.

    Returns:
        the objects, and the size of the page that was read.
    """
    while True:
        page = min(page, connection.most_results)
        try:
            return list(connection.call(operation, partial(fetch, limit=page)).objects), page
        except (TooLarge, TooMany):
            if page == 1:
                raise
            if page <= connection.most_results:  # otherwise the server's limit has become known
                page = max(1, page // 4)

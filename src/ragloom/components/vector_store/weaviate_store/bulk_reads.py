"""Paged reads of many objects by id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ragloom.components.vector_store.weaviate_store.errors import TooLarge, TooMany

if TYPE_CHECKING:
    from uuid import UUID

    from weaviate.collections import Collection

    from ragloom.components.vector_store.weaviate_store.connection import Connection

PAGE, PAGE_WITH_VECTORS = 2_000, 500
"""Objects of one read request."""


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
    while start < len(ids):
        page_ids = ids[start : start + min(page, connection.most_results)]
        fetch = partial(
            collection.query.fetch_objects_by_ids,
            page_ids,
            limit=len(page_ids),
            return_properties=properties,
            include_vector=include_vector,
        )
        try:
            objects = connection.call(operation, fetch).objects
        except (TooLarge, TooMany):
            if len(page_ids) == 1:
                raise
            page = max(1, len(page_ids) // 4)
            continue
        yield from objects
        start += len(page_ids)

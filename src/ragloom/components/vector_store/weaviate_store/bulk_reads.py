"""Reads objects of a collection by their ids, and the vectors of documents. Changes nothing."""

from __future__ import annotations

from collections.abc import Collection as Ids
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ragloom.components.vector_store.weaviate_store import filters
from ragloom.components.vector_store.weaviate_store.errors import TooLarge, TooMany

if TYPE_CHECKING:
    from uuid import UUID

    from weaviate.collections import Collection

    from ragloom.components.vector_store.weaviate_store.collections import Place
    from ragloom.components.vector_store.weaviate_store.connection import Connection

PAGE = 2_000
"""Objects that one request reads."""
PAGE_WITH_VECTORS = 500
_DOCUMENTS_AT_ONCE = 200
"""Documents that one filter names."""


def by_ids(
    connection: Connection,
    collection: Collection[Any, Any],
    doing: str,
    ids: Sequence[UUID],
    *,
    properties: list[str] | None,
    include_vector: bool = False,
) -> Iterator[Any]:
    """Yields those objects that are stored, in pages that the server gives; `properties`: None = all."""
    page, start = PAGE_WITH_VECTORS if include_vector else PAGE, 0
    while start < len(ids):
        some = ids[start : start + min(page, connection.most_results)]
        wanted = partial(
            collection.query.fetch_objects_by_ids,
            some,
            limit=len(some),
            return_properties=properties,
            include_vector=include_vector,
        )
        try:
            answer = connection.call(doing, wanted)
        except (TooLarge, TooMany):
            if len(some) == 1:
                raise
            page = max(1, len(some) // 4)
            continue
        yield from answer.objects
        start += len(some)


def vectors_of(
    place: Place, document_ids: Sequence[str], sent: Ids[str] | None = None
) -> dict[tuple[str, str], np.ndarray]:
    """Returns the stored vectors of documents by (document, sent_hash); `sent`: only of these hashes.

    No filter knows a hash, so all chunks of the documents are read, and of the others' vectors none is kept.
    """
    found: dict[tuple[str, str], np.ndarray] = {}
    for start in range(0, len(document_ids), _DOCUMENTS_AT_ONCE):
        some = list(document_ids[start : start + _DOCUMENTS_AT_ONCE])
        for item in place.scan(filters.one_of("document", some), with_vectors=True):
            if sent is None or item.sent_hash in sent:
                found[item.row.chunk.document, item.sent_hash] = np.array(item.row.vector, dtype=np.float32)
    return found

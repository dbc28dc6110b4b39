"""Bulk reads of an ingest: manifest rows and stored vectors."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from ragloom.components.vector_store.lancedb_store.sql_filters import one_of
from ragloom.components.vector_store.lancedb_store.tables import MANIFEST_COLUMNS, batches
from ragloom.components.vector_store.record_types import ManifestRow


def manifest(documents: Any) -> Iterator[ManifestRow]:
    """Yield a row for each document of a table, in no order."""
    for batch in documents.search().select(MANIFEST_COLUMNS).to_batches():
        for row in batch.to_pylist():
            yield ManifestRow(**row)


def vectors_of(
    chunks: Any, document_ids: Sequence[str], sent: Collection[str] | None = None
) -> dict[tuple[str, str], np.ndarray]:
    """Return the stored vectors of documents by (document, sent_hash).

    `sent` limits them to these hashes.
    """
    result: dict[tuple[str, str], np.ndarray] = {}
    only = "" if sent is None else f" AND {one_of('sent_hash', sorted(sent))}"
    for some in batches(list(document_ids)):
        search = chunks.search().where(f"{one_of('document', some)}{only}")
        rows = search.select(["document", "sent_hash", "vector"]).to_arrow()
        if not rows.num_rows:
            continue  # of nothing NumPy does not know how long a row is
        vectors = rows["vector"].combine_chunks().flatten().to_numpy().reshape(rows.num_rows, -1)
        names = zip(rows["document"].to_pylist(), rows["sent_hash"].to_pylist(), strict=True)
        result |= dict(zip(names, vectors, strict=True))
    return result

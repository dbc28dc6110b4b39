"""What an ingest reads of an index: what it knows of each document, and the vectors of documents. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ragloom.vector_store.interface import ManifestRow
from ragloom.vector_store.lance.conditions import one_of
from ragloom.vector_store.lance.tables import MANIFEST_COLUMNS, batches


def manifest(documents: Any) -> Iterator[ManifestRow]:
    """Yields a row for each document of a table, in no order."""
    for batch in documents.search().select(MANIFEST_COLUMNS).to_batches():
        for row in batch.to_pylist():
            yield ManifestRow(**row)


def vectors_of(chunks: Any, document_ids: Sequence[str]) -> dict[tuple[str, str], np.ndarray]:
    """Returns the vectors of documents in a table of chunks, by (document, sent_hash)."""
    found: dict[tuple[str, str], np.ndarray] = {}
    for some in batches(list(document_ids)):
        search = chunks.search().where(one_of("document", some))
        rows = search.select(["document", "sent_hash", "vector"]).to_arrow()
        vectors = rows["vector"].combine_chunks().flatten().to_numpy().reshape(rows.num_rows, -1)
        names = zip(rows["document"].to_pylist(), rows["sent_hash"].to_pylist(), strict=True)
        found |= dict(zip(names, vectors, strict=True))
    return found

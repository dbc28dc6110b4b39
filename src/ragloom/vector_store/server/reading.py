"""What an ingest reads of an index beside its manifest: the vectors of documents. Changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ragloom.vector_store.server import filters

if TYPE_CHECKING:
    from ragloom.vector_store.server.place import Place

_DOCUMENTS_AT_ONCE = 200
"""Documents that one filter names."""


def vectors_of(
    place: Place, document_ids: Sequence[str], sent: Collection[str] | None = None
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

"""Recovery of an index after an interrupted run: incomplete documents are removed."""

from __future__ import annotations

from collections import Counter

from ragloom.components.vector_store.record_types import Recovered
from ragloom.components.vector_store.weaviate_store.bulk_reads import batched
from ragloom.components.vector_store.weaviate_store.collection_pair import CollectionPair
from ragloom.components.vector_store.weaviate_store.write_lease import WriteLease

_BATCH_IDS = 2_000
"""Chunks to delete between two checks of the lease; manifest rows of one read."""


def remove_incomplete(pair: CollectionPair, lease: WriteLease) -> Recovered:
    """Remove chunks without a manifest row, and incomplete documents.

    A document is incomplete without all its chunks, or where its row was stored in part.

    Raises:
        ServiceError: another writer took the lease.
    """
    stored: Counter[tuple[str, str]] = Counter()
    for item in pair.scan(None, with_texts=False):
        stored[item.row.chunk.document, item.row.chunk.content_hash] += 1
    incomplete = set[str]()
    for rows in batched(pair.manifest(), _BATCH_IDS):
        readable = pair.manifest_objects([row.id for row in rows], [])
        incomplete |= {
            row.id for row in rows if stored.pop((row.id, row.content_hash), 0) != row.chunks or row.id not in readable
        }
    chunks = 0
    if stored or incomplete:
        # By their ids: no filter finds what a killed server has stored in part.
        leftovers = [
            item.row.chunk.id
            for item in pair.scan(None, with_texts=False)
            if (item.row.chunk.document, item.row.chunk.content_hash) in stored or item.row.chunk.document in incomplete
        ]
        # The scan took time: another writer may have taken over and completed the leftovers, under the same ids.
        for ids in batched(leftovers, _BATCH_IDS):
            lease.demand_held()
            chunks += pair.delete_chunk_ids(ids)
    lease.demand_held()
    return Recovered(chunks, pair.delete_document_ids(sorted(incomplete)))

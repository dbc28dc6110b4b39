"""Description of an index for people: info, notes and estimated size."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Any

from ragloom.components.vector_store.record_types import IndexInfo
from ragloom.components.vector_store.weaviate_store.collection_pair import CollectionPair
from ragloom.components.vector_store.weaviate_store.index_state import IndexState
from ragloom.components.vector_store.weaviate_store.recall_record import SearchRecall
from ragloom.core.records import canonical_json

_SAMPLE = 100
_OVERHEAD = 200  # bytes: ids, hashes and the entries of the inverted indexes


def info_of(pair: CollectionPair, state: IndexState) -> IndexInfo:
    """Build the info of an index at its newest commit."""
    label = pair.label
    values: dict[str, Any] = {name: value for name, value in vars(state).items() if name != "writing"}
    values["committed_at"] = datetime.fromisoformat(state.committed_at) if state.committed_at else datetime.now(UTC)
    return IndexInfo(
        name=label.index,
        source=label.source,
        code_version=label.code_version,
        dimensions=label.dimensions,
        bytes_estimated=True,
        notes=() if state.dense is None else (SearchRecall.of(state.dense).note,),
        **values,
    )


def notes_on(pair: CollectionPair) -> list[str]:
    """List notes for people on the options of an index."""
    shards = pair.options.index["shards"]
    if shards > 1 and pair.options.tenant is None:
        return [
            f"the index has {shards} shards: BM25 statistics are per shard, so that scores and rankings differ from "
            "those of one shard (vector_store.index.shards)"
        ]
    return []


def estimated_bytes(pair: CollectionPair, chunks: int) -> int:
    """Estimate the size on disk from a sample of texts."""
    sample = [stored.row.chunk for stored in islice(pair.scan(None), _SAMPLE)]
    if not sample:
        return 0
    # A chunk's text is stored three times: in the chunk, in its document, and as its search terms.
    texts = sum(3 * len(chunk.text.encode()) + len(canonical_json(chunk.metadata)) for chunk in sample) / len(sample)
    return int(chunks * (4 * pair.label.dimensions + texts + _OVERHEAD))

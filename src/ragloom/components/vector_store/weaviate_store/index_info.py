"""What is told of an index on a server. Knows places and states."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from ragloom.components.vector_store.protocols import IndexInfo
from ragloom.core.records import canonical_json

if TYPE_CHECKING:
    from ragloom.components.vector_store.weaviate_store.collections import Place
    from ragloom.components.vector_store.weaviate_store.index_state import State

_SAMPLE = 100
_OVERHEAD = 200  # bytes: ids, hashes and the entries of the inverted indexes


def info_of(place: Place, state: State) -> IndexInfo:
    """Tells what an index is as its newest commit left it."""
    label = place.label
    return IndexInfo(
        name=label.index,
        source=label.index.rpartition("-")[0] or label.index,
        root=state.root,
        description=state.description,
        documents=state.documents,
        chunks=state.chunks,
        bytes=state.bytes,
        committed_at=datetime.fromisoformat(state.committed_at) if state.committed_at else datetime.now(UTC),
        version=state.version,
        code_version=label.code_version,
        dimensions=label.dimensions,
        summary=state.summary,
        bytes_estimated=True,
        deleted_chunks=state.deleted_chunks,
    )


def notes_on(place: Place) -> list[str]:
    """Tells what a person should know about how an index is kept."""
    shards = place.options.index["shards"]
    if shards > 1 and place.options.tenant is None:
        return [
            f"the index has {shards} shards: BM25 statistics are per shard, so that scores and rankings differ from "
            "those of one shard (vector_store.index.shards)"
        ]
    return []


def estimated_bytes(place: Place, chunks: int) -> int:
    """Estimates what an index takes on disk, from the texts of a sample: the server does not tell."""
    sample = [found.row.chunk for found in islice(place.scan(None), _SAMPLE)]
    if not sample:
        return 0
    # A chunk's text is stored three times: in the chunk, in its document, and as its search terms.
    texts = sum(3 * len(chunk.text.encode()) + len(canonical_json(chunk.metadata)) for chunk in sample) / len(sample)
    return int(chunks * (4 * place.label.dimensions + texts + _OVERHEAD))

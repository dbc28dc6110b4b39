"""Writer of documents under a lease, in the promised order.

New chunks, confirmed by their ids; then the document's manifest row, which commits it; then the removal of its old
chunks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from ragloom.components.vector_store.index_identity import Identity
from ragloom.components.vector_store.protocols import Analyzer
from ragloom.components.vector_store.record_types import Recovered, StoredDocumentRow
from ragloom.components.vector_store.validation import check_chunks, demand_appended
from ragloom.components.vector_store.weaviate_store import filters, object_mapping
from ragloom.components.vector_store.weaviate_store.bulk_reads import batched
from ragloom.components.vector_store.weaviate_store.collection_pair import FILTER_DOCUMENTS, CollectionPair
from ragloom.components.vector_store.weaviate_store.index_state import IndexState
from ragloom.components.vector_store.weaviate_store.run_verification import WriteAudit
from ragloom.components.vector_store.weaviate_store.write_lease import WriteLease
from ragloom.core.records import Chunk


class DocumentWriter(ABC):
    """Writes chunks and manifest rows; a subclass opens the index.

    Attributes:
        identity: of the index.
        analyzer: turns chunk texts into search terms.
        pair, lease: collections and lease of the index, while it is open.
    """

    identity: Identity
    analyzer: Analyzer
    pair: CollectionPair
    lease: WriteLease
    _audit: WriteAudit
    _state: IndexState
    _unfinished: Counter[tuple[str, str]]
    _is_retry: bool = False

    @abstractmethod
    def recover(self) -> Recovered:
        """Remove an interrupted run's leftovers before the first write."""

    @abstractmethod
    def _announce(self) -> None:
        """Record that this run writes, before the first write."""

    @abstractmethod
    def _record_removed(self, chunks: int) -> None:
        """Record chunks that were deleted to be inserted again."""

    def vectors_of(
        self, document_ids: Sequence[str], sent: Collection[str] | None = None
    ) -> dict[tuple[str, str], np.ndarray]:
        """Return stored vectors by (document, sent_hash); `sent`: only these hashes."""
        return self.pair.vectors_of(document_ids, sent)

    def append(self, chunks: Sequence[Chunk], vectors: np.ndarray, sent_hashes: Sequence[str]) -> None:
        """Store chunks of unfinished documents, each confirmed by its id.

        Raises:
            DataError: two chunks of one id, a vector that is not finite, invalid metadata, or a permanent refusal of
                the server; names document and chunk.
            ServiceError: the server is unreachable, or does not hold what was written.
        """
        if not chunks:
            return
        self.recover()
        check_chunks(chunks, vectors, self.identity.dimensions)
        objects = [
            object_mapping.chunk_object(chunk, self.analyzer.terms(chunk.text), vector, sent, None)
            for chunk, vector, sent in zip(chunks, vectors, sent_hashes, strict=True)
        ]
        self._announce()
        self._audit.draw_older()
        self.lease.demand_held()
        self.pair.add_columns(filters.kinds_of(item.properties for item in objects))
        self._record_removed(self._audit.store(objects, chunks, may_be_stored=self._is_retry))
        for chunk in chunks:
            self._unfinished[chunk.document, chunk.content_hash] += 1

    def finish(self, documents: Sequence[StoredDocumentRow]) -> None:
        """Write the manifest rows of complete documents, then remove their old chunks.

        Raises:
            DataError: invalid metadata, or a permanent refusal of the server.
            ServiceError: the server is unreachable, or does not hold what was written.
        """
        if not documents:
            return
        self.recover()
        rows = {document.manifest.id: document.manifest for document in documents}
        demand_appended(rows, documents, self._unfinished)
        objects = [object_mapping.document_object(document) for document in documents]
        self._announce()
        previous = {
            id: str(item.properties["content_hash"])
            for id, item in self.pair.manifest_objects(list(rows), ["content_hash"]).items()
        }
        self.lease.demand_held()
        self.pair.put_documents(objects)
        changed = {id: rows[id].content_hash for id, hashed in previous.items() if hashed != rows[id].content_hash}
        # A replica that was away may not know a document's old version: then chunks of all documents are searched.
        replicated = self.pair.options.index["replication"] > 1
        self._remove_old({id: row.content_hash for id, row in rows.items()} if replicated else changed, previous)
        unchanged = sum(rows[id].chunks for id in previous if id not in changed)
        self._state = self._state.plus(
            documents=len(rows) - len(previous), chunks=sum(row.chunks for row in rows.values()) - unchanged
        )
        for row in rows.values():
            self._unfinished.pop((row.id, row.content_hash), None)

    def discard(self, documents: Sequence[tuple[str, str]]) -> None:
        """Remove appended chunks of unfinished documents; old versions stay."""
        for id, content_hash in documents:
            if self._unfinished.pop((id, content_hash), 0):
                self.lease.demand_held()
                version = filters.one_of("document", [id]) & filters.one_of("content_hash", [content_hash])
                self._audit.sample.drop(lambda *stored: stored == (id, content_hash))  # noqa: B023  # called at once
                removed = self.pair.delete_chunks(version)  # never counted as stored, but BM25 keeps counting them
                self._state = self._state.plus(deleted_chunks=removed)

    def _remove_old(self, versions: dict[str, str], previous: dict[str, str]) -> None:
        """Remove all chunks of documents but those of the committed version.

        Args:
            versions: document -> content hash to keep.
            previous: document -> content hash of the version before.
        """
        hashes = set(versions.values())
        # Two documents with swapped contents: what one keeps is what the other loses.
        single = [id for id in versions if previous.get(id) in hashes]
        chunks = 0
        others = [id for id in versions if previous.get(id) not in hashes]
        for ids in (*batched(others, FILTER_DOCUMENTS), *([id] for id in single)):
            self._audit.sample.drop(lambda id, stored: versions.get(id, stored) != stored)
            old = filters.one_of("document", ids) & filters.none_of("content_hash", [versions[id] for id in ids])
            chunks += self.pair.delete_chunks(old)
        self._state = self._state.plus(chunks=-chunks, deleted_chunks=chunks)

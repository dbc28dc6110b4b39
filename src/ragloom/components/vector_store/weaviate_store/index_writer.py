"""Writer of an index: crashes lose nothing and leave nothing twice.

The order of writes is the promise. New chunks, confirmed by their ids; then the document's manifest row, which commits
it; then the removal of its old chunks. A deletion begins with the manifest row. Queries keep only chunks of the version
in the manifest, as long as the state says that a writer works, or was killed at work.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ragloom.components.vector_store.index_identity import Identity, demand_same
from ragloom.components.vector_store.protocols import Analyzer, Questions
from ragloom.components.vector_store.record_types import IndexInfo, ManifestRow, Recovered, StoredDocumentRow
from ragloom.components.vector_store.validation import check_chunks, demand_appended
from ragloom.components.vector_store.weaviate_store import filters, object_mapping
from ragloom.components.vector_store.weaviate_store.bulk_reads import batched
from ragloom.components.vector_store.weaviate_store.catalog import IndexCatalog
from ragloom.components.vector_store.weaviate_store.collection_pair import FILTER_DOCUMENTS
from ragloom.components.vector_store.weaviate_store.crash_recovery import remove_incomplete
from ragloom.components.vector_store.weaviate_store.index_info import estimated_bytes, info_of, notes_on
from ragloom.components.vector_store.weaviate_store.index_state import FRESH_SECONDS, IndexState
from ragloom.components.vector_store.weaviate_store.mutable_settings import update_settings
from ragloom.components.vector_store.weaviate_store.run_verification import WriteAudit
from ragloom.components.vector_store.weaviate_store.schema import CHUNKS, DOCUMENTS, CollectionLabel
from ragloom.core.maintenance_steps import step
from ragloom.core.records import Chunk
from ragloom.core.suggested_commands import program
from ragloom.errors import RagloomError, ServiceError


@dataclass(eq=False, repr=False)
class WeaviateWriter:
    """`Writer` of an index on a server, under the index's lease.

    Args:
        catalog: connects, and returns the catalog of the indexes.
        first: of the chunks in the first generation, for a missing index.
        identity: of the index.
        description: settings that shaped the index; recorded with each commit.
        analyzer: turns chunk texts into search terms.

    Attributes:
        pair, lease: collections and lease of the index, inside the `with` block.
    """

    catalog: Callable[[], IndexCatalog]
    first: CollectionLabel
    identity: Identity
    description: dict[str, Any]
    analyzer: Analyzer
    _exit_stack: ExitStack = field(default_factory=ExitStack, init=False)

    def __enter__(self) -> WeaviateWriter:
        with ExitStack() as stack:
            catalog = self.catalog()
            self.lease = catalog.lease(self.first)
            self.lease.acquire()
            stack.push(self._release)
            self.pair = catalog.writable(self.first)
            self.pair.create()
            self._notes = update_settings(self.pair)
            self._state = self._initial_state()
            self._recovered = self._state.writing is None
            self._unfinished: Counter[tuple[str, str]] = Counter()
            seed = f"{self.identity.name} {self._state.version}"
            self._audit = WriteAudit(self.pair, self._state, seed, self._announce)
            self._exit_stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._exit_stack.__exit__(*exception)  # type: ignore[arg-type]

    def recover(self) -> Recovered:
        """Remove an interrupted run's leftovers; read nothing after a clean end."""
        if self._recovered:
            return Recovered()
        self._announce()
        recovered = remove_incomplete(self.pair, self.lease)
        self._recovered = True
        documents, chunks = self.pair.count(DOCUMENTS), self.pair.count(CHUNKS)
        self._notes += self._dangling_notes(chunks)
        self._state = replace(self._state, documents=documents, chunks=chunks).plus(deleted_chunks=recovered.chunks)
        return recovered

    def manifest(self) -> Iterator[ManifestRow]:
        """Yield a row for each document, also of this run, unordered."""
        yield from self.pair.manifest()

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
        removed = self._audit.store(objects, chunks)
        if removed:
            self._state = self._state.plus(deleted_chunks=removed)
            self.pair.put_state(self._state)  # BM25 counts them from now on, however this run ends
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

    def touch(self, rows: Sequence[ManifestRow]) -> None:
        """Record new sizes, times and hashes of unchanged documents."""
        if not rows:
            return
        self.recover()
        self._announce()
        for batch in batched(rows, FILTER_DOCUMENTS):
            stored = self.pair.manifest_objects([row.id for row in batch], ["text", "metadata"])
            if len(stored) != len(batch):
                raise ValueError(f"{len(batch)} documents were to be touched and {len(stored)} are stored")
            self.lease.demand_held()
            self.pair.put_documents([object_mapping.touched_object(row, stored[row.id]) for row in batch])

    def delete(self, document_ids: Sequence[str]) -> int:
        """Remove exactly these documents and their chunks; return the number of documents."""
        self.recover()
        self._announce()
        documents = chunks = 0
        for ids in batched(dict.fromkeys(document_ids), FILTER_DOCUMENTS):
            self.lease.demand_held()
            self._audit.sample.drop(lambda document, _: document in ids)  # noqa: B023  # called at once
            documents += self.pair.delete_documents(ids)
            chunks += self.pair.delete_chunks(filters.one_of("document", ids))
        self._state = self._state.plus(documents=-documents, chunks=-chunks, deleted_chunks=chunks)
        return documents

    def commit(self, summary: dict[str, Any], questions: Questions | None = None) -> IndexInfo:
        """Wait for the server's vector queue, verify, count, and record the commit.

        Args:
            summary: of the run.
            questions: unused: the server's own index is searched as `vector_store.index` says.

        Raises:
            LostToSearch: no search finds a stored chunk, after two rewrites.
            ServiceError: the server is unreachable or its counts disagree; written documents are committed all the
                same, each by its own row.
        """
        self.recover()
        step("searching for chunks by their own vectors")
        self._audit.draw_older()
        self.lease.demand_held()
        rewritten, search_notes = self._audit.verify()
        step("counting")
        self._state = self._state.plus(deleted_chunks=rewritten)
        notes = [*self._notes, *search_notes, *self._check_counts(), *notes_on(self.pair)]
        self.lease.demand_held()
        self._state = replace(
            self._state,
            version=self._state.version + 1,
            writing=None,
            root=self.identity.root,
            committed_at=datetime.now(UTC).isoformat(),
            description=self.description,
            summary=summary,
            bytes=estimated_bytes(self.pair, self._state.chunks),
        )
        self.pair.put_state(self._state)
        self._notes = []
        return replace(info_of(self.pair, self._state), notes=tuple(notes))

    def _dangling_notes(self, stored: int) -> list[str]:
        count = self.pair.indexed_chunks() - stored
        if count <= 0:
            return []
        rebuild = f"{program('indexes')} rebuild {self.identity.name}"
        return [
            f"the server was killed while it wrote, and holds {count} entries of chunks that are not stored: each may "
            f"take the place of a hit; {rebuild} removes them, without an embedding call"
        ]

    def _initial_state(self) -> IndexState:
        """Read the state, or write the first one; refuse another index."""
        state = self.pair.state()
        demand_same(self.pair.label.identity(self.identity.root if state is None else state.root), self.identity)
        if state is None:
            state = IndexState(root=self.identity.root, writing=self.lease.token)
            self.pair.put_state(state)
            return replace(state, writing=None)
        return state

    def _announce(self) -> None:
        """Record this run as writing, and wait for all readers."""
        if self._state.writing == self.lease.token:
            return
        self.lease.demand_held()
        readers_know = self._state.writing is not None or not self._state.version
        self._state = replace(self._state, writing=self.lease.token)
        self.pair.put_state(self._state)
        if not readers_know:
            time.sleep(FRESH_SECONDS)

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

    def _check_counts(self) -> list[str]:
        """Compare stored with written counts, where the server can count; return notes."""
        try:
            stored = {part: self.pair.count(part) for part in (DOCUMENTS, CHUNKS)}
        except ServiceError as error:  # for some seconds after a node has died counting hangs [7]
            return [f"the server could not count ({error}); every chunk was confirmed by its id when it was written"]
        if (stored[DOCUMENTS], stored[CHUNKS]) != (self._state.documents, self._state.chunks):
            # Leftovers of a killed run may be counted wrong: the manifest is right.
            promised = [row.chunks for row in self.pair.manifest()]
            self._state = replace(self._state, documents=len(promised), chunks=sum(promised))
        for part, expected in ((DOCUMENTS, self._state.documents), (CHUNKS, self._state.chunks)):
            if stored[part] != expected:
                raise ServiceError(
                    f"vector_store: index {self.identity.name} holds {stored[part]} {part.lower()} on "
                    f"{self.pair.connection.where} and must hold {expected}; ingest again, and delete the index if "
                    "that does not help"
                )
        return []

    def _release(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        """Release the lease; an earlier error hides a failed release."""
        try:
            self.lease.release()
        except RagloomError:
            self.lease.abandon()
            if error is None:
                raise

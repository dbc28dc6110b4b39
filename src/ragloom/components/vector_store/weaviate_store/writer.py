"""Writes one index on a server so that a crash at any moment loses nothing and leaves nothing twice. Knows places.

The order is the promise. New chunks, confirmed by their ids; then the document's manifest row, which commits it; then
the removal of its old chunks. A deletion begins with the manifest row. Queries keep only chunks of the version that the
manifest names, for as long as the state says that somebody writes, or was killed writing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from ragloom.components.vector_store.index_identity import Identity, demand_same
from ragloom.components.vector_store.protocols import (
    Analyzer,
    IndexInfo,
    ManifestRow,
    Questions,
    Recovered,
    StoredDocumentRow,
)
from ragloom.components.vector_store.validation import check_chunks, check_documents, demand_appended
from ragloom.components.vector_store.weaviate_store import filters
from ragloom.components.vector_store.weaviate_store.bulk_reads import vectors_of
from ragloom.components.vector_store.weaviate_store.collections import Place
from ragloom.components.vector_store.weaviate_store.index_info import estimated_bytes, info_of, notes_on
from ragloom.components.vector_store.weaviate_store.index_state import FRESH_SECONDS, State
from ragloom.components.vector_store.weaviate_store.object_mapping import (
    chunk_object,
    document_object,
    document_uuid,
    touched_object,
)
from ragloom.components.vector_store.weaviate_store.schema import CHUNKS, DOCUMENTS
from ragloom.components.vector_store.weaviate_store.write_audit import Audit
from ragloom.components.vector_store.weaviate_store.write_lease import Lease
from ragloom.core.maintenance_steps import step
from ragloom.core.records import Chunk
from ragloom.errors import RagloomError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

_DOCUMENTS_AT_ONCE = 200
"""Documents that one filter names."""
_IDS_AT_ONCE = 2_000
"""Chunks that are deleted by their ids between two looks at the lease."""


class WeaviateWriter:
    """The `Writer` of an index on a Weaviate server; it holds the index's lease from `with` to the end of the block.

    Args:
        locate: finds the newest generation of the index, or says where the first one will be.
        lease: not yet taken.
        identity: what the index is, or will be when it does not exist.
        description: what shaped it; recorded with each commit.
        analyzer: turns chunk texts into search terms.
    """

    def __init__(
        self,
        locate: Callable[[], Place],
        lease: Callable[[], Lease],
        identity: Identity,
        description: dict[str, Any],
        analyzer: Analyzer,
    ) -> None:
        self._locate = locate
        self._new_lease = lease
        self._identity = identity
        self._description = description
        self._analyzer = analyzer
        self._open = ExitStack()

    def __enter__(self) -> WeaviateWriter:
        with ExitStack() as stack:
            self._lease = self._new_lease()
            self._lease.acquire()
            stack.push(self._let_go)
            self._place = self._locate()
            self._place.create()
            self._notes = self._place.update()
            self._state = self._begun()
            self._recovered = self._state.writing is None
            self._unfinished: Counter[tuple[str, str]] = Counter()
            seed = f"{self._identity.name} {self._state.version}"
            self._audit = Audit(self._place, self._state, seed, self._announce)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.__exit__(*exception)  # type: ignore[arg-type]

    def recover(self) -> Recovered:
        """Removes what an interrupted run left half done; what it completed stays. Reads nothing after a clean end."""
        if self._recovered:
            return Recovered()
        self._announce()
        stored: Counter[tuple[str, str]] = Counter()
        for found in self._place.scan(None, with_texts=False):
            stored[found.row.chunk.document, found.row.chunk.content_hash] += 1
        incomplete = {
            row.id for row in self._place.manifest() if stored.pop((row.id, row.content_hash), 0) != row.chunks
        }
        chunks = 0
        if stored or incomplete:
            # By their ids: what a killed server has stored in part is in no filter's index.
            left = [
                found.row.chunk.id
                for found in self._place.scan(None, with_texts=False)
                if (found.row.chunk.document, found.row.chunk.content_hash) in stored
                or found.row.chunk.document in incomplete
            ]
            # Looking took time: who has taken over meanwhile may have completed what was left over, by the same ids.
            for some in _parts(left, _IDS_AT_ONCE):
                self._lease.demand_held()
                chunks += self._place.delete_chunk_ids(some)
        self._lease.demand_held()
        documents = self._place.delete_documents(sorted(incomplete))
        self._recovered = True
        counted = State(documents=self._place.count(DOCUMENTS), chunks=self._place.count(CHUNKS))
        self._state = replace(
            self._state,
            documents=counted.documents,
            chunks=counted.chunks,
            deleted_chunks=self._state.deleted_chunks + chunks,
        )
        return Recovered(chunks, documents)

    def manifest(self) -> Iterator[ManifestRow]:
        """Yields a row for each document, those of this run included, in no order."""
        yield from self._place.manifest()

    def vectors_of(
        self, document_ids: Sequence[str], sent: Collection[str] | None = None
    ) -> dict[tuple[str, str], np.ndarray]:
        """Returns the stored vectors of documents by (document, sent_hash); `sent`: only of these hashes."""
        return vectors_of(self._place, document_ids, sent)

    def append(self, chunks: Sequence[Chunk], vectors: np.ndarray, sent_hashes: Sequence[str]) -> None:
        """Stores chunks of documents that are not finished yet, each confirmed by its id.

        Raises:
            DataError: two chunks of one id, a vector that is not finite, metadata that cannot be kept, or something
                that the server refuses for good; names document and chunk.
            ServiceError: the server cannot be reached, or does not hold what was written.
        """
        if not chunks:
            return
        self.recover()
        check_chunks(chunks, vectors, self._identity.dimensions)
        objects = [
            chunk_object(chunk, self._analyzer.terms(chunk.text), vector, sent, None)
            for chunk, vector, sent in zip(chunks, vectors, sent_hashes, strict=True)
        ]
        self._announce()
        self._audit.look_back()
        self._lease.demand_held()
        self._place.add_columns(filters.kinds_of(item.properties for item in objects))
        removed = self._audit.store(objects, chunks)
        if removed:
            self._state = replace(self._state, deleted_chunks=self._state.deleted_chunks + removed)
            self._place.put_state(self._state)  # BM25 counts them from now on, however this run ends
        for chunk in chunks:
            self._unfinished[chunk.document, chunk.content_hash] += 1

    def finish(self, documents: Sequence[StoredDocumentRow]) -> None:
        """Writes the manifest rows of documents whose chunks were all appended, then removes their old chunks.

        Raises:
            DataError: metadata that cannot be kept, or something that the server refuses for good.
            ServiceError: the server cannot be reached, or does not hold what was written.
        """
        if not documents:
            return
        self.recover()
        names = {document.manifest.id: document.manifest for document in documents}
        demand_appended(names, documents, self._unfinished)
        rows = [document_object(document) for document in documents]
        self._announce()
        known = {
            id: str(item.properties["content_hash"])
            for id, item in self._place.manifest_objects(list(names), ["content_hash"]).items()
        }
        self._lease.demand_held()
        self._place.put_documents(rows, {document_uuid(id): id for id in names})
        changed = {id: names[id].content_hash for id, hashed in known.items() if hashed != names[id].content_hash}
        # A replica that was away may not know of a document's old version: then all are looked through.
        replicated = self._place.options.index["replication"] > 1
        self._remove_old({id: row.content_hash for id, row in names.items()} if replicated else changed, known)
        same = sum(names[id].chunks for id in known if id not in changed)
        self._state = replace(
            self._state,
            documents=self._state.documents + len(names) - len(known),
            chunks=self._state.chunks + sum(row.chunks for row in names.values()) - same,
        )
        for row in names.values():
            self._unfinished.pop((row.id, row.content_hash), None)

    def discard(self, documents: Sequence[tuple[str, str]]) -> None:
        """Removes what was appended of documents that will not be finished; old versions stay."""
        for id, content_hash in documents:
            if self._unfinished.pop((id, content_hash), 0):
                self._lease.demand_held()
                version = filters.one_of("document", [id]) & filters.one_of("content_hash", [content_hash])
                self._audit.sample.forget_version(id, content_hash)
                gone = self._place.delete_chunks(version)  # never counted as stored, but BM25 counts them on
                self._state = replace(self._state, deleted_chunks=self._state.deleted_chunks + gone)

    def write(
        self,
        documents: Sequence[StoredDocumentRow],
        chunks: Sequence[Chunk],
        vectors: np.ndarray,
        sent_hashes: Sequence[str],
    ) -> None:
        """Stores whole documents: `append` and `finish` in one; all is checked before anything is written."""
        check_documents(documents, chunks, vectors, sent_hashes, self._identity.dimensions)
        for document in documents:
            document_object(document)
        self.append(chunks, vectors, sent_hashes)
        self.finish(documents)

    def touch(self, rows: Sequence[ManifestRow]) -> None:
        """Records new sizes, times and hashes of documents whose text and chunks stay as they are."""
        if not rows:
            return
        self.recover()
        self._announce()
        for start in range(0, len(rows), _DOCUMENTS_AT_ONCE):
            some = rows[start : start + _DOCUMENTS_AT_ONCE]
            there = self._place.manifest_objects([row.id for row in some], ["text", "metadata"])
            if len(there) != len(some):
                raise ValueError(f"{len(some)} documents were to be touched and {len(there)} are stored")
            self._lease.demand_held()
            objects = [touched_object(row, there[row.id]) for row in some]
            self._place.put_documents(objects, {document_uuid(row.id): row.id for row in some})

    def delete(self, document_ids: Sequence[str]) -> int:
        """Removes exactly these documents and their chunks; returns how many there were."""
        self.recover()
        self._announce()
        documents = chunks = 0
        for some in _parts(list(dict.fromkeys(document_ids))):
            self._lease.demand_held()
            self._audit.sample.forget_documents(some)
            documents += self._place.delete_documents(some)
            chunks += self._place.delete_chunks(filters.one_of("document", some))
        self._deleted(chunks)
        self._state = replace(self._state, documents=self._state.documents - documents)
        return documents

    def commit(self, summary: dict[str, Any], questions: Questions | None = None) -> IndexInfo:
        """Waits for the server's vector queue, counts, verifies, and records that everything written is committed.

        Args:
            questions: not asked: the server's own index is searched as `vector_store.index` says.

        Raises:
            LostToSearch: a chunk is stored and no search finds it, after two rewrites.
            ServiceError: the server cannot be reached or the counts disagree; the documents that were written are
                committed all the same, each by its own row.
        """
        self.recover()
        step("searching for chunks by their own vectors")
        self._audit.look_back()
        self._lease.demand_held()
        rewritten, of_searches = self._audit.verify()
        step("counting")
        self._state = replace(self._state, deleted_chunks=self._state.deleted_chunks + rewritten)
        notes = [*self._notes, *of_searches, *self._counted(), *notes_on(self._place)]
        self._lease.demand_held()
        self._state = replace(
            self._state,
            version=self._state.version + 1,
            writing=None,
            root=self._identity.root,
            committed_at=datetime.now(UTC).isoformat(),
            description=self._description,
            summary=summary,
            bytes=estimated_bytes(self._place, self._state.chunks),
        )
        self._place.put_state(self._state)
        self._notes = []
        return replace(info_of(self._place, self._state), notes=tuple(notes))

    def _begun(self) -> State:
        """Reads what the index is, and refuses to write another one; a new one says at once where it comes from."""
        state, label = self._place.state(), self._place.label
        root = self._identity.root if state is None else state.root
        source = self._identity.source
        there = Identity(label.index, source, root, label.kind, label.dimensions, label.code_version)
        demand_same(there, self._identity)
        if state is None:
            state = State(root=root, writing=self._lease.token)
            self._place.put_state(state)
            return replace(state, writing=None)
        return state

    def _announce(self) -> None:
        """Says in the state that this run writes, and waits until every reader has heard of it."""
        if self._state.writing == self._lease.token:
            return
        self._lease.demand_held()
        heard = self._state.writing is not None or not self._state.version
        self._state = replace(self._state, writing=self._lease.token)
        self._place.put_state(self._state)
        if not heard:
            time.sleep(FRESH_SECONDS)

    def _remove_old(self, versions: dict[str, str], known: dict[str, str]) -> None:
        """Removes all chunks of documents but those of the committed version.

        Args:
            versions: document -> content hash to keep.
            known: document -> content hash of the version before.
        """
        kept = set(versions.values())
        # Two documents that have swapped their contents: what one keeps is what the other lets go.
        single = [id for id in versions if known.get(id) in kept]
        chunks = 0
        for some in (*_parts([id for id in versions if known.get(id) not in kept]), *([id] for id in single)):
            self._audit.sample.forget_old(versions)
            old = filters.one_of("document", some) & filters.none_of("content_hash", [versions[id] for id in some])
            chunks += self._place.delete_chunks(old)
        self._deleted(chunks)

    def _deleted(self, chunks: int) -> None:
        self._state = replace(
            self._state,
            chunks=self._state.chunks - chunks,
            deleted_chunks=self._state.deleted_chunks + chunks,
        )

    def _counted(self) -> list[str]:
        """Counts what is stored against what was written, where the server can tell."""
        try:
            stored = {part: self._place.count(part) for part in (DOCUMENTS, CHUNKS)}
        except ServiceError as error:  # for some seconds after a node has died counting hangs [7]
            return [f"the server could not count ({error}); every chunk was confirmed by its id when it was written"]
        if (stored[DOCUMENTS], stored[CHUNKS]) != (self._state.documents, self._state.chunks):
            # What a killed run has left may be counted wrong: the manifest knows.
            promised = [row.chunks for row in self._place.manifest()]
            self._state = replace(self._state, documents=len(promised), chunks=sum(promised))
        for part, expected in ((DOCUMENTS, self._state.documents), (CHUNKS, self._state.chunks)):
            if stored[part] != expected:
                raise ServiceError(
                    f"vector_store: index {self._identity.name} should hold {expected} {part.lower()} and holds "
                    f"{stored[part]} on {self._place.connection.where}; ingest again, and delete the index if that "
                    "does not help"
                )
        return []

    def _let_go(self, kind: type[BaseException] | None, error: BaseException | None, at: object) -> None:
        """Releases the lease; where the server cannot be reached and something failed before, that is the news."""
        try:
            self._lease.release()
        except RagloomError:
            self._lease.abandon()
            if error is None:
                raise


def _parts(ids: Sequence[str], size: int = _DOCUMENTS_AT_ONCE) -> Iterator[list[str]]:
    for start in range(0, len(ids), size):
        yield list(ids[start : start + size])

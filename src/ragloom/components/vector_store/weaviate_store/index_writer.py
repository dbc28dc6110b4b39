"""Writer of an index: crashes lose nothing and leave nothing twice.

The order of writes is the promise (`document_writer`); a deletion begins with the manifest row. Queries keep only
chunks of the version in the manifest, as long as the state says that a writer works, or was killed at work.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ragloom.components.vector_store.index_identity import Identity, demand_same
from ragloom.components.vector_store.protocols import Analyzer, Questions
from ragloom.components.vector_store.record_types import IndexInfo, ManifestRow, Recovered
from ragloom.components.vector_store.weaviate_store import filters, object_mapping
from ragloom.components.vector_store.weaviate_store.bulk_reads import batched
from ragloom.components.vector_store.weaviate_store.catalog import IndexCatalog
from ragloom.components.vector_store.weaviate_store.collection_pair import FILTER_DOCUMENTS
from ragloom.components.vector_store.weaviate_store.crash_recovery import remove_incomplete
from ragloom.components.vector_store.weaviate_store.document_writer import DocumentWriter
from ragloom.components.vector_store.weaviate_store.index_info import estimated_bytes, info_of, notes_on
from ragloom.components.vector_store.weaviate_store.index_state import FRESH_SECONDS, IndexState
from ragloom.components.vector_store.weaviate_store.mutable_settings import update_settings
from ragloom.components.vector_store.weaviate_store.recall_record import SearchRecall, measured_width
from ragloom.components.vector_store.weaviate_store.run_verification import WriteAudit
from ragloom.components.vector_store.weaviate_store.schema import CHUNKS, DOCUMENTS, CollectionLabel
from ragloom.components.vector_store.weaviate_store.search_recall import measure, measured_again
from ragloom.components.vector_store.weaviate_store.shared_writer import WriterReport, WriterShare
from ragloom.core.maintenance_steps import step
from ragloom.core.suggested_commands import program
from ragloom.errors import RagloomError, ServiceError


@dataclass(eq=False, repr=False)
class WeaviateWriter(DocumentWriter):
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
            self._state = self._initial_state()
            self._notes = update_settings(self.pair, measured_width(self._state.dense, self.pair.options.tenant))
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
            questions: make query-like vectors, with which the recall of approximate search is measured.

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
        self._measure_recall(questions)
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
        info = info_of(self.pair, self._state)
        return replace(info, notes=(*notes, *info.notes))

    def share(self) -> WriterShare:
        """Return what workers of other processes need to write under this lease."""
        self.recover()
        self._announce()
        self._audit.draw_older()
        pair = self.pair
        settings, seed = pair.connection.settings, f"{self.identity.name} {self._state.version}"
        return WriterShare(settings, pair.options, pair.label, self.lease.label, self.identity, self.analyzer, seed)

    def merge(self, report: WriterReport) -> None:
        """Take over what a worker has written."""
        self._state = self._state.plus(
            documents=report.documents, chunks=report.chunks, deleted_chunks=report.deleted_chunks
        )
        self._audit.sample.merge(report.sample)

    def require_recovery(self) -> None:
        """Have leftovers of dead workers removed, now that no worker writes."""
        self._recovered = False

    def _measure_recall(self, questions: Questions | None) -> None:
        """Measure the recall of approximate search, where it is due."""
        dense, chunks = self._state.dense, self._state.chunks
        last = None if dense is None else SearchRecall.of(dense)
        if questions is not None and measured_again(self.pair, last, chunks, questions):
            self._state = replace(self._state, dense=measure(self.pair, chunks, questions).as_json())

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

    def _record_removed(self, chunks: int) -> None:
        """Record chunks that were deleted to be inserted again."""
        if chunks:
            self._state = self._state.plus(deleted_chunks=chunks)
            self.pair.put_state(self._state)  # BM25 counts them from now on, however this run ends

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

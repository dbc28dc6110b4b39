"""Writers of other processes, under the lease of the process that ingests.

The driver of an ingest holds the lease, has recovered the index and recorded that it writes, and commits at the end.
Workers write chunks and manifest rows in the order that `index_writer` promises, as long as that lease is held, and
report what they wrote.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass

from ragloom.components.vector_store.index_identity import Identity
from ragloom.components.vector_store.protocols import Analyzer
from ragloom.components.vector_store.record_types import Recovered
from ragloom.components.vector_store.weaviate_store.catalog import IndexCatalog
from ragloom.components.vector_store.weaviate_store.connection import connect
from ragloom.components.vector_store.weaviate_store.document_writer import DocumentWriter
from ragloom.components.vector_store.weaviate_store.index_settings import IndexOptions
from ragloom.components.vector_store.weaviate_store.index_state import IndexState
from ragloom.components.vector_store.weaviate_store.run_verification import WriteAudit
from ragloom.components.vector_store.weaviate_store.schema import CollectionLabel
from ragloom.components.vector_store.weaviate_store.search_verification import ChunkSample
from ragloom.components.vector_store.weaviate_store.server_settings import ServerSettings
from ragloom.components.vector_store.weaviate_store.write_lease import WriteLease


@dataclass(frozen=True)
class WriterReport:
    """What a worker has written since its last report.

    Attributes:
        documents, chunks: added to the index.
        deleted_chunks: that BM25 statistics go on counting.
        sample: of the chunks, for the verification before the commit.
    """

    documents: int
    chunks: int
    deleted_chunks: int
    sample: ChunkSample


@dataclass(frozen=True)
class WriterShare:
    """Access of a worker to an index; picklable, without a key.

    Attributes:
        settings: of the server; each worker reads the keys from its own environment.
        label, lease: of the index's chunks, and of the lease that the driver holds.
        seed: of the samples.
    """

    settings: ServerSettings
    options: IndexOptions
    label: CollectionLabel
    lease: CollectionLabel
    identity: Identity
    analyzer: Analyzer
    seed: str

    @property
    def variables(self) -> list[str]:
        """Names of the environment variables with keys."""
        names = [self.settings.api_key_env, self.settings.headers_env]
        return [name for name in names if name is not None]

    def open(self) -> SharedWriter:
        """Return a worker's writer; entering it connects."""
        return SharedWriter(self)

    def probe(self) -> None:
        """Connect once.

        Raises:
            RagloomError: the server cannot be reached or refuses the key.
        """
        connect(self.settings).close()


class SharedWriter(DocumentWriter):
    """Worker's writer of an index whose lease another process holds.

    Args:
        share: of that process.
    """

    def __init__(self, share: WriterShare) -> None:
        self.identity, self.analyzer = share.identity, share.analyzer
        self._share = share
        self._exit_stack = ExitStack()

    def __enter__(self) -> SharedWriter:
        share = self._share
        connection = connect(share.settings)
        self._exit_stack.callback(connection.close)
        self.pair = IndexCatalog(connection, share.options).pair(share.label)
        self.lease = WriteLease.joined(connection, share.lease, share.options.index)
        self.begin_task(is_retry=False)
        return self

    def __exit__(self, *exception: object) -> None:
        self._exit_stack.close()

    def begin_task(self, *, is_retry: bool) -> None:
        """Begin a task.

        Args:
            is_retry: a worker died with these documents: parts of them may be stored, or still be on their way.
        """
        self._is_retry = is_retry
        self._unfinished = Counter()
        self._state = IndexState()
        self._audit = WriteAudit(self.pair, self._state, self._share.seed, self._announce)

    def take(self) -> WriterReport:
        """Return what was written since the beginning of the task."""
        state = self._state
        return WriterReport(state.documents, state.chunks, state.deleted_chunks, self._audit.sample)

    def recover(self) -> Recovered:
        """Do nothing: the driver has recovered the index."""
        return Recovered()

    def _announce(self) -> None:
        """Do nothing: the driver has recorded that it writes."""

    def _record_removed(self, chunks: int) -> None:
        self._state = self._state.plus(deleted_chunks=chunks)

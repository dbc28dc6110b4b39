"""Crash-safe writer of one index.

The order is the promise: chunks, counted, then the manifest row of their document; at the commit maintenance, counted
again, then one atomic record of the versions that queries read, then the removal of what nobody reads any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from ragloom.components.vector_store.index_identity import Identity, demand_same
from ragloom.components.vector_store.lancedb_store import bulk_reads, long_text_files, sql_filters, tables
from ragloom.components.vector_store.lancedb_store.ann_index import Wanted
from ragloom.components.vector_store.lancedb_store.commit_record import CHUNKS, DOCUMENTS
from ragloom.components.vector_store.lancedb_store.commits import Upkeep, info_of, publish
from ragloom.components.vector_store.lancedb_store.crash_recovery import leftovers
from ragloom.components.vector_store.lancedb_store.id_filter import Seen
from ragloom.components.vector_store.lancedb_store.index_folder import IndexFolder
from ragloom.components.vector_store.lancedb_store.sql_filters import one_of
from ragloom.components.vector_store.protocols import Analyzer, Questions
from ragloom.components.vector_store.record_types import IndexInfo, ManifestRow, Recovered, StoredDocumentRow
from ragloom.components.vector_store.validation import check_chunks, demand_appended
from ragloom.core.file_backed_text import FileBackedText
from ragloom.core.records import Chunk
from ragloom.errors import ServiceError


@dataclass(eq=False, repr=False)
class LanceWriter:
    """`Writer` of an index in a LanceDB folder; it holds the lock.

    Args:
        folder: of the index.
        identity: what the index is, or will be when it does not exist.
        description: what shaped it; recorded with each commit.
        analyzer: turns chunk texts into search terms.
        retention: how long a replaced state stays readable.
        dense: what dense search of it is to be.
    """

    folder: IndexFolder
    identity: Identity
    description: dict[str, Any]
    analyzer: Analyzer
    retention: timedelta
    dense: Wanted
    _open: ExitStack = field(default_factory=ExitStack, init=False)
    _recovered: bool = field(default=False, init=False)

    def __enter__(self) -> LanceWriter:
        with ExitStack() as stack:
            stack.enter_context(self.folder.lock())
            stored = self.folder.identity()
            if stored is None:
                self.folder.create(self.identity)
            else:
                demand_same(stored, self.identity)
            self._connection, self.tables = self._opened_tables()
            self._begin()
            self._open = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    def recover(self) -> Recovered:
        """Remove unfinished documents of an interrupted run.

        Finished documents stay. Without any it is cheap.
        """
        if self._recovered:
            return Recovered()
        with self._engine("recovering"):
            of_chunks, of_documents = leftovers(self.tables[CHUNKS], self.tables[DOCUMENTS])
            chunks = sum(self.tables[CHUNKS].delete(condition).num_deleted_rows for condition in of_chunks)
            documents = sum(self.tables[DOCUMENTS].delete(condition).num_deleted_rows for condition in of_documents)
            self._see_base()
        self._recovered = True
        return Recovered(chunks, documents)

    def manifest(self) -> Iterator[ManifestRow]:
        """Yield a row for each document, uncommitted ones included, in no order."""
        with self._engine("reading the manifest"):
            yield from bulk_reads.manifest(self.tables[DOCUMENTS])

    def vectors_of(
        self, document_ids: Sequence[str], sent: Collection[str] | None = None
    ) -> dict[tuple[str, str], np.ndarray]:
        """Return the stored vectors of documents by (document, sent_hash).

        `sent` limits them to these hashes.
        """
        with self._engine("reading vectors"):
            return bulk_reads.vectors_of(self._base[CHUNKS], document_ids, sent)

    def append(self, chunks: Sequence[Chunk], vectors: np.ndarray, sent_hashes: Sequence[str]) -> None:
        """Append chunks of unfinished documents.

        Raises:
            DataError: two chunks of one id, a vector that is not finite, metadata or text that cannot be kept.
            ServiceError: the engine failed, or does not hold what was written.
        """
        if not chunks:
            return
        self.recover()
        check_chunks(chunks, vectors, self.identity.dimensions)
        terms = [" ".join(self.analyzer.terms(chunk.text)) for chunk in chunks]
        with self._engine("writing"):
            rows = tables.chunk_rows(chunks, terms, vectors, sent_hashes)
            tables.add_missing_columns(self.tables[CHUNKS], rows)
            self._remove_repeated(chunks)
            self._append(rows)
        for chunk in chunks:
            self._unfinished[chunk.document, chunk.content_hash] += 1

    def finish(self, documents: Sequence[StoredDocumentRow]) -> None:
        """Write manifest rows of complete documents, then remove old chunks.

        Raises:
            DataError: metadata or text that cannot be kept.
            ServiceError: the engine failed.
        """
        if not documents:
            return
        self.recover()
        names = {document.manifest.id: document.manifest for document in documents}
        demand_appended(names, documents, self._unfinished)
        manifest = tables.document_rows(documents)
        with self._engine("writing"):
            for document in documents:
                if isinstance(document.text, FileBackedText):
                    long_text_files.put(self.folder.path, document.manifest.text_hash, document.text)
            known = self._known(list(names))
            self._write_manifest(manifest, known.keys())
            changed = {id: names[id].content_hash for id, old in known.items() if old != names[id].content_hash}
            if changed:
                self._remove_old(changed)
        for row in names.values():
            self._unfinished.pop((row.id, row.content_hash), None)
        self._finished.update(names)

    def discard(self, documents: Sequence[tuple[str, str]]) -> None:
        """Remove appended chunks of abandoned documents; old versions stay."""
        with self._engine("writing"):
            begun = [sql_filters.version(*key) for key in documents if self._unfinished.pop(key, 0)]
            for some in tables.batches(begun):
                self.tables[CHUNKS].delete(sql_filters.any_of(some))
                self._rebuild = True

    def touch(self, rows: Sequence[ManifestRow]) -> None:
        """Update sizes, times and hashes of unchanged documents."""
        if not rows:
            return
        self.recover()
        with self._engine("updating the manifest"):
            merge = self.tables[DOCUMENTS].merge_insert("id").when_matched_update_all()
            result = merge.execute(tables.manifest_rows(rows))
        if result.num_updated_rows != len(rows):
            raise ValueError(f"{len(rows)} documents were to be touched and {result.num_updated_rows} are stored")

    def delete(self, document_ids: Sequence[str]) -> int:
        """Remove exactly these documents and their chunks; return how many there were."""
        self.recover()
        count = 0
        for some in tables.batches(list(document_ids)):
            with self._engine("deleting"):
                if self.tables[CHUNKS].delete(one_of("document", some)).num_deleted_rows:
                    self._rebuild = True
                count += self.tables[DOCUMENTS].delete(one_of("id", some)).num_deleted_rows
        return count

    def commit(self, summary: dict[str, Any], questions: Questions | None = None) -> IndexInfo:
        """Maintain, count, and record the versions for queries.

        Args:
            questions: source of query vectors to measure the recall of approximate search.

        Raises:
            ServiceError: the engine failed or the counts disagree; the commit before this one is still what is read.
        """
        self.recover()
        return self._publish(summary, Upkeep(self._rebuild, self._rebuild, replace(self.dense, questions=questions)))

    def rebuild(self) -> IndexInfo:
        """Compact and rebuild the text index in a new commit.

        Documents and summary stay as they are.

        Raises:
            ServiceError: an interrupted ingest has left the index half done, or as `commit`.
        """
        if not self._recovered:
            raise ServiceError(
                f"vector_store: index {self.identity.name} is incomplete after an interrupted ingest; ingest again, "
                "then rebuild"
            )
        # The rows are those of the commit before: what was measured of dense search holds.
        upkeep = Upkeep(rebuild_terms=True, deleted=False, dense=self.dense)
        return self._publish(self.folder.commits()[-1].summary, upkeep)

    def _publish(self, summary: dict[str, Any], upkeep: Upkeep) -> IndexInfo:
        commit = publish(
            self.folder,
            self.tables,
            self._count,
            upkeep=upkeep,
            retention=self.retention,
            record={"description": self.description, "summary": summary},
        )
        self._begin()
        return info_of(self.identity, commit, self.folder.size())

    def _opened_tables(self) -> tuple[Any, dict[str, Any]]:
        schemas = {CHUNKS: tables.chunk_schema(self.identity.dimensions), DOCUMENTS: tables.document_schema()}
        missing = [name for name in schemas if not tables.is_there(self.folder.path, name)]
        if missing and self.folder.commits():
            raise self.folder.damaged(f"table {missing[0]} is missing")
        with self._engine("opening"):
            connection = tables.connect(self.folder.path)
            for name, schema in schemas.items():
                tables.create(connection, name, schema)
            return connection, {name: tables.open_table(connection, name) for name in schemas}

    def _begin(self) -> None:
        """Start from the newest commit; the rest of the tables is unverified."""
        commits = self.folder.commits()
        versions = {name: table.version for name, table in self.tables.items()}
        self._recovered = bool(commits) and commits[-1].versions == versions
        # Something else than appending may have happened: then the text index must be rebuilt.
        self._rebuild = not self._recovered
        self._unfinished: Counter[tuple[str, str]] = Counter()
        self._finished = Seen()
        self._begun: set[str] = set()
        self._see_base()

    def _see_base(self) -> None:
        """Fix the state before the writes of this run, for fast reads."""
        versions = {name: table.version for name, table in self.tables.items()}
        self._base = {name: tables.open_table(self._connection, name, versions[name]) for name in versions}

    def _known(self, ids: list[str]) -> dict[str, str | None]:
        """Return stored documents with their content hash.

        It is None where this run wrote them.
        """
        known: dict[str, str | None] = {}
        for some in tables.batches(ids):
            rows = self._base[DOCUMENTS].search().where(one_of("id", some)).select(["id", "content_hash"]).to_arrow()
            known |= dict(zip(rows["id"].to_pylist(), rows["content_hash"].to_pylist(), strict=True))
        return known | {id: None for id in ids if id in self._finished}

    def _remove_repeated(self, chunks: Sequence[Chunk]) -> None:
        """Remove stored chunks that are about to be appended again."""
        known = self._known(list({chunk.document for chunk in chunks}))
        again = [
            chunk.id
            for chunk in chunks
            if chunk.document in self._begun
            or (chunk.document in known and known[chunk.document] in (None, chunk.content_hash))
        ]
        for some in tables.batches(again):
            if self.tables[CHUNKS].delete(one_of("id", some)).num_deleted_rows:
                self._rebuild = True

    def _append(self, rows: Any) -> None:
        table = self.tables[CHUNKS]
        before = table.count_rows()
        try:
            table.add(rows)
        except BaseException:
            # They may be there all the same: a repetition replaces them.
            self._begun.update(rows["document"].unique().to_pylist())
            raise
        self._demand(table.count_rows() - before, rows.num_rows)

    def _remove_old(self, versions: Mapping[str, str]) -> None:
        """Remove chunks of documents except those of the manifest's version."""
        self._rebuild = True
        for some in tables.batches(list(versions)):
            old = (sql_filters.version(id, versions[id], other=True) for id in some)
            self.tables[CHUNKS].delete(sql_filters.any_of(old))

    def _write_manifest(self, rows: Any, known: Collection[str]) -> None:
        new = np.array([id not in known for id in rows["id"].to_pylist()], dtype=bool)
        table = self.tables[DOCUMENTS]
        if new.any():
            table.add(rows.filter(new))
        if not new.all():
            merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
            merge.execute(rows.filter(~new))

    def _count(self) -> dict[str, int]:
        """Count both tables and holds the chunks against the manifest."""
        with self._engine("counting"):
            rows = {name: table.count_rows() for name, table in self.tables.items()}
            expected = self.tables[DOCUMENTS].search().select(["chunks"]).to_arrow()["chunks"]
            self._demand(rows[CHUNKS], pa.compute.sum(expected).as_py() or 0)
        return rows

    def _demand(self, stored: int, written: int) -> None:
        if stored != written:
            raise ServiceError(
                f"vector_store: of {written} chunks written to {self.folder.path} {stored} are stored; nothing was "
                "committed: ingest again, and delete the index if that does not help"
            )

    def _engine(self, doing: str) -> Any:
        return tables.engine(self.folder.path, doing)

"""Dense and lexical search in an index, by `near_vector` and `bm25`.

Scores are those of every store: 1 minus the server's distance (cosine similarity; the same for `dot` and `l2-squared`,
so that higher is better), and BM25 with Lucene's factor k1 + 1, which the server omits.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any, cast
from uuid import UUID

from weaviate.classes.query import Filter, MetadataQuery

from ragloom.components.vector_store.filter_tree import NOTHING
from ragloom.components.vector_store.protocols import Analyzer
from ragloom.components.vector_store.search_results import Row, Scope, best, checked_vector, complete
from ragloom.components.vector_store.weaviate_store import filters
from ragloom.components.vector_store.weaviate_store.bulk_reads import by_ids
from ragloom.components.vector_store.weaviate_store.collection_pair import CollectionPair
from ragloom.components.vector_store.weaviate_store.index_state import FRESH_SECONDS, IndexState
from ragloom.components.vector_store.weaviate_store.object_mapping import (
    ABOUT,
    READ,
    chunk_uuid,
    stored_chunk,
    vector_of,
)
from ragloom.components.vector_store.weaviate_store.schema import CHUNKS
from ragloom.core.records import Chunk, Match
from ragloom.errors import DataError, OutdatedRanking, ServiceError

_MAX_READS = 50
_MAX_CACHED_DOCUMENTS = 100_000
_UNKNOWN = object()
_SPARE = {"distance": 1, "score": 8}
"""Results beyond k of the first search: equal BM25 scores are more frequent than equal distances."""
_DISTANCE, _SCORE = MetadataQuery(distance=True), MetadataQuery(score=True)


@dataclass(frozen=True)
class Contents:
    """Properties that a search reads of chunks, with or without vectors."""

    properties: list[str]
    vectors: bool = False


@dataclass(frozen=True)
class Score:
    """The server's own score of an object, by name, and the store's."""

    name: str
    of: Callable[[float], float]

    def raw(self, item: Any) -> float:
        """Return the server's own score of an object."""
        return float(getattr(item.metadata, self.name))


class WeaviateSearch:
    """Search in the chunks of one index, committed versions only.

    Args:
        pair: collections of the index.
        analyzer: turns questions into terms.
        known: time of a read of the index's state (`time.monotonic`), and the state; None where there is no manifest,
            so that every chunk counts.
    """

    def __init__(self, pair: CollectionPair, analyzer: Analyzer, known: tuple[float, IndexState] | None) -> None:
        self.pair = pair
        self.connection, self.options = pair.connection, pair.options
        self.analyzer = analyzer
        self._known = known
        self._state_lock = Lock()
        self._columns_read = -FRESH_SECONDS
        self._manifest: dict[str, tuple[str | None, float]] = {}  # document -> content hash, time of the read

    def dense(self, vector: Sequence[float], k: int, scope: Scope, *, with_vectors: bool = False) -> list[Row]:
        """Return the k nearest rows; ties by (document, start) and complete.

        Raises:
            DataError: the vector has other dimensions than the index, or is not finite.
        """
        query_search = self._near(vector)
        return [] if query_search is None else self._best(*query_search, k, scope, Contents(READ, with_vectors))

    def lexical(self, query: str, k: int, scope: Scope, *, with_vectors: bool = False) -> list[Row]:
        """Return the k rows of highest BM25 score; as `dense` otherwise."""
        query_search = self._having(query)
        return [] if query_search is None else self._best(*query_search, k, scope, Contents(READ, with_vectors))

    def dense_matches(self, vector: Sequence[float], k: int, scope: Scope) -> list[Match]:
        """Rank as `dense`, and read no text."""
        query_search = self._near(vector)
        return [] if query_search is None else self._matches(*query_search, k, scope)

    def lexical_matches(self, query: str, k: int, scope: Scope) -> list[Match]:
        """Rank as `lexical`, and read no text."""
        query_search = self._having(query)
        return [] if query_search is None else self._matches(*query_search, k, scope)

    def load(self, keys: Sequence[Hashable]) -> list[Chunk]:
        """Read the chunks of matches, in their order.

        A chunk of an index never changes under its id, which is a digest of what it was cut from. It may be gone.

        Raises:
            OutdatedRanking: one of them was replaced since.
        """
        chunks = self._read(cast(Sequence[UUID], keys), READ)
        if missing := [key for key in keys if key not in chunks]:
            raise OutdatedRanking(
                f"vector_store: chunk {missing[0]} of index {self.pair.label.index} was replaced while it was read; "
                "query again when the ingest has advanced"
            )
        return [chunks[key] for key in keys]

    def _read(self, ids: Sequence[UUID], properties: list[str]) -> dict[Hashable, Chunk]:
        objects = by_ids(self.connection, self.pair.chunks, "reading chunks", ids, properties=properties)
        return {item.uuid: stored_chunk(item).row.chunk for item in objects}

    def _near(self, vector: Sequence[float]) -> tuple[Callable[..., Any], Score] | None:
        """Build the search by a vector; None for zeros."""
        query = checked_vector(vector, self.pair.label.dimensions)
        if not query.any():
            return None
        search = partial(self.pair.chunks.query.near_vector, query.tolist(), return_metadata=_DISTANCE)

        def similarity(distance: float) -> float:
            similarity = 1.0 - distance
            return max(-1.0, min(1.0, similarity)) if self.options.index["distance"] == "cosine" else similarity

        return search, Score("distance", similarity)

    def _having(self, query: str) -> tuple[Callable[..., Any], Score] | None:
        """Build the search by the terms of a text; None without any."""
        terms = self.analyzer.terms(query)
        if not terms:
            return None
        factor = self.options.index["bm25_k1"] + 1
        search = partial(
            self.pair.chunks.query.bm25, " ".join(terms), query_properties=["terms"], return_metadata=_SCORE
        )
        return search, Score("score", lambda score: score * factor)

    def rows(self, scope: Scope, *, with_vectors: bool = False) -> list[Row]:
        """Return all rows in scope, ordered by (document, start)."""
        where = self.condition(scope)
        if where is NOTHING:
            return []
        rows = self._committed(lambda: [item.row for item in self.pair.scan(where, with_vectors=with_vectors)])
        return best(rows, max(1, len(rows)))

    def vectors(self, ids: Sequence[str]) -> dict[str, list[float]]:
        """Return the stored vectors by chunk id."""
        by_uuid = {chunk_uuid(id): id for id in ids}
        objects = by_ids(
            self.connection, self.pair.chunks, "reading vectors", list(by_uuid), properties=[], include_vector=True
        )
        return {by_uuid[item.uuid]: vector_of(item, self.pair.label.dimensions) for item in objects}

    def count(self) -> int:
        """Count the rows."""
        return self.pair.count(CHUNKS)

    def condition(self, scope: Scope) -> filters.Where:
        """Translate a scope to a filter: None = all rows, `NOTHING` none."""
        parts: list[filters.Where] = []
        if scope.filters is not None:
            parts.append(filters.where(scope.filters, self._columns(), self.connection.version))
        if scope.documents is not None:
            parts.append(filters.one_of("document", list(scope.documents)) if scope.documents else NOTHING)
        if scope.ids is not None:
            ids = [chunk_uuid(id) for id in scope.ids]
            parts.append(Filter.by_id().contains_any(ids) if ids else NOTHING)
        return filters.all_of(*parts)

    def _columns(self) -> set[str]:
        """Return the chunks' properties, refreshed for new metadata keys."""
        now = time.monotonic()
        stale = now - self._columns_read > FRESH_SECONDS
        if stale:
            self._columns_read = now
        return self.pair.columns(refresh=stale)

    def _matches(self, search: Callable[..., Any], score: Score, k: int, scope: Scope) -> list[Match]:
        """Rank by ids and scores alone where no writer is at work.

        Of equal scores, (document, start) are read. With a writer the version of each chunk decides.
        """
        where, known = self.condition(scope), self._known
        if where is NOTHING:
            return []
        if known is None or known[1].writing is None:
            ids_only = partial(search, filters=where, return_properties=[])
            items = complete(lambda limit: self._fetch(ids_only, k, limit), k, score.raw, spare=_SPARE[score.name])
            matches = [Match(item.uuid, score.of(score.raw(item))) for item in items]
            if not items:
                return []
            if known is None or self._was_quiet(known):
                matches = [match for match in matches if match.score >= matches[:k][-1].score]
                counts = Counter(match.score for match in matches)
                tied = [cast(UUID, match.key) for match in matches if counts[match.score] > 1]
                chunks = self._read(tied, [ABOUT])
                if len(chunks) == len(tied):
                    return sorted(matches, key=lambda match: (-match.score, *_place(chunks.get(match.key))))[:k]
        rows = self._best(search, score, k, scope, Contents([ABOUT]))
        return [Match(chunk_uuid(row.chunk.id), row.score) for row in rows]

    def _best(self, search: Callable[..., Any], score: Score, k: int, scope: Scope, contents: Contents) -> list[Row]:
        """Fetch until k committed rows are complete at the cut.

        Args:
            search: of the client, without limit.
            score: that the rows get.
            k: number of rows.
            scope: of the search.
            contents: what is read of the chunks.
        """
        where = self.condition(scope)
        if where is NOTHING:
            return []
        vectors = contents.vectors
        dimensions = self.pair.label.dimensions if vectors else None
        search = partial(search, filters=where, return_properties=contents.properties, include_vector=vectors)
        depth, fetched = k, 0

        def read() -> list[Row]:
            nonlocal fetched
            items = complete(lambda limit: self._fetch(search, k, limit), depth, score.raw, spare=_SPARE[score.name])
            fetched = len(items)
            return [stored_chunk(item, score=score.of(score.raw(item)), dimensions=dimensions).row for item in items]

        while True:
            rows = self._committed(read)
            most = self.connection.most_results
            if len(rows) >= k or fetched < depth or fetched >= most:
                return best(rows, k)
            depth = min(4 * depth, most)

    def _fetch(self, search: Callable[..., Any], k: int, limit: int) -> list[Any]:
        """Search for as many results as the server allows [46].

        Raises:
            DataError: the limit is below k.
        """

        def within(limit: int) -> Any:
            if k > limit:
                raise DataError(
                    f"vector_store: {k} results must be at most {limit}, the server's limit for one search "
                    "(QUERY_MAXIMUM_RESULTS); lower retriever.top_k or retriever.candidates, or raise it on the server"
                )
            return search(limit=limit)

        return list(self.connection.limited("searching", limit, within).objects)

    def _committed(self, read: Callable[[], list[Row]]) -> list[Row]:
        """Read rows without chunks of uncommitted versions.

        The manifest after a search may differ from the one during it: a document committed in between would be seen in
        part or not at all. So rows are read again until the manifest did not change.

        Raises:
            ServiceError: the documents change faster than they can be read.
        """
        for _ in range(_MAX_READS):
            start, known = time.monotonic(), self._known
            rows = read()
            if known is None or not rows or self._was_quiet(known):
                return rows
            documents = list(dict.fromkeys(row.chunk.document for row in rows))
            manifest = self.pair.manifest_objects(documents, ["content_hash"])
            now = time.monotonic()
            committed = {id: manifest[id].properties["content_hash"] if id in manifest else None for id in documents}
            unchanged = all(self._previous(id, start) == hashed for id, hashed in committed.items())
            if len(self._manifest) > _MAX_CACHED_DOCUMENTS:
                self._manifest.clear()
            self._manifest |= {id: (hashed, now) for id, hashed in committed.items()}
            if unchanged:
                return [row for row in rows if committed[row.chunk.document] == row.chunk.content_hash]
        raise ServiceError(
            f"vector_store: the documents of index {self.pair.label.index} changed during {_MAX_READS} reads; query "
            "again when the ingest has advanced"
        )

    def _previous(self, document: str, before: float) -> object:
        """Return a document's hash from an earlier read, or a unique object."""
        hashed, read_at = self._manifest.get(document, (None, before))
        return hashed if read_at < before else _UNKNOWN

    def _was_quiet(self, known: tuple[float, IndexState]) -> bool:
        """Check whether no writer was at work while rows were read.

        A state read at most `FRESH_SECONDS` ago still holds, since a writer waits so long before its first change. An
        older one is read again; if it is another commit then, the rows may be of several.

        Args:
            known: state as it was known before the rows were read, and when.
        """
        if time.monotonic() - known[0] >= FRESH_SECONDS:
            newest = self._fresh_state()
            return newest.writing is None and known[1].writing is None and known[1].version == newest.version
        return known[1].writing is None

    def _fresh_state(self) -> IndexState:
        """Return a state that still holds; one thread reads it for all.

        Raises:
            ServiceError: the index was removed.
        """
        with self._state_lock:
            now = time.monotonic()
            if self._known is None or now - self._known[0] >= FRESH_SECONDS:
                state = self.pair.state()
                if state is None:
                    raise ServiceError(
                        f"vector_store: index {self.pair.label.index} was removed while it was read; open it again"
                    )
                self._known = (now, state)
            return self._known[1]


def _place(chunk: Chunk | None) -> tuple[Any, ...]:
    return () if chunk is None else (chunk.document, chunk.start, chunk.id)

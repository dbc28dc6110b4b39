"""Searches in the chunks of an index on a server: `near_vector` and `bm25` alone, in one order. Knows places.

Scores are those of every store: 1 minus the server's distance (cosine similarity; for `dot` and `l2-squared` likewise,
so that higher is better), and BM25 with Lucene's factor k1 + 1, which the server leaves out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from weaviate.classes.query import Filter, MetadataQuery

from ragloom.components.vector_store.filter_tree import NOTHING
from ragloom.components.vector_store.protocols import Analyzer
from ragloom.components.vector_store.search_results import Row, Scope, best, checked_vector, complete
from ragloom.components.vector_store.weaviate_store import filters
from ragloom.components.vector_store.weaviate_store.bulk_reads import by_ids
from ragloom.components.vector_store.weaviate_store.collections import Place
from ragloom.components.vector_store.weaviate_store.errors import TooMany
from ragloom.components.vector_store.weaviate_store.index_state import FRESH_SECONDS, State
from ragloom.components.vector_store.weaviate_store.object_mapping import READ, chunk_uuid, stored_chunk, vector_of
from ragloom.errors import DataError, ServiceError

_MOST_READS = 50
_MOST_REMEMBERED = 100_000
_NOT_ASKED = object()


class ChunkSearch:
    """Reads the chunks of one index; of each document those of its committed version only.

    Args:
        place: the generation to read.
        analyzer: turns questions into terms.
        known: when the index's state was asked for (`time.monotonic`), and what it was; None where there is no
            manifest, so that every chunk counts.
    """

    def __init__(self, place: Place, analyzer: Analyzer, known: tuple[float, State] | None) -> None:
        self.place = place
        self._analyzer = analyzer
        self._known = known
        self._columns_read = -FRESH_SECONDS
        self._manifest: dict[str, tuple[str | None, float]] = {}  # content hash, and when it was asked for

    def dense(self, vector: Sequence[float], k: int, scope: Scope, *, with_vectors: bool = False) -> list[Row]:
        """Returns the k rows nearest to a vector; ties by (document, start), complete at the cut.

        Raises:
            DataError: the vector has other dimensions than the index, or is not finite.
        """
        query = checked_vector(vector, self.place.label.dimensions)
        if not query.any():
            return []
        asked = query.tolist()

        def fetch(limit: int, where: Any) -> list[Any]:
            answer = self.place.connection.call(
                "searching",
                lambda: self.place.chunks.query.near_vector(
                    asked,
                    limit=limit,
                    filters=where,
                    return_properties=READ,
                    return_metadata=_DISTANCE,
                    include_vector=with_vectors,
                ),
            )
            return list(answer.objects)

        def score(item: Any) -> float:
            similarity = 1.0 - float(item.metadata.distance)
            return max(-1.0, min(1.0, similarity)) if self.place.options.index["distance"] == "cosine" else similarity

        return self._best(fetch, k, scope, lambda item: float(item.metadata.distance), score, with_vectors, spare=1)

    def lexical(self, query: str, k: int, scope: Scope, *, with_vectors: bool = False) -> list[Row]:
        """Returns the k rows of highest BM25 score that hold a term of the query; as `dense` otherwise."""
        terms = self._analyzer.terms(query)
        if not terms:
            return []
        text = " ".join(terms)

        def fetch(limit: int, where: Any) -> list[Any]:
            answer = self.place.connection.call(
                "searching",
                lambda: self.place.chunks.query.bm25(
                    text,
                    query_properties=["terms"],
                    limit=limit,
                    filters=where,
                    return_properties=READ,
                    return_metadata=_SCORE,
                    include_vector=with_vectors,
                ),
            )
            return list(answer.objects)

        factor = self.place.options.index["bm25_k1"] + 1

        def raw(item: Any) -> float:
            return float(item.metadata.score)

        return self._best(fetch, k, scope, raw, lambda item: raw(item) * factor, with_vectors, spare=8)

    def rows(self, scope: Scope, *, with_vectors: bool = False) -> list[Row]:
        """Returns all rows in scope, ordered by (document, start)."""
        where = self.condition(scope)
        if where is NOTHING:
            return []
        found = self._committed(lambda: [item.row for item in self.place.scan(where, with_vectors=with_vectors)])
        return best(found, max(1, len(found)))

    def vectors(self, ids: Sequence[str]) -> dict[str, list[float]]:
        """Returns the vectors of those chunks that are there, by chunk id."""
        by_uuid = {chunk_uuid(id): id for id in ids}
        found = by_ids(
            self.place.connection,
            self.place.chunks,
            "reading vectors",
            list(by_uuid),
            properties=[],
            include_vector=True,
        )
        return {by_uuid[item.uuid]: vector_of(item, self.place.label.dimensions) for item in found}

    def count(self) -> int:
        """Counts the rows."""
        from ragloom.components.vector_store.weaviate_store.schema import CHUNKS

        return self.place.count(CHUNKS)

    def condition(self, scope: Scope) -> filters.Where:
        """Translates a scope to a filter; None when it limits nothing, `NOTHING` when nothing can pass."""
        parts: list[filters.Where] = []
        if scope.filters is not None:
            parts.append(filters.where(scope.filters, self._columns(), self.place.connection.version))
        if scope.documents is not None:
            parts.append(filters.one_of("document", list(scope.documents)) if scope.documents else NOTHING)
        if scope.ids is not None:
            ids = [chunk_uuid(id) for id in scope.ids]
            parts.append(Filter.by_id().contains_any(ids) if ids else NOTHING)
        return filters.all_of(*parts)

    def _columns(self) -> set[str]:
        """Returns the chunks' properties, read anew now and then: an ingest may bring new metadata keys."""
        now = time.monotonic()
        if now - self._columns_read > FRESH_SECONDS:
            self.place.columns(anew=True)
            self._columns_read = now
        return self.place.columns()

    def _best(
        self,
        fetch: Callable[[int, Any], list[Any]],
        k: int,
        scope: Scope,
        raw: Callable[[Any], float],
        score: Callable[[Any], float],
        with_vectors: bool,
        *,
        spare: int,
    ) -> list[Row]:
        """Fetches until k committed rows are complete at the cut, or there are no more."""
        where = self.condition(scope)
        if where is NOTHING:
            return []
        dimensions = self.place.label.dimensions if with_vectors else None
        wanted, found = k, 0

        def read() -> list[Row]:
            nonlocal found
            items = complete(lambda limit: self._within(k, limit, where, fetch), wanted, raw, spare=spare)
            found = len(items)
            return [stored_chunk(item, score=score(item), dimensions=dimensions).row for item in items]

        while True:
            kept = self._committed(read)
            most = self.place.connection.most_results
            if len(kept) >= k or found < wanted or found >= most:
                return best(kept, k)
            wanted = min(4 * wanted, most)

    def _within(self, k: int, limit: int, where: Any, fetch: Callable[[int, Any], list[Any]]) -> list[Any]:
        """Fetches as many as the server gives; that is learned from its first refusal [46].

        Raises:
            DataError: it does not give the k that are asked for.
        """
        while True:
            most = self.place.connection.most_results
            if k > most:
                raise DataError(
                    f"vector_store: {k} results must be at most {most}, the server's limit for one search "
                    "(QUERY_MAXIMUM_RESULTS); lower retriever.top_k or retriever.candidates, or raise it on the server"
                )
            try:
                return fetch(min(limit, most), where)
            except TooMany:
                continue

    def _committed(self, read: Callable[[], list[Row]]) -> list[Row]:
        """Reads rows, and leaves out chunks of versions that the manifest does not name, where there may be any.

        What the manifest says after the search need not have held during it: a document that was committed in between
        would be seen in a part or not at all. So rows are read again until it says what it said before.

        Raises:
            ServiceError: the documents change faster than they can be read.
        """
        for _ in range(_MOST_READS):
            began = time.monotonic()
            rows = read()
            if self._known is None or not rows or self._quiet(self._known):
                return rows
            documents = list(dict.fromkeys(row.chunk.document for row in rows))
            manifest = self.place.manifest_objects(documents, ["content_hash"])
            now = time.monotonic()
            committed = {id: manifest[id].properties["content_hash"] if id in manifest else None for id in documents}
            settled = all(self._said(id, began) == hashed for id, hashed in committed.items())
            if len(self._manifest) > _MOST_REMEMBERED:
                self._manifest.clear()
            self._manifest |= {id: (hashed, now) for id, hashed in committed.items()}
            if settled:
                return [row for row in rows if committed[row.chunk.document] == row.chunk.content_hash]
        raise ServiceError(
            f"vector_store: the documents of index {self.place.label.index} change faster than they can be read; ask "
            "again when the ingest has gone on"
        )

    def _said(self, document: str, before: float) -> object:
        """Returns what the manifest said of a document before a moment; something that equals nothing if not asked."""
        hashed, asked = self._manifest.get(document, (None, before))
        return hashed if asked < before else _NOT_ASKED

    def _quiet(self, known: tuple[float, State]) -> bool:
        """Says whether nobody wrote when the rows at hand were read.

        A state that was asked for no longer than `FRESH_SECONDS` ago still holds, since a writer waits so long before
        it changes anything. An older one is read again; if it is another commit then, the rows may be of several.
        """
        now = time.monotonic()
        if now - known[0] < FRESH_SECONDS:
            return known[1].writing is None
        state = self.place.state()
        if state is None:
            raise ServiceError(
                f"vector_store: index {self.place.label.index} was removed while it was read; open it again"
            )
        self._known = (now, state)
        return state.writing is None and known[1].writing is None and known[1].version == state.version


_DISTANCE = MetadataQuery(distance=True)
_SCORE = MetadataQuery(score=True)

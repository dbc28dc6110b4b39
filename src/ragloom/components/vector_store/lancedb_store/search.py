"""Searches in a chunk table: cosine and BM25, with complete ties.

Dense search is exact unless it has parameters of an approximate index; these score what they find by the stored
vectors, so that the same row has the same score, equal rows stand in the same order, and ties are completed as well.

BM25 is Lucene's: for each term of the query, as often as it stands there, `idf * tf * (k1 + 1) / (tf + k1 * (1 - b +
b * length / mean length))` with `idf = ln(1 + (N - df + .5) / (df + .5))`, k1 = 1.2, b = .75, in 32-bit floats; a
test holds the engine against it. Cosine similarity is 1 minus the engine's 32-bit cosine distance, so it is right to
about 1e-7 (checked against NumPy) and cut to [-1, 1]. A vector of zeros has no direction: it finds nothing and is not
found.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lancedb.query import MatchQuery

from ragloom.components.vector_store.lancedb_store import sql_filters
from ragloom.components.vector_store.lancedb_store.ann_recall import DEPTHS
from ragloom.components.vector_store.lancedb_store.nearest_neighbors import SPARE, Parameters, nearest
from ragloom.components.vector_store.lancedb_store.tables import READING, batches, engine
from ragloom.components.vector_store.protocols import Analyzer
from ragloom.components.vector_store.search_results import Row, Scope, best, checked_vector, complete
from ragloom.core.records import Chunk

_CHUNK_COLUMNS = ["id", "document", "content_hash", "start_char", "end_char", "text", "metadata", "node"]


@dataclass(eq=False)
class ChunkSearch:
    """Reads one state of a chunk table.

    Args:
        table: checked out at a version, or at its newest.
        dimensions: of its vectors.
        analyzer: turns questions into terms.
        path: the index's folder, for messages.
        parameters: of the table's approximate index, whose recall was measured; None: dense search is exact.
    """

    table: Any
    dimensions: int
    analyzer: Analyzer
    path: Path
    parameters: Parameters | None = None

    def dense(self, vector: Sequence[float], k: int, scope: Scope, *, with_vectors: bool = False) -> list[Row]:
        """Return the k rows of highest cosine similarity.

        Ties are ordered by (document, start), complete at the cut.

        Raises:
            DataError: the vector has other dimensions than the index, or is not finite.
        """
        query = checked_vector(vector, self.dimensions)
        if not query.any():
            return []
        # What was measured holds for lists of that length from everything; whatever else is asked is answered exactly.
        measured = k <= max(DEPTHS) and self.condition(scope) is None
        parameters = self.parameters if measured else None

        def fetch(limit: int) -> Any:
            if parameters is not None:
                result = self._run(nearest(self.table, query, limit, parameters), scope, with_vectors, "_distance")
                if result.num_rows == limit:
                    return result  # fewer: the partitions that were searched do not hold so many
            return self._run(nearest(self.table, query, limit, None), scope, with_vectors, "_distance")

        return self._best(fetch, k, "_distance", lambda distance: max(-1.0, min(1.0, 1.0 - distance)))

    def lexical(self, query: str, k: int, scope: Scope, *, with_vectors: bool = False) -> list[Row]:
        """Return the k rows of highest BM25 score, ordered as `dense`."""
        terms = self.analyzer.terms(query)
        if not terms:
            return []

        def fetch(limit: int) -> Any:
            search = self.table.search(_any_of(terms), query_type="fts").limit(limit)
            return self._run(search, scope, with_vectors, "_score")

        return self._best(fetch, k, "_score", lambda score: score)

    def rows(self, scope: Scope, *, with_vectors: bool = False) -> list[Row]:
        """Return all rows in scope, ordered by (document, start)."""
        rows: list[Row] = []
        for part in _parts(scope):
            with engine(self.path, "reading", READING):
                table = self._run(self.table.search(), part, with_vectors)
            rows += [_row(item, 0.0) for item in table.to_pylist()]
        return sorted(rows, key=lambda row: (row.chunk.document, row.chunk.start, row.chunk.id))

    def vectors(self, ids: Sequence[str]) -> dict[str, list[float]]:
        """Return the vectors of those chunks that are there, by chunk id."""
        vectors: dict[str, list[float]] = {}
        for some in batches(list(dict.fromkeys(ids))):
            with engine(self.path, "reading vectors", READING):
                rows = self.table.search().where(sql_filters.one_of("id", some)).select(["id", "vector"]).to_arrow()
            vectors |= dict(zip(rows["id"].to_pylist(), rows["vector"].to_pylist(), strict=True))
        return vectors

    def count(self) -> int:
        """Count the rows."""
        with engine(self.path, "counting", READING):
            return int(self.table.count_rows())

    def condition(self, scope: Scope) -> str | None:
        """Translate a scope to SQL; None when it limits nothing."""
        parts = [sql_filters.where(scope.filters, self.table.schema.names)]
        parts += [
            sql_filters.one_of(name, values)
            for name, values in (("document", scope.documents), ("id", scope.ids))
            if values is not None
        ]
        return " AND ".join(part for part in parts if part is not None) or None

    def _run(self, search: Any, scope: Scope, with_vectors: bool, *scores: str) -> Any:
        condition = self.condition(scope)
        if condition is not None:
            search = search.where(condition)  # before the search: lancedb's `prefilter` is True by default
        return search.select([*_CHUNK_COLUMNS, *(["vector"] if with_vectors else []), *scores]).to_arrow()

    def _best(self, fetch: Callable[[int], Any], k: int, column: str, score: Callable[[float], float]) -> list[Row]:
        def fetched(limit: int) -> list[dict[str, Any]]:
            with engine(self.path, "searching", READING):
                return list(fetch(limit).to_pylist())

        items = complete(fetched, k, lambda item: float(item[column]), spare=SPARE)
        return best((_row(item, score(item[column])) for item in items), k)


def _any_of(terms: list[str]) -> MatchQuery:
    """Build a query for any of the terms.

    Nothing in them is syntax, and a term that occurs twice counts twice.
    """
    return MatchQuery(" ".join(terms), "terms")  # type: ignore[call-arg]  # its other fields have defaults


def _parts(scope: Scope) -> Iterator[Scope]:
    """Split a scope of many ids into scopes of one statement each."""
    if scope.ids is None:
        yield scope
        return
    for some in batches(list(dict.fromkeys(scope.ids))):
        yield Scope(scope.filters, scope.documents, some)


def _row(item: dict[str, Any], score: float) -> Row:
    id, document, content_hash, start, end, text, metadata, node = (item[name] for name in _CHUNK_COLUMNS)
    chunk = Chunk(id, document, content_hash, start, end, text, json.loads(metadata))
    return Row(chunk, node, score, item.get("vector"))

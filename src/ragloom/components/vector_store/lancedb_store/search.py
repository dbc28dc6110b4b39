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
import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lancedb.query import MatchQuery

from ragloom.components.vector_store.lancedb_store import sql_filters
from ragloom.components.vector_store.lancedb_store.nearest_neighbors import SPARE, Parameters, nearest
from ragloom.components.vector_store.lancedb_store.tables import READING, batches, engine
from ragloom.components.vector_store.protocols import Analyzer
from ragloom.components.vector_store.recall_probes import DEPTHS
from ragloom.components.vector_store.search_results import Row, Scope, best, checked_vector, complete
from ragloom.core.records import Chunk, Match

RowScore = tuple[int, float]
"""The engine's id of a row in this state of the table, and its score."""
_CHUNK_COLUMNS = ["id", "document", "content_hash", "start_char", "end_char", "text", "metadata", "node"]
_PLACE_COLUMNS = ["document", "start_char", "id"]
"""What orders equal scores."""

_MOST_TIED = 512
"""Rows that an approximate search fetches for a tie at the cut, about: chunks of equal text. Of 1,015,516 chunks, 410
rows took 17 ms and the next step, 2,010, took 64 ms. A longer tie is cut in the table's order.
"""


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
        return self._best(self._near(vector, k, scope), k, with_vectors)

    def lexical(self, query: str, k: int, scope: Scope, *, with_vectors: bool = False) -> list[Row]:
        """Return the k rows of highest BM25 score, ordered as `dense`."""
        return self._best(self._having(query, k, scope), k, with_vectors)

    def dense_matches(self, vector: Sequence[float], k: int, scope: Scope) -> list[Match]:
        """Rank as `dense`, and read of tied chunks alone where they stand."""
        return self._ranked(self._near(vector, k, scope), k)

    def lexical_matches(self, query: str, k: int, scope: Scope) -> list[Match]:
        """Rank as `lexical`, and read of tied chunks alone where they stand."""
        return self._ranked(self._having(query, k, scope), k)

    def load(self, keys: Sequence[Hashable]) -> list[Chunk]:
        """Read the chunks of matches, in their order."""
        rows = cast(Sequence[int], keys)
        items = self._taken(rows, _CHUNK_COLUMNS)
        return [_row(items[row], 0.0).chunk for row in rows]

    def rows(self, scope: Scope, *, with_vectors: bool = False) -> list[Row]:
        """Return all rows in scope, ordered by (document, start)."""
        rows: list[Row] = []
        for part in _parts(scope):
            with engine(self.path, "reading", READING):
                table = _within(self.table.search(), self.condition(part)).select(_columns(with_vectors)).to_arrow()
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
        filters = scope.filters
        parts = [None if filters is None else sql_filters.where(filters, self.table.schema.names)]
        parts += [
            sql_filters.one_of(name, values)
            for name, values in (("document", scope.documents), ("id", scope.ids))
            if values is not None
        ]
        return " AND ".join(part for part in parts if part is not None) or None

    def _near(self, vector: Sequence[float], k: int, scope: Scope) -> list[RowScore]:
        query = checked_vector(vector, self.dimensions)
        if not query.any():
            return []
        condition = self.condition(scope)
        # What was measured holds for lists of that length from everything; whatever else is asked is answered exactly.
        parameters = self.parameters if k <= max(DEPTHS) and condition is None else None

        def fetch(limit: int) -> list[RowScore]:
            if parameters is not None:
                pairs = self._run(nearest(self.table, query, limit, parameters), None, "_distance")
                if len(pairs) == limit:
                    return pairs  # fewer: the partitions that were searched do not hold so many
            return self._run(nearest(self.table, query, limit, None), condition, "_distance")

        most = math.inf if parameters is None else _MOST_TIED
        pairs = complete(fetch, k, lambda item: item[1], spare=SPARE, most=most)
        return [(row, max(-1.0, min(1.0, 1.0 - distance))) for row, distance in pairs]

    def _having(self, query: str, k: int, scope: Scope) -> list[RowScore]:
        terms = self.analyzer.terms(query)
        if not terms:
            return []

        condition = self.condition(scope)

        def fetch(limit: int) -> list[RowScore]:
            return self._run(self.table.search(_any_of(terms), query_type="fts").limit(limit), condition, "_score")

        return list(complete(fetch, k, lambda item: item[1], spare=SPARE))

    def _run(self, search: Any, condition: str | None, score: str) -> list[RowScore]:
        with engine(self.path, "searching", READING):
            table = _within(search, condition).select([score]).with_row_id(True).to_arrow()
        return list(zip(table["_rowid"].to_pylist(), table[score].to_pylist(), strict=True))

    def _taken(self, rows: Sequence[int], columns: list[str]) -> dict[int, dict[str, Any]]:
        """Read columns of rows, by row."""
        with engine(self.path, "reading", READING):
            taken = self.table.take_row_ids(list(rows)).select(columns).with_row_id().to_arrow()
        return {item["_rowid"]: item for item in taken.to_pylist()}

    def _best(self, pairs: Sequence[RowScore], k: int, with_vectors: bool) -> list[Row]:
        leaders = _leading(pairs, k)
        if not leaders:
            return []
        items = self._taken([row for row, _ in leaders], _columns(with_vectors))
        return best((_row(items[row], score) for row, score in leaders), k)

    def _ranked(self, pairs: Sequence[RowScore], k: int) -> list[Match]:
        leaders = _leading(pairs, k)
        equal = Counter(score for _, score in leaders)
        tied = [row for row, score in leaders if equal[score] > 1]
        items = self._taken(tied, _PLACE_COLUMNS) if tied else {}
        places = {row: tuple(item[name] for name in _PLACE_COLUMNS) for row, item in items.items()}
        leaders.sort(key=lambda item: (-item[1], places.get(item[0], ())))
        return [Match(row, score) for row, score in leaders[:k]]


def _within(search: Any, condition: str | None) -> Any:
    """Limit a search beforehand: lancedb's `prefilter` is True by default."""
    return search if condition is None else search.where(condition)


def _columns(with_vectors: bool) -> list[str]:
    return [*_CHUNK_COLUMNS, "vector"] if with_vectors else _CHUNK_COLUMNS


def _leading(pairs: Sequence[RowScore], k: int) -> list[RowScore]:
    """Cut rows, best first, after k, but never between equal ones."""
    return [item for item in pairs if item[1] >= pairs[min(k, len(pairs)) - 1][1]]


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

"""Leftovers of an interrupted run: unmatched chunks and manifest rows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute

from ragloom.components.vector_store.lancedb_store.sql_filters import any_of, one_of, version
from ragloom.components.vector_store.lancedb_store.tables import IDS_PER_STATEMENT, batches


def leftovers(chunks: Any, documents: Any) -> tuple[list[str], list[str]]:
    """Compare chunks with the manifest per (document, content_hash).

    A document is complete when as many chunks carry its manifest row's content hash as the row says. Chunks of no
    row or of another hash are left over; so are row and chunks of a document that is not complete. Memory grows with
    the number of documents (about 200 bytes each), not with the text.

    Returns:
        SQL conditions of the chunks to delete, then of the documents.
    """
    key = ["document", "content_hash"]
    rows = _arrow(documents, ["id", "content_hash", "chunks"]).rename_columns([*key, "expected"])
    counted = _arrow(chunks, key).group_by(key).aggregate([([], "count_all")])
    both = rows.join(counted, key, join_type="full outer")
    expected, stored = both["expected"], both["count_all"].fill_null(0)
    wrong = both.filter(pa.compute.invert(pa.compute.equal(expected, stored).fill_null(False)))
    orphans = [row for row in wrong.to_pylist() if row["expected"] is None]
    incomplete = [row["document"] for row in wrong.to_pylist() if row["expected"] is not None]
    chunk_conditions = []
    for start in range(0, len(orphans), IDS_PER_STATEMENT):
        some = orphans[start : start + IDS_PER_STATEMENT]
        chunk_conditions.append(any_of(version(row["document"], row["content_hash"]) for row in some))
    chunk_conditions += [one_of("document", some) for some in batches(incomplete)]
    return chunk_conditions, [one_of("id", some) for some in batches(incomplete)]


def _arrow(table: Any, columns: list[str]) -> pa.Table:
    return table.search().select(columns).to_arrow()

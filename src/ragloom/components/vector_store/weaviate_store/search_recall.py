"""Recall of approximate dense search, and the width that it needs.

By itself the server searches an hnsw graph with a width of 100 to 500, whatever the vectors are like. For 152,908
lexical vectors (`hashing`, 384 dimensions) that found .59 of the exact ten, and 800 found .88; vectors of a language
model cluster, and need far less.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
from weaviate.classes.query import Filter, MetadataQuery

from ragloom.components.vector_store.protocols import Questions
from ragloom.components.vector_store.recall_probes import (
    FEWEST,
    GROWTH,
    QUESTIONS,
    ExactLists,
    Probes,
    probes_of,
    recall_of,
)
from ragloom.components.vector_store.weaviate_store.bulk_reads import batched
from ragloom.components.vector_store.weaviate_store.collection_pair import CollectionPair
from ragloom.components.vector_store.weaviate_store.mutable_settings import set_width
from ragloom.components.vector_store.weaviate_store.object_mapping import BUCKETS, chunk_uuid
from ragloom.components.vector_store.weaviate_store.recall_record import SearchRecall
from ragloom.components.vector_store.weaviate_store.search_width import AUTOMATIC, EF, SearchWidth, width_of
from ragloom.core.maintenance_steps import step
from ragloom.errors import RagloomError

_ROWS_AT_ONCE = 8192
_ROUNDING = 1e-5
"""Similarities that differ by less are equal: the server computes with 32 bits, from vectors that it normalised."""
_DISTANCE = MetadataQuery(distance=True)


def measured_again(pair: CollectionPair, last: SearchRecall | None, chunks: int, questions: Questions | None) -> bool:
    """Decide whether a commit measures recall.

    Args:
        last: measurement before; it holds until a tenth more chunks have come.
        chunks: of the index.
        questions: makes query-like vectors; None: there is nothing to measure with.
    """
    options = pair.options
    index = options.index
    width = width_of(index)
    if questions is None or index["distance"] != "cosine" or width is None or chunks < options.ann_threshold:
        return False
    if last is None or last.reason is not None or chunks > GROWTH * last.chunks:
        return True
    if last.wanted < options.min_ann_recall or last.width != width.wanted(index, last.width):
        return True
    # An index of type dynamic that is not a graph yet finds all, and may become one at any moment.
    return index["type"] == "dynamic" and min(last.recall.values()) == 1


def measure(pair: CollectionPair, chunks: int, questions: Questions) -> SearchRecall:
    """Measure recall; raise the width until it suffices, unless configured.

    An error leaves the index as it is, with the reason: what an ingest has paid for is not to be lost over it.

    Args:
        chunks: of the index.
        questions: makes query-like vectors.
    """
    index = pair.options.index
    width = width_of(index)
    assert width is not None, "exact search is not measured"
    kind = index["type"] if index["quantization"] == "none" else f"{index['type']} with {index['quantization']}"
    nothing = SearchRecall(kind, width.name, width.wanted(index, None), {}, 0, chunks, pair.options.min_ann_recall)
    step("asking questions to measure recall")
    try:
        queries = _probes(pair, chunks, questions)
        if len(queries.chunks) < FEWEST:
            reason = f"the chunks gave {len(queries.chunks)} questions, under {FEWEST}"
            return replace(nothing, questions=len(queries.chunks), reason=reason)
        step("searching exactly, to measure recall")
        best = _exact(pair, queries)
        return _climbed(pair, width, replace(nothing, questions=len(queries.chunks)), queries, best)
    except RagloomError as error:
        return replace(nothing, reason=f"{error}; the next ingest tries again")


def _climbed(
    pair: CollectionPair, width: SearchWidth, nothing: SearchRecall, queries: Probes, best: np.ndarray
) -> SearchRecall:
    """Raise the width from its lowest value until recall suffices."""
    # A collection has one width for all tenants: one of them is measured, and does not decide.
    free = pair.options.tenant is None and (width is not EF or nothing.width == AUTOMATIC)
    result = nothing
    for value in width.ladder if free else (nothing.width,):
        step(f"measuring recall with {width.name}={value}")
        if free:
            set_width(pair, width, value)
        least = nothing.wanted if free and value != width.ladder[-1] else 0.0  # the last one is measured to the end
        shares, _ = recall_of(_search(pair), queries, best, least, _ROUNDING)
        result = replace(nothing, width=value, recall=shares)
        if result.is_enough:
            break
    return result


def _search(pair: CollectionPair) -> Any:
    def search(vector: np.ndarray, depth: int) -> list[tuple[UUID, float]]:
        def near(limit: int) -> Any:
            return pair.chunks.query.near_vector(
                vector.tolist(), limit=limit, return_metadata=_DISTANCE, return_properties=[]
            )

        objects = pair.connection.limited("measuring recall", depth + 1, near).objects
        return [(item.uuid, 1.0 - item.metadata.distance) for item in objects]

    return search


def _probes(pair: CollectionPair, chunks: int, questions: Questions) -> Probes:
    """Make questions of the first buckets' chunks: a random, repeatable sample."""
    buckets = -(-2 * QUESTIONS * BUCKETS // max(1, chunks))  # not every text gives a question
    where = Filter.by_property("bucket").less_than(buckets) if buckets < BUCKETS else None
    rows = sorted((stored.row.chunk.id, stored.row.chunk.text) for stored in pair.scan(where))
    return probes_of([(chunk_uuid(id), text) for id, text in rows], questions, QUESTIONS)


def _exact(pair: CollectionPair, queries: Probes) -> np.ndarray:
    """Compare every stored vector with every question, in one pass."""
    lists, own = ExactLists(queries), {id: question for question, id in enumerate(queries.chunks)}
    for batch in batched(_vectors(pair), _ROWS_AT_ONCE):
        places = [(own[id], at) for at, (id, _) in enumerate(batch) if id in own]
        lists.add(np.array([vector for _, vector in batch], dtype=np.float32), places)
    return lists.best


def _vectors(pair: CollectionPair) -> Iterator[tuple[UUID, Any]]:
    for item in pair.vectors():
        yield item.uuid, item.vector["default"]

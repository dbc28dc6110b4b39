"""Verification by search: each chunk must be found by its vector [45].

A chunk is found when its id is among the hits of an unfiltered search: a filter may be answered without the graph, and
hide that the chunk is missing there. Where chunks of an equal vector fill the list, they count as one. A chunk without
a vector is searched by BM25. A lost chunk is deleted, inserted again, and searched once more.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import numpy as np
from weaviate.classes.query import Filter, MetadataQuery

from ragloom.components.vector_store.weaviate_store.bulk_reads import batched, by_ids
from ragloom.components.vector_store.weaviate_store.collection_pair import CollectionPair
from ragloom.components.vector_store.weaviate_store.object_mapping import ABOUT, chunk_name, copied_object
from ragloom.components.vector_store.weaviate_store.uncertain_writes import ChunkRepair, remove
from ragloom.errors import ServiceError

SAMPLE = 220
"""Chunks of one run to verify; a few may be gone again by then, and 200 have to be left."""
OLDER = 50
"""Chunks of earlier runs to verify."""
OLDER_AFTER_A_CRASH = 200
"""Chunks of earlier runs to verify where one was killed before its own verification."""
_REWRITES = 2
_NARROW, _WIDE, _WIDEST = 10, 1_000, 10_000
"""Hits of the searches for a chunk, one after another, since an approximate search may miss what is there."""
RETRY_DELAYS = (0.2, 0.5, 1.0)
"""Seconds before a missed chunk is searched again: a replica or a queue may be behind."""
_ENTRIES = 5
"""Index entries of one id: its own, and those without an object that killed servers left."""
_PAGE = 500
_SEARCH_THREADS = 4
_RANDOM_POINTS = 5
_MAX_TERMS = 32
_TOLERANCE = 1e-6
_POLL_SECONDS = 0.5
_DISTANCE = MetadataQuery(distance=True)


class LostToSearch(ServiceError):
    """Stored chunks out of reach of every search.

    Attributes:
        ids: of the objects.
    """

    def __init__(self, *problems: str, ids: Sequence[UUID] = ()) -> None:
        super().__init__(*problems)
        self.ids = list(ids)


class ChunkSample:
    """Random sample of a run's chunks (Vitter's algorithm R), plus required ones.

    Args:
        seed: equal seeds draw equal samples.

    Attributes:
        required: chunks to verify in any case: object id, document and content hash of each.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)
        self._sample: list[tuple[UUID, str, str]] = []
        self.required: list[tuple[UUID, str, str]] = []
        self._count = 0

    def add(self, chunks: Iterable[tuple[UUID, str, str]]) -> None:
        """Sample further chunks: object id, document and content hash of each."""
        for chunk in chunks:
            self._count += 1
            if len(self._sample) < SAMPLE:
                self._sample.append(chunk)
            elif (position := self._random.randrange(self._count)) < SAMPLE:
                self._sample[position] = chunk

    def merge(self, other: ChunkSample) -> None:
        """Merge the sample of other chunks of the run.

        Each chunk of both is as likely to be drawn.
        """
        ours, theirs = [*self._sample], [*other._sample]
        left, right = self._count, other._count
        self._random.shuffle(ours)
        self._random.shuffle(theirs)
        merged: list[tuple[UUID, str, str]] = []
        while len(merged) < SAMPLE and (ours or theirs):
            is_ours = bool(ours) and (not theirs or self._random.randrange(left + right) < left)
            left, right = left - is_ours, right - (not is_ours)
            merged.append((ours if is_ours else theirs).pop())
        self._sample = merged
        self.required += other.required
        self._count += other._count

    def take_required(self) -> list[UUID]:
        """Remove the required chunks and return their object ids."""
        ids = [id for id, *_ in self.required]
        self.required = []
        return ids

    def drop(self, is_gone: Callable[[str, str], bool]) -> None:
        """Drop chunks of versions that are gone, by document and content hash."""
        self._sample = [chunk for chunk in self._sample if not is_gone(*chunk[1:])]
        self.required = [chunk for chunk in self.required if not is_gone(*chunk[1:])]

    @property
    def ids(self) -> list[UUID]:
        """Object ids of the required chunks, then of the sample."""
        return list(dict.fromkeys(id for id, *_ in (*self.required, *self._sample)))


def wait_until_indexed(pair: CollectionPair) -> int:
    """Wait for the server's vector queue; return its length after `timeouts.indexing`."""
    deadline = time.monotonic() + pair.options.timeouts["indexing"]
    while queued := pair.queued():
        if time.monotonic() > deadline:
            return queued
        time.sleep(_POLL_SECONDS)
    return 0


def draw_stored(pair: CollectionPair, size: int, seed: str) -> list[UUID]:
    """Draw ids of stored chunks: neighbors of random points.

    Ids are hashes, so that neighbors are unrelated.
    """
    draw, ids = random.Random(seed), dict[UUID, None]()
    points = [UUID(int=draw.getrandbits(128)) for _ in range(_RANDOM_POINTS)]
    for point in (*points, None):
        if len(ids) < size:
            count = -(-size // _RANDOM_POINTS) if point is not None else size
            ids |= dict.fromkeys(pair.neighbors(point, count))
    return list(ids)[:size]


@dataclass(frozen=True)
class Verification:
    """Result of a verification.

    Attributes:
        rewritten: number of stored objects deleted to be inserted again.
        unreached: number of chunks in the graph that no search reaches, without lost chunks among them.
    """

    rewritten: int = 0
    unreached: int = 0

    def __add__(self, other: Verification) -> Verification:
        return Verification(self.rewritten + other.rewritten, self.unreached + other.unreached)


def confirm(
    pair: CollectionPair,
    ids: Sequence[UUID],
    fix: str,
    *,
    may_be_gone: bool = False,
    announce: Callable[[], None] = lambda: None,
) -> Verification:
    """Search for chunks by their own vectors; rewrite lost ones twice.

    Args:
        pair: collections of the chunks; the server's vector queue is empty.
        ids: of the chunks' objects.
        fix: what to do after a failure, for the message.
        may_be_gone: a chunk that is not stored counts as deleted.
        announce: called for lost chunks, before anything is deleted.

    Raises:
        LostToSearch: a chunk is lost after two rewrites; names chunk, document and fix.
    """
    result = Verification()
    for page in batched(ids, _PAGE):
        for rewrites in range(_REWRITES + 1):
            lost, unreached = find_lost(pair, page, may_be_gone=may_be_gone)
            if not lost:
                result += Verification(unreached=len(unreached))
                break
            announce()
            if rewrites == _REWRITES or None in lost.values():
                raise _error(pair, lost, fix)
            # A write that was cut off loses chunks, and leaves others in the graph without an edge to them.
            page = [*lost, *unreached]
            result += Verification(rewritten=rewrite(pair, page))
            wait_until_indexed(pair)
    return result


def _error(pair: CollectionPair, lost: dict[UUID, str | None], fix: str) -> LostToSearch:
    id, name = next(iter(lost.items()))
    others = f" (and {len(lost) - 1} others)" if len(lost) > 1 else ""
    state = (
        "is not stored any more" if name is None else f"is stored and not found by search after {_REWRITES} rewrites"
    )
    return LostToSearch(
        f"vector_store: {name or f'chunk {id}'}{others} {state} on {pair.connection.where}; {fix}, and look at the "
        "server's log",
        ids=list(lost),
    )


def rewrite(pair: CollectionPair, ids: Sequence[UUID]) -> int:
    """Delete objects and insert them again; return the number deleted."""
    stored = by_ids(pair.connection, pair.chunks, "reading lost chunks", ids, properties=None, include_vector=True)
    objects = [copied_object(item) for item in stored]
    repair = ChunkRepair(pair.connection, pair.chunks)
    removed = remove(pair.connection, pair.chunks, ids)
    pair.put_chunks(objects, repair)
    return removed + repair.removed


def find_lost(
    pair: CollectionPair, ids: Sequence[UUID], *, may_be_gone: bool
) -> tuple[dict[UUID, str | None], set[UUID]]:
    """Find lost chunks (id -> name, None: not stored) and unreached ones."""
    properties = [ABOUT, "terms"]
    objects = by_ids(pair.connection, pair.chunks, "reading chunks", ids, properties=properties, include_vector=True)
    stored = {item.uuid: item for item in objects}
    gone = {} if may_be_gone else dict.fromkeys(id for id in ids if id not in stored)
    missed = list(stored.values())
    with ThreadPoolExecutor(_SEARCH_THREADS, thread_name_prefix="weaviate-verify") as pool:
        for delay in (0.0, *RETRY_DELAYS):
            time.sleep(delay)
            missed = missed_by_search(pair, missed, pool)
            if not missed:
                break
    indexed = indexed_ids(pair, missed)
    lost = {item.uuid: chunk_name(str(item.properties[ABOUT])) for item in missed if item.uuid not in indexed}
    return gone | lost, indexed


def missed_by_search(pair: CollectionPair, items: list[Any], pool: Executor) -> list[Any]:
    """Return the objects out of reach of a search now."""
    indexed = indexed_ids(pair, items) if pair.options.index["type"] == "flat" else None

    def is_hit(item: Any) -> bool:
        vector = item.vector.get("default")
        if not vector:
            return _is_lexical_hit(pair, item)
        return _is_dense_hit(pair, item.uuid, vector) if indexed is None else item.uuid in indexed

    return [item for item, hit in zip(items, list(pool.map(is_hit, items)), strict=True) if not hit]


def indexed_ids(pair: CollectionPair, items: list[Any]) -> set[UUID]:
    """Return the ids in the vector index, by a filtered search.

    A flat index reads all its vectors, filtered or not (Weaviate 1.39, `vector/flat/index.go`,
    `findTopVectors`): one search answers for all, where each without a filter takes as long. An `hnsw` index filtered
    to a few goes through its nodes without the edges (`vector/hnsw/flat_search.go`): that separates a chunk that was
    never indexed from one in a part of the graph that searches do not reach, as among thousands of equal vectors.
    """
    ids = [item.uuid for item in items if item.vector.get("default")]
    indexed: set[UUID] = set()
    step = min(len(ids), max(1, pair.connection.most_results // _ENTRIES)) or 1
    for start in range(0, len(ids), step):
        page = ids[start : start + step]
        vector = next(item.vector["default"] for item in items if item.uuid == page[0])
        # More hits than ids: a killed server may hold an entry of an id without an object, which takes a place as well.
        limit = min(_ENTRIES * len(page), pair.connection.most_results)
        indexed |= {hit.uuid for hit in _nearest(pair, vector, limit, filters=Filter.by_id().contains_any(page))}
    return indexed


def _is_dense_hit(pair: CollectionPair, id: UUID, vector: list[float]) -> bool:
    """Check whether a search by its vector finds an object or equals."""
    index = pair.options.index
    own = np.asarray(vector, dtype=np.float32)
    expected = -float(own @ own) if index["distance"] == "dot" else 0.0  # the server's distance of the chunk to itself
    tolerance = _TOLERANCE * max(1.0, -expected)
    for limit in (_NARROW, _WIDE, _WIDEST):
        hits = _nearest(pair, vector, limit)
        if any(hit.uuid == id for hit in hits):
            return True
        if limit == _NARROW and _are_all_equal(pair, own, vector):
            return True
        if hits and _distance(hits[0]) < expected - tolerance:
            return True  # under a dot product longer vectors are nearer to it than itself: no search has to reach it
    # All hits are as near as the chunk itself: which of them are returned is the server's choice.
    return len(hits) >= min(limit, pair.connection.most_results) and _distance(hits[-1]) <= expected + tolerance


def _are_all_equal(pair: CollectionPair, own: np.ndarray, vector: list[float]) -> bool:
    """Check whether the nearest chunks all have the same vector."""
    hits = _nearest(pair, vector, _NARROW, include_vector=True)
    equal = [np.array_equal(np.asarray(hit.vector.get("default"), dtype=np.float32), own) for hit in hits]
    return len(hits) >= min(_NARROW, pair.connection.most_results) and all(equal)


def _distance(hit: Any) -> float:
    return float(hit.metadata.distance)


def _nearest(pair: CollectionPair, vector: list[float], limit: int, **options: Any) -> list[Any]:
    search = partial(pair.chunks.query.near_vector, vector, return_properties=[], return_metadata=_DISTANCE, **options)
    return _hits(pair, search, limit)


def _is_lexical_hit(pair: CollectionPair, item: Any) -> bool:
    """Check whether BM25 finds an object by its terms, if any."""
    terms = list(dict.fromkeys(str(item.properties.get("terms") or "").split()))
    if not terms:
        return True
    text = " ".join(terms[:: -(-len(terms) // _MAX_TERMS)])

    search = partial(pair.chunks.query.bm25, text, query_properties=["terms"], return_properties=[])
    # A filter hides nothing here: BM25 has no other index to answer from.
    filtered = partial(search, filters=Filter.by_id().equal(item.uuid))
    return any(
        hit.uuid == item.uuid
        for run, limit in ((search, _NARROW), (search, _WIDE), (filtered, 1))
        for hit in _hits(pair, run, limit)
    )


def _hits(pair: CollectionPair, search: Callable[..., Any], limit: int) -> list[Any]:
    limited = pair.connection.limited("verifying what was stored", limit, lambda limit: search(limit=limit))
    return list(limited.objects)

"""Verification by search: stored means found by its own vector [45].

A chunk is found when its id is among the hits of an unfiltered search: a filter may be answered without the graph, and
hide that the chunk is missing there. Where chunks of an equal vector fill the list, they count as one. A chunk without
a vector is looked for by BM25. What is not found is deleted, inserted again, and looked for once more.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
from weaviate.classes.query import Filter, MetadataQuery

from ragloom.components.vector_store.weaviate_store.bulk_reads import by_ids
from ragloom.components.vector_store.weaviate_store.object_mapping import ABOUT, copied, named
from ragloom.components.vector_store.weaviate_store.write_repair import Removal, remove
from ragloom.errors import ServiceError

if TYPE_CHECKING:
    from ragloom.components.vector_store.weaviate_store.collections import Place

SAMPLE = 220
"""Chunks of one run that are looked for; a few may be gone again by then, and 200 have to be left."""
OLDER = 50
"""Chunks of earlier runs that are looked for."""
OLDER_AFTER_A_CRASH = 200
"""As many where an earlier run was killed before it could look."""
_REWRITES = 2
_NARROW, _WIDE, _WIDEST = 10, 1_000, 10_000
"""Hits that a chunk is looked for among; the last ones since an approximate search may miss what is there."""
_PATIENCE = (0.2, 0.5, 1.0)
"""Seconds after which a miss is looked for again: a replica or a queue may be behind."""
_PAGE = 500
_AT_ONCE = 4
_STARTS = 5
_MOST_TERMS = 32
_SAME = 1e-6
_POLL_SECONDS = 0.5
_DISTANCE = MetadataQuery(distance=True)


class LostToSearch(ServiceError):
    """Chunks are stored and cannot be found.

    Attributes:
        ids: of the objects.
    """

    def __init__(self, *problems: str, ids: Sequence[UUID] = ()) -> None:
        super().__init__(*problems)
        self.ids = list(ids)


class Sample:
    """Random sample of the chunks that a run writes (Vitter's algorithm R), and those that are looked for in any case.

    Args:
        seed: the same one draws the same sample.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)
        self._drawn: list[tuple[UUID, str, str]] = []
        self._kept: list[tuple[UUID, str, str]] = []
        self._seen = 0

    def add(self, chunks: Iterable[tuple[UUID, str, str]]) -> None:
        """Draws from further chunks: object id, document and content hash of each."""
        for chunk in chunks:
            self._seen += 1
            if len(self._drawn) < SAMPLE:
                self._drawn.append(chunk)
            elif (at := self._random.randrange(self._seen)) < SAMPLE:
                self._drawn[at] = chunk

    def keep(self, chunks: Iterable[tuple[UUID, str, str]]) -> None:
        """Adds chunks that are looked for in any case."""
        self._kept += chunks

    def take_kept(self) -> list[UUID]:
        """Returns the object ids of the chunks that `keep` added, and drops them."""
        kept, self._kept = self._kept, []
        return [id for id, *_ in kept]

    def forget_documents(self, ids: Collection[str]) -> None:
        """Drops chunks of documents that were deleted."""
        self._forget(lambda document, _: document in ids)

    def forget_version(self, id: str, content_hash: str) -> None:
        """Drops chunks of a document's version that was discarded."""
        self._forget(lambda *version: version == (id, content_hash))

    def forget_old(self, versions: Mapping[str, str]) -> None:
        """Drops chunks of all versions but the newest, whose content hash is told for each document."""
        self._forget(lambda document, content_hash: versions.get(document, content_hash) != content_hash)

    @property
    def ids(self) -> list[UUID]:
        """Object ids of the sample, after those that are looked for in any case."""
        return list(dict.fromkeys(id for id, *_ in (*self._kept, *self._drawn)))

    @property
    def has_kept(self) -> bool:
        """Says whether there are chunks that are looked for in any case."""
        return bool(self._kept)

    def _forget(self, is_gone: Callable[[str, str], bool]) -> None:
        self._drawn = [chunk for chunk in self._drawn if not is_gone(*chunk[1:])]
        self._kept = [chunk for chunk in self._kept if not is_gone(*chunk[1:])]


def wait_until_indexed(place: Place) -> int:
    """Waits for the server's vector queue; returns what `timeouts.indexing` left in it."""
    until = time.monotonic() + place.options.indexing_seconds
    while waiting := place.queued():
        if time.monotonic() > until:
            return waiting
        time.sleep(_POLL_SECONDS)
    return 0


def older(place: Place, size: int, seed: str) -> list[UUID]:
    """Draws ids of stored chunks: neighbours of random points, since ids are hashes."""
    draw, found = random.Random(seed), dict[UUID, None]()
    starts = [UUID(int=draw.getrandbits(128)) for _ in range(_STARTS)]
    for start in (*starts, None):
        if len(found) < size:
            wanted = -(-size // _STARTS) if start is not None else size
            found |= dict.fromkeys(place.neighbours(start, wanted))
    return list(found)[:size]


@dataclass(frozen=True)
class Checked:
    """What looking for chunks came to.

    Attributes:
        rewritten: stored objects that were deleted to be written again.
        unreached: chunks that the graph holds and that no search gets to, beside none that a write has lost.
    """

    rewritten: int = 0
    unreached: int = 0

    def __add__(self, other: Checked) -> Checked:
        return Checked(self.rewritten + other.rewritten, self.unreached + other.unreached)


def confirm(
    place: Place,
    ids: Sequence[UUID],
    what_next: str,
    *,
    may_be_gone: bool = False,
    announce: Callable[[], None] = lambda: None,
) -> Checked:
    """Searches for chunks by their own vectors; rewrites lost ones twice at most.

    Args:
        place: the generation that holds them; the server's vector queue is empty.
        ids: of the chunks' objects.
        what_next: the command that goes on after a failure.
        may_be_gone: a chunk that is not stored counts as deleted.
        announce: is called where chunks are lost, before anything is deleted.

    Raises:
        LostToSearch: a chunk cannot be found after two rewrites; names it, its document and the command.
    """
    checked = Checked()
    for start in range(0, len(ids), _PAGE):
        some = ids[start : start + _PAGE]
        for turn in range(_REWRITES + 1):
            lost, unreached = _lost(place, some, may_be_gone=may_be_gone)
            if not lost:
                checked += Checked(unreached=len(unreached))
                break
            announce()
            if turn == _REWRITES or None in lost.values():
                raise _error(place, lost, what_next)
            # A write that was cut off loses chunks, and leaves others in the graph without an edge to them.
            some = [*lost, *unreached]
            checked += Checked(rewritten=_rewrite(place, some))
            wait_until_indexed(place)
    return checked


def _error(place: Place, lost: dict[UUID, str | None], what_next: str) -> LostToSearch:
    id, name = next(iter(lost.items()))
    others = f" (and {len(lost) - 1} others)" if len(lost) > 1 else ""
    state = (
        "is not stored any more" if name is None else f"is stored and not found by search after {_REWRITES} rewrites"
    )
    return LostToSearch(
        f"vector_store: {name or f'chunk {id}'}{others} {state} on {place.connection.where}; {what_next}, and look at "
        "the server's log",
        ids=list(lost),
    )


def _rewrite(place: Place, ids: Sequence[UUID]) -> int:
    """Deletes objects, confirms that they are gone, and inserts them again."""
    reading = by_ids(place.connection, place.chunks, "reading lost chunks", ids, properties=None, include_vector=True)
    objects = [copied(item) for item in reading]
    removal = Removal(place.connection, place.chunks)
    removed = remove(place.connection, place.chunks, ids)
    place.put_chunks(objects, removal)
    return removed + removal.removed


def _lost(place: Place, ids: Sequence[UUID], *, may_be_gone: bool) -> tuple[dict[UUID, str | None], set[UUID]]:
    """Returns names of lost chunks by id (None: not stored), and the ids of those unreached."""
    reading = by_ids(
        place.connection, place.chunks, "reading chunks", ids, properties=[ABOUT, "terms"], include_vector=True
    )
    stored = {item.uuid: item for item in reading}
    gone = {} if may_be_gone else dict.fromkeys(id for id in ids if id not in stored)
    missed = list(stored.values())
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="weaviate-verify") as pool:
        for pause in (0.0, *_PATIENCE):
            time.sleep(pause)
            missed = _missed(place, missed, pool)
            if not missed:
                break
    held = _held(place, missed)
    lost = {item.uuid: named(str(item.properties[ABOUT])) for item in missed if item.uuid not in held}
    return gone | lost, held


def _missed(place: Place, items: list[Any], pool: Executor) -> list[Any]:
    """Returns the objects that no search finds now."""
    held = _held(place, items) if place.options.index["type"] == "flat" else None

    def is_found(item: Any) -> bool:
        vector = item.vector.get("default")
        if not vector:
            return _is_lexical(place, item)
        return _is_near(place, item.uuid, vector) if held is None else item.uuid in held

    return [item for item, found in zip(items, list(pool.map(is_found, items)), strict=True) if not found]


def _held(place: Place, items: list[Any]) -> set[UUID]:
    """Returns the ids of objects that the vector index holds, by a search that is filtered to them.

    A flat index reads every vector of its own, filtered or not (Weaviate 1.39, `vector/flat/index.go`,
    `findTopVectors`): one search tells of all, where each without a filter takes as long. An `hnsw` index that is
    filtered to a few goes through its nodes without the edges (`vector/hnsw/flat_search.go`): that tells a chunk that
    was never indexed from one in a part of the graph that searches do not get to, as beside thousands of equal vectors.
    """
    ids = [item.uuid for item in items if item.vector.get("default")]
    found: set[UUID] = set()
    step = min(len(ids), place.connection.most_results) or 1
    for start in range(0, len(ids), step):
        some = ids[start : start + step]
        vector = next(item.vector["default"] for item in items if item.uuid == some[0])
        found |= {hit.uuid for hit in _near(place, vector, len(some), where=Filter.by_id().contains_any(some))}
    return found


def _is_near(place: Place, id: UUID, vector: list[float]) -> bool:
    """Says whether a search by an object's own vector finds it, or nothing but equal ones."""
    index = place.options.index
    own = np.asarray(vector, dtype=np.float32)
    nearest = -float(own @ own) if index["distance"] == "dot" else 0.0
    near = _SAME * max(1.0, -nearest)
    for limit in (_NARROW, _WIDE, _WIDEST):
        hits = _near(place, vector, limit)
        if any(hit.uuid == id for hit in hits):
            return True
        if limit == _NARROW and _are_all_equal(place, own, vector):
            return True
        if hits and _distance(hits[0]) < nearest - near:
            return True  # under a dot product longer vectors are nearer to it than itself: no search has to get there
    # As near as the chunk itself, to the last one: which of them are given is the server's choice.
    return len(hits) >= min(limit, place.connection.most_results) and _distance(hits[-1]) <= nearest + near


def _are_all_equal(place: Place, own: np.ndarray, vector: list[float]) -> bool:
    """Says whether the nearest chunks are all of the same vector: any of them stands for the others."""
    hits = _near(place, vector, _NARROW, include_vector=True)
    same = [np.array_equal(np.asarray(hit.vector.get("default"), dtype=np.float32), own) for hit in hits]
    return len(hits) >= min(_NARROW, place.connection.most_results) and all(same)


def _distance(hit: Any) -> float:
    return float(hit.metadata.distance)


def _near(
    place: Place, vector: list[float], limit: int, *, include_vector: bool = False, where: Any = None
) -> list[Any]:
    def search(limit: int) -> Any:
        return place.chunks.query.near_vector(
            vector,
            limit=limit,
            filters=where,
            return_properties=[],
            return_metadata=_DISTANCE,
            include_vector=include_vector,
        )

    return _searched(place, search, limit)


def _is_lexical(place: Place, item: Any) -> bool:
    """Says whether BM25 finds an object by its own terms; one without terms nothing can find."""
    terms = list(dict.fromkeys(str(item.properties.get("terms") or "").split()))
    if not terms:
        return True
    text = " ".join(terms[:: -(-len(terms) // _MOST_TERMS)])

    def search(limit: int, where: Any = None) -> Any:
        return place.chunks.query.bm25(
            text, query_properties=["terms"], limit=limit, filters=where, return_properties=[]
        )

    def here(limit: int) -> Any:  # a filter is no way round: BM25 has no other index to answer from
        return search(limit, Filter.by_id().equal(item.uuid))

    return any(
        hit.uuid == item.uuid
        for hits in (_searched(place, ask, limit) for ask, limit in ((search, _NARROW), (search, _WIDE), (here, 1)))
        for hit in hits
    )


def _searched(place: Place, search: Callable[[int], Any], limit: int) -> list[Any]:
    return list(place.connection.limited("verifying what was stored", limit, search).objects)

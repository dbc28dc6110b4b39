"""Approximate nearest-neighbor index, with measured parameters.

The index is IVF_RQ (RaBitQ: Gao and Long, SIGMOD 2024) with 4 bits a dimension and large partitions. Searching all of
them is exact search over vectors of an eighth the size, held in memory and scored again by the stored ones, so that
the ladder of parameters ends where nothing but quantisation can be lost. Lexical vectors (`hashing`) do not cluster, so
they need all partitions: on 471,667 x 384, 10 and 100 hits took 5.9 and 9.3 ms of CPU with recall 1.000 and .997, where
IVF_SQ took 12.5 and 14.1 with recall 1.000 and .984. One bit found .95 and .87.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from lancedb.index import IvfRq, IvfSq

from ragloom.components.vector_store.lancedb_store import tables
from ragloom.components.vector_store.lancedb_store.ann_recall import exact, probes, recall
from ragloom.components.vector_store.lancedb_store.nearest_neighbors import Parameters
from ragloom.components.vector_store.protocols import Questions
from ragloom.components.vector_store.recall_probes import FEWEST, GROWTH, Probes, recall_in_words
from ragloom.core.maintenance_steps import step
from ragloom.errors import RagloomError

if TYPE_CHECKING:
    from collections.abc import Iterator

VECTOR_INDEX = "vector_idx"
KIND = "IVF_RQ"
_BITS = 4
_KIND_OF_ANY_LENGTH = "IVF_SQ"
ROWS_PER_PARTITION = 8192
"""The engine's own aim; with 15 times the partitions 300,000 rows took 7 times as long to build, and no query less.

It is set as `target_partition_size`: `num_partitions` is forgotten, and the first `optimize()` brings an index back to
partitions of 8,192 rows (lancedb 0.40).
"""
LADDER = ((1 / 16, 2), (1 / 8, 2), (1 / 4, 2), (1 / 2, 1), (1 / 2, 2), (1, 1), (1, 2), (1, 4), (1, 16))
"""Share of the partitions that is searched, refine factor; by cost, raised until recall is enough.

Reading a stored vector costs as much as comparing 2,000 quantised ones.
"""
MOST_PARTS = 16
"""Parts of the index, one more with each commit that folds rows in, that a search goes through."""

Plan = Literal["none", "keep", "build"]


@dataclass(frozen=True)
class Wanted:
    """Requirements on dense search of an index.

    Attributes:
        threshold: rows from which it is approximate.
        min_recall: of exact search's lists, at every depth that is measured.
        questions: makes query-like vectors; None: there is nothing to measure with.
    """

    threshold: int
    min_recall: float
    questions: Questions | None = None


@dataclass(frozen=True)
class Approximation:
    """Measurements of an approximate index and their outcome; stored with the commit.

    Attributes:
        kind: of the index.
        partitions: that it has, about.
        parameters: how it is searched; None: not at all, search stays exact.
        recall: depth -> share of exact search's lists that was found; the best of the ladder where it was not enough.
        questions: how many it was measured with.
        rows: of the table, then.
        wanted: recall that was demanded.
        reason: why search stays exact.
        again: the next commit tries again, also when nothing has changed.
    """

    kind: str
    partitions: int
    parameters: Parameters | None
    recall: dict[int, float]
    questions: int
    rows: int
    wanted: float
    reason: str | None = None
    again: bool = False

    def as_json(self) -> dict[str, Any]:
        """Show it as it is kept."""
        return {**asdict(self), "recall": {str(depth): share for depth, share in self.recall.items()}}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Approximation:
        """Read what `as_json` gave."""
        parameters = None if record["parameters"] is None else Parameters(**record["parameters"])
        recall = {int(depth): share for depth, share in record["recall"].items()}
        return cls(**{**record, "parameters": parameters, "recall": recall})

    @property
    def note(self) -> str:
        """Describe in one sentence how dense search works."""
        if self.parameters is None:
            return f"dense search is exact, and slow with this many chunks: {self.reason}"
        nprobes = min(self.parameters.nprobes, self.partitions)
        return (
            f"dense search is approximate ({self.kind}, {nprobes} of {self.partitions} partitions, "
            f"refine factor {self.parameters.refine_factor}): {recall_in_words(self.recall)} against exact search, "
            f"measured with {self.questions} questions at {self.rows} chunks; with filters, and for more than "
            f"{max(self.recall)} hits, it is exact"
        )


def planned(table: Any, last: Approximation | None, wanted: Wanted, *, deleted: bool) -> Plan:
    """Plan the maintenance of dense search for a commit.

    Measuring costs some questions' embedding (those that the cache does not know) and a pass over the vectors, so what
    was measured holds until a tenth more rows have come. Where rows were deleted the index is rebuilt as the text
    index is, which also removes what it holds of them.

    Args:
        last: as the commit before left it.
        deleted: rows may have been.
    """
    rows = table.count_rows()
    if rows < wanted.threshold:
        return "none"
    if last is None or deleted or rows > GROWTH * last.rows:
        return "build"
    if last.kind != _kind(table) and wanted.questions is not None:  # of an earlier version, and slower
        return "build"
    if last.parameters is None:
        again = wanted.min_recall < last.wanted or (last.again and wanted.questions is not None)
    else:
        again = wanted.min_recall > last.wanted or not is_there(table) or _parts(table) > MOST_PARTS
    return "build" if again else "keep"


def is_there(table: Any) -> bool:
    """Return whether the table has an approximate index."""
    return any(index.name == VECTOR_INDEX for index in table.list_indices())


def drop(table: Any) -> None:
    """Remove the approximate index, if there is one."""
    if is_there(table):
        table.drop_index(VECTOR_INDEX)


def build(table: Any, wanted: Wanted) -> Approximation:
    """Rebuild the index and raise its parameters until recall suffices.

    Otherwise the table is only maintained.

    What prevents it leaves search exact, with the reason: that is right in any case, and what an ingest has paid for
    is not to be lost over it.
    """
    rows = table.count_rows()
    partitions = math.ceil(rows / ROWS_PER_PARTITION)
    kind = _kind(table)
    stays = Approximation(kind, partitions, None, {}, 0, rows, wanted.min_recall)
    if wanted.questions is None:
        return replace(stays, reason="there was no embedding to measure recall with; the next ingest does", again=True)
    step("asking questions to measure recall")
    try:
        queries = probes(table, wanted.questions)
    except RagloomError as error:
        reason = f"recall could not be measured ({error}); the next ingest tries again"
        return replace(stays, reason=reason, again=True)
    stays = replace(stays, questions=len(queries.chunks))
    if stays.questions < FEWEST:
        return replace(stays, reason=f"the chunks gave {stays.questions} questions to measure recall, under {FEWEST}")
    step(f"building the vector index of {rows} chunks")
    try:
        sizes: dict[str, Any] = {"distance_type": "cosine", "target_partition_size": ROWS_PER_PARTITION}
        config = IvfRq(num_bits=_BITS, **sizes) if kind == KIND else IvfSq(**sizes)
        table.create_index("vector", config=config, replace=True)
    except RuntimeError as error:  # such as when no vector has a direction
        return replace(stays, reason=f"the engine built no index ({str(error).splitlines()[0][:200]})")
    tables.settle(table)
    return _climbed(table, stays, queries)


def _kind(table: Any) -> str:
    """Return the kind of index for the vectors of a table.

    lancedb 0.40 builds IVF_RQ for multiples of 8 dimensions only.
    """
    return KIND if table.schema.field("vector").type.list_size % 8 == 0 else _KIND_OF_ANY_LENGTH


def _climbed(table: Any, stays: Approximation, queries: Probes) -> Approximation:
    step("searching exactly, to measure recall")
    best = exact(table, queries)
    result = stays
    for parameters in _rungs(stays.partitions):
        step(f"measuring recall with {parameters.nprobes} of {stays.partitions} partitions")
        shares, enough = recall(table, queries, best, parameters, stays.wanted)
        result = replace(stays, recall=shares)
        if enough:
            return replace(result, parameters=parameters)
    drop(table)
    tables.settle(table)
    reason = (
        f"no parameters of {stays.kind} reached vector_store.min_ann_recall={stays.wanted:g} (the last gave about "
        f"{recall_in_words(result.recall)}, measured with {stays.questions} questions)"
    )
    return replace(result, reason=reason)


def _rungs(partitions: int) -> Iterator[Parameters]:
    seen = set()
    for share, refine_factor in LADDER:
        # All of them twice, since the engine splits partitions that grow: more than there are is all.
        nprobes = math.ceil(share * partitions) if share < 1 else 2 * partitions
        parameters = Parameters(nprobes, refine_factor)
        if parameters not in seen:
            seen.add(parameters)
            yield parameters


def _parts(table: Any) -> int:
    return int(table.index_stats(VECTOR_INDEX).num_indices)

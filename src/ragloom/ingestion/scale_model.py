"""Cost model of an ingest: seconds, memory, size and nodes.

`docs/explanation/scale.md` has the formula, and what it predicted before it was measured (`benchmarks/scale.py`).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

# As measured on LanceDB, and reckoned for Weaviate: a text is stored in its document, in its chunk and as search terms,
# which are compressed.
_TEXTS = 2.5
_VECTOR_INDEX = 0.5  # bytes of a dimension: 4 bits
_ROW_BYTES = 200
BATCHES_IN_FLIGHT = 3
"""Times `workers.in_flight_mb` that a process holds: a batch, and what the store makes of it."""
STORING = "the store, and the main process, which packs"
LIMITS_PER_MINUTE = "the limits per minute of the embedding"


@dataclass(frozen=True)
class Workload:
    """The work of an ingest.

    Attributes:
        listed: documents of the source.
        megabytes: of the documents that are read.
        chunks: to be stored.
        index_chunks: in the index at the end.
        text_bytes: of the texts of `index_chunks`.
        dimensions: of their vectors.
        embedded: texts to be embedded.
        requests: to an embedding endpoint; 0 where the embedding runs on this machine.
    """

    listed: int
    megabytes: float
    chunks: int
    index_chunks: int
    text_bytes: float
    dimensions: int
    embedded: int
    requests: int = 0

    def times(self, factor: float) -> Workload:
        """Return the work of so many times the documents."""
        scaled = {name: value * factor for name, value in asdict(self).items() if name != "dimensions"}
        whole = {name: round(value) for name, value in scaled.items() if name not in ("megabytes", "text_bytes")}
        return Workload(**{**scaled, **whole}, dimensions=self.dimensions)

    @property
    def chunk_bytes(self) -> float:
        """Size of a chunk in the index."""
        return 4 * self.dimensions + _ROW_BYTES + _TEXTS * self.text_bytes / max(self.index_chunks, 1)

    @property
    def index_bytes(self) -> float:
        """Size of the index."""
        return self.index_chunks * self.chunk_bytes

    @property
    def graph_steps(self) -> float:
        """Sum of the index's square roots over the chunks to be stored."""
        return root_sum(self.index_chunks) - root_sum(self.index_chunks - self.chunks)


def root_sum(chunks: float) -> float:
    """Sum the square roots of 1 to `chunks`, by their integral."""
    return float(chunks**1.5 / 1.5)


@dataclass(frozen=True)
class Machine:
    """Where an ingest runs.

    Attributes:
        cores: that it may use.
        processes: that read (`workers.processes`).
        in_flight_mb: as `workers.in_flight_mb`.
        concurrency: requests in flight at an embedding endpoint.
    """

    cores: int
    processes: int
    in_flight_mb: float
    concurrency: int = 1


@dataclass(frozen=True)
class StageRates:
    """Seconds of each stage per unit, of one core unless stated.

    Attributes:
        start: wall seconds until the first document is stored: the processes that read load what they need.
        listing: per listed document.
        reading: reading, parsing and cutting, in worker processes, per MB of documents.
        packing: hashing, counting tokens and packing, in the main process, per chunk.
        embedding: per text, of a model on this machine; None: unknown.
        request: wall seconds of a request to an endpoint; None: unknown.
        storing: search terms, and appending, in the main process and the store, per chunk; vectors of `hashing` too,
            which is Python of the main process.
        graph: of an index that the store builds as it stores (hnsw), per chunk and square root of the index's chunks
            (measured: log2, the textbook's, predicts .78 of a run that this predicts .95 of); 0 without one.
        text_index: maintenance and counting at the commit, wall seconds per chunk.
        vector_index: building and measuring approximate search, wall seconds per chunk; 0: the store builds it as it
            stores.
        vector_index_from: chunks from which there is one.
        memory_mb: of the main process without documents.
        vector_memory: share of the vectors' bytes that building the vector index holds in memory.
    """

    start: float
    listing: float
    reading: float
    packing: float
    embedding: float | None
    request: float | None
    storing: float
    graph: float
    text_index: float
    vector_index: float
    vector_index_from: int
    memory_mb: float
    vector_memory: float


@dataclass(frozen=True)
class ScaleForecast:
    """What an ingest will take.

    Attributes:
        listing, ingesting, maintaining: wall seconds of the stages, as the summary of an ingest has them.
        limit: what `ingesting` waits for.
        memory_mb: peak of the main process.
        index_mb: size of the index.
        lacks_embedding: how long embedding takes is unknown: `ingesting` is what it takes without.
    """

    listing: float
    ingesting: float
    maintaining: float
    limit: str
    memory_mb: float
    index_mb: float
    lacks_embedding: bool = False

    @property
    def seconds(self) -> float:
        """Of the whole ingest."""
        return self.listing + self.ingesting + self.maintaining


def forecast(work: Workload, rates: StageRates, machine: Machine, at_limits: float | None = None) -> ScaleForecast:
    """Forecast an ingest.

    Its stages run side by side, so that the slowest of them decides, or the cores that they share.

    Args:
        at_limits: seconds that the requests and tokens per minute demand.
    """
    reading = rates.reading * work.megabytes
    driver = (rates.packing + rates.storing) * work.chunks + rates.graph * work.graph_steps
    remote = (rates.request or 0.0) * work.requests / machine.concurrency
    local = 0.0 if work.requests else (rates.embedding or 0.0) * work.embedded
    waits = {
        "the processes that read": reading / max(machine.processes, 1),
        STORING: driver,
        "the embedding model": local / machine.cores,
        "the answers of the embedding endpoint": remote,
        LIMITS_PER_MINUTE: at_limits or 0.0,
        "the cores that all stages share": (reading + driver + local) / machine.cores,
    }
    limit = max(waits, key=lambda name: waits[name])
    vectors = work.index_chunks if work.index_chunks >= rates.vector_index_from else 0
    return ScaleForecast(
        listing=rates.listing * work.listed,
        ingesting=waits[limit] + (rates.start if work.chunks else 0.0),
        maintaining=rates.text_index * work.index_chunks + rates.vector_index * vectors if work.chunks else 0.0,
        limit=limit,
        memory_mb=rates.memory_mb
        + BATCHES_IN_FLIGHT * min(machine.in_flight_mb, work.chunk_bytes * work.chunks / 1e6)
        + rates.vector_memory * 4 * work.dimensions * vectors / 1e6,
        index_mb=(work.index_bytes + _VECTOR_INDEX * work.dimensions * vectors) / 1e6,
        lacks_embedding=bool(work.embedded) and (rates.request if work.requests else rates.embedding) is None,
    )


def nodes(seconds: float, within: float) -> int:
    """Count the nodes that finish one node's seconds within a time."""
    return max(1, math.ceil(seconds / within))

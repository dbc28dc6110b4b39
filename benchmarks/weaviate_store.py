"""Cost of Ragloom against bare `weaviate-client` calls: python weaviate_store.py [CHUNKS [FOLDER [OVERRIDE ...]]]

One run against one server (embedded, on this machine): the same made-up chunks (100,000 of dimension 384, 40 to 120
words of a Zipf vocabulary) are written and searched by Ragloom, by the official client alone, into a collection of the
same schema, and by the published LlamaIndex integration. All write in turns of 5,000 chunks; what is in FOLDER is not
written again, so that an interrupted load continues. Queries are p50 and p99 at concurrency 1, 4 and 16, warm, in
turns. Limits: ingest at least .9 x the client; dense and bm25 at most 1.2 x it, at p50 and p99; hybrid at depth 100,
the retriever with all it does, at most 1.5 x Weaviate's own `hybrid` (p50); dense at most 1.2 x the integration at the
same k, with a recall that is not lower. Exits 1 where one is missed. Then the memory that writing 20,000 and 200,000
chunks takes, each in a separate process.
"""

import gc
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import QueryBundle
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode
from rich.console import Console
from rich.table import Table
from weaviate.classes.query import HybridFusion, MetadataQuery

from ragloom.components import retriever
from ragloom.components.vector_store.weaviate_store import object_mapping
from stores import databases
from weaviate_load import (
    AT_ONCE,
    CHUNKS_OF_CLIENT,
    DIMENSIONS,
    INDEX,
    PER_DOCUMENT,
    VOCABULARY,
    Progress,
    Words,
    batch,
    load,
    published,
    store,
)

CHUNKS = 100_000
QUERIES, TURNS, TOP, DEPTH = 1_600, 8, 10, 100
COMPARED = 200  # queries whose results are compared
CONCURRENCY = (1, 4, 16)
INGEST_LIMIT = 0.9
LIMITS = {("dense", "client"): (1.2, 1.2), ("bm25", "client"): (1.2, 1.2), ("hybrid", "client"): (1.5, None)}
LIMITS[("dense", "integration")] = (1.2, None)
MEMORY = (20_000, 200_000)
FLAT = ["vector_store.index.type=flat"]

Search = Callable[[int], list[str]]
"""Number of a question -> ids of the chunks, best first."""


def latencies(search: Search, concurrency: int, first: int) -> list[float]:
    """Run a turn's queries; return the seconds of each."""

    def one(number: int) -> float:
        began = perf_counter()
        search(number)
        return perf_counter() - began

    with ThreadPoolExecutor(concurrency) as pool:
        return list(pool.map(one, range(first, first + QUERIES // TURNS)))


def compared(searches: dict[str, Search], concurrency: int) -> dict[str, list[float]]:
    """Run all searches in turns, warm; return sorted seconds by name."""
    times: dict[str, list[float]] = {name: [] for name in searches}
    for search in searches.values():
        latencies(search, concurrency, 0)
    for turn in range(TURNS):
        for name, search in searches.items():
            gc.collect()
            times[name] += latencies(search, concurrency, turn * (QUERIES // TURNS))
    return {name: sorted(seconds) for name, seconds in times.items()}


def quantile(seconds: Sequence[float], share: float) -> float:
    """Return a percentile of sorted seconds."""
    return seconds[min(len(seconds) - 1, int(share * len(seconds)))]


def questions_of() -> tuple[np.ndarray, list[str]]:
    """Return the vectors and the texts of all questions."""
    vectors = np.random.default_rng(1).standard_normal((QUERIES, DIMENSIONS)).astype(np.float32)
    words = random.Random(1)
    texts = [" ".join(f"w{int(words.paretovariate(0.2)) % VOCABULARY}" for _ in range(8)) for _ in range(QUERIES)]
    return vectors, texts


def searches_of(index: Any, collection: Any, there: Any) -> dict[str, dict[str, Search]]:
    """Return the searches by kind and implementation.

    Args:
        index: Ragloom's.
        collection: of the client.
        there: store of the integration.
    """
    rows, texts = questions_of()
    vectors = [row.tolist() for row in rows]
    return {
        "dense": {
            "ragloom": lambda number: [hit.chunk.id for hit in index.dense(vectors[number], TOP)],
            **_dense_by_client(collection, vectors),
            "integration": _integrated(there, vectors, texts, VectorStoreQueryMode.DEFAULT),
        },
        "bm25": {
            "ragloom": lambda number: [hit.chunk.id for hit in index.lexical(texts[number], TOP)],
            "client": _bm25_by_client(collection, texts),
        },
        "hybrid": {
            "ragloom": _hybrid(index, vectors, texts),
            "client": _native(collection, vectors, texts, DEPTH),
            "client, limit 10": _native(collection, vectors, texts, TOP),
            "integration": _integrated(there, vectors, texts, VectorStoreQueryMode.HYBRID),
        },
    }


def _dense_by_client(collection: Any, vectors: list[list[float]]) -> dict[str, Search]:
    def search(number: int) -> list[str]:
        found = collection.query.near_vector(
            vectors[number],
            limit=TOP,
            return_metadata=MetadataQuery(distance=True),
            return_properties=object_mapping.READ,
        )
        return [str(item.uuid) for item in found.objects]

    return {"client": search}


def _bm25_by_client(collection: Any, texts: list[str]) -> Search:
    def search(number: int) -> list[str]:
        found = collection.query.bm25(
            texts[number],
            query_properties=["terms"],
            limit=TOP,
            return_metadata=MetadataQuery(score=True),
            return_properties=object_mapping.READ,
        )
        return [str(item.uuid) for item in found.objects]

    return search


def _native(collection: Any, vectors: list[list[float]], texts: list[str], limit: int) -> Search:
    def search(number: int) -> list[str]:
        found = collection.query.hybrid(
            texts[number],
            vector=vectors[number],
            alpha=0.5,
            query_properties=["terms"],
            fusion_type=HybridFusion.RELATIVE_SCORE,
            limit=limit,
            return_metadata=MetadataQuery(score=True),
            return_properties=object_mapping.READ,
        )
        return [str(item.uuid) for item in found.objects[:TOP]]

    return search


def _hybrid(index: Any, vectors: list[list[float]], texts: list[str]) -> Search:
    """Return the search of the `hybrid` retriever, with the nodes that leave it."""
    hybrid = retriever.hybrid(
        index,
        MockEmbedding(DIMENSIONS),
        top_k=TOP,
        candidates=DEPTH,
        fusion="weighted",
        dense_weight=0.5,
        rrf_k=60,
        filters=None,
        min_score=None,
        min_bm25_score=None,
    )

    def search(number: int) -> list[str]:
        nodes = hybrid.retrieve(QueryBundle(texts[number], embedding=vectors[number]))
        return [item.node.node_id for item in nodes]

    return search


def _integrated(there: Any, vectors: list[list[float]], texts: list[str], mode: VectorStoreQueryMode) -> Search:
    def search(number: int) -> list[str]:
        found = there.query(
            VectorStoreQuery(query_embedding=vectors[number], query_str=texts[number], similarity_top_k=TOP, mode=mode)
        )
        return list(found.ids)

    return search


def recalls(searches: dict[str, Search], total: int) -> dict[str, float]:
    """Return the share of the true nearest chunks that each dense search finds."""
    asked = questions_of()[0][:COMPARED]
    found: list[list[tuple[float, str]]] = [[] for _ in asked]
    for first in range(0, total // PER_DOCUMENT, AT_ONCE):
        _, chunks, vectors = batch(first, AT_ONCE)
        scores = asked @ vectors.T
        for number, row in enumerate(scores):
            best = np.argpartition(row, -TOP)[-TOP:]
            found[number] = sorted(found[number] + [(float(row[at]), chunks[at].id) for at in best])[-TOP:]
    true = [{id for _, id in some} for some in found]
    return {
        name: statistics.mean(len(true[number] & set(search(number))) / TOP for number in range(COMPARED))
        for name, search in searches.items()
    }


def agreement(searches: dict[str, Search]) -> dict[str, float]:
    """Return the share of the first search's results that each search has."""
    lists = {name: [set(search(number)) for number in range(COMPARED)] for name, search in searches.items()}
    first = next(iter(lists.values()))
    return {
        name: sum(len(a & b) for a, b in zip(first, some, strict=True)) / sum(map(len, first))
        for name, some in lists.items()
    }


def ingest_table(progress: Progress) -> tuple[Table, bool]:
    """Return the table of the load, and whether its limit is missed."""
    ratio = progress.of["client"].seconds / progress.of["ragloom"].seconds
    table = Table("ingest", "chunks", "seconds", "chunks/s", "of it for the documents' objects, s")
    table.title = f"ratio {ratio:.2f} (limit {INGEST_LIMIT})"
    for name, written in progress.of.items():
        rate = written.chunks / written.seconds
        documents = f"{written.document_seconds:.1f}" if name == "client" else ""
        table.add_row(name, str(written.chunks), f"{written.seconds:.1f}", f"{rate:.0f}", documents)
    return table, ratio < INGEST_LIMIT


def search_table(all_searches: dict[str, dict[str, Search]], total: int) -> tuple[Table, bool]:
    """Measure; return the table, and whether a limit is missed."""
    table = Table("search", "at once", "by", "p50 ms", "p99 ms", "ragloom / it p50", "p99", "limits", "results")
    failed = False
    for kind, searches in all_searches.items():
        results = recalls(searches, total) if kind == "dense" else agreement(searches)
        if kind == "dense":
            failed |= results["ragloom"] < results["integration"]
        for concurrency in CONCURRENCY:
            measured = compared(searches, concurrency)
            for name, times in measured.items():
                ratios = [quantile(measured["ragloom"], share) / quantile(times, share) for share in (0.5, 0.99)]
                limits = LIMITS.get((kind, name), (None, None))
                failed |= any(limit is not None and ratio > limit for ratio, limit in zip(ratios, limits, strict=True))
                table.add_row(
                    kind,
                    str(concurrency),
                    name,
                    *(f"{1e3 * quantile(times, share):.2f}" for share in (0.5, 0.99)),
                    *(f"{ratio:.2f}" for ratio in ratios),
                    " ".join("-" if limit is None else str(limit) for limit in limits),
                    f"{'recall' if kind == 'dense' else 'as ragloom'} {results[name]:.3f}",
                )
    return table, failed


def memory(total: int) -> None:
    """Write, then print the growth of the process in MB."""
    with tempfile.TemporaryDirectory() as folder, databases(Path(folder), ["weaviate_embedded"], FLAT) as stores:
        database = stores["weaviate_embedded"].database
        database.analyzer = Words()
        for name, count in (("warm-1", AT_ONCE * PER_DOCUMENT), ("memory-1", total)):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            with database.writer(name, dimensions=DIMENSIONS, description={}, root="/") as writer:
                for first in range(0, count // PER_DOCUMENT, AT_ONCE):
                    store(writer, *batch(first, AT_ONCE))
                writer.commit({})
        print(json.dumps((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))


def measure(total: int, folder: Path, overrides: Sequence[str], screen: Console) -> bool:
    """Load what is missing and measure; return whether a limit is missed."""
    with databases(folder, ["weaviate_embedded"], overrides) as stores:
        database = stores["weaviate_embedded"].database
        database.analyzer = Words()
        client, progress = database.connection.client, Progress(folder / "progress.json")
        load(database, client, total, progress)
        table, slow_ingest = ingest_table(progress)
        screen.print(table)
        all_searches = searches_of(database.open(INDEX), client.collections.get(CHUNKS_OF_CLIENT), published(client)[1])
        table, slow_search = search_table(all_searches, total)
        screen.print(table)
    return slow_ingest or slow_search


def main() -> int:
    """Measure, print tables, and return the exit status."""
    if sys.argv[1:2] == ["--memory"]:
        memory(int(sys.argv[2]))
        return 0
    total = int(sys.argv[1]) if len(sys.argv) > 1 else CHUNKS
    screen = Console()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(temporary)
        folder.mkdir(exist_ok=True)
        failed = measure(total, folder, sys.argv[3:], screen)
    table = Table("memory of the client", "chunks", "grew by MB")
    for count in MEMORY:
        grown = subprocess.run(
            [sys.executable, __file__, "--memory", str(count)], check=True, capture_output=True, text=True
        ).stdout
        table.add_row("", str(count), f"{float(grown):.1f}")
    screen.print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Cost of Ragloom against bare `weaviate-client` calls: python weaviate_store.py [CHUNKS [OVERRIDE ...]]

One run against one server (embedded, on this machine): the same made-up chunks (100,000 of dimension 384, 40 to 120
words of a Zipf vocabulary) are written and searched by Ragloom, by the official client alone, into a collection of the
same schema, and (a tenth of them) by the published LlamaIndex integration. Ingest is chunks a second; queries are p50
and p99 at concurrency 1, 4 and 16, warm, in turns, so that both meet the same machine. Limits: ingest at least .9 x,
dense and bm25 at most 1.2 x, hybrid at depth 100 at most 1.5 x Weaviate's own `hybrid`. Exits 1 where one is missed.
Then the memory that writing 20,000 and 200,000 chunks takes, each in a separate process.
"""

import gc
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from weaviate.classes.data import DataObject
from weaviate.classes.query import HybridFusion, MetadataQuery

from ragloom.components.retriever.fusion import weighted_score
from ragloom.components.vector_store.record_types import ManifestRow, StoredDocumentRow
from ragloom.components.vector_store.weaviate_store import filters, object_mapping, schema
from ragloom.core.records import Chunk, chunk_id, sha256
from stores import databases

CHUNKS, DIMENSIONS, PER_DOCUMENT = 100_000, 384, 10
AT_ONCE = 100  # documents a write call
FEWER = 10
"""The published integration writes a tenth: it waits a second for each call; its seconds are shown times ten."""
QUERIES, TURNS, TOP, DEPTH = 400, 4, 10, 100
CONCURRENCY = (1, 4, 16)
LIMITS = {"ingest": 0.9, "dense": 1.2, "bm25": 1.2, "hybrid": 1.5}
MEMORY = (20_000, 200_000)
VOCABULARY = 50_000


class Words:
    """Analyzer with words as terms: it takes no time."""

    def terms(self, text: str) -> list[str]:
        """Return the words."""
        return text.split()


def batch(first: int, count: int) -> tuple[list[StoredDocumentRow], list[Chunk], np.ndarray]:
    """Build documents of ten chunks each, the same in every process."""
    random_ = np.random.default_rng(first)
    documents, chunks = [], []
    for number in range(first, first + count):
        lengths = random_.integers(40, 120, size=PER_DOCUMENT)
        parts = [" ".join(f"w{n}" for n in random_.zipf(1.2, size=length) % VOCABULARY) for length in lengths]
        id, text = f"docs/{number}.md", " ".join(parts)
        hashed, start = sha256(text), 0
        for part in parts:
            chunks.append(
                Chunk(chunk_id(id, hashed, start, start + len(part)), id, hashed, start, start + len(part), part)
            )
            start += len(part) + 1
        row = ManifestRow(id, len(text), 1, hashed, hashed, "", hashed, PER_DOCUMENT)
        documents.append(StoredDocumentRow(row, text, {}))
    vectors = random_.standard_normal((len(chunks), DIMENSIONS)).astype(np.float32)
    return documents, chunks, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def ours(database: Any, name: str, total: int) -> float:
    """Write with Ragloom; return the seconds of writes and commit."""
    spent = 0.0
    with database.writer(name, dimensions=DIMENSIONS, description={}, root="/") as writer:
        for first in range(0, total // PER_DOCUMENT, AT_ONCE):
            documents, chunks, vectors = batch(first, AT_ONCE)
            began = time.perf_counter()
            writer.write(documents, chunks, vectors, [""] * len(chunks))
            spent += time.perf_counter() - began
        began = time.perf_counter()
        writer.commit({})
    return spent + time.perf_counter() - began


def bare(client: Any, index: Any, total: int) -> float:
    """Write the same objects with the client's own batches; return seconds."""
    described = schema.chunks_schema(index.pair.label, index.pair.options.index)
    collection = client.collections.create_from_dict({**described, "class": "BareChunks", "description": ""})
    texts = schema.documents_schema(index.pair.label, index.pair.options.index)
    documents_there = client.collections.create_from_dict({**texts, "class": "BareDocuments", "description": ""})
    spent = 0.0
    for first in range(0, total // PER_DOCUMENT, AT_ONCE):
        documents, chunks, vectors = batch(first, AT_ONCE)
        began = time.perf_counter()
        with collection.batch.fixed_size(500, concurrent_requests=2) as writing:
            for chunk, vector in zip(chunks, vectors, strict=True):
                about = [chunk.id, chunk.document, chunk.content_hash, chunk.start, chunk.end, {}, "", None]
                properties = {
                    "document": filters.wrapped(chunk.document),
                    "content_hash": filters.wrapped(chunk.content_hash),
                    "bucket": 1,
                    "terms": chunk.text,
                    "text": chunk.text,
                    "about": json.dumps(about),
                }
                writing.add_object(properties, uuid=chunk.id, vector=vector.tolist())
        assert not collection.batch.failed_objects
        rows = [
            DataObject(properties={"row": document.manifest.id, "text": document.text, "metadata": "{}"})
            for document in documents
        ]
        assert not documents_there.data.insert_many(rows).errors
        spent += time.perf_counter() - began
    return spent


def published(client: Any, total: int) -> tuple[float, Any]:
    """Write with the published integration; return seconds and its store."""
    from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
    from llama_index.vector_stores.weaviate import WeaviateVectorStore

    store = WeaviateVectorStore(weaviate_client=client, index_name="Published")
    spent = 0.0
    for first in range(0, total // PER_DOCUMENT, AT_ONCE):
        _, chunks, vectors = batch(first, AT_ONCE)
        nodes = [
            TextNode(
                id_=chunk.id,
                text=chunk.text,
                embedding=vector.tolist(),
                relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=chunk.document)},
            )
            for chunk, vector in zip(chunks, vectors, strict=True)
        ]
        began = time.perf_counter()
        store.add(nodes)
        spent += time.perf_counter() - began
    return spent, store


def latencies(search: Callable[[int], Any], concurrency: int, first: int) -> list[float]:
    """Run a turn's queries; return the seconds of each."""

    def one(number: int) -> float:
        began = time.perf_counter()
        search(number)
        return time.perf_counter() - began

    with ThreadPoolExecutor(concurrency) as pool:
        return list(pool.map(one, range(first, first + QUERIES // TURNS)))


def compared(searches: dict[str, Callable[[int], Any]], concurrency: int) -> dict[str, list[float]]:
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
    return seconds[min(len(seconds) - 1, int(share * len(seconds)))]


def searches_of(index: Any, collection: Any, store: Any) -> dict[str, dict[str, Callable[[int], Any]]]:
    """Return the searches by kind and implementation."""
    from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

    rows = np.random.default_rng(1).standard_normal((QUERIES, DIMENSIONS)).astype(np.float32)
    vectors = [row.tolist() for row in rows]
    words = random.Random(1)
    questions = [" ".join(f"w{int(words.paretovariate(0.2)) % VOCABULARY}" for _ in range(8)) for _ in range(QUERIES)]
    pool = ThreadPoolExecutor(2 * max(CONCURRENCY))
    wanted = {"return_properties": object_mapping.READ}

    def hybrid(number: int) -> Any:
        lexical = pool.submit(index.lexical_matches, questions[number], DEPTH)
        dense = index.dense_matches(vectors[number], DEPTH)
        best = weighted_score(dense, lexical.result(), dense_weight=0.5)[:TOP]
        return index.load([candidate.match.key for candidate in best])

    def native(number: int) -> Any:
        return collection.query.hybrid(
            questions[number],
            vector=vectors[number],
            alpha=0.5,
            query_properties=["terms"],
            fusion_type=HybridFusion.RELATIVE_SCORE,
            limit=DEPTH,
            return_metadata=MetadataQuery(score=True),
            **wanted,
        )

    def integration(mode: VectorStoreQueryMode) -> Callable[[int], Any]:
        return lambda number: store.query(
            VectorStoreQuery(
                query_embedding=vectors[number], query_str=questions[number], similarity_top_k=TOP, mode=mode
            )
        )

    return {
        "dense": {
            "ragloom": lambda number: index.dense(vectors[number], TOP),
            "client": lambda number: collection.query.near_vector(
                vectors[number], limit=TOP, return_metadata=MetadataQuery(distance=True), **wanted
            ),
            "integration": integration(VectorStoreQueryMode.DEFAULT),
        },
        "bm25": {
            "ragloom": lambda number: index.lexical(questions[number], TOP),
            "client": lambda number: collection.query.bm25(
                questions[number],
                query_properties=["terms"],
                limit=TOP,
                return_metadata=MetadataQuery(score=True),
                **wanted,
            ),
        },
        "hybrid": {
            "ragloom": hybrid,
            "client": native,
            "integration": integration(VectorStoreQueryMode.HYBRID),
        },
    }


def memory(total: int) -> None:
    """Write, then print the growth of the process in MB."""
    with tempfile.TemporaryDirectory() as folder, databases(Path(folder), ["weaviate_embedded"], FLAT) as stores:
        database = stores["weaviate_embedded"].database
        database.analyzer = Words()
        with database.writer("warm-1", dimensions=DIMENSIONS, description={}, root="/") as writer:
            documents, chunks, vectors = batch(0, AT_ONCE)
            writer.write(documents, chunks, vectors, [""] * len(chunks))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ours(database, "memory-1", total)
        print(json.dumps((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))


FLAT = ["vector_store.index.type=flat"]


def main() -> int:
    """Measure, print tables, and return the exit status."""
    if sys.argv[1:2] == ["--memory"]:
        memory(int(sys.argv[2]))
        return 0
    total = int(sys.argv[1]) if len(sys.argv) > 1 else CHUNKS
    screen, failed = Console(), False
    with (
        tempfile.TemporaryDirectory() as folder,
        databases(Path(folder), ["weaviate_embedded"], sys.argv[2:]) as stores,
    ):
        database = stores["weaviate_embedded"].database
        database.analyzer = Words()
        client = database.connection.client
        seconds = {"ragloom": ours(database, "speed-1", total)}
        index = database.open("speed-1")
        seconds["client"] = bare(client, index, total)
        few = total // FEWER
        spent, store = published(client, few)
        seconds["integration"] = spent * FEWER
        rate = seconds["client"] / seconds["ragloom"]
        failed |= rate < LIMITS["ingest"]
        table = Table("ingest", "chunks", "seconds", "chunks/s", title=f"ratio {rate:.2f} (limit {LIMITS['ingest']})")
        for name, spent in seconds.items():
            table.add_row(name, str(total), f"{spent:.1f}", f"{total / spent:.0f}")
        screen.print(table)
        table = Table("search", "at once", "by", "p50 ms", "p99 ms", "ratio p50", "ratio p99", "limit")
        for kind, searches in searches_of(index, client.collections.get("BareChunks"), store).items():
            for concurrency in CONCURRENCY:
                measured = compared(searches, concurrency)
                peer = measured["client"]
                for name, times in measured.items():
                    ratios = [quantile(times, share) / quantile(peer, share) for share in (0.5, 0.99)]
                    if name == "ragloom":
                        failed |= ratios[0] > LIMITS[kind]
                    table.add_row(
                        kind,
                        str(concurrency),
                        name,
                        f"{1e3 * statistics.median(times):.2f}",
                        f"{1e3 * quantile(times, 0.99):.2f}",
                        *(f"{ratio:.2f}" for ratio in ratios),
                        str(LIMITS[kind]) if name == "ragloom" else "",
                    )
        screen.print(table)
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

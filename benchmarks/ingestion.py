"""How near an ingest comes to what its provider allows: python ingestion.py [remote] [local]

`remote`: 5,000 chunks in batches of 32, 1,536 numbers a vector, at an endpoint on this machine (a separate process)
that answers after 200 ms, ten requests at once: 157 batches take at best ceil(157 / 10) x .2 = 3.2 s. Once with as many
requests in flight as it has slots, and once with six more, which wait there, so that no slot is idle. In addition, what
LlamaIndex does with the same chunks at the same endpoint: `VectorStoreIndex.from_documents`, `IngestionPipeline.run`
and `arun`, into its own store in memory. Seconds from the first request to the end, and to the last answer; and the
milliseconds that a slot of the endpoint is idle on average: at the start, between two requests, in the last round, and
after the last answer.

`local`: all-MiniLM-L6-v2 on ONNX Runtime, compared with the bare runtime on the same texts, sorted by length.

Data and model: ../shared, read only; indexes are in a temporary folder. Ratios of one run; other work on the machine
shows in them.
"""

import asyncio
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ragloom.assembly import Assembly
from ragloom.config.config import load
from ragloom.core.records import Chunk, Entry

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT.parent / "shared" / "models" / "all-MiniLM-L6-v2-onnx"
CHUNKS, BATCH, DIMENSIONS, LATENCY, SLOTS, MORE = 5000, 32, 1536, 0.2, 10, 6
LOCAL_CHUNKS = 2000
MOST_REMOTE, MOST_LOCAL = 1.15, 1.1
SERVER = Path(__file__).with_name("endpoint.py")


class Endpoint:
    """The server's process."""

    def __init__(self, dimensions: int = DIMENSIONS, slots: int = SLOTS) -> None:
        self._command = [sys.executable, str(SERVER), str(dimensions), str(LATENCY), str(slots)]

    def __enter__(self) -> "Endpoint":
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.base_url = self._process.stdout.readline().strip()
        return self

    def __exit__(self, *raised: object) -> None:
        self._process.kill()
        self._process.wait()

    def _ask(self, path: str) -> Any:
        with urllib.request.urlopen(self.base_url.removesuffix("/v1") + path) as answer:
            return json.loads(answer.read())

    def timed(self, work: Callable[[], object]) -> "Timeline":
        """Does the work; returns when its requests were at the server."""
        self._ask("/reset")
        work()
        end = time.time()
        return Timeline(sorted(self._ask("/seen")), end)


class Timeline:
    """When requests were at the server, in seconds since the first.

    Attributes:
        last: the last answer.
        end: the end of the work.
        requests: how many came.
    """

    def __init__(self, spans: list[tuple[float, float]], end: float) -> None:
        first = spans[0][0]
        self._spans = [(came - first, went - first) for came, went in spans]
        self.last, self.end, self.requests = max(went for _, went in self._spans), end - first, len(spans)

    def idle(self) -> list[float]:
        """Seconds that a slot is idle on average: at the start, between requests, without work left, after the end.

        The start ends when all slots are busy for the first time; no work is left when the last request has come.
        """
        full, latest = self._spans[min(SLOTS, self.requests) - 1][0], self._spans[-1][0]
        phases = [(0.0, full), (full, latest), (latest, self.last), (self.last, self.end)]
        return [self._idle_in(begin, end) for begin, end in phases]

    def _idle_in(self, begin: float, end: float) -> float:
        moments = sorted({begin, end, *(moment for span in self._spans for moment in span if begin < moment < end)})
        idle = 0.0
        for left, right in pairwise(moments):
            busy = sum(came <= left and went >= right for came, went in self._spans)
            idle += (SLOTS - min(SLOTS, busy)) * (right - left)
        return idle / SLOTS


def write_documents(folder: Path, chunks: int) -> None:
    """Writes documents of ten passages, each of which is a chunk."""
    words = re.findall(r"[a-z]{2,9}", (ROOT / "README.md").read_text("utf-8"))
    for number in range(chunks // 10):
        passages = []
        for part in range(10):
            at = (number * 131 + part * 17) % (len(words) - 60)
            passages.append(f"Passage {number * 10 + part}. " + " ".join(words[at : at + 50]))
        (folder / f"{number:05}.txt").write_text("\n\n".join(passages), encoding="utf-8")


def assembly(folder: Path, *overrides: str) -> Assembly:
    """An experiment on the written documents, one chunk a passage."""
    (config,) = load(
        [
            "source=folder",
            f'source.path="{folder / "docs"}"',
            f'vector_store.path="{folder / "store"}"',
            f'cache.path="{folder / "cache"}"',
            "chunking=paragraph",
            *overrides,
        ]
    )
    return Assembly(config)


def openai_keys(endpoint: Endpoint, in_flight: int = SLOTS) -> list[str]:
    """The embedding at the endpoint."""
    return [
        "embedding=openai",
        f"embedding.base_url={endpoint.base_url}",
        f"embedding.dimensions={DIMENSIONS}",
        f"embedding.batch_size={BATCH}",
        f"embedding.concurrency={in_flight}",
    ]


def chunks_of(made: Assembly) -> list[Chunk]:
    """Cuts the documents as the ingest does."""
    found: list[Chunk] = []
    for entry in made.source.entries():
        assert isinstance(entry, Entry)
        found += made.chunking.chunks(made.source.parse(entry, made.source.read(entry)))
    return found


def remote(table: Table) -> bool:
    """Measures at the endpoint; says whether the limit was kept."""
    os.environ.setdefault("OPENAI_API_KEY", "of-a-benchmark")
    with tempfile.TemporaryDirectory() as name, Endpoint() as endpoint:
        folder = Path(name)
        (folder / "docs").mkdir()
        write_documents(folder / "docs", CHUNKS)
        chunks = chunks_of(assembly(folder, *size_of_a_passage(), *openai_keys(endpoint)))
        assert len(chunks) == CHUNKS
        kept = True
        for in_flight in (SLOTS, SLOTS + MORE):
            place = folder / str(in_flight)
            place.mkdir()
            (place / "docs").symlink_to(folder / "docs")
            with assembly(place, *size_of_a_passage(), *openai_keys(endpoint, in_flight)) as made:
                timeline = endpoint.timed(made.ingest)
            kept = kept and timeline.end <= MOST_REMOTE * ideal_of(len(chunks))
            table.add_row(f"ragloom ingest, {in_flight} in flight", *row(timeline, len(chunks)))
        for title, work in llama_index(chunks, endpoint.base_url).items():
            table.add_row(f"LlamaIndex {title}", *row(endpoint.timed(work), len(chunks)))
    return kept


def size_of_a_passage() -> list[str]:
    """Keys by which each passage is a chunk."""
    return ["chunking.chunk_size=100"]


def ideal_of(chunks: int) -> float:
    """Seconds that so many chunks take at best."""
    return math.ceil(math.ceil(chunks / BATCH) / SLOTS) * LATENCY


def row(timeline: Timeline, chunks: int) -> list[str]:
    """A row's numbers."""
    ideal = ideal_of(chunks)
    times = [f"{seconds:.2f}" for seconds in (ideal, timeline.last, timeline.end)]
    idle = " ".join(f"{1000 * seconds:.0f}" for seconds in timeline.idle())
    return [str(chunks), str(timeline.requests), *times, f"{timeline.end / ideal:.2f}", idle]


def llama_index(chunks: list[Chunk], base_url: str) -> dict[str, Callable[[], object]]:
    """What LlamaIndex offers for the same work, each into a new store in memory; a chunk is a document to it."""
    from llama_index.core import StorageContext, VectorStoreIndex
    from llama_index.core.ingestion import IngestionPipeline
    from llama_index.core.node_parser import SentenceSplitter
    from llama_index.core.schema import Document, TextNode
    from llama_index.core.vector_stores.simple import SimpleVectorStore
    from llama_index.embeddings.openai import OpenAIEmbedding

    def embedding() -> Any:
        return OpenAIEmbedding(
            api_base=base_url, embed_batch_size=BATCH, num_workers=SLOTS + MORE, dimensions=DIMENSIONS
        )

    documents = [Document(text=chunk.text) for chunk in chunks]
    nodes = [TextNode(text=chunk.text) for chunk in chunks]

    def from_documents() -> object:
        context = StorageContext.from_defaults(vector_store=SimpleVectorStore())
        splitter = SentenceSplitter(chunk_size=512)
        return VectorStoreIndex.from_documents(
            documents, storage_context=context, embed_model=embedding(), transformations=[splitter]
        )

    def pipeline() -> Any:
        return IngestionPipeline(transformations=[embedding()], vector_store=SimpleVectorStore(), disable_cache=True)

    return {
        "from_documents": from_documents,
        "IngestionPipeline.run": lambda: pipeline().run(nodes=[node.model_copy() for node in nodes]),
        "IngestionPipeline.arun": lambda: asyncio.run(pipeline().arun(nodes=[node.model_copy() for node in nodes])),
    }


def local(table: Table) -> bool:
    """Measures the local model; says whether the limit was kept."""
    if not MODEL.is_dir():
        sys.stderr.write("the model is missing (../shared)\n")
        return False
    keys = ["embedding=fastembed", f'embedding.model="{MODEL}"', "embedding.dimensions=384", *size_of_a_passage()]
    keys += ["embedding.max_length=256", "embedding.overlong=truncate"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "docs").mkdir()
        write_documents(folder / "docs", LOCAL_CHUNKS)
        with assembly(folder, *keys) as made:
            chunks = chunks_of(made)
            embedding = made.embedding
            bare = min(bare_seconds(embedding, chunks) for _ in range(2))
            began = time.perf_counter()
            made.ingest()
            seconds = time.perf_counter() - began
    table.add_row(
        "ragloom ingest, MiniLM", str(len(chunks)), "", f"{bare:.2f}", "", f"{seconds:.2f}", f"{seconds / bare:.2f}", ""
    )
    return seconds <= MOST_LOCAL * bare


def bare_seconds(embedding: Any, chunks: list[Chunk]) -> float:
    """Runs ONNX Runtime alone: tokenizing, batches sorted by length, pooling."""
    texts = [embedding.document_text(chunk.text, chunk.metadata) for chunk in chunks]
    began = time.perf_counter()
    order = np.argsort([len(text) for text in texts])[::-1]
    for first in range(0, len(order), embedding.batch_size):
        embedding._model.run([texts[at] for at in order[first : first + embedding.batch_size]])
    return time.perf_counter() - began


def main(arguments: list[str]) -> int:
    """Measures what is asked for, both by default; 1 where a limit was not kept."""
    columns = ["", "chunks", "requests", "ideal s", "last answer", "end", "x ideal", "idle ms"]
    table = Table(*columns, title=f"seconds since the first request; load of the machine {os.getloadavg()[0]:.1f}")
    kept = [measure(table) for measure in (remote, local) if not arguments or measure.__name__ in arguments]
    Console(width=120).print(table)
    sys.stdout.write(f"limits: {MOST_REMOTE} x ideal (remote), {MOST_LOCAL} x bare runtime (local): {kept}\n")
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

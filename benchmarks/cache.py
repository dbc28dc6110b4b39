"""Cost of the embedding cache, next to embedding the same texts: python cache.py

2,000 passages (tokens: 200 of cl100k_base) of Chroma's and KorQuAD's documents, prepared and embedded 1,000 at once:
without a cache; embedded and stored; looked up; then one by one, as questions are. `openai` asks a server on this
machine that computes nothing: its first column is what the client alone takes, less than any provider. `hashing` is
never cached, which this table is the reason for. Milliseconds per 1,000 texts. Data and model: ../shared, read only;
caches are in a temporary folder.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llama_index.core.schema import Document
from rich.console import Console
from rich.table import Table

from ragloom.cache.embeddings.embedding_cache import EmbeddingCache
from ragloom.components import chunking
from ragloom.components.embedding.base import Embedding
from ragloom.core.records import Chunk

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
MODEL = SHARED / "models" / "all-MiniLM-L6-v2-onnx"
COUNT, AT_ONCE, SINGLES = 2000, 1000, 300

sys.path.insert(0, str(ROOT / "tests" / "support"))
from loopback import OpenAIServer  # noqa: E402 - the tests' server
from made import make  # noqa: E402


def passages() -> list[Chunk]:
    """Return passages of real documents, half of them Korean, each text once."""
    articles = json.loads((SHARED / "data" / "korquad1-dev" / "KorQuAD_v1.0_dev.json").read_text("utf-8"))["data"]
    korean = [paragraph["context"] for article in articles for paragraph in article["paragraphs"]]
    corpora = sorted((SHARED / "data" / "chroma-chunking" / "corpora").glob("*.md"))
    english = [path.read_text("utf-8") for path in corpora]
    return [*cut(korean)[: COUNT // 2], *cut(english)[: COUNT // 2]]


def cut(texts: Sequence[str]) -> list[Chunk]:
    """Chunk texts into windows without duplicates."""
    windows = chunking.fixed(chunk_size=200, chunk_overlap=0, tokenizer="cl100k_base")
    documents = (Document(text=text, id_=str(number)) for number, text in enumerate(texts))
    return list({chunk.text: chunk for document in documents for chunk in windows.chunks(document)}.values())


def timed(work: Callable[[], Any], texts: int) -> float:
    """Return milliseconds per 1,000 texts."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e6 / texts


def measure(name: str, build: Callable[[], Embedding], chunks: list[Chunk], folder: Path) -> list[str]:
    """Measure one embedding; return a row of the table."""

    def all_of(embedding: Embedding) -> Callable[[], None]:
        def work() -> None:
            for first in range(0, len(chunks), AT_ONCE):
                embedding.embed(embedding.prepare(chunks[first : first + AT_ONCE])[0])

        return work

    def cached() -> Embedding:
        embedding = build()
        embedding.use_cache(EmbeddingCache(folder, max_bytes=10**10), {"benchmark": name})
        return embedding

    plain = timed(all_of(build()), len(chunks))
    first = cached()
    stored = timed(all_of(first), len(chunks))
    again = cached()
    hits = timed(all_of(again), len(chunks))
    assert first.cache is not None
    assert again.cache is not None
    bare = timed(lambda: looked_up(again, chunks), len(chunks))
    texts = [f"{number} {chunk.text[:60]}" for number, chunk in enumerate(chunks[:SINGLES])]
    new = timed(lambda: [first.embed([text]) for text in texts], SINGLES)
    known = timed(lambda: [first.embed([text]) for text in texts], SINGLES)
    for embedding in (first, again):
        assert embedding.cache is not None
        embedding.cache.cache.close()
    entries = len(chunks) + SINGLES
    size = (folder / "vectors.sqlite").stat().st_size
    share = size / entries / (4 * first.dimensions)
    numbers = [f"{value:,.0f}" for value in (plain, stored, hits, bare, new, known)]
    return [name, str(first.dimensions), *numbers, f"{size / entries:,.0f}", f"{share:.2f}"]


def looked_up(embedding: Embedding, chunks: list[Chunk]) -> None:
    """Look up vectors without the token counts, events and lists of `embed`."""
    assert embedding.cache is not None
    texts = [embedding.document_text(chunk.text, chunk.metadata) for chunk in chunks]
    for first in range(0, len(texts), AT_ONCE):
        assert len(embedding.cache.look_up(texts[first : first + AT_ONCE]).vectors) == len(
            texts[first : first + AT_ONCE]
        )


def main() -> int:
    """Measure and print a table."""
    if not MODEL.is_dir() or not (SHARED / "data").is_dir():
        sys.stderr.write("the model or the evaluation sets are missing (../shared)\n")
        return 1
    os.environ.setdefault("OPENAI_API_KEY", "of-a-benchmark")
    columns = ["embedding", "dimensions", "no cache", "stored", "hits", "of it looked up", "one by one: new", "hits"]
    table = Table(*columns, "bytes each", "x float32", title="ms per 1,000 texts")
    chunks = passages()
    keys = {"model": str(MODEL), "max_length": 256, "overlong": "truncate"}
    with OpenAIServer(dimensions=1536) as server, tempfile.TemporaryDirectory() as folder:
        embeddings: dict[str, Callable[[], Embedding]] = {
            "hashing": lambda: make("embedding", "hashing"),
            "openai": lambda: make("embedding", "openai", base_url=server.base_url),
            "MiniLM": lambda: make("embedding", "fastembed", **keys),
        }
        for name, build in embeddings.items():
            table.add_row(*measure(name, build, chunks, Path(folder) / name))
    Console(width=140).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())

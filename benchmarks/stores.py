"""What the benchmarks of vector stores share: two sets of whole documents, both stores, brute-force scores."""

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ragloom.assembly import Assembly
from ragloom.components.vector_store.protocols import Database, Writer
from ragloom.components.vector_store.record_types import ManifestRow, StoredDocumentRow
from ragloom.config.config import load
from ragloom.core.records import Chunk, Hit, chunk_id, document_hash, sha256

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
BATCH = 500
TOLERANCE = 2e-6
"""Relative difference of scores that 32-bit sums may have; scores closer than this may stand in either order."""


@dataclass(frozen=True)
class Document:
    """A document that is one chunk."""

    row: StoredDocumentRow
    chunk: Chunk


def document(id: str, text: str, **metadata: Any) -> Document:
    """Makes a document of one chunk."""
    hashed = document_hash(text, metadata)
    row = ManifestRow(id, len(text), 1, sha256(text), sha256(text), document_hash("", metadata), hashed, 1)
    chunk = Chunk(chunk_id(id, hashed, 0, len(text)), id, hashed, 0, len(text), text, dict(metadata))
    return Document(StoredDocumentRow(row, text, dict(metadata)), chunk)


def scifact() -> tuple[list[Document], list[str]]:
    """Returns SciFact's abstracts and its 300 test questions."""
    folder = DATA / "scifact"
    rows = [json.loads(line) for line in (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines()]
    tested = {line.split("\t")[0] for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]}
    asked = [json.loads(line) for line in (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    documents = [document(row["_id"], f"{row['title']} {row['text']}") for row in rows]
    return documents, [item["text"] for item in asked if item["_id"] in tested]


def korquad() -> tuple[list[Document], list[str]]:
    """Returns KorQuAD's 961 different contexts and its 5,774 questions."""
    articles = json.loads((DATA / "korquad1-dev" / "KorQuAD_v1.0_dev.json").read_text(encoding="utf-8"))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    texts = dict.fromkeys(paragraph["context"] for paragraph in paragraphs)
    questions = [item["question"] for paragraph in paragraphs for item in paragraph["qas"]]
    return [document(f"c{number}", text) for number, text in enumerate(texts)], questions


@contextmanager
def databases(folder: Path, names: Sequence[str], overrides: Sequence[str] = ()) -> Iterator[dict[str, Assembly]]:
    """Opens stores in a folder; the embedded Weaviate server ends with the block.

    Args:
        folder: where they keep their files.
        names: `lancedb`, `weaviate_embedded`.
        overrides: for all of them, or for Weaviate alone where the key is only its own.
    """
    opened = {}
    for name in names:
        own = [item for item in overrides if name != "lancedb" or not item.startswith("vector_store.")]
        (config,) = load([f"vector_store={name}", f'vector_store.path="{folder / name}"', *own])
        opened[name] = Assembly(config)
    try:
        yield opened
    finally:
        for assembly in opened.values():
            assembly.close()


def write(writer: Writer, documents: Sequence[Document], vectors: Mapping[str, np.ndarray]) -> None:
    """Writes documents in batches."""
    for start in range(0, len(documents), BATCH):
        some = documents[start : start + BATCH]
        stacked = np.stack([vectors[item.chunk.id] for item in some])
        hashes = [sha256(item.chunk.text) for item in some]
        writer.append([item.chunk for item in some], stacked, hashes)
        writer.finish([item.row for item in some])


def build(
    database: Database, name: str, documents: Sequence[Document], vectors: Mapping[str, np.ndarray], dimensions: int
) -> None:
    """Builds an index in one go."""
    with database.writer(name, dimensions=dimensions, description={}, root="/") as writer:
        write(writer, documents, vectors)
        writer.commit({})


class BruteForce:
    """BM25 (Lucene's, k1 1.2, b .75) and cosine similarity of everything, in double precision."""

    def __init__(self, documents: Sequence[Document], analyzer: Any, vectors: Mapping[str, np.ndarray]) -> None:
        self.ids = [item.chunk.document for item in documents]
        self._analyzer = analyzer
        self._vectors = np.stack([vectors[item.chunk.id] for item in documents]).astype(np.float64)
        norms = np.linalg.norm(self._vectors, axis=1, keepdims=True)
        self._found = norms[:, 0] > 0
        self._vectors /= np.where(norms > 0, norms, 1)
        counts = [Counter(analyzer.terms(item.chunk.text)) for item in documents]
        lengths = np.array([sum(count.values()) for count in counts], dtype=np.float64)
        norm = 1.2 * (1 - 0.75 + 0.75 * lengths / lengths.mean())
        places: dict[str, list[tuple[int, int]]] = {}
        for place, count in enumerate(counts):
            for term, frequency in count.items():
                places.setdefault(term, []).append((place, frequency))
        self._postings = {}
        for term, found in places.items():
            at = np.array([place for place, _ in found])
            frequency = np.array([number for _, number in found], dtype=np.float64)
            idf = math.log(1 + (len(documents) - len(found) + 0.5) / (len(found) + 0.5))
            self._postings[term] = (at, idf * frequency * 2.2 / (frequency + norm[at]))

    def lexical(self, query: str) -> dict[str, float]:
        """Returns the score of every document that holds a term."""
        scores = np.zeros(len(self.ids))
        for term in self._analyzer.terms(query):
            if term in self._postings:
                at, parts = self._postings[term]
                scores[at] += parts
        return {self.ids[place]: float(scores[place]) for place in np.flatnonzero(scores)}

    def dense(self, vector: np.ndarray) -> dict[str, float]:
        """Returns the similarity of every document that has a direction."""
        asked = np.asarray(vector, dtype=np.float64)
        if not asked.any():
            return {}
        scores = self._vectors @ (asked / np.linalg.norm(asked))
        return {self.ids[place]: float(scores[place]) for place in np.flatnonzero(self._found)}


def wrong(hits: Sequence[Hit], scores: Mapping[str, float], k: int) -> str | None:
    """Says in what a list differs from the true scores; None when it is right.

    Right: as long as it can be, each score the true one, best first, and no document left out that is truly better
    than the last one - all within `TOLERANCE`, since 32-bit sums decide between closer ones.
    """
    if len(hits) != min(k, len(scores)):
        return f"{len(hits)} hits instead of {min(k, len(scores))}"
    for hit in hits:
        true = scores.get(hit.chunk.document)
        if true is None or not math.isclose(hit.score, true, rel_tol=TOLERANCE, abs_tol=1e-6):
            return f"{hit.chunk.document} scored {hit.score} instead of {true}"
    for before, after in itertools.pairwise(hits):
        if (before.score, after.chunk.document) < (after.score, before.chunk.document) and before.score <= after.score:
            return f"{before.chunk.document} stands before {after.chunk.document}"
    listed = {hit.chunk.document for hit in hits}
    last = scores[hits[-1].chunk.document] if hits else 0.0
    for name, score in scores.items():
        if name not in listed and score > last * (1 + TOLERANCE) + 1e-6 and len(hits) == k:
            return f"{name} ({score:.6f}) is missing, the last one has {last:.6f}"
    return None

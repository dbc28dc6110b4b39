"""What tests of a vector store need: documents cut at blanks, vectors made from the text, brute-force scores."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode

import ragloom.components.vector_store as builders
from made import defaults
from ragloom.components.vector_store.protocols import Database, Index, Writer
from ragloom.components.vector_store.record_types import IndexInfo, ManifestRow, StoredDocumentRow
from ragloom.core.nodes import to_node
from ragloom.core.records import Chunk, Hit, chunk_id, document_hash, sha256

DIMENSIONS = 16


class Words:
    """Lower-cased words between blanks."""

    def terms(self, text: str) -> list[str]:
        return text.lower().split()


@dataclass(frozen=True)
class Cut:
    """A document with its chunks, and what is embedded of them."""

    row: StoredDocumentRow
    chunks: tuple[Chunk, ...]


def cut(id: str, text: str, words: int = 12, /, **metadata: Any) -> Cut:
    """Cuts a text after every so many words; each chunk says in its metadata which it is."""
    hashed = document_hash(text, metadata)
    starts = [0]
    for count, at in enumerate((i for i, letter in enumerate(text) if letter == " "), start=1):
        if count % words == 0:
            starts.append(at + 1)
    chunks = tuple(
        Chunk(chunk_id(id, hashed, start, end), id, hashed, start, end, text[start:end], {**metadata, "part": number})
        for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(text)], strict=True))
        if text[start:end]
    )
    manifest = ManifestRow(
        id, len(text), 1, sha256(text), sha256(text), document_hash("", metadata), hashed, len(chunks)
    )
    return Cut(StoredDocumentRow(manifest, text, dict(metadata)), chunks)


def vectors(texts: Sequence[str], dimensions: int = DIMENSIONS) -> np.ndarray:
    """Makes the vector of each text from the text alone, `[n, dimensions] float32`."""
    rows = [
        np.random.default_rng(int(sha256(text)[:12], 16)).standard_normal(dimensions, dtype=np.float32)
        for text in texts
    ]
    return np.array(rows, dtype=np.float32).reshape(len(texts), dimensions)


def write(writer: Writer, cuts: Iterable[Cut]) -> None:
    """Writes documents in one call."""
    cuts = list(cuts)
    chunks = [chunk for item in cuts for chunk in item.chunks]
    texts = [chunk.text for chunk in chunks]
    store(writer, [item.row for item in cuts], chunks, vectors(texts), [sha256(text) for text in texts])


def store(
    writer: Writer, rows: list[StoredDocumentRow], chunks: Sequence[Chunk], made: np.ndarray, hashes: list[str]
) -> None:
    """Store whole documents by the two calls of an ingest."""
    writer.append(chunks, made, hashes)
    writer.finish(rows)


def database(path: Path, retention_minutes: int = 60, analyzer: Any = None, **keys: Any) -> Database:
    """Builds the LanceDB database of a folder."""
    own = {"path": str(path), "retention_minutes": retention_minutes, **keys}
    return builders.lancedb(analyzer or Words(), **{**defaults("vector_store", "lancedb"), **own})


def writer(place: Database, name: str = "corpus-1", root: str = "/documents") -> Writer:
    """Returns the writer of an index."""
    return place.writer(name, dimensions=DIMENSIONS, description={"chunking": {"words": 12}}, root=root)


def fresh(place: Path | Database, documents: Mapping[str, Cut], name: str = "corpus-1") -> Index:
    """Builds an index of documents in one go and opens it; a path is a LanceDB folder's."""
    place = database(place) if isinstance(place, Path) else place
    with writer(place, name) as writing:
        write(writing, documents.values())
        writing.commit({})
    return place.open(name)


def sync(
    writing: Writer, target: Mapping[str, Cut], batch: int = 20, say: Callable[[str], None] = lambda _: None
) -> IndexInfo:
    """Sync an index with documents as an ingest does: recover, delete, write in batches, commit."""
    say("recover")
    writing.recover()
    known = {row.id: row.content_hash for row in writing.manifest()}
    say("delete")
    writing.delete([id for id in known if id not in target])
    missing = [item for id, item in target.items() if known.get(id) != item.row.manifest.content_hash]
    for kind, items in (
        ("replace", [item for item in missing if item.row.manifest.id in known]),
        ("append", [item for item in missing if item.row.manifest.id not in known]),
    ):
        for start in range(0, len(items), 20):
            say(kind)
            write(writing, items[start : start + 20])
    say("commit")
    info = writing.commit({})
    say("done")
    return info


def rounds(place: Database, final: Mapping[str, Cut], count: int, seed: int) -> Index:
    """Adds, changes and deletes in rounds, each with a commit, until the documents are the final ones."""
    draw, state = random.Random(seed), dict[str, Cut]()
    for number in range(count):
        there = sorted(state)
        for id in draw.sample(there, len(there) // 15):
            del state[id]
        for id in draw.sample(sorted(state), len(state) // 8):
            state[id] = cut(id, sentence(draw, draw.randint(1, 60)))
        for id in draw.sample(sorted(final), len(final) // count):
            state[id] = final[id]
        if number == count - 1:
            state = dict(final)
        with writer(place) as writing:
            sync(writing, state)
    return place.open("corpus-1")


def contents(index: Index) -> dict[str, tuple[str, list[float]]]:
    """Returns every chunk's text and vector by id."""
    nodes = index.store.get_nodes()
    stored = index.vectors([node.node_id for node in nodes])
    return {node.node_id: (node.get_content(), stored[node.node_id]) for node in nodes}


def sentence(seed: random.Random, words: int = 30) -> str:
    """Makes up a text of words, frequent and rare ones as in real text (Zipf)."""
    return " ".join(f"w{int(seed.paretovariate(0.8)) % 400}" for _ in range(words))


def ranking(hits: Sequence[Hit]) -> list[tuple[str, int, float]]:
    """Shortens hits to what must be equal between two indexes: document, start and score."""
    return [(hit.chunk.document, hit.chunk.start, hit.score) for hit in hits]


class BruteForce:
    """The same searches by going through everything, in double precision."""

    def __init__(self, documents: Mapping[str, Cut]) -> None:
        self.chunks = [chunk for item in documents.values() for chunk in item.chunks]
        self._terms = [Counter(Words().terms(chunk.text)) for chunk in self.chunks]
        self._lengths = [sum(terms.values()) for terms in self._terms]
        self._mean = sum(self._lengths) / max(1, len(self._lengths))
        self._holding = Counter(term for terms in self._terms for term in terms)
        self._places: dict[str, list[int]] = {}
        for place, terms in enumerate(self._terms):
            for term in terms:
                self._places.setdefault(term, []).append(place)

    def lexical(self, query: str, k: int) -> list[tuple[str, int, float]]:
        scores: dict[int, float] = {}
        for term in Words().terms(query):
            found = self._holding[term]
            idf = math.log(1 + (len(self.chunks) - found + 0.5) / (found + 0.5))
            for place in self._places.get(term, ()):
                frequency = self._terms[place][term]
                norm = 1.2 * (1 - 0.75 + 0.75 * self._lengths[place] / self._mean)
                scores[place] = scores.get(place, 0.0) + idf * frequency * (1.2 + 1) / (frequency + norm)
        return self._best(scores, k)

    def dense(self, query: Sequence[float], k: int) -> list[tuple[str, int, float]]:
        stored = vectors([chunk.text for chunk in self.chunks]).astype(np.float64)
        asked = np.asarray(query, dtype=np.float64)
        cosines = stored @ asked / np.linalg.norm(stored, axis=1) / np.linalg.norm(asked)
        return self._best(dict(enumerate(cosines.tolist())), k)

    def _best(self, scores: Mapping[int, float], k: int) -> list[tuple[str, int, float]]:
        found = [(self.chunks[place].document, self.chunks[place].start, score) for place, score in scores.items()]
        return sorted(found, key=lambda item: (-item[2], item[0], item[1]))[:k]


def assert_same_ranking(
    found: Sequence[tuple[str, int, float]], expected: Sequence[tuple[str, int, float]], tolerance: float = 2e-6
) -> None:
    """Demands the same scores, rank by rank, and the same places wherever scores are further apart than tolerance."""
    assert len(found) == len(expected)
    np.testing.assert_allclose([item[2] for item in found], [item[2] for item in expected], rtol=tolerance, atol=1e-6)
    for at, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        close = [item for item in expected if math.isclose(item[2], theirs[2], rel_tol=tolerance, abs_tol=1e-6)]
        last = math.isclose(theirs[2], expected[-1][2], rel_tol=tolerance, abs_tol=1e-6)
        assert ours[:2] == theirs[:2] or last or ours[:2] in [item[:2] for item in close], f"rank {at + 1}"


def of(document: str | None) -> dict[NodeRelationship, Any]:
    """Returns the relationships of a node that belongs to a document."""
    return {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=document)} if document else {}


def node(id: str, text: str, document: str | None = "doc.md", **metadata: Any) -> TextNode:
    """Makes a LlamaIndex node with its vector."""
    embedding = vectors([text])[0].tolist()
    return TextNode(id_=id, text=text, metadata=metadata, relationships=of(document), embedding=embedding)


def with_vector(chunk: Chunk) -> TextNode:
    """Makes the node of a chunk, with its vector."""
    made = to_node(chunk)
    made.embedding = vectors([chunk.text])[0].tolist()
    return made


def jsonl(path: Path) -> list[dict[str, Any]]:
    """Reads a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

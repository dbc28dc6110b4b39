"""The same made-up chunks, written by Ragloom, the bare client and the published integration, in turns.

Progress is on disk, so that an interrupted load continues. Turns meet the same machine: their rates may be compared.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from weaviate.classes.config import DataType, Property
from weaviate.classes.data import DataObject

from ragloom.components.vector_store.record_types import ManifestRow, StoredDocumentRow
from ragloom.components.vector_store.weaviate_store import filters, schema
from ragloom.components.vector_store.weaviate_store.bulk_reads import batched
from ragloom.components.vector_store.weaviate_store.collection_pair import CollectionPair
from ragloom.core.records import Chunk, chunk_id, sha256

DIMENSIONS, PER_DOCUMENT = 384, 10
AT_ONCE = 100  # documents a write call
TURN = 5_000  # chunks of one writer, before the next one's turn
VOCABULARY = 50_000
INDEX, CHUNKS_OF_CLIENT, DOCUMENTS_OF_CLIENT, OF_INTEGRATION = "speed-1", "BareChunks", "BareDocuments", "Published"
_AUTOMATIC = ("document_id", "doc_id", "_node_content", "_node_type")
"""Properties that the integration leaves to the server's auto-schema, which Ragloom's embedded server has not."""

Batch = tuple[list[StoredDocumentRow], list[Chunk], np.ndarray]


class Words:
    """Analyzer with words as terms: it takes no time."""

    def terms(self, text: str) -> list[str]:
        """Return the words."""
        return text.split()


def batch(first: int, count: int) -> Batch:
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


@dataclass
class Written:
    """Progress of one writer.

    Attributes:
        chunks: written so far.
        seconds: of writing them; of Ragloom with its commit.
        document_seconds: part that the objects of the documents took; of the client only.
        is_complete: with the commit.
    """

    chunks: int = 0
    seconds: float = 0.0
    document_seconds: float = 0.0
    is_complete: bool = False


class Progress:
    """Progress of all writers, in a file.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self.of = {name: Written(**rows.get(name, {})) for name in ("ragloom", "client", "integration")}

    def save(self) -> None:
        """Write the file."""
        text = json.dumps({name: asdict(written) for name, written in self.of.items()})
        self._path.write_text(text, encoding="utf-8")


def store(writer: Any, documents: list[StoredDocumentRow], chunks: list[Chunk], vectors: np.ndarray) -> None:
    """Store complete documents with Ragloom."""
    writer.append(chunks, vectors, [""] * len(chunks))
    writer.finish(documents)


def bare(client: Any, pair: CollectionPair, written: Written) -> Callable[[Batch], None]:
    """Return the writer of the same objects by the client's own batches."""
    chunks_there = _collection(client, CHUNKS_OF_CLIENT, schema.chunks_schema(pair.label, pair.options.index))
    documents_there = _collection(client, DOCUMENTS_OF_CLIENT, schema.documents_schema(pair.label, pair.options.index))

    def write(part: Batch) -> None:
        documents, chunks, vectors = part
        with chunks_there.batch.fixed_size(500, concurrent_requests=2) as writing:
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
        assert not chunks_there.batch.failed_objects
        began = time.perf_counter()
        rows = [
            DataObject(properties={"row": document.manifest.id, "text": document.text, "metadata": "{}"})
            for document in documents
        ]
        assert not documents_there.data.insert_many(rows).errors
        written.document_seconds += time.perf_counter() - began

    return write


def published(client: Any) -> tuple[Callable[[Batch], None], Any]:
    """Return the writer of the published integration, and its store."""
    from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
    from llama_index.vector_stores.weaviate import WeaviateVectorStore

    there = WeaviateVectorStore(weaviate_client=client, index_name=OF_INTEGRATION)
    config = client.collections.get(OF_INTEGRATION).config
    existing = {item.name for item in config.get().properties}
    for name in _AUTOMATIC:
        if name not in existing:
            config.add_property(Property(name=name, data_type=DataType.TEXT))

    def write(part: Batch) -> None:
        _, chunks, vectors = part
        nodes = [
            TextNode(
                id_=chunk.id,
                text=chunk.text,
                embedding=vector.tolist(),
                relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=chunk.document)},
            )
            for chunk, vector in zip(chunks, vectors, strict=True)
        ]
        there.add(nodes)
        assert not client.batch.failed_objects

    return write, there


def load(database: Any, client: Any, total: int, progress: Progress) -> None:
    """Write what is missing, in turns."""
    ours = progress.of["ragloom"]
    with database.writer(INDEX, dimensions=DIMENSIONS, description={}, root="/") as writer:
        writes = {
            "ragloom": lambda part: store(writer, *part),
            "client": bare(client, writer.pair, progress.of["client"]),
            "integration": published(client)[0],
        }
        while any(written.chunks < total for written in progress.of.values()):
            for name, written in progress.of.items():
                goal = min(total, (written.chunks // TURN + 1) * TURN)
                _advance(writes[name], written, goal, AT_ONCE if name != "integration" else TURN // PER_DOCUMENT)
                progress.save()
        if not ours.is_complete:
            began = time.perf_counter()
            writer.commit({})
            ours.seconds, ours.is_complete = ours.seconds + time.perf_counter() - began, True
            progress.save()


def _advance(write: Callable[[Batch], None], written: Written, goal: int, documents: int) -> None:
    """Write up to a number of chunks.

    Args:
        documents: of one call. The published integration waits a second for each call: it gets a turn at once.
    """
    missing = range(written.chunks // PER_DOCUMENT, goal // PER_DOCUMENT, AT_ONCE)
    for firsts in batched(missing, documents // AT_ONCE):
        parts = [batch(first, AT_ONCE) for first in firsts]
        part = (
            [document for some, _, _ in parts for document in some],
            [chunk for _, some, _ in parts for chunk in some],
            np.concatenate([vectors for _, _, vectors in parts]),
        )
        began = time.perf_counter()
        write(part)
        written.seconds += time.perf_counter() - began
        written.chunks += len(part[1])


def _collection(client: Any, name: str, described: dict[str, Any]) -> Any:
    """Return a collection of a schema, which is created when missing."""
    if client.collections.exists(name):
        return client.collections.get(name)
    return client.collections.create_from_dict({**described, "class": name, "description": ""})

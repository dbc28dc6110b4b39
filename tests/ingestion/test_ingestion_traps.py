"""What LlamaIndex's own `IngestionPipeline` does to a corpus (TRAPS 8 - 14), and that an ingest does not.

Each test does the same to both. The half that shows LlamaIndex's side fails when LlamaIndex has fixed it: then the
reason for our own loop has changed, and somebody should know.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.ingestion import DocstoreStrategy, IngestionCache, IngestionPipeline
from llama_index.core.schema import BaseNode, Document, MetadataMode, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores import SimpleVectorStore
from pydantic import PrivateAttr

from made import make
from ragloom.assembly import Assembly
from ragloom.components.embedding.hashing_embedding import HashingEmbedding
from ragloom.components.vector_store.lancedb_store import index_folder
from ragloom.config.config import load
from ragloom.ingestion import IngestSummary, batches


class Outage(Exception):
    """Something outside fails."""


class Faulty(BaseEmbedding):
    """Embeds by length, until it is scripted to fail."""

    _down: bool = PrivateAttr(default=False)

    def _get_text_embedding(self, text: str) -> list[float]:
        if self._down:
            raise Outage("the provider is down")
        return [float(len(text)), 1.0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


class Theirs:
    """LlamaIndex's pipeline with its own stores."""

    def __init__(self, strategy: DocstoreStrategy) -> None:
        self.embedding, self.store = Faulty(), SimpleVectorStore()
        self.pipeline = IngestionPipeline(
            transformations=[make("chunking", "fixed"), self.embedding],
            docstore=SimpleDocumentStore(),
            vector_store=self.store,
            docstore_strategy=strategy,
            disable_cache=True,
        )

    def run(self, **texts: str) -> None:
        self.pipeline.run(documents=[Document(id_=id, text=text) for id, text in texts.items()])

    @property
    def chunks(self) -> Counter[str]:
        """How many chunks the store holds of each document."""
        return Counter(self.store.data.text_id_to_ref_doc_id.values())


class Ours:
    """A folder of text files and its index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "docs").mkdir(parents=True)

    def write(self, **texts: str) -> None:
        for id, text in texts.items():
            (self.folder / "docs" / f"{id}.txt").write_text(text, encoding="utf-8")

    def assembly(self) -> Assembly:
        place = [f'source.path="{self.folder / "docs"}"', f'vector_store.path="{self.folder / "store"}"']
        (config,) = load(["source=folder", "workers.processes=0", "cache.enabled=false", "source.verify=true", *place])
        return Assembly(config)

    def ingest(self) -> IngestSummary:
        return self.assembly().ingest()

    @property
    def chunks(self) -> Counter[str]:
        nodes = self.assembly().open().store.get_nodes()
        return Counter(str(node.ref_doc_id).removesuffix(".txt") for node in nodes)

    @property
    def texts(self) -> dict[str, str]:
        index = self.assembly().open()
        return {name: index.document(f"{name}.txt").text for name in self.chunks}


@pytest.fixture
def ours(tmp_path: Path) -> Ours:
    return Ours(tmp_path)


def down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has every embedding call fail."""

    def fail(self: Any, texts: list[str], counts: list[int] | None) -> Any:
        raise Outage("the provider is down")

    monkeypatch.setattr(HashingEmbedding, "embed_batch", fail)


@pytest.mark.slow
def test_changed_document_stays_while_its_new_version_cannot_be_embedded(
    ours: Ours, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRAPS 8: UPSERTS deletes the old chunks first; the document is gone, for good once its text is reverted."""
    theirs = Theirs(DocstoreStrategy.UPSERTS)
    theirs.run(a="old text")
    theirs.embedding._down = True
    with pytest.raises(Outage):
        theirs.run(a="new text")
    theirs.embedding._down = False
    theirs.run(a="old text")
    lost = theirs.chunks["a"] == 0

    ours.write(a="old text")
    ours.ingest()
    ours.write(a="new text")
    with monkeypatch.context() as patch:
        down(patch)
        with pytest.raises(Outage):
            ours.ingest()
    assert ours.texts == {"a": "old text"}
    ours.write(a="old text")
    ours.ingest()
    assert ours.texts == {"a": "old text"}
    assert lost, "LlamaIndex keeps the old version now"


def test_document_whose_write_failed_is_taken_in_by_the_next_run(ours: Ours, monkeypatch: pytest.MonkeyPatch) -> None:
    """TRAPS 9: DUPLICATES_ONLY remembers a document before it is written; after a failure it is skipped for ever."""
    theirs = Theirs(DocstoreStrategy.DUPLICATES_ONLY)
    theirs.embedding._down = True
    with pytest.raises(Outage):
        theirs.run(a="some text")
    theirs.embedding._down = False
    theirs.run(a="some text")
    lost = theirs.chunks["a"] == 0

    ours.write(a="some text")
    with monkeypatch.context() as patch:
        down(patch)
        with pytest.raises(Outage):
            ours.ingest()
    assert ours.ingest().added == 1
    assert ours.chunks == {"a": 1}
    assert lost, "LlamaIndex takes it in now"


def test_documents_of_other_batches_are_not_deleted(ours: Ours, monkeypatch: pytest.MonkeyPatch) -> None:
    """TRAPS 10: UPSERTS_AND_DELETE deletes whatever this call did not bring."""
    theirs = Theirs(DocstoreStrategy.UPSERTS_AND_DELETE)
    theirs.run(a="one")
    theirs.run(b="two")
    wiped = theirs.chunks == {"b": 1}

    monkeypatch.setattr(batches, "MOST_CHUNKS", 1)
    ours.write(a="one", b="two", c="three")
    ours.ingest()
    ours.write(d="four")
    assert ours.ingest().deleted == 0
    assert ours.chunks == dict.fromkeys("abcd", 1)
    assert wiped, "LlamaIndex deletes no other batch now"


def test_documents_of_equal_text_have_chunks_of_their_own(ours: Ours) -> None:
    """TRAPS 10, 11: the pipeline's cache gives a second document of the same text the chunks of the first."""
    pipeline = IngestionPipeline(transformations=[make("chunking", "fixed")], cache=IngestionCache())
    first = pipeline.run(documents=[Document(id_="a", text="the same")])
    second = pipeline.run(documents=[Document(id_="b", text="the same")])
    mixed = second[0].ref_doc_id == first[0].ref_doc_id == "a"

    ours.write(a="the same", b="the same")
    ours.ingest()
    assert ours.chunks == {"a": 1, "b": 1}
    assert mixed, "LlamaIndex keeps them apart now"


def test_texts_that_read_the_same_when_joined_are_not_taken_for_each_other() -> None:
    """TRAPS 11: the key of ["ab", "c"] is that of ["a", "bc"]."""
    from llama_index.core.ingestion.pipeline import get_transformation_hash

    def nodes(*texts: str) -> list[BaseNode]:
        return [TextNode(id_=f"{number}", text=text) for number, text in enumerate(texts)]

    step = make("embedding", "hashing")
    same = get_transformation_hash(nodes("ab", "c"), step) == get_transformation_hash(nodes("a", "bc"), step)
    left, right = step(nodes("ab", "c")), step(nodes("a", "bc"))
    assert [node.embedding for node in left] != [node.embedding for node in right]
    assert [node.get_content(MetadataMode.NONE) for node in right] == ["a", "bc"]
    assert same, "LlamaIndex's key tells them apart now"


def test_no_call_brings_all_chunks_at_once(ours: Ours, monkeypatch: pytest.MonkeyPatch) -> None:
    """TRAPS 13: the pipeline makes every node before it embeds one, and adds all of them in one call."""
    calls: list[int] = []

    class Store(SimpleVectorStore):
        def add(self, nodes: Any, **kwargs: Any) -> list[str]:
            calls.append(len(nodes))
            return super().add(nodes, **kwargs)

    pipeline = IngestionPipeline(transformations=[make("chunking", "fixed"), Faulty()], vector_store=Store())
    pipeline.run(documents=[Document(id_=str(number), text=f"text {number}") for number in range(50)])

    from ragloom.components.vector_store.lancedb_store.index_writer import LanceWriter
    from ragloom.ingestion import write_stage

    monkeypatch.setattr(batches, "MOST_CHUNKS", 8)
    monkeypatch.setattr(write_stage, "MOST_TOGETHER", 8)
    appended: list[int] = []
    before = LanceWriter.append
    monkeypatch.setattr(
        LanceWriter,
        "append",
        lambda self, chunks, *rest: (appended.append(len(chunks)), before(self, chunks, *rest))[1],
    )
    ours.write(**{f"n{number}": f"text {number}" for number in range(50)})
    ours.ingest()
    assert sum(appended) == 50
    assert max(appended) <= 8
    assert calls == [50], "LlamaIndex writes in bounded calls now"


def test_file_that_is_half_written_never_takes_the_place_of_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRAPS 14: `persist()` writes over the file; killed in the middle it leaves a JSON file of 0 bytes."""
    path = tmp_path / "commits.json"
    index_folder.replace_file(path, {"number": 1})

    def crash(*arguments: Any, **named: Any) -> None:
        raise Outage

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", crash)
        patch.setattr("os.replace", crash)
        with pytest.raises(Outage):
            index_folder.replace_file(path, {"number": 2})
    assert json.loads(path.read_text(encoding="utf-8")) == {"number": 1}
    index_folder.replace_file(path, {"number": 3})
    assert json.loads(path.read_text(encoding="utf-8")) == {"number": 3}

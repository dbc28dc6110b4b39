"""What every store promises of its LlamaIndex side: on its own in plain LlamaIndex, and reading an index."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from llama_index.core import Document, MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core.schema import (
    BaseNode,
    ImageNode,
    IndexNode,
    MetadataMode,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

from messages import wording
from messages.vector_store import (
    comes_twice,
    node_dimensions,
    node_of_other_document,
    node_without_embedding,
    nodes_or_filters_needed,
    query_needs,
    unknown_query_mode,
    written_by,
    written_only_by_ingest,
    wrong_dimensions,
)
from ragloom.components.vector_store.llama_index_store import NodeStore
from ragloom.core.nodes import to_node
from ragloom.errors import ConfigError, DataError
from store_tools import BruteForce, Words, cut, node, of, ranking, vectors, with_vector, writer

if TYPE_CHECKING:
    from store_places import Place

pytest_plugins = ["store_places"]

TEXT = VectorStoreQueryMode.TEXT_SEARCH


def equals(key: str, value: Any) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, value=value)])


def found(nodes: NodeStore, text: str, k: int = 10, **scope: Any) -> list[str]:
    result = nodes.query(VectorStoreQuery(query_str=text, similarity_top_k=k, mode=TEXT, **scope))
    return list(result.ids or [])


def near(nodes: NodeStore, text: str, k: int = 10, **scope: Any) -> list[str]:
    vector = vectors([text])[0].tolist()
    result = nodes.query(VectorStoreQuery(query_embedding=vector, similarity_top_k=k, **scope))
    assert len(result.ids or []) == len(result.nodes or []) == len(result.similarities or [])
    return list(result.ids or [])


def without_embedding(nodes: Sequence[BaseNode]) -> list[dict[str, Any]]:
    return [item.model_dump(exclude={"embedding"}) for item in nodes]


def test_store_is_empty_before_the_first_add(place: "Place") -> None:
    """TRAPS 32: an empty result must not raise."""
    mine = place.nodes()
    assert (found(mine, "w"), near(mine, "w"), mine.get_nodes(), mine.count()) == ([], [], [], 0)
    mine.delete("doc.md")
    mine.delete_nodes(["x"])
    mine.clear()
    assert mine.add([]) == []
    assert place.leftovers() == []


def test_nodes_of_any_class_come_back_as_they_were(place: "Place") -> None:
    mine = place.nodes()
    nodes: list[BaseNode] = [
        node("a", "plain text", None),
        node("b", "text of a document", "doc.md", 부서="법무", n=[1, None, {"x": 1.5}]),
        ImageNode(id_="c", text="an image", image_path="x.png", embedding=[1.0] * 16),
        IndexNode(id_="d", text="an index", index_id="other", embedding=[2.0] * 16),
        to_node(cut("own.md", "our own chunk", heading="A > B").chunks[0]),
    ]
    nodes[1].relationships[NodeRelationship.NEXT] = RelatedNodeInfo(node_id="c")
    nodes[1].excluded_embed_metadata_keys = ["n"]
    nodes[4].embedding = [3.0] * 16
    mine.add(nodes)
    back = {item.node_id: item for item in mine.get_nodes()}
    assert without_embedding([back[item.node_id] for item in nodes]) == without_embedding(nodes)
    assert [type(back[item.node_id]) for item in nodes] == [type(item) for item in nodes]
    assert back[nodes[4].node_id].get_content(MetadataMode.EMBED) == "A > B\n\nour own chunk"
    assert sorted(near(mine, "x")) == sorted(back)


def test_similarities_are_raw_scores_best_first(place: "Place") -> None:
    """TRAPS 3: not min-max normalised, so that a cutoff means something."""
    mine = place.nodes()
    documents = {f"{n}": cut(f"{n}", f"alpha {'beta ' * n}", 99) for n in range(5)}
    mine.add([with_vector(chunk) for item in documents.values() for chunk in item.chunks])
    brute = BruteForce(documents)
    result = mine.query(VectorStoreQuery(query_str="beta", similarity_top_k=9, mode=TEXT))
    assert result.similarities == pytest.approx([item[2] for item in brute.lexical("beta", 9)], rel=2e-6)
    vector = vectors(["question"])[0].tolist()
    result = mine.query(VectorStoreQuery(query_embedding=vector, similarity_top_k=9))
    assert result.similarities == pytest.approx([item[2] for item in brute.dense(vector, 9)], abs=1e-6)


def test_bm25_is_right_at_the_first_search_after_an_add(place: "Place") -> None:
    """TRAPS 32: BM25 is silently wrong between a write and index maintenance."""
    mine, state = place.nodes(), {}
    for step in range(3):
        for n in range(step * 10, step * 10 + 10):
            state[f"{n}"] = cut(f"{n}", f"alpha {'beta ' * (n % 7)} gamma{n % 3}", 99)
        mine.add([with_vector(chunk) for n in range(step * 10, step * 10 + 10) for chunk in state[f"{n}"].chunks])
        result = place.nodes().query(VectorStoreQuery(query_str="beta gamma1", similarity_top_k=9, mode=TEXT))
        expected = BruteForce(state).lexical("beta gamma1", 9)
        assert result.similarities == pytest.approx([item[2] for item in expected], rel=2e-6)


def test_store_sees_at_once_what_another_wrote(place: "Place") -> None:
    """TRAPS 32: a table that stays open keeps its old state."""
    mine, other = place.nodes(), place.nodes()
    mine.add([node("a", "one")])
    assert found(mine, "one") == found(other, "one") == near(other, "one") == ["a"]
    other.replace("doc.md", [node("b", "one more")])
    assert (found(mine, "one"), near(mine, "one"), mine.count()) == (["b"], ["b"], 1)
    other.clear()
    assert (found(mine, "one"), near(mine, "one"), mine.count()) == ([], [], 0)
    other.add([node("c", "one")])
    assert found(mine, "one") == ["c"]


def test_several_may_add_at_once_to_a_store_that_does_not_exist_yet(place: "Place") -> None:
    from concurrent.futures import ThreadPoolExecutor

    stores = [place.nodes() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: stores[n].add([node(f"{n}", "same text", f"{n}.md", n=n)]), range(6)))
    assert sorted(found(stores[0], "same")) == sorted(near(stores[1], "same text")) == list("012345")


def test_adding_a_known_id_replaces_the_node(place: "Place") -> None:
    """TRAPS 33: Chroma keeps the old content."""
    mine = place.nodes()
    mine.add([node("a", "old text", lang="en"), node("b", "other text")])
    mine.add([node("a", "new words"), node("c", "third text")])
    assert mine.count() == 3
    assert mine.get_nodes(["a"])[0].get_content() == "new words"
    assert mine.get_nodes(filters=equals("lang", "en")) == []
    assert (found(mine, "old"), found(mine, "new")) == ([], ["a"])


def test_replace_puts_new_nodes_in_place_of_a_documents_old_ones(place: "Place") -> None:
    mine = place.nodes()
    mine.add([node("a", "one"), node("b", "two"), node("c", "three", "other.md")])
    assert mine.replace("doc.md", [node("b", "two again"), node("d", "four")]) == ["b", "d"]
    assert {item.node_id: item.get_content() for item in mine.get_nodes()} == {
        "b": "two again",
        "c": "three",
        "d": "four",
    }
    mine.replace("doc.md", [])
    assert [item.node_id for item in mine.get_nodes()] == ["c"]
    with pytest.raises(DataError, match=wording(node_of_other_document("doc.md"))):
        mine.replace("doc.md", [node("c", "three", "other.md")])


@pytest.mark.parametrize("gone", ["report.pdf", "docs/a.md", "the", "a", "it's"])
def test_delete_takes_exactly_the_document_of_that_id(place: "Place", gone: str) -> None:
    """TRAPS 2, 32."""
    ids = ["report.pdf", "annual-report.pdf", "docs/a.md", "docs/md/a.md", "the", "a", "a ", " a", "it's"]
    mine = place.nodes()
    mine.add([node(f"{n}", f"text {n}", id) for n, id in enumerate(ids)])
    mine.delete(gone)
    assert {item.ref_doc_id for item in mine.get_nodes()} == set(ids) - {gone}


@pytest.mark.slow
def test_thousands_of_nodes_are_replaced_and_deleted(place: "Place") -> None:
    """TRAPS 2: of 12,000 matches 2,000 stayed in the published Weaviate integration."""
    mine = place.nodes()
    mine.add([TextNode(id_="kept", text="kept", embedding=[1.0] * 16)])
    many = [
        TextNode(id_=f"n{n}", text="text", relationships=of("long.md"), embedding=[1.0] * 16) for n in range(12_000)
    ]
    mine.add(many)
    mine.replace("long.md", many[:11_000])
    assert mine.count() == 11_001
    mine.delete_nodes([item.node_id for item in many[1:10_500]])
    assert mine.count() == 502
    mine.delete("long.md")
    assert [item.node_id for item in mine.get_nodes()] == ["kept"]


def test_delete_nodes_takes_ids_and_filters_together_and_never_everything(place: "Place") -> None:
    mine = place.nodes()
    mine.add([node(f"{n}", f"text {n}", n=n) for n in range(6)])
    mine.delete_nodes(["1", "2", "none"], equals("n", 2))
    mine.delete_nodes([])
    assert sorted(item.node_id for item in mine.get_nodes()) == ["0", "1", "3", "4", "5"]
    mine.delete_nodes(filters=MetadataFilters(filters=[MetadataFilter(key="n", value=3, operator=FilterOperator.GT)]))
    assert sorted(item.node_id for item in mine.get_nodes()) == ["0", "1", "3"]
    for filters in (None, MetadataFilters(filters=[])):
        with pytest.raises(ConfigError, match=wording(nodes_or_filters_needed())):
            mine.delete_nodes(filters=filters)
    mine.clear()
    assert mine.count() == 0
    mine.add([TextNode(text="other dimensions", embedding=[1.0, 2.0])])
    assert mine.count() == 1


def test_filters_document_ids_and_node_ids_hold_together(place: "Place") -> None:
    """TRAPS 5: filters silently overrode doc_ids and node_ids."""
    mine = place.nodes()
    mine.add([node(f"{d}{n}", f"text {d} {n}", d, n=n) for d in "abc" for n in range(4)])
    for ask in (found, near):
        assert sorted(ask(mine, "text", doc_ids=["a", "b"], filters=equals("n", 1))) == ["a1", "b1"]
        assert ask(mine, "text", doc_ids=["a"], node_ids=["a1", "b1"], filters=equals("n", 1)) == ["a1"]
        assert ask(mine, "text", doc_ids=[]) == []
        assert len(ask(mine, "text", 99, node_ids=[])) == 12  # what LlamaIndex's retriever sends for all
        assert len(ask(mine, "text", 99, filters=MetadataFilters(filters=[]))) == 12
        assert ask(mine, "text", filters=equals("no such key", 1)) == []


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("a", "one"), TextNode(id_="b", text="two")], wording(node_without_embedding("b"))),
        ([node("a", "one"), TextNode(id_="b", text="two", embedding=[1.0])], wording(node_dimensions("b", 1))),
        ([node("a", "one"), node("a", "two")], comes_twice()),
        ([TextNode(id_="b", text="two", embedding=[1.0])], wording(wrong_dimensions(16, 1))),
        ([TextNode(id_="b", text="two", embedding=[np.nan] * 16)], "holds NaN"),
        ([TextNode(id_="b", text="two", metadata={"when": Path()}, embedding=[1.0] * 16)], "metadata 'when' of b must"),
    ],
)
def test_node_that_would_never_be_found_is_refused_with_the_whole_call(
    place: "Place", nodes: list[TextNode], message: str
) -> None:
    """TRAPS 12: nodes without an embedding are skipped silently, and their document counts as ingested."""
    mine = place.nodes()
    mine.add([node("there", "before")])
    with pytest.raises(DataError, match=message):
        mine.add(nodes)
    assert [item.node_id for item in mine.get_nodes()] == ["there"]


@pytest.mark.parametrize(
    "mode", [mode for mode in VectorStoreQueryMode if mode.value not in ("default", "sparse", "text_search")]
)
def test_mode_that_the_store_cannot_answer_is_refused_rather_than_changed(
    place: "Place", mode: VectorStoreQueryMode
) -> None:
    """TRAPS 3: the published Weaviate integration answers other modes than it was asked for."""
    with pytest.raises(ConfigError, match=wording(unknown_query_mode(mode.value))):
        place.nodes().query(VectorStoreQuery(query_str="a", query_embedding=[1.0] * 16, mode=mode))


def test_query_without_what_its_mode_needs_is_refused(place: "Place") -> None:
    with pytest.raises(ConfigError, match=wording(query_needs("query_embedding"))):
        place.nodes().query(VectorStoreQuery(query_str="a"))
    with pytest.raises(ConfigError, match=wording(query_needs("query_str"))):
        place.nodes().query(VectorStoreQuery(query_embedding=[1.0], mode=TEXT))


def test_async_twins_do_the_same_without_blocking_the_event_loop(place: "Place") -> None:
    threads = set[str]()

    class Watching(Words):
        def terms(self, text: str) -> list[str]:
            threads.add(threading.current_thread().name)
            return super().terms(text)

    mine = place.nodes(analyzer=Watching())

    async def run() -> None:
        assert await mine.async_add([]) == []
        await mine.async_add([node("a", "one"), node("b", "two", "b.md"), node("c", "three", "c.md")])
        await mine.areplace("b.md", [node("d", "four", "b.md")])
        await mine.adelete("doc.md")
        await mine.adelete_nodes(["c"])
        assert [item.node_id for item in await mine.aget_nodes()] == ["d"]
        result = await asyncio.gather(
            *(mine.aquery(VectorStoreQuery(query_str="four", similarity_top_k=2, mode=TEXT)) for _ in range(4))
        )
        assert [item.ids for item in result] == [["d"]] * 4
        await mine.aclear()

    asyncio.run(run())
    assert mine.count() == 0
    assert threading.main_thread().name not in threads


def test_plain_llamaindex_program_works_on_the_store(place: "Place") -> None:
    mine = place.nodes()
    documents = [Document(id_=f"{n}.md", text=f"text number {n}", metadata={"n": n}) for n in range(4)]
    context = StorageContext.from_defaults(vector_store=mine)
    VectorStoreIndex.from_documents(documents, storage_context=context, embed_model=MockEmbedding(8))
    index = VectorStoreIndex.from_vector_store(place.nodes(), embed_model=MockEmbedding(8))
    nodes = index.as_retriever(similarity_top_k=9, filters=equals("n", 2)).retrieve("anything")
    assert [(item.node.ref_doc_id, item.node.get_content()) for item in nodes] == [("2.md", "text number 2")]
    lexical = index.as_retriever(vector_store_query_mode=TEXT, similarity_top_k=9)
    assert lexical.retrieve("3 number")[0].node.ref_doc_id == "3.md"
    assert len(asyncio.run(lexical.aretrieve("number"))) == 4
    index.delete_ref_doc("3.md")
    index.update_ref_doc(Document(id_="1.md", text="number one, changed"))
    assert sorted(item.node.get_content() for item in lexical.retrieve("number")) == [
        "number one, changed",
        "text number 0",
        "text number 2",
    ]


def test_store_of_an_index_reads_what_the_index_reads_and_cannot_write(place: "Place") -> None:
    documents = {f"{n}.md": cut(f"{n}.md", f"text {n} " * 20, n=n) for n in range(4)}
    index = place.fresh(documents)
    mine: Any = index.store
    hits = index.lexical("text 2", 9)
    assert found(mine, "text 2", 9) == [hit.chunk.id for hit in hits]
    assert near(mine, "x", 9) == [hit.chunk.id for hit in index.dense(vectors(["x"])[0].tolist(), 9)]
    assert mine.count() == len(mine.get_nodes()) == index.info.chunks
    nodes = mine.query(VectorStoreQuery(query_str="text 2", similarity_top_k=9, mode=TEXT)).nodes
    assert without_embedding(nodes) == without_embedding([to_node(hit.chunk) for hit in hits])
    retriever = VectorStoreIndex.from_vector_store(mine, embed_model=MockEmbedding(16)).as_retriever()
    assert len(retriever.retrieve("anything")) == 2
    for write in (
        lambda: mine.add([node("a", "text")]),
        lambda: mine.replace("doc.md", [node("a", "text")]),
        lambda: mine.replace("doc.md", []),
        lambda: mine.delete("1.md"),
        lambda: mine.delete_nodes(["a"]),
        mine.clear,
    ):
        with pytest.raises(ConfigError, match=wording(written_only_by_ingest())):
            write()
    assert ranking(index.lexical("text 2", 9)) == ranking(hits)


def test_store_and_ingest_never_write_each_others_index(place: "Place") -> None:
    place.fresh({"a.md": cut("a.md", "text")})
    mine = place.nodes("corpus-1")
    for write in (lambda: mine.add([node("a", "text")]), mine.clear, lambda: mine.delete("a.md"), mine.count):
        with pytest.raises(DataError, match=wording(written_by("ingest"))):
            write()
    place.nodes("nodes").add([node("a", "text")])
    with pytest.raises(DataError, match=wording(written_by("store"))), writer(place.database, "nodes"):
        pass
    assert [info.name for info in place.database.indexes()] == ["corpus-1"]

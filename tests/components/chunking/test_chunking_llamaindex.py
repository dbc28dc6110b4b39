import asyncio
import gc
import pickle
from typing import Any

import pytest
from llama_index.core import Document
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload, LlamaDebugHandler
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.span import BaseSpan
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.schema import MetadataMode, NodeRelationship, TextNode

from chunkers import OPTIONS, LetterEmbedding, check_exact, chunkers, document
from ragloom.core.nodes import to_chunk
from ragloom.core.records import document_hash

TEXT = (
    "# 안내\n\n"
    + "Dr. Kim said hello. 그는 웃었다. 그리고 떠났다. " * 20
    + "\n\n## Table\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
)


@pytest.mark.parametrize("option", OPTIONS)
def test_nodes_are_the_chunks(option: str) -> None:
    source = document(TEXT, "markdown", author="김")
    parser = chunkers()[option]
    nodes = parser.get_nodes_from_documents([source])
    assert [to_chunk(node) for node in nodes] == list(parser.chunks(source))
    assert parser([source]) == nodes
    assert asyncio.run(parser.aget_nodes_from_documents([source])) == nodes
    for node in nodes:
        assert isinstance(node, TextNode)
        assert node.relationships[NodeRelationship.SOURCE].node_id == source.id_  # type: ignore[union-attr]
        assert node.relationships[NodeRelationship.SOURCE].hash == document_hash(TEXT, source.metadata)  # type: ignore[union-attr]
        assert node.metadata["author"] == "김"
        assert node.get_content(MetadataMode.EMBED) == f"{node.metadata['heading']}\n\n{node.text}".strip()


@pytest.mark.parametrize("option", OPTIONS)
def test_chunkers_work_in_an_ingestion_pipeline(option: str) -> None:
    documents = [document(TEXT, "markdown"), Document(id_="b", text="둘째. " * 50), Document(id_="c", text=" \n ")]
    parser = chunkers()[option]
    pipeline = IngestionPipeline(transformations=[parser, LetterEmbedding()], disable_cache=True)
    nodes = pipeline.run(documents=documents)
    assert [node.node_id for node in nodes] == [node.node_id for node in parser.get_nodes_from_documents(documents)]
    assert all(node.embedding for node in nodes)
    assert {node.ref_doc_id for node in nodes} == {documents[0].id_, "b"}
    for source in documents:
        check_exact(source.text, [to_chunk(node) for node in nodes if node.ref_doc_id == source.id_])


def test_the_pipelines_cache_tells_sizes_apart() -> None:
    pipeline = IngestionPipeline(transformations=[chunkers(24)["fixed"]])
    first = pipeline.run(documents=[document(TEXT)])
    pipeline.transformations = [chunkers(48)["fixed"]]
    assert len(pipeline.run(documents=[document(TEXT)])) < len(first)


def test_a_node_that_is_cut_again_keeps_its_document_and_offsets() -> None:
    source = document(TEXT, "markdown")
    coarse = chunkers(100, 0)["paragraph"].get_nodes_from_documents([source])
    fine = chunkers(24, 0)["fixed"](coarse)
    assert len(fine) > len(coarse) > 1
    assert {node.ref_doc_id for node in fine} == {source.id_}
    check_exact(TEXT, [to_chunk(node) for node in fine])


@pytest.mark.parametrize("option", OPTIONS)
def test_events_still_fire(option: str) -> None:
    class Spans(SimpleSpanHandler):
        def new_span(self, id_: str, bound_args: Any, *args: Any, **kwargs: Any) -> BaseSpan | None:
            seen.append(id_)
            return super().new_span(id_, bound_args, *args, **kwargs)  # type: ignore[return-value]

    seen: list[str] = []
    handler, dispatcher = Spans(), get_dispatcher()
    debug = LlamaDebugHandler(print_trace_on_end=False)
    parser = chunkers()[option]
    parser.callback_manager = CallbackManager([debug])
    dispatcher.add_span_handler(handler)
    try:
        nodes = parser.get_nodes_from_documents([document(TEXT)])
    finally:
        dispatcher.span_handlers.remove(handler)
    ((start, end),) = debug.get_event_pairs(CBEventType.NODE_PARSING)
    assert start.payload is not None
    assert len(start.payload[EventPayload.DOCUMENTS]) == 1
    assert end.payload == {EventPayload.NODES: nodes}
    assert any(name.startswith(f"{type(parser).__name__}._parse_nodes") for name in seen)


def test_the_garbage_collector_is_left_as_it_was() -> None:
    chunkers()["fixed"].get_nodes_from_documents([document(TEXT)])
    assert gc.isenabled()
    gc.disable()
    try:
        chunkers()["fixed"].get_nodes_from_documents([document(TEXT)])
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_neighbours_are_linked_when_asked_for() -> None:
    parser = chunkers()["fixed"]
    assert all(node.next_node is None for node in parser.get_nodes_from_documents([document(TEXT)]))
    parser.include_prev_next_rel = True
    nodes = parser.get_nodes_from_documents([document(TEXT), Document(id_="b", text=TEXT)])
    linked = [node.next_node.node_id if node.next_node else None for node in nodes]
    half = len(nodes) // 2
    assert linked == [
        *(node.node_id for node in nodes[1:half]),
        None,
        *(node.node_id for node in nodes[half + 1 :]),
        None,
    ]


def test_metadata_can_be_left_out_of_nodes() -> None:
    parser = chunkers()["fixed"]
    parser.include_metadata = False
    assert all(set(node.metadata) <= {"heading"} for node in parser([document(TEXT, "markdown", author="x")]))


@pytest.mark.parametrize("option", OPTIONS)
def test_chunkers_can_be_saved_and_sent_to_another_process(option: str) -> None:
    parser = chunkers()[option]
    again = pickle.loads(pickle.dumps(parser))
    assert list(again.spans(TEXT, "markdown")) == list(parser.spans(TEXT, "markdown"))
    assert parser.to_dict()["chunk_size"] == 24


@pytest.mark.slow
def test_chunkers_print_nothing_and_do_without_nltk() -> None:
    """TRAPS 20: LlamaIndex's splitter prints warnings to standard output and needs nltk's data."""
    import subprocess
    import sys

    code = (
        "import sys; from ragloom.config.config import build, load; from llama_index.core import Document\n"
        "from ragloom.components.embedding import hashing\n"
        "given = {'embedding': hashing(dimensions=64, embedded_metadata=[], batch_size=64)}\n"
        "for option in ('fixed', 'recursive', 'paragraph', 'semantic', 'hybrid'):\n"
        "    (config,) = load([f'chunking={option}'])\n"
        "    document = Document(text='Dr. Kim came. ' * 900, metadata={'k': 'v' * 900})\n"
        "    assert list(build(config, 'chunking', **given).chunks(document))\n"
        "assert 'nltk.tokenize.punkt' not in sys.modules, 'nltk was used'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""

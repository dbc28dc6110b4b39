import copy
import pickle
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.schema import MetadataMode, NodeRelationship, ObjectType, RelatedNodeInfo, TextNode

from ragloom.core.nodes import to_chunk, to_node
from ragloom.core.records import Chunk, canonical_json, chunk_id, document_hash

METADATA: list[dict[str, Any]] = [
    {},
    {"heading": "A > B"},
    {"file": "x/y.pdf", "page": 3},
    {"a": 1, "heading": "제목", "page": 2, "tags": ["x", {"y": None}], "score": 0.5},
]


def _chunk(metadata: dict[str, Any], text: str = " text\n{x} ") -> Chunk:
    return Chunk(chunk_id("문서.md", "hash", 3, 9), "문서.md", "hash", 3, 3 + len(text), text, metadata)


@pytest.mark.parametrize("metadata", METADATA)
def test_a_node_made_without_validation_equals_a_validated_one(metadata: dict[str, Any]) -> None:
    """When this fails, LlamaIndex's TextNode has changed: give `to_node` its new fields."""
    node = to_node(_chunk(metadata))
    validated = TextNode(
        id_=node.id_,
        text=" text\n{x} ",
        metadata=metadata,
        excluded_embed_metadata_keys=[key for key in metadata if key != "heading"],
        excluded_llm_metadata_keys=list(metadata),
        relationships={
            NodeRelationship.SOURCE: RelatedNodeInfo(node_id="문서.md", node_type=ObjectType.DOCUMENT, hash="hash")
        },
        text_template="{metadata_str}\n\n{content}",
        metadata_template="{value}",
        start_char_idx=3,
        end_char_idx=3 + len(" text\n{x} "),
    )
    assert node == validated
    assert node.__dict__ == validated.__dict__
    assert node.source_node.__dict__ == validated.source_node.__dict__
    assert node.source_node.__pydantic_fields_set__ == validated.source_node.__pydantic_fields_set__  # type: ignore[union-attr]
    assert node.__pydantic_fields_set__ == validated.__pydantic_fields_set__
    assert node.__pydantic_private__ == validated.__pydantic_private__
    assert node.to_dict() == validated.to_dict()
    assert node.to_json() == validated.to_json()
    assert node.hash == validated.hash
    assert pickle.loads(pickle.dumps(node)) == node
    assert copy.deepcopy(node) == node
    assert TextNode.from_dict(node.to_dict()) == validated


def test_a_node_owns_its_metadata() -> None:
    chunk = _chunk({"a": 1})
    first, second = to_node(chunk), to_node(chunk)
    first.metadata["b"] = 2
    first.excluded_embed_metadata_keys.append("b")
    assert second.metadata == chunk.metadata == {"a": 1}
    assert second.excluded_embed_metadata_keys == ["a"]
    assert first.excluded_llm_metadata_keys == ["a"]


def test_only_the_heading_is_embedded_and_nothing_is_shown_to_the_llm() -> None:
    """TRAPS 36: LlamaIndex embeds all metadata, so that moving a file changes its vectors."""
    node = to_node(_chunk({"file": "x/y.pdf", "heading": "A > B", "page": 3}, "hello"))
    assert node.get_content(MetadataMode.EMBED) == "A > B\n\nhello"
    assert node.get_content(MetadataMode.LLM) == "hello"
    moved = to_node(_chunk({"file": "z/y.pdf", "page": 4}, "hello"))
    assert moved.get_content(MetadataMode.EMBED) == "hello"


@pytest.mark.parametrize("metadata", METADATA)
def test_chunks_survive_the_way_through_a_node(metadata: dict[str, Any]) -> None:
    chunk = _chunk(metadata)
    assert to_chunk(to_node(chunk)) == chunk
    assert to_chunk(TextNode.from_json(to_node(chunk).to_json())) == chunk


def test_a_foreign_node_is_a_document_of_its_own() -> None:
    chunk = to_chunk(TextNode(id_="n", text="hello", metadata={"a": 1}))
    assert chunk == Chunk("n", "n", document_hash("hello", {"a": 1}), 0, 5, "hello", {"a": 1})


@given(document=st.text(st.characters(exclude_categories=("Cs",))), start=st.integers(0), end=st.integers(0))
def test_chunk_ids_are_uuid5_of_what_made_the_chunk(document: str, start: int, end: int) -> None:
    namespace = uuid.UUID("6f2b8d1c-5f0e-5c1a-9d53-6b1d0f6a7c11")
    expected = uuid.uuid5(namespace, canonical_json([document, 'ha"sh', start, end]))
    assert chunk_id(document, 'ha"sh', start, end) == str(expected)

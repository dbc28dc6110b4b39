"""Conversion between chunks and LlamaIndex nodes.

A chunk's document and document hash travel as the node's SOURCE relationship, its span as `start_char_idx` and
`end_char_idx`, so that nodes survive LlamaIndex's pipelines, docstores and vector stores without loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from llama_index.core.schema import BaseNode, NodeRelationship, NodeWithScore, ObjectType, RelatedNodeInfo, TextNode
from pydantic import BaseModel

from ragloom.core.records import Chunk, document_hash

Model = TypeVar("Model", bound=BaseModel)

HEADING_KEY = "heading"
"""Metadata key of a chunk's heading path: the only metadata that LlamaIndex embeds with the text by default [36]."""
PAGE_KEY = "page"
"""Metadata key of the page (from 1) that a chunk begins on."""

_ARMS = {"dense_score": "cosine similarity", "bm25_score": "BM25 score"}
_TEXT_TEMPLATE = "{metadata_str}\n\n{content}"
_METADATA_TEMPLATE = "{value}"
_AT_DEFAULT = frozenset({"embedding", "metadata_separator", "mimetype"})
"""Fields of a node that count as not set, as for one that is built by its constructor."""


def source_of(chunk: Chunk) -> RelatedNodeInfo:
    """Build the node relationship to the source document."""
    fields: dict[str, Any] = {
        "node_id": chunk.document,
        "node_type": ObjectType.DOCUMENT,
        "metadata": {},
        "hash": chunk.content_hash,
    }
    return _unvalidated(RelatedNodeInfo, fields, fields.keys() - {"metadata"})


def to_node(chunk: Chunk, source: RelatedNodeInfo | None = None) -> TextNode:
    """Turn a chunk into the LlamaIndex node that stands for it.

    Args:
        source: `source_of(chunk)`, where the caller has it already from another chunk of the same document.

    Returns:
        a node whose `get_content(MetadataMode.EMBED)` is the heading path, an empty line and the text (the text
        alone without a heading), and whose other metadata is never embedded nor shown to an LLM.
    """
    metadata = dict(chunk.metadata)
    keys = list(metadata)
    fields: dict[str, Any] = {
        "id_": chunk.id,
        "embedding": None,
        "metadata": metadata,
        "excluded_embed_metadata_keys": [key for key in keys if key != HEADING_KEY],
        "excluded_llm_metadata_keys": keys,
        "relationships": {NodeRelationship.SOURCE: source or source_of(chunk)},
        "metadata_template": _METADATA_TEMPLATE,
        "metadata_separator": "\n",
        "text": chunk.text,
        "mimetype": "text/plain",
        "start_char_idx": chunk.start,
        "end_char_idx": chunk.end,
        "text_template": _TEXT_TEMPLATE,
    }
    return _unvalidated(TextNode, fields, fields.keys() - _AT_DEFAULT)


def to_chunk(node: BaseNode) -> Chunk:
    """Turn a LlamaIndex node back into the chunk that it stands for.

    A node that another parser made has no span or no document: it then counts as the whole of its document, and a
    node without a document as its own document.
    """
    text = node.get_content()
    source = node.source_node
    start = getattr(node, "start_char_idx", None) or 0
    end = getattr(node, "end_char_idx", None)
    return Chunk(
        id=node.node_id,
        document=source.node_id if source else node.node_id,
        content_hash=(source.hash if source else None) or document_hash(text, node.metadata),
        start=start,
        end=start + len(text) if end is None else end,
        text=text,
        metadata=dict(node.metadata),
    )


def _unvalidated(model: type[Model], fields: dict[str, Any], names: set[str]) -> Model:
    """Build a pydantic object from valid, complete fields without validation.

    Validating a node's thirteen takes longer than cutting its chunk, and pydantic's `model_construct`, which comes to
    this when every field is passed, half as long. A test holds that such a node equals a validated one.
    """
    instance = model.__new__(model)
    object.__setattr__(instance, "__dict__", fields)
    object.__setattr__(instance, "__pydantic_fields_set__", names)
    object.__setattr__(instance, "__pydantic_extra__", None)
    object.__setattr__(instance, "__pydantic_private__", None)
    return instance


def place(document: str, metadata: Mapping[str, Any], *, page: str = "page") -> str:
    """Format the place of a chunk: document, page or heading.

    Args:
        page: the word ahead of the page number.
    """
    parts = [document]
    if metadata.get(PAGE_KEY) is not None:
        parts.append(f"{page} {metadata[PAGE_KEY]}")
    if metadata.get(HEADING_KEY):
        parts.append(str(metadata[HEADING_KEY]))
    return ", ".join(part for part in parts if part)


def raw_scores(ranks: Mapping[str, tuple[int, NodeWithScore]]) -> str | None:
    """Format the best raw score of each search; None if unreported."""
    best: dict[str, float] = {}
    for _, node in ranks.values():
        for name, label in _ARMS.items():
            if (score := getattr(node, name, None)) is not None:
                best[label] = max(score, best.get(label, score))
    if not best:
        return None
    scores = ", ".join(f"{label} {best[label]:.4f}" if label in best else f"no {label}" for label in _ARMS.values())
    return f"raw scores of the best matches: {scores}"

"""Base class of the chunkers: spans become chunks and LlamaIndex nodes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.node_parser import NodeParser
from llama_index.core.schema import BaseNode, Document, NodeRelationship

from ragloom.core.nodes import HEADING_KEY, PAGE_KEY, source_of, to_node
from ragloom.core.outline import Outline
from ragloom.core.records import FORMAT_KEY, Chunk, chunk_id, document_hash

Span = tuple[int, int]
"""First character and the one after the last."""

_NOT_BLANK = re.compile(r"\S")


class SpanParser(NodeParser):
    """Node parser with exact spans: `document.text[start:end] == chunk.text`, always.

    LlamaIndex looks for a node's text in the document after cutting, which is wrong where a passage repeats [15]
    and quadratic where it does not; here offsets are known while cutting. Metadata never changes the cut [19], node
    ids are UUIDv5 of the document, its content and the span (`id_func` has no effect), and a blank document gives no
    node [17].
    """

    include_prev_next_rel: bool = Field(
        default=False, description="Include prev/next node relationships (they repeat the metadata in each node)."
    )
    _oversized: int = PrivateAttr(default=0)

    @property
    def oversized(self) -> int:
        """Chunks over `chunk_size` so far: 0 but for `recursive`."""
        return self._oversized

    def cut(self, outline: Outline) -> Iterator[Span]:
        """Yield spans in order of their start.

        Every character that is not blank is in one. A span may be blank, or repeat the one before: neither becomes a
        chunk.

        Subclasses define it. (No `abstractmethod`: LlamaIndex's instrumentation wraps what implements one, at 40
        microseconds a document.)
        """
        raise NotImplementedError(f"{type(self).__name__} must define cut")

    cut.undefined = True  # type: ignore[attr-defined]  # read by interface_checks

    def spans(self, text: str, format: str | None = None) -> Iterator[Span]:
        """Yield the spans of a text's chunks.

        Args:
            format: the document's `records.FORMAT_KEY` metadata; None is plain text.
        """
        for start, end, _ in self._distinct(Outline(text, format)):
            yield start, end

    def embedded_texts(self, text: str, format: str | None = None) -> list[str]:
        """List the texts to embed in order to cut a text."""
        return []

    def chunks(self, document: BaseNode) -> Iterator[Chunk]:
        """Yield a document's chunks as they are cut.

        A node cut from a document earlier keeps that document: offsets then refer to it.
        """
        text, source = document.get_content(), document.source_node
        metadata = document.metadata if self.include_metadata else {}
        name = source.node_id if source else document.node_id
        content_hash = (source.hash if source else None) or document_hash(text, document.metadata)
        shift = (getattr(document, "start_char_idx", None) or 0) if source else 0
        outline = Outline(text, document.metadata.get(FORMAT_KEY))
        for start, end, first in self._distinct(outline):
            yield Chunk(
                id=chunk_id(name, content_hash, start + shift, end + shift),
                document=name,
                content_hash=content_hash,
                start=start + shift,
                end=end + shift,
                text=text[start:end],
                metadata=_located(metadata, outline, first),
            )

    def _distinct(self, outline: Outline) -> Iterator[tuple[int, int, int]]:
        """Yield each span with its first non-blank character; drop blanks and repetitions."""
        last = None
        for span in self.cut(outline):
            first = _NOT_BLANK.search(outline.text, *span)
            if first is not None and span != last:
                last = span
                yield *span, first.start()

    def _parse_nodes(self, nodes: Sequence[BaseNode], show_progress: bool = False, **kwargs: Any) -> list[BaseNode]:
        parsed: list[BaseNode] = []
        for document in nodes:
            source = None
            for chunk in self.chunks(document):
                source = source or source_of(chunk)
                parsed.append(to_node(chunk, source))
        return parsed

    def _postprocess_parsed_nodes(self, nodes: list[BaseNode], parent_doc_map: dict[str, Document]) -> list[BaseNode]:
        if self.include_prev_next_rel:
            for before, after in itertools.pairwise(nodes):
                if before.ref_doc_id == after.ref_doc_id:
                    before.relationships[NodeRelationship.NEXT] = after.as_related_node_info()
                    after.relationships[NodeRelationship.PREVIOUS] = before.as_related_node_info()
        return nodes


def trimmed(text: str, start: int, end: int) -> Iterator[Span]:
    """Yield a span without blanks at its edges; nothing if blank."""
    if stripped := text[start:end].lstrip():
        start = end - len(stripped)
        yield start, start + len(stripped.rstrip())


def _located(metadata: dict[str, Any], outline: Outline, offset: int) -> dict[str, Any]:
    located = dict(metadata)
    if (page := outline.page_at(offset)) is not None:
        located.setdefault(PAGE_KEY, page)
    if (heading := outline.heading_at(offset)) is not None:
        located.setdefault(HEADING_KEY, heading)
    return located

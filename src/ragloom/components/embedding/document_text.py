"""Texts for an embedding: prefix, embedded metadata, and their token limit."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import BaseNode, MetadataMode
from pydantic import Field, PrivateAttr

from ragloom.components.embedding.validation import demand_texts, name_of, unbroken
from ragloom.core.records import Chunk

_tally = threading.Lock()


class TextEmbedding(BaseEmbedding):
    """A LlamaIndex embedding that never cuts a text silently.

    Attributes:
        dimensions: of every vector.
        max_tokens: of one text as sent, special tokens included; None = no limit.
        embedded_metadata: metadata keys whose values are sent ahead of a document's text, in this order.
        document_prefix, query_prefix: put before what is sent, as the model was trained.
        overlong: what happens to a text over `max_tokens`.
    """

    dimensions: int = Field(gt=0)
    max_tokens: int | None = None
    embedded_metadata: list[str] = Field(default_factory=list)
    document_prefix: str = ""
    query_prefix: str = ""
    overlong: Literal["error", "truncate"] = "error"

    truncation_offered: ClassVar[bool] = False
    """Whether the option has a key `overlong`."""
    _truncated: int = PrivateAttr(default=0)
    _counted: dict[str, int] = PrivateAttr(default_factory=dict)

    @property
    def truncated(self) -> int:
        """Texts cut at `max_tokens` so far; always 0 with `overlong: error`."""
        return self._truncated

    @abstractmethod
    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count each text's tokens with the model's own tokenizer, special tokens included."""

    def document_text(self, text: str, metadata: Mapping[str, Any]) -> str:
        """Compose a document's text: prefix, embedded metadata, an empty line, the text."""
        return unbroken(self.document_prefix + self._with_metadata(text, metadata))

    def prepare(self, chunks: Sequence[Chunk]) -> tuple[list[str], list[int] | None]:
        """Compose the texts of chunks: prefix, embedded metadata, text.

        Returns:
            the texts, and the tokens of each (None without a limit).

        Raises:
            DataError: chunks are over the limit; each is named by document and span.
        """
        texts = [self.document_text(chunk.text, chunk.metadata) for chunk in chunks]
        name = lambda at: f"{chunks[at].document}, characters {chunks[at].start} to {chunks[at].end}"  # noqa: E731
        return texts, self._check(texts, name)

    def _prepare_texts(self, texts: Sequence[str]) -> tuple[list[str], list[int] | None]:
        """Check texts without adding prefix or metadata; return and raise as `prepare`."""
        whole = [unbroken(text) for text in texts]
        return whole, self._check(whole, lambda at: f"text {at + 1} of {len(whole)}, which begins {whole[at][:40]!r}")

    def _prepare_nodes(self, nodes: Sequence[BaseNode]) -> list[str]:
        """Compose the texts of nodes without prefix, which `get_text_embedding_batch` adds."""
        texts = [self._with_metadata(node.get_content(MetadataMode.NONE), node.metadata) for node in nodes]
        whole = [unbroken(self.document_prefix + text) for text in texts]
        counts = self._check(whole, lambda at: name_of(nodes[at]), count_truncated=False)
        self._counted = {} if counts is None else dict(zip(whole, counts, strict=True))
        return texts

    def _with_metadata(self, text: str, metadata: Mapping[str, Any]) -> str:
        values = (str(metadata[key]) for key in self.embedded_metadata if metadata.get(key) is not None)
        head = "\n".join(values).strip()
        # Stripped as LlamaIndex's TextNode.get_content does it, so that both send the same text for our nodes.
        return f"{head}\n\n{text}".strip() if head else text

    def _count(self, texts: list[str]) -> list[int]:
        """Count tokens, except of texts counted by `_prepare_nodes`."""
        counts = [self._counted.pop(text, -1) for text in texts]
        left = [at for at, tokens in enumerate(counts) if tokens < 0]
        for at, tokens in zip(left, self.count_tokens([texts[at] for at in left]) if left else (), strict=True):
            counts[at] = tokens
        return counts

    def _check(self, texts: list[str], name: Callable[[int], str], count_truncated: bool = True) -> list[int] | None:
        """Reject blank and overlong texts; return token counts, None without a limit."""
        counts = None if self.max_tokens is None else self._count(texts)
        over = [(at, tokens) for at, tokens in enumerate(counts or []) if tokens > (self.max_tokens or 0)]
        or_cut = ", or set embedding.overlong=truncate" if self.truncation_offered else ""
        too_long = f"tokens of {self.model_name} must be at most {self.max_tokens}; lower chunking.chunk_size{or_cut}"
        refused = [(at, f"{tokens} {too_long}") for at, tokens in over] if self.overlong == "error" else []
        demand_texts(texts, refused, name)
        if over and count_truncated:
            with _tally:
                self._truncated += len(over)
        return counts

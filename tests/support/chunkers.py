"""What the chunking tests share: a deterministic embedding, every option in small sizes, texts that break chunkers."""

import hashlib
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import Document

from ragloom.components import chunking
from ragloom.components.chunking.base import SpanParser
from ragloom.core.records import Chunk

TOKENIZER = "cl100k_base"


class LetterEmbedding(BaseEmbedding):
    """Counts characters into eight buckets: deterministic, and can be computed by hand."""

    max_tokens: int | None = None
    seen: list[str] = []  # noqa: RUF012 - a pydantic field

    def count_tokens(self, texts: list[str]) -> list[int]:
        return [len(text) for text in texts]

    def _get_text_embedding(self, text: str) -> list[float]:
        if self.max_tokens is not None and len(text) > self.max_tokens:
            raise ValueError(f"{len(text)} characters")
        self.seen.append(text)
        vector = [0.0] * 8
        for character in text:
            vector[hashlib.sha256(character.encode("utf-8", "surrogatepass")).digest()[0] % 8] += 1
        return vector

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


SEMANTIC: dict[str, Any] = {
    "min_size": 8,
    "buffer_size": 1,
    "threshold": "percentile",
    "threshold_value": 80.0,
    "tokenizer": TOKENIZER,
}


def chunkers(size: int = 24, overlap: int = 6, **semantic: Any) -> dict[str, SpanParser]:
    """Builds every option; `recursive` twice, in characters and in tokens."""
    separators = {"separators": ["\n\n", "\n", " ", ""], "keep_separator": "start"}
    sizes = {"chunk_size": size, "chunk_overlap": overlap}
    meaning = {**SEMANTIC, "min_size": min(8, size - 1), **semantic}
    return {
        "fixed": chunking.fixed(**sizes, tokenizer=TOKENIZER),
        "recursive": chunking.recursive(**separators, special_tokens=0, length="characters", **sizes),
        "recursive in tokens": chunking.recursive(**separators, special_tokens=0, length=TOKENIZER, **sizes),
        "paragraph": chunking.paragraph(**sizes, tokenizer=TOKENIZER),
        "semantic": chunking.semantic(LetterEmbedding(), **sizes, **meaning),
        "hybrid": chunking.hybrid(LetterEmbedding(), **sizes, **meaning),
    }


OPTIONS = tuple(chunkers())
BOUNDED = ("paragraph", "semantic", "hybrid")
"""Options whose chunks have at most chunk_size tokens when tokenised alone."""

FORMATS = st.sampled_from([None, "text", "markdown", "html", "docx", "pdf", "csv", "json"])
FRAGMENTS = (
    "안녕하세요. 반갑습니다! ",
    "동해물과 백두산이 마르고 닳도록",
    "계약서를",
    "계약서를 계약서를 계약서를 ",
    "你好。世界很大，我想去看看。",
    "吾輩は猫である。名前はまだ無い。",
    "Dr. Kim of the U.S. wrote Fig. 3. It is new. ",
    "The same passage. The same passage. ",
    "👩‍👩‍👧‍👦",
    "🇰🇷🏳️‍🌈",
    "e\u0301o\u0308u\u0302",
    "각",
    "\u1112\u1161\u11ab",
    "\n",
    "\n\n",
    "\r\n",
    "\r\n\r\n",
    "\f",
    " ",
    "\u3000\u00a0\t",
    "\u200b",
    "# Heading\n",
    "## 제목 ##\n\n",
    "Title\n=====\n",
    "| a | b |\n|---|---|\n| 1 | 2 |\n",
    "```\n# code\n\nmore\n```\n",
    "~~~\n",
    "- item\n- item\n",
    "<|endoftext|>",
    "supercalifragilisticexpialidocious" * 3,
    "!!!???...\n\n/",
    "0123456789 ",
)
TEXTS = st.one_of(
    st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join),
    st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=8)), max_size=25).map("".join),
    st.tuples(st.sampled_from(FRAGMENTS), st.integers(1, 60)).map(lambda pair: pair[0] * pair[1]),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=120),
)
"""Korean, CJK, emoji with joiners, combining marks, CRLF, repeated passages, markdown, blanks."""

_WORDS = (
    "그는 ",
    "웃었다. ",
    "the ",
    "U.S.\n",
    "/path ",
    "  \n\n",
    "'s ",
    "12345 ",
    "!!\n",
    "x\t y ",
    "…\n/",
    "é\u0301 ",
    "한글 ",
)
WORDY_TEXTS = st.lists(st.sampled_from((*FRAGMENTS, *_WORDS * 2)), min_size=20, max_size=90).map("".join)
"""Long texts with words, and with blanks and line ends of all kinds between them."""


def document(text: str, format: str | None = None, **metadata: Any) -> Document:
    if format is not None:
        metadata["ragloom_format"] = format
    return Document(id_="문서/a b.md", text=text, metadata=metadata)


def check_exact(text: str, chunks: list[Chunk]) -> None:
    """Holds what every chunker promises of one document."""
    covered = bytearray(len(text))
    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.text
        assert chunk.text.strip(), "a blank chunk"
        covered[chunk.start : chunk.end] = b"\x01" * (chunk.end - chunk.start)
    lost = [at for at, character in enumerate(text) if not covered[at] and not character.isspace()]
    assert not lost, f"lost characters at {lost[:5]}"
    assert [chunk.start for chunk in chunks] == sorted(chunk.start for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == len(chunks)


def texts_of(parser: SpanParser, text: str, format: str | None = None) -> Iterator[str]:
    return (text[start:end] for start, end in parser.spans(text, format))

"""Chat messages from a question and its chunks, within a token budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.schema import NodeWithScore

from ragloom.core.nodes import place, to_chunk
from ragloom.core.prompt_and_reply import Language, PassageBlock, QuestionBlock, language_of
from ragloom.core.records import Chunk
from ragloom.core.tokenizers import load
from ragloom.errors import ConfigError

Around = Callable[[Chunk], tuple[str, str]]
"""Chunk -> the text before and after it in its document."""

LABELS = {"en": "Question", "ko": "질문"}


@dataclass(frozen=True)
class FilledPrompt:
    """A prompt ready to send.

    Attributes:
        messages: system and user message; the user's blocks are `PassageBlock`s and one `QuestionBlock`.
        supplied: the chunks in it; number n of the prompt is `supplied[n - 1]`.
        passages: how these read in it, with number and place where it has them.
        language: the one to answer in.
    """

    messages: list[ChatMessage]
    supplied: list[NodeWithScore]
    passages: list[str]
    language: Language


@dataclass(frozen=True)
class Prompt:
    """Template of the messages for a question and its chunks.

    Attributes:
        instructions: language -> system text.
        language: `auto` answers in the question's.
        max_context_tokens: most tokens of all passages together.
        numbered: passages stand with number and place, so that an answer can cite them.
    """

    instructions: dict[Language, str]
    language: Literal["auto", "en", "ko"]
    max_context_tokens: int
    tokenizer: str
    numbered: bool

    def language_for(self, question: str) -> Language:
        """Return the language to answer in."""
        return language_of(question) if self.language == "auto" else self.language

    def fill(self, question: str, nodes: list[NodeWithScore], around: Around | None = None) -> FilledPrompt:
        """Pack chunks in rank order into the token budget; skip overlong ones.

        Args:
            question: as entered.
            nodes: best first.
            around: what stands around a chunk in its document, for an LLM that completes sentences by it.

        Raises:
            ConfigError: not even one chunk fits.
        """
        language = self.language_for(question)
        packed = list(self._pack(nodes))
        supplied, passages = [node for node, _ in packed], [text for _, text in packed]
        blocks = [_passage(number, node, text, around) for number, (node, text) in enumerate(packed, start=1)]
        ask = f"{LABELS[language]}: {question}"
        messages = [
            ChatMessage(role=MessageRole.SYSTEM, content=self.instructions[language]),
            ChatMessage(
                role=MessageRole.USER,
                blocks=[*blocks, QuestionBlock(text=ask, question=question, language=language)],
            ),
        ]
        return FilledPrompt(messages, supplied, passages, language)

    def _pack(self, nodes: Sequence[NodeWithScore]) -> Iterator[tuple[NodeWithScore, str]]:
        """Yield the chunks within the budget, with their texts in the prompt."""
        count, spent, shortest, number = load(self.tokenizer).count, 0, math.inf, 1
        for node in nodes:
            title = place(node.node.ref_doc_id or "", node.node.metadata, page="p.")
            text = f"{node.node.get_content()}\n"
            text = f"[{number}] {title}\n{text}" if self.numbered else text
            tokens = count(text)
            shortest = min(shortest, tokens)
            if spent + tokens <= self.max_context_tokens:
                spent, number = spent + tokens, number + 1
                yield node, text
        if nodes and number == 1:
            raise ConfigError(
                f"prompt: prompt.max_context_tokens={self.max_context_tokens} must hold at least one chunk; the "
                f"shortest one has {shortest} tokens with its number and place; raise it"
            )


def _passage(number: int, node: NodeWithScore, text: str, around: Around | None) -> PassageBlock:
    chunk = to_chunk(node.node)
    before, after = around(chunk) if around is not None else ("", "")
    return PassageBlock(
        text=text,
        number=number,
        passage=node.node.get_content(),
        document=chunk.document,
        start=chunk.start,
        before=before,
        after=after,
    )

"""Builders of the conf group `prompt`: chat messages within a token budget."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from ragloom.config.builder_keys import CONTENT, Name, Positive, code_version
from ragloom.errors import ConfigError

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import ChatMessage
    from llama_index.core.schema import NodeWithScore

    from ragloom.core.prompt_blocks import Language
    from ragloom.core.records import Chunk

Around = Callable[["Chunk"], tuple[str, str]]
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

    messages: "list[ChatMessage]"
    supplied: "list[NodeWithScore]"
    passages: list[str]
    language: "Language"


@dataclass(frozen=True)
class Prompt:
    """Template of the messages for a question and its chunks.

    Attributes:
        instructions: language -> system text.
        language: `auto` answers in the question's.
        max_context_tokens: most tokens of all passages together.
        numbered: passages stand with number and place, so that an answer can cite them.
    """

    instructions: "dict[Language, str]"
    language: Literal["auto", "en", "ko"]
    max_context_tokens: int
    tokenizer: str
    numbered: bool

    def language_for(self, question: str) -> "Language":
        """Return the language to answer in."""
        from ragloom.core.prompt_blocks import language_of

        return language_of(question) if self.language == "auto" else self.language

    def fill(self, question: str, nodes: "list[NodeWithScore]", around: "Around | None" = None) -> FilledPrompt:
        """Pack chunks in rank order into the token budget; skip overlong ones.

        Args:
            question: as entered.
            nodes: best first.
            around: what stands around a chunk in its document, for an LLM that completes sentences by it.

        Raises:
            ConfigError: not even one chunk fits.
        """
        from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock

        from ragloom.core.nodes import place, to_chunk
        from ragloom.core.prompt_blocks import PassageBlock, QuestionBlock
        from ragloom.core.tokenizers import load

        language, count = self.language_for(question), load(self.tokenizer).count
        blocks: list[TextBlock] = []
        passages: list[str] = []
        supplied: list[NodeWithScore] = []
        spent, shortest = 0, math.inf
        for node in nodes:
            passage = node.node.get_content()
            title = place(node.node.ref_doc_id or "", node.node.metadata, page="p.")
            text = f"[{len(supplied) + 1}] {title}\n{passage}\n" if self.numbered else f"{passage}\n"
            tokens = count(text)
            shortest = min(shortest, tokens)
            if spent + tokens > self.max_context_tokens:
                continue
            spent += tokens
            supplied.append(node)
            passages.append(text)
            chunk = to_chunk(node.node)
            before, after = around(chunk) if around is not None else ("", "")
            blocks.append(
                PassageBlock(
                    text=text,
                    number=len(supplied),
                    passage=passage,
                    document=chunk.document,
                    start=chunk.start,
                    before=before,
                    after=after,
                )
            )
        if nodes and not supplied:
            raise ConfigError(
                f"prompt: prompt.max_context_tokens={self.max_context_tokens} must hold at least one chunk; the "
                f"shortest one has {shortest} tokens with its number and place; raise it"
            )
        ask = f"{LABELS[language]}: {question}"
        blocks.append(QuestionBlock(text=ask, question=question, language=language))
        messages = [
            ChatMessage(role=MessageRole.SYSTEM, content=self.instructions[language]),
            ChatMessage(role=MessageRole.USER, blocks=blocks),
        ]
        return FilledPrompt(messages, supplied, passages, language)


@code_version(1)
def cited(
    *,
    language: Literal["auto", "en", "ko"],
    max_context_tokens: Positive,
    tokenizer: Annotated[Name, CONTENT],
    instruction_en: Name,
    instruction_ko: Name,
) -> Prompt:
    """Ask for an answer with citation and verbatim quote per claim."""
    return _prompt(language, max_context_tokens, tokenizer, instruction_en, instruction_ko, numbered=True)


@code_version(1)
def plain(
    *,
    language: Literal["auto", "en", "ko"],
    max_context_tokens: Positive,
    tokenizer: Annotated[Name, CONTENT],
    instruction_en: Name,
    instruction_ko: Name,
) -> Prompt:
    """Ask for an answer from the passages and for no citations."""
    return _prompt(language, max_context_tokens, tokenizer, instruction_en, instruction_ko, numbered=False)


def _prompt(
    language: Literal["auto", "en", "ko"], most: int, tokenizer: str, en: str, ko: str, numbered: bool
) -> Prompt:
    return Prompt({"en": en.strip(), "ko": ko.strip()}, language, most, tokenizer, numbered)

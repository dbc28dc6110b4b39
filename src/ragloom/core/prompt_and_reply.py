"""Parts of prompts and replies: passages, question, language, finish reason.

They are LlamaIndex text blocks, so that every LLM reads them as text; one that works on passages (`extractive`, a
reranker) can tell them apart without parsing a prompt.
"""

from __future__ import annotations

import re
from typing import Literal

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, TextBlock, ThinkingBlock

Language = Literal["en", "ko"]

NO_ANSWER: dict[Language, str] = {
    "en": "The documents do not answer this question.",
    "ko": "문서에서 이 질문에 대한 답을 찾지 못했습니다.",
}
"""Answer for unanswerable questions, requested by the `cited` prompts."""

_HANGUL = re.compile("[\uac00-\ud7a3\u1100-\u11ff\u3130-\u318f]")


_ABOVE = "[the text above is the model's reasoning; its answer:]"
NOT_SAID = "not said"
"""The finish reason of a reply whose server gives none."""
_AT_LIMIT = {"length", "max_tokens", "model_length", "max_output_tokens", "model_context_window_exceeded"}
# What servers write for "stop", and what says nothing about the reply.
_ENDED = {"stop", "eos", "eos_token", "end_turn", "stop_sequence", "complete", NOT_SAID}


class PassageBlock(TextBlock):
    """A numbered passage as it stands in the prompt.

    Attributes:
        number: as it is cited, from 1.
        passage: the chunk's own text, without number or title.
        document: id of the chunk's document.
        start: where the passage begins in it, in characters.
        before, after: what stands around it in the stored document; "" where the LLM does not ask for it.
    """

    number: int
    passage: str
    document: str = ""
    start: int = 0
    before: str = ""
    after: str = ""


class QuestionBlock(TextBlock):
    """The question as it stands in the prompt.

    Attributes:
        question: its own text, without a label.
        language: the one to answer in.
    """

    question: str
    language: Language


def language_of(text: str) -> Language:
    """Detect Korean by script.

    Any Hangul makes it Korean, as in "Ragloom의 chunking 옵션은?".
    """
    return "ko" if _HANGUL.search(text) else "en"


def ending_note(finish_reason: str | None) -> str | None:
    """Explain why a reply may be incomplete; None for a complete one."""
    if finish_reason is None or finish_reason.lower() == "stop":
        return None
    if finish_reason.lower() in _AT_LIMIT:
        return "the answer was cut at the LLM's length limit; raise llm.max_tokens"
    return f"the reply ended with the finish reason {finish_reason!r} instead of 'stop'; the answer may be incomplete"


def has_failed(finish_reason: str | None) -> bool:
    """Return whether a reply was filtered or broken off."""
    return finish_reason is not None and finish_reason.lower() not in _ENDED | _AT_LIMIT


def finish_reason_of(message: ChatMessage) -> str | None:
    """Read the finish reason of a reply; None if unreported."""
    reason = message.additional_kwargs.get("finish_reason")
    return None if reason is None else str(reason)


def reasoning_of(message: ChatMessage) -> str | None:
    """Join the reasoning of a reply outside its text; None without any."""
    thoughts = [block.content for block in message.blocks if isinstance(block, ThinkingBlock) and block.content]
    return "\n".join(thoughts) or None


class Shown:
    """Text sent to a stream's reader.

    Text that turns out to be reasoning cannot be taken back, and is marked.
    """

    def __init__(self) -> None:
        self._text = ""

    def piece(self, response: ChatResponse) -> str:
        """Return what a response adds."""
        text, piece = response.message.content or "", response.delta or ""
        if self._text and not text.startswith(self._text):
            piece = f"\n\n{_ABOVE}\n\n{text}"
        self._text = text
        return piece

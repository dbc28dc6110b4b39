"""The parts of a prompt that keep their meaning: passages, the question, and the language of both. Knows no prompt.

They are LlamaIndex text blocks, so that every LLM reads them as text; one that works on passages (`extractive`, a
reranker) can tell them apart without parsing a prompt.
"""

from __future__ import annotations

import re
from typing import Literal

from llama_index.core.base.llms.types import TextBlock

Language = Literal["en", "ko"]

NO_ANSWER: dict[Language, str] = {
    "en": "The documents do not answer this question.",
    "ko": "문서에서 이 질문에 대한 답을 찾지 못했습니다.",
}
"""What an answer says when there is none; the `cited` prompts ask for exactly this."""

_HANGUL = re.compile("[\uac00-\ud7a3\u1100-\u11ff\u3130-\u318f]")


class PassageBlock(TextBlock):
    """A numbered passage as it stands in the prompt.

    Attributes:
        number: as it is cited, from 1.
        passage: the chunk's own text, without number or title.
    """

    number: int
    passage: str


class QuestionBlock(TextBlock):
    """The question as it stands in the prompt.

    Attributes:
        question: its own text, without a label.
        language: the one to answer in.
    """

    question: str
    language: Language


def language_of(text: str) -> Language:
    """Tells Korean from English by script: any Hangul makes it Korean, as in "Ragloom의 chunking 옵션은?"."""
    return "ko" if _HANGUL.search(text) else "en"

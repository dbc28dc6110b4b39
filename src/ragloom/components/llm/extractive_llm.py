"""An LLM without a model: answers consist of the passages' own sentences.

It serves to try and test a pipeline, and as a baseline for real LLMs: its answers are neither invented nor understood.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import sentencex
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.llms.callbacks import llm_chat_callback
from llama_index.core.llms.custom import CustomLLM
from pydantic import PrivateAttr

from ragloom.core.prompt_and_reply import NO_ANSWER, Language, PassageBlock, QuestionBlock
from ragloom.errors import ConfigError

# BM25's usual constants (Robertson & Zaragoza 2009), here over sentences.
_K1, _B = 1.2, 0.75
# A further sentence is quoted only when it scores at least this share of the best.
_WORTH_QUOTING = 0.8
# Question words without content.
_ASKING = re.compile(
    r"\b(?:what|which|who|whom|whose|when|where|why|how|is|are|was|were|be|do|does|did|can|could|will|would|should|may"
    r"|the|a|an|of|to|in|on|at|for|by|with|and|or|i|my|me|you|your|we|our|it|its|this|that|there|long|many|much|have|has)\b"
    r"|(?:무엇|무슨|누구|누가|언제|어디|어떻게|어떤|얼마나|얼마|몇|왜)(?:[가-힣]{0,3})"
    r"|(?:인가요|인가|입니까|인지요|되나요|됩니까|하나요|합니까|있나요|있습니까|없나요|나요|까요|습니까|알려\s?주세요|주세요)",
    re.IGNORECASE,
)
# A line that is a separate unit: a heading, a table row, a list item.
_OWN_LINE = re.compile(r"[ \t]*(?:#{1,6}[ \t]|\||[-*+•][ \t]|\d+[.)][ \t])")
_RULE_ROW = re.compile(r"[ \t|:\-]*\Z")
_RULE_UNDER_HEAD = re.compile(r"[ \t]*\|[ \t|:]*-[ \t|:\-]*\Z")


class TermAnalyzer(Protocol):
    """An analyzer: turns text into search terms."""

    def terms(self, text: str) -> list[str]:
        """Return the terms of a text, in order, repetitions kept."""


@dataclass(frozen=True)
class _Sentence:
    """A sentence of a passage.

    Attributes:
        number: of the passage.
        document, start, end: where the sentence stands, in characters of the stored document.
    """

    number: int
    document: str
    start: int
    end: int
    text: str
    terms: Counter[str]

    def overlaps(self, other: _Sentence) -> bool:
        return self.document == other.document and self.start < other.end and other.start < self.end


class SentenceLLM(CustomLLM):
    """LLM of the passages' best sentences, each with its citation.

    Sentences are ranked by BM25 over all sentences of the passages, by the terms they share with the question, question
    words excluded. A sentence that shares none is never quoted; when none shares any, the reply is `NO_ANSWER`.
    """

    reads_around: ClassVar[int] = 2000
    """Characters of the stored document around a chunk that complete a sentence cut by its border."""

    max_sentences: int
    _analyzer: TermAnalyzer = PrivateAttr()

    def __init__(self, analyzer: TermAnalyzer, *, max_sentences: int) -> None:
        super().__init__(max_sentences=max_sentences)
        self._analyzer = analyzer

    @property
    def metadata(self) -> LLMMetadata:
        """Describe the model to LlamaIndex: it reads passages of any length."""
        return LLMMetadata(model_name="extractive", is_chat_model=True, context_window=1_000_000)

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer the question block from the passage blocks.

        Raises:
            ConfigError: the messages hold no question block, the source of any answer.
        """
        blocks = [block for message in messages for block in message.blocks]
        question = next((block for block in blocks if isinstance(block, QuestionBlock)), None)
        if question is None:
            raise _no_passages()
        passages = [block for block in blocks if isinstance(block, PassageBlock)]
        reply: str = self._answer(question.question, question.language, passages)
        return ChatResponse(
            message=ChatMessage(role=MessageRole.ASSISTANT, content=reply, additional_kwargs={"finish_reason": "stop"})
        )

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer word by word."""

        def words() -> ChatResponseGen:
            text = ""
            for part in re.findall(r"\s*\S+", self.chat(messages, **kwargs).message.content or ""):
                text += part
                message = ChatMessage(role=MessageRole.ASSISTANT, content=text)
                yield ChatResponse(message=message, delta=part)

        return words()

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer as `chat`, without waiting."""
        response: ChatResponse = self.chat(messages, **kwargs)
        return response

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Answer as `stream_chat`."""

        async def parts() -> ChatResponseAsyncGen:
            for part in self.stream_chat(messages, **kwargs):
                yield part

        return parts()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Raise ConfigError: bare text has no passages."""
        raise _no_passages()

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Raise ConfigError: bare text has no passages."""
        raise _no_passages()

    def _answer(self, question: str, language: Language, passages: Sequence[PassageBlock]) -> str:
        wanted = set(self._analyzer.terms(_ASKING.sub(" ", question)))
        sentences = _merge(sentence for passage in passages for sentence in self._sentences(passage))
        ranked = sorted(_scores(sentences, wanted), key=lambda item: -item[0])  # stable: passage order breaks ties
        if not ranked:
            return NO_ANSWER[language]
        chosen: dict[str, _Sentence] = {}
        for score, sentence in ranked:
            if len(chosen) < self.max_sentences and score >= _WORTH_QUOTING * ranked[0][0]:
                chosen.setdefault(sentence.text, sentence)
        body = " ".join(f"{item.text} [{item.number}]" for item in chosen.values())
        quotes = "\n".join(f'[{item.number}] "{item.text}"' for item in chosen.values())
        return f"{body}\n\n{quotes}"

    def _sentences(self, passage: PassageBlock) -> Iterator[_Sentence]:
        """Yield a passage's sentences, cut ones completed from its document."""
        whole = passage.before + passage.passage + passage.after
        first, last = len(passage.before), len(passage.before) + len(passage.passage)
        offset = passage.start - first
        document = passage.document or f"passage {passage.number}"
        for start, end in split_sentences(whole):
            if start < last and end > first:
                text = " ".join(whole[start:end].split())
                terms = Counter(self._analyzer.terms(text))
                yield _Sentence(passage.number, document, start + offset, end + offset, text, terms)


def _no_passages() -> ConfigError:
    return ConfigError("llm: llm=extractive must receive passages; for free text choose llm=openai")


def _merge(sentences: Iterable[_Sentence]) -> list[_Sentence]:
    """Merge overlapping sentences of passages: the longer one stays."""
    merged: list[_Sentence] = []
    for sentence in sentences:
        same = [at for at, other in enumerate(merged) if other.overlaps(sentence)]
        if not same:
            merged.append(sentence)
        elif len(same) == 1 and _length(sentence) > _length(merged[same[0]]):
            merged[same[0]] = sentence
    return merged


def _length(sentence: _Sentence) -> int:
    return sentence.end - sentence.start


def split_sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of sentences, rows and items, without headings."""
    lines, at = [], 0
    for line in text.splitlines(keepends=True):
        lines.append((at, at + len(line), line))
        at += len(line)
    begin: int | None = None
    for number, (start, end, line) in enumerate(lines):
        apart = not line.strip() or _OWN_LINE.match(line) or line.lstrip().startswith(("#", "|"))
        if begin is not None and apart:
            yield from _inside(text, begin, start)
            begin = None
        if line.lstrip().startswith("|"):
            below = lines[number + 1][2] if number + 1 < len(lines) else ""
            if not _RULE_ROW.match(line.strip()) and not _RULE_UNDER_HEAD.match(below.rstrip()):
                yield from _trimmed(text, start, end)
        elif line.strip() and not line.lstrip().startswith("#"):
            begin = start if begin is None else begin
    if begin is not None:
        yield from _inside(text, begin, len(text))


def _inside(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the spans of a block's sentences."""
    block = text[begin:end]
    # A line end inside a sentence is a blank to a reader; sentencex takes some for sentence ends.
    starts = [item["start_index"] for item in sentencex.get_sentence_boundaries("en", re.sub(r"\s", " ", block))]
    for start, stop in zip(starts, [*starts[1:], len(block)], strict=True):
        yield from _trimmed(text, begin + start, begin + stop)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    words = text[start:end]
    if words.strip():
        yield start + len(words) - len(words.lstrip()), start + len(words.rstrip())


def _scores(sentences: list[_Sentence], wanted: set[str]) -> Iterator[tuple[float, _Sentence]]:
    """Score by BM25 the sentences that share a term with the question."""
    frequency = Counter(term for sentence in sentences for term in wanted & sentence.terms.keys())
    mean = sum(sentence.terms.total() for sentence in sentences) / max(1, len(sentences))
    for sentence in sentences:
        shared = wanted & sentence.terms.keys()
        if not shared:
            continue
        norm = _K1 * (1 - _B + _B * sentence.terms.total() / mean)
        score = 0.0
        for term in shared:
            idf = math.log(1 + (len(sentences) - frequency[term] + 0.5) / (frequency[term] + 0.5))
            score += idf * sentence.terms[term] * (_K1 + 1) / (sentence.terms[term] + norm)
        yield score, sentence

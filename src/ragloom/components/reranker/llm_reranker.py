"""Listwise reranker: an LLM returns the order of numbered passages.

Sun et al.: Is ChatGPT Good at Search? Investigating Large Language Models as Re-Ranking Agents (RankGPT), EMNLP 2023:
the reply format `[2] > [1] > [3]`, and the window that slides from the end of the list to its head.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.llms.llm import LLM
from llama_index.core.schema import NodeWithScore, QueryBundle
from pydantic import Field, SkipValidation

from ragloom.components.reranker.base import Order, Reranker, passage
from ragloom.core.tokenizers import Tokenizer

_SYSTEM = "You rank passages by how relevant they are to a question. You reply with the ranking and nothing else."
_USER = """Here are {count} passages, each with its number in brackets, and a question.

{passages}

Question: {question}

Rank the {count} passages by their relevance to the question. List every number once, the most relevant first, in \
exactly this form: {example}. Do not explain."""
_REPLY = re.compile(r"\[\d+\](?:\s*>\s*\[\d+\])*")
_NUMBER = re.compile(r"\[(\d+)\]")

Exchange = Generator[list[ChatMessage], str | None, list[int] | None]
"""Yields messages, is sent the reply to them, and returns the order; None when a reply was malformed."""


class Listwise(Reranker):
    """Reranker by an LLM's order; the score is `1 / rank`.

    A reply that is not exactly each number once is malformed: it is counted, and the retriever's order and scores are
    kept entirely. An error of the provider is raised.

    Attributes:
        llm: replies; a temperature of 0 is its own key.
        tokenizer: counts the tokens of a passage.
    """

    window_size: int
    window_step: int
    passage_tokens: int
    llm: SkipValidation[LLM] = Field(exclude=True, repr=False)
    tokenizer: SkipValidation[Tokenizer] = Field(exclude=True, repr=False)

    def asks(self, question: str, count: int) -> Iterator[tuple[list[str], int]]:
        """Yield the fixed texts of each request, with their token limits."""
        end = count
        while count > 1 and end > 0:
            start = max(0, end - self.window_size)
            messages = _messages(question, [""] * (end - start))
            yield [message.content or "" for message in messages], (end - start) * self.passage_tokens
            end = end - self.window_step if start else 0

    def order(self, nodes: list[NodeWithScore], query: QueryBundle) -> Order:
        """Order by the LLM's listwise rankings."""
        exchange = self._exchange(nodes, query.query_str)
        reply: str | None = None
        while True:
            try:
                messages = exchange.send(reply)
            except StopIteration as done:
                return self._scored(done.value, len(nodes))
            reply = self.llm.chat(messages).message.content or ""

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = self._start(nodes, query_bundle)
        exchange = self._exchange(nodes, query.query_str)
        reply: str | None = None
        while True:
            try:
                messages = exchange.send(reply)
            except StopIteration as done:
                return self._finish(nodes, self._scored(done.value, len(nodes)))
            reply = (await self.llm.achat(messages)).message.content or ""

    def _exchange(self, nodes: list[NodeWithScore], question: str) -> Exchange:
        """Rank window by window, from the list's end to its head.

        Each window begins with the best of the last one.
        """
        order = list(range(len(nodes)))
        if len(order) < 2:
            return order
        passages = [self._shown(passage(node)) for node in nodes]
        start = len(order)
        end = start
        while start > 0:
            start = max(0, end - self.window_size)
            window = order[start:end]
            reply = yield _messages(question, [passages[at] for at in window])
            ranks = ranking(reply or "", len(window))
            if ranks is None:
                self.count("malformed replies")
                return None
            order[start:end] = [window[rank] for rank in ranks]
            end -= self.window_step
        return order

    def _shown(self, text: str) -> str:
        """Format a passage in one line, cut to `passage_tokens`.

        Its own `[1]` marks are written `(1)` as RankLLM does.
        """
        line = _NUMBER.sub(r"(\1)", " ".join(text.split()))
        cut = first_tokens(self.tokenizer, line, self.passage_tokens)
        if len(cut) < len(line):
            self.count("truncated passages")
        return cut

    def _scored(self, order: list[int] | None, count: int) -> Order:
        if order is None:
            return [(at, None) for at in range(count)]
        return [(at, 1 / rank) for rank, at in enumerate(order, start=1)]


def ranking(reply: str, count: int) -> list[int] | None:
    """Read a reply such as `[2] > [1] > [3]`.

    Args:
        reply: of the LLM; blanks around it do no harm.
        count: passages that were shown.

    Returns:
        positions from 0, best first; None when the reply is malformed: any other word, a number missing, unknown or
        twice.
    """
    text = reply.strip()
    if not _REPLY.fullmatch(text):
        return None
    numbers = [int(number) for number in _NUMBER.findall(text)]
    if sorted(numbers) != list(range(1, count + 1)):
        return None
    return [number - 1 for number in numbers]


def first_tokens(tokenizer: Tokenizer, text: str, tokens: int) -> str:
    """Return the longest prefix within a number of tokens, in whole characters."""
    before = 0
    for complete, _ in tokenizer.edges(text, fitting=tokens):
        here = len(complete) - 1  # boundaries are one more than tokens
        if before + here > tokens:
            return text[: int(complete[tokens - before])]
        before += here
    return text


def _messages(question: str, passages: list[str]) -> list[ChatMessage]:
    numbered = "\n\n".join(f"[{number}] {text}" for number, text in enumerate(passages, start=1))
    example = " > ".join(f"[{number}]" for number in (2, 1, *range(3, len(passages) + 1)))
    user = _USER.format(count=len(passages), passages=numbered, question=question, example=example)
    return [
        ChatMessage(role=MessageRole.SYSTEM, content=_SYSTEM),
        ChatMessage(role=MessageRole.USER, content=user),
    ]

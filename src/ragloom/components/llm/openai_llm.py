"""An LLM behind a server with OpenAI's protocol, as a LlamaIndex LLM.

A reply is whole or it is an error: no choice, no text, or a stream that ends without a finish reason raises
`ServiceError`, which LlamaIndex's synthesizers do not swallow as they do ValueError and TypeError [23].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    TextBlock,
    ThinkingBlock,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import LLM

from ragloom.components.llm.server_reply import Reply
from ragloom.core.budget import Bound, has_budget
from ragloom.core.tokenizers import load
from ragloom.errors import DataError, ServiceError
from ragloom.providers.provider_settings import ProviderSettings
from ragloom.providers.rate_limiter import Rates

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion, ChatCompletionChunk


_TOKENIZER = "cl100k_base"
_MESSAGE_TOKENS = 4  # that the protocol adds to each message, and to the reply's beginning (OpenAI's cookbook: 3 and 3)


class OpenAIChat(LLM, ProviderSettings):
    """LLM by `/chat/completions` of OpenAI or a server with its protocol.

    A response's `message.additional_kwargs["finish_reason"]` is the reason for its end: `stop`, `length` when cut at
    `max_tokens`, or another word of the server. Reasoning is a separate block, and no part of `content`.
    Further fields are those of `ProviderSettings`.

    Attributes:
        group: opens every message, and names the usage.
        model: as the server names it.
        temperature, seed, max_tokens: sent unless None.
        max_tokens_name: name of the field for `max_tokens`; newer OpenAI models refuse the older one.
        context_window: tokens of prompt and reply together.
        stream_usage: whether a stream is asked to report its tokens.
        system_role: whether the server takes messages of the system; otherwise they open the user's.
        reasoning_tags: what opens and closes reasoning inside the text.
    """

    paid: ClassVar[bool] = True
    """Whether each token costs money, unless its price is 0."""

    group: Literal["llm", "judge"]
    model: str
    temperature: float | None
    seed: int | None
    max_tokens: int | None
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"]
    context_window: int
    stream_usage: bool
    system_role: bool = True
    reasoning_tags: tuple[str, str] | None = None

    def model_post_init(self, context: Any, /) -> None:
        """Make the provider; the first request reads the key."""
        super().model_post_init(context)
        self.connect(self.group, self.model, Rates())

    @classmethod
    def class_name(cls) -> str:
        """Name the class in LlamaIndex's events and dumps."""
        return cls.__name__

    @property
    def metadata(self) -> LLMMetadata:
        """Context window, longest reply and name, for LlamaIndex."""
        output: dict[str, Any] = {} if self.max_tokens is None else {"num_output": self.max_tokens}
        return LLMMetadata(context_window=self.context_window, is_chat_model=True, model_name=self.model, **output)

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Request a whole reply; `kwargs` (temperature, stop, ...) are sent too.

        Raises:
            ServiceError: the server failed, or its reply holds no text.
            ConfigError: the key or the model was refused.
            BudgetSpent: the longest reply would exceed the open budget; nothing was sent.
        """
        return self._reply(self._request(messages, kwargs))

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """As `chat`, without blocking the event loop."""
        return await self._areply(self._request(messages, kwargs))

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Yield the growing reply: text so far, new piece as `delta`.

        Raises:
            ServiceError: also after pieces were yielded, when the stream breaks off.
        """
        return self._stream_responses(self._stream_request(messages, kwargs))

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """As `stream_chat`, without blocking the event loop."""
        return self._astream_responses(self._stream_request(messages, kwargs))

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Send the prompt as one user message; raises as `chat`."""
        request = self._request(self._as_message(prompt, formatted), kwargs)
        return _completion(self._reply(request))

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """As `complete`, without blocking the event loop."""
        request = self._request(self._as_message(prompt, formatted), kwargs)
        return _completion(await self._areply(request))

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Send the prompt as one user message; yields and raises as `stream_chat`."""
        pieces = self._stream_responses(self._stream_request(self._as_message(prompt, formatted), kwargs))
        return (_completion(piece) for piece in pieces)

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """As `stream_complete`, without blocking the event loop."""
        pieces = self._astream_responses(self._stream_request(self._as_message(prompt, formatted), kwargs))
        return (_completion(piece) async for piece in pieces)

    def _reply(self, request: dict[str, Any]) -> ChatResponse:
        bound = self._bound(request)
        return self._read(self._provider.chat(bound=bound, **request), bound)

    async def _areply(self, request: dict[str, Any]) -> ChatResponse:
        bound = self._bound(request)
        return self._read(await self._provider.achat(bound=bound, **request), bound)

    def bound(self, messages: Sequence[str], longest: int | None = None) -> Bound:
        """Return the upper bound of a request's tokens.

        Args:
            messages: their texts.
            longest: tokens of the reply; None: as configured, or all that the window leaves.
        """
        prompt, longest = sent_tokens(messages), longest or self.max_tokens
        return Bound(self.model, prompt, max(0, self.context_window - prompt) if longest is None else longest)

    def _bound(self, request: dict[str, Any]) -> Bound | None:
        """Return the upper bound of a request's tokens; None without a budget."""
        if not has_budget():
            return None
        return self.bound([message["content"] for message in request["messages"]], request.get(self.max_tokens_name))

    def _stream_responses(self, request: dict[str, Any]) -> ChatResponseGen:
        reply = Reply(self._provider.link, self.reasoning_tags)
        for chunk in self._provider.stream(**request):
            if response := _add_piece(reply, chunk):
                yield response
        if rest := self._finish(reply):
            yield reply.response(None, delta=rest)

    async def _astream_responses(self, request: dict[str, Any]) -> ChatResponseAsyncGen:
        reply = Reply(self._provider.link, self.reasoning_tags)
        async for chunk in self._provider.astream(**request):
            if response := _add_piece(reply, chunk):
                yield response
        if rest := self._finish(reply):
            yield reply.response(None, delta=rest)

    def _finish(self, reply: Reply) -> str:
        """End a stream; return the text that was held back.

        Raises:
            ServiceError: the stream has ended and the reply has not, or it holds no text.
        """
        link, rest = self._provider.link, reply.end()
        if reply.finish_reason is None:
            raise ServiceError(
                f"{link.kind}: the stream of {link.place} ended without a finish reason after "
                f"{len(reply.text)} characters; the reply broke off and is incomplete"
            )
        reply.demand_text()
        return rest

    def _request(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Compose a request from config and overrides; None is not sent."""
        settings = {
            "temperature": self.temperature,
            "seed": self.seed,
            self.max_tokens_name: self.max_tokens,
        } | {(self.max_tokens_name if name == "max_tokens" else name): value for name, value in kwargs.items()}
        sent = {name: value for name, value in settings.items() if value is not None}
        if self.extra_body:
            sent["extra_body"] = {**self.extra_body, **sent.get("extra_body", {})}
        written = [_message(message) for message in messages]
        return {"model": self.model, "messages": written if self.system_role else _without_system(written), **sent}

    def _stream_request(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> dict[str, Any]:
        options = {"stream_options": {"include_usage": True}} if self.stream_usage else {}
        return options | self._request(messages, kwargs)

    def _as_message(self, prompt: str, formatted: bool) -> list[ChatMessage]:
        convert = None if formatted else self.completion_to_prompt
        return [ChatMessage(content=convert(prompt) if convert else prompt)]

    def _read(self, completion: ChatCompletion, bound: Bound | None) -> ChatResponse:
        """Settle what a reply used, and read it.

        Raises:
            ServiceError: it has no choice or no text.
        """
        if bound is not None:
            reported = [getattr(completion.usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
            bound.settle(*(tokens if isinstance(tokens, int) else None for tokens in reported))
        link = self._provider.link
        choice = completion.choices[0] if completion.choices else None
        if getattr(choice, "message", None) is None:
            raise ServiceError(
                f"{link.kind}: {link.place} returned a reply without a message; ask again, or choose another model"
            )
        reply = Reply(link, self.reasoning_tags)
        reply.take(choice)
        reply.end()
        reply.demand_text()
        return reply.response(completion)


def _add_piece(reply: Reply, chunk: ChatCompletionChunk) -> ChatResponse | None:
    """Add a piece; return the reply if it grows or ends."""
    choices = getattr(chunk, "choices", None)
    if not choices:
        return None  # the report of usage comes in a separate piece
    shown = len(reply.text)
    delta = reply.take(choices[0])
    ends = getattr(choices[0], "finish_reason", None) and reply.text
    return reply.response(chunk, delta=delta) if delta or ends or len(reply.text) < shown else None


def sent_tokens(messages: Sequence[str]) -> int:
    """Count the tokens of messages by `cl100k_base`, which newer models undercut."""
    return sum(load(_TOKENIZER).counts(messages)) + _MESSAGE_TOKENS * (len(messages) + 1)


def _completion(response: ChatResponse) -> CompletionResponse:
    return CompletionResponse(
        text=response.message.content or "",
        additional_kwargs=response.additional_kwargs,
        raw=response.raw,
        delta=response.delta,
    )


def _without_system(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """Put the system's messages ahead of the user's first one."""
    instructions = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
    rest = [dict(message) for message in messages if message["role"] != "system"]
    first = next((message for message in rest if message["role"] == "user"), None)
    if not instructions:
        return rest
    if first is None:
        return [{"role": "user", "content": instructions}, *rest]
    first["content"] = f"{instructions}\n\n{first['content']}"
    return rest


def _message(message: ChatMessage) -> dict[str, str]:
    """Write a message as the protocol has it.

    Raises:
        DataError: it holds something else than text.
    """
    if not all(isinstance(block, TextBlock | ThinkingBlock) for block in message.blocks):
        raise DataError(f"llm: a message of the role {message.role.value!r} must hold text only; leave the rest out")
    return {"role": message.role.value, "content": message.content or ""}

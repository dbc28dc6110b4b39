"""LLMs of extensions, with their exceptions translated into errors of Ragloom."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.llms.llm import LLM
from pydantic import PrivateAttr

from ragloom.core.redaction import redact
from ragloom.errors import RagloomError, ServiceError

_EXCERPT = 300  # characters of an exception's text
_log = logging.getLogger(__name__)


def wrap_extension(llm: Any, group: str) -> Any:
    """Wrap an LLM of an extension, so that it fails with `ServiceError`."""
    own = "ragloom.components.llm"
    if not isinstance(llm, LLM) or any(base.__module__.startswith(own) for base in type(llm).__mro__):
        return llm
    return ForeignLLM(llm, group)


class ForeignLLM(LLM):
    """Wrapper of another LLM, with its attributes.

    Args:
        llm: the other; it fires LlamaIndex's events itself.
        group: opens the messages.
    """

    _inner: LLM = PrivateAttr()
    _group: str = PrivateAttr()

    def __init__(self, llm: LLM, group: str) -> None:
        super().__init__()
        self._inner, self._group = llm, group

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)  # type: ignore[misc]
        except AttributeError:
            if name.startswith("_"):
                raise
            return getattr(self._inner, name)

    def __reduce__(self) -> tuple[type[ForeignLLM], tuple[LLM, str]]:
        return ForeignLLM, (self._inner, self._group)

    @classmethod
    def class_name(cls) -> str:
        """Name the class in LlamaIndex's dumps."""
        return cls.__name__

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex plans with."""
        return self._inner.metadata

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (RagloomError, NotImplementedError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever its provider's client raises
            _log.debug("%s failed", type(self._inner).__name__, exc_info=True)
            text = redact(" ".join(str(error).split()))[:_EXCERPT]
            failed = ServiceError(
                f"{self._group}: {type(self._inner).__name__} failed ({type(error).__name__}: {text}); look at its "
                "requests and settings"
            )
        else:
            return
        raise failed from None  # the client's exception may hold a request with its key

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Ask for a whole reply.

        Raises:
            ServiceError: the LLM failed.
        """
        with self._translated():
            return self._inner.chat(messages, **kwargs)

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """As `chat`, without blocking the event loop."""
        with self._translated():
            return await self._inner.achat(messages, **kwargs)

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """As `chat`, with one prompt."""
        with self._translated():
            return self._inner.complete(prompt, formatted, **kwargs)

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """As `complete`, without blocking the event loop."""
        with self._translated():
            return await self._inner.acomplete(prompt, formatted, **kwargs)

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Yield the reply as it grows; raises as `chat`."""
        with self._translated():
            yield from self._inner.stream_chat(messages, **kwargs)

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """As `stream_chat`, without blocking the event loop."""
        return self._pieces(self._inner.astream_chat, messages, **kwargs)  # type: ignore[return-value]

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Yield the reply as it grows; raises as `chat`."""
        with self._translated():
            yield from self._inner.stream_complete(prompt, formatted, **kwargs)

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """As `stream_complete`, without blocking the event loop."""
        return self._pieces(self._inner.astream_complete, prompt, formatted, **kwargs)  # type: ignore[return-value]

    async def _pieces(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        with self._translated():
            async for piece in await call(*args, **kwargs):
                yield piece

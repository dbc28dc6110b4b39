"""The one place that talks to OpenAI-speaking servers: client, key, retries, errors, usage. Knows no conf option.

The `openai` client does the protocol with its own retries off, so that requests are never multiplied (TRAPS 21): the
one retry policy is here. The key is read from the environment when the first request is made; it lives in the client
alone, which is no part of any representation, copy or pickle.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ragloom.core.budget import Bound, charge
from ragloom.core.usage import record
from ragloom.errors import ServiceError
from ragloom.providers.credentials import read_headers, read_key
from ragloom.providers.rate_limiter import Limiter
from ragloom.providers.reply_streams import AsyncBegun, Begun
from ragloom.providers.request_context import END, ONCE, SILENT, CalledOff, once, sending_nothing, until
from ragloom.providers.retry import Course, Failure, Link, broken, failure_of, masked

if TYPE_CHECKING:
    import openai
    from openai.types import CreateEmbeddingResponse
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

__all__ = ["CalledOff", "Provider", "Usage", "once", "sending_nothing", "until"]

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Usage:
    """What was asked of a provider.

    Attributes:
        requests: sent, failed ones included.
        input_tokens, output_tokens: as the server reported them; None once an answer came without a report, since a
            part of a bill is not the bill.
    """

    requests: int = 0
    input_tokens: int | None = 0
    output_tokens: int | None = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.requests + other.requests,
            _sum(self.input_tokens, other.input_tokens),
            _sum(self.output_tokens, other.output_tokens),
        )


def _sum(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else left + right


class Provider:
    """Sends requests to one model of one server, and keeps count.

    Safe to be used by several threads and event loops. Copies and pickles carry no client and so no key.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self._lock = threading.Lock()
        self._usage = Usage()
        self._limiter = Limiter(link.rates)
        self._client: openai.OpenAI | None = None
        self._async_clients: dict[asyncio.AbstractEventLoop, openai.AsyncOpenAI] = {}

    def __repr__(self) -> str:
        return f"Provider({self.link.kind} {self.link.model!r} at {self.link.place})"

    def __reduce__(self) -> tuple[type[Provider], tuple[Link]]:
        return Provider, (self.link,)

    @property
    def usage(self) -> Usage:
        """What was asked so far, over all threads."""
        return self._usage

    def check_key(self) -> None:
        """Raise ConfigError now, before anything is read or paid, when the key or a header is missing."""
        if not SILENT.get():
            read_key(self.link.kind, self.link.api_key_env)
            read_headers(self.link.kind, self.link.headers_env)

    def embeddings(self, *, tokens: int = 0, **request: Any) -> CreateEmbeddingResponse:
        """Ask for embeddings: one call of `/embeddings`, tried again as the policy says.

        Args:
            tokens: of the texts, for the limits; an open budget (`ragloom.core.usage`) was charged with them already.
        """
        request = _with_format(request)
        answer = self._call(lambda client, limit: client.embeddings.create(**request, timeout=limit), tokens)
        return self._recorded(_expect(answer, "data", self.link))

    async def aembeddings(self, *, tokens: int = 0, **request: Any) -> CreateEmbeddingResponse:
        """As `embeddings`, without blocking the event loop."""
        request = _with_format(request)
        answer = await self._acall(lambda client, limit: client.embeddings.create(**request, timeout=limit), tokens)
        return self._recorded(_expect(answer, "data", self.link))

    def chat(self, *, bound: Bound | None = None, **request: Any) -> ChatCompletion:
        """Ask for a whole reply: one call of `/chat/completions`, tried again as the policy says.

        Args:
            bound: of each request, which an open budget is charged with; what a reply does not use is the caller's to
                settle.
        """
        answer: ChatCompletion = self._call(
            lambda client, limit: client.chat.completions.create(**request, timeout=limit), bound=bound
        )
        return self._recorded(_expect(answer, "choices", self.link))

    async def achat(self, *, bound: Bound | None = None, **request: Any) -> ChatCompletion:
        """As `chat`, without blocking the event loop."""
        answer: ChatCompletion = await self._acall(
            lambda client, limit: client.chat.completions.create(**request, timeout=limit), bound=bound
        )
        return self._recorded(_expect(answer, "choices", self.link))

    def stream(self, **request: Any) -> Iterator[ChatCompletionChunk]:
        """Ask for a reply in pieces. What fails before its first word is tried again as the policy says.

        Raises:
            ServiceError: also after pieces were yielded, when the connection breaks or the server reports an error.
        """
        opened = self._call(
            lambda client, limit: Begun(client.chat.completions.create(**request, stream=True, timeout=limit))
        )
        usage, failure = None, None
        try:
            for chunk in opened:
                usage = getattr(chunk, "usage", None) or usage
                yield chunk
        except self._failures as error:
            failure = failure_of(self.link, error)
        finally:
            opened.close()
            self._count(usage)
        if failure:
            raise broken(failure)

    async def astream(self, **request: Any) -> AsyncIterator[ChatCompletionChunk]:
        """As `stream`, without blocking the event loop."""

        async def begin(client: openai.AsyncOpenAI, limit: float) -> AsyncBegun:
            return await AsyncBegun.begin(await client.chat.completions.create(**request, stream=True, timeout=limit))

        opened = await self._acall(begin)
        usage, failure = None, None
        try:
            async for chunk in opened:
                usage = getattr(chunk, "usage", None) or usage
                yield chunk
        except self._failures as error:
            failure = failure_of(self.link, error)
        finally:
            await opened.close()
            self._count(usage)
        if failure:
            raise broken(failure)

    # The raise of a translated error stands outside the except blocks, so that it does not carry the client's own
    # exception, which holds the request with its Authorization header.

    def _call(
        self, send: Callable[[openai.OpenAI, float], Answer], tokens: int = 0, bound: Bound | None = None
    ) -> Answer:
        client, course = self._sync_client(), Course(self.link, once=ONCE.get())
        while True:
            if held := self._limiter.reserve(tokens):
                course.pause(held)
                _sleep(held)
            if bound is not None:
                bound.take()
            limit = course.begin()
            self._add(Usage(requests=1))
            try:
                return send(client, limit)
            except self._failures as error:
                failure = failure_of(self.link, error)
            if bound is not None and not failure.maybe_done:
                bound.settle(0, 0)
            wait = course.wait_after(failure)
            _charge_again(failure, tokens)
            _sleep(wait)

    async def _acall(
        self,
        send: Callable[[openai.AsyncOpenAI, float], Awaitable[Answer]],
        tokens: int = 0,
        bound: Bound | None = None,
    ) -> Answer:
        client, course = self._async_client(), Course(self.link, once=ONCE.get())
        while True:
            if held := self._limiter.reserve(tokens):
                course.pause(held)
                await _asleep(held)
            if bound is not None:
                bound.take()
            limit = course.begin()
            self._add(Usage(requests=1))
            try:
                return await send(client, limit)
            except self._failures as error:
                failure = failure_of(self.link, error)
            if bound is not None and not failure.maybe_done:
                bound.settle(0, 0)
            wait = course.wait_after(failure)
            _charge_again(failure, tokens)
            await _asleep(wait)

    def _sync_client(self) -> openai.OpenAI:
        self._demand_allowed()
        with self._lock:
            if self._client is None:
                from ragloom.providers.http_client import SyncClient, make_client

                self._client = make_client(self.link, SyncClient)
            return self._client

    def _async_client(self) -> openai.AsyncOpenAI:
        self._demand_allowed()
        loop = asyncio.get_running_loop()
        with self._lock:
            # A client's connections belong to the loop that opened them; those of closed loops are let go.
            self._async_clients = {of: client for of, client in self._async_clients.items() if not of.is_closed()}
            if loop not in self._async_clients:
                from ragloom.providers.http_client import AsyncClient, make_client

                self._async_clients[loop] = make_client(self.link, AsyncClient)
            return self._async_clients[loop]

    def _demand_allowed(self) -> None:
        if SILENT.get():
            raise RuntimeError(f"{self!r} was asked where nothing may be sent")

    @property
    def _failures(self) -> tuple[type[Exception], ...]:
        from ragloom.providers.http_client import FAILURES

        return FAILURES

    def _recorded(self, answer: Answer) -> Answer:
        self._count(getattr(answer, "usage", None))
        return answer

    def _count(self, reported: Any) -> None:
        given = _whole(getattr(reported, "prompt_tokens", None))
        made = 0 if self.link.kind == "embedding" else _whole(getattr(reported, "completion_tokens", None))
        self._add(Usage(0, given, made))
        record(self.link.kind, self.link.model, input_tokens=given, output_tokens=made)

    def _add(self, usage: Usage) -> None:
        with self._lock:
            self._usage += usage


def _with_format(request: dict[str, Any]) -> dict[str, Any]:
    """Has the client send no `encoding_format` where none is asked for; by itself it adds base64."""
    from openai import Omit

    if "encoding_format" in request:
        return request
    return {**request, "encoding_format": "float"} | {
        "extra_body": {**(request.get("extra_body") or {}), "encoding_format": Omit()}
    }


def _expect(answer: Answer, part: str, link: Link) -> Answer:
    """Reject an answer that is JSON but not of the protocol: the client builds its objects unchecked."""
    from openai import BaseModel

    items = getattr(answer, part, None)
    if not isinstance(items, list) or not all(isinstance(item, BaseModel) for item in items):
        said = answer.to_json(indent=None, warnings=False) if isinstance(answer, BaseModel) else str(answer)
        raise ServiceError(
            f"{link.kind}: the answer of {link.place} must hold a list {part!r} of objects; is it an OpenAI API? "
            f"It answered: {masked(said, link)}"
        )
    return answer


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _charge_again(failure: Failure, tokens: int) -> None:
    """Charge an open budget for the next request where the server may bill the one that failed as well."""
    if failure.maybe_done and tokens:
        charge(tokens)


def _sleep(seconds: float) -> None:
    end = END.get()
    if end is None:
        time.sleep(seconds)
    elif end.wait(seconds):
        raise CalledOff("the run has ended before this request was sent; run it again")


async def _asleep(seconds: float) -> None:
    await asyncio.sleep(seconds)

"""Client of servers with OpenAI's protocol: keys, retries, errors, usage.

The `openai` client does the protocol with its own retries off, so that requests are never multiplied (TRAPS 21): the
one retry policy is here. The key is read from the environment when the first request is made; it lives in the client
alone, which is no part of any representation, copy or pickle.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from ragloom.core.budget import Bound, charge
from ragloom.core.run_context import current
from ragloom.core.usage import record
from ragloom.errors import ServiceError
from ragloom.providers.credentials import read_headers, read_key
from ragloom.providers.rate_limiter import Limiter
from ragloom.providers.reply_streams import astarted, joined, started
from ragloom.providers.request_context import RequestCancelled
from ragloom.providers.request_slots import enter_slot, leave_slot
from ragloom.providers.retry import Attempts, Link, RequestFailure, broken_stream, failure_of, mask_secrets

if TYPE_CHECKING:
    import openai
    from openai.types import CreateEmbeddingResponse
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

Answer = TypeVar("Answer")
Arrived = TypeVar("Arrived")


class Provider:
    """One model of one server: sends requests and records their usage.

    Usage is collected by `ragloom.core.usage`. Safe to be used by several threads and event loops. Copies and pickles
    carry no client and so no key.

    Attributes:
        limiter: of requests and tokens per minute; may be replaced by one that several processes share.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self._lock = threading.Lock()
        self.limiter = Limiter(link.rates)
        self._client: openai.OpenAI | None = None
        self._async_clients: dict[asyncio.AbstractEventLoop, openai.AsyncOpenAI] = {}

    def __repr__(self) -> str:
        return f"Provider({self.link.kind} {self.link.model!r} at {self.link.place})"

    def __reduce__(self) -> tuple[type[Provider], tuple[Link]]:
        return Provider, (self.link,)

    def check_key(self) -> None:
        """Raise ConfigError when the key or a header is missing."""
        if not current().no_requests:
            read_key(self.link.kind, self.link.api_key_env)
            read_headers(self.link.kind, self.link.headers_env)

    def embeddings(self, *, tokens: int = 0, **request: Any) -> CreateEmbeddingResponse:
        """Request embeddings: one call of `/embeddings`, with retries.

        Args:
            tokens: of the texts, for the limits; an open budget (`ragloom.core.usage`) was charged with them already.
        """
        request = _with_format(request)
        answer: CreateEmbeddingResponse = self._call(
            lambda client, limit: client.embeddings.with_raw_response.create(**request, timeout=limit),
            lambda arrived: arrived.parse(),
            tokens,
        )
        return self._recorded(_expect(answer, "data", self.link))

    async def aembeddings(self, *, tokens: int = 0, **request: Any) -> CreateEmbeddingResponse:
        """As `embeddings`, without blocking the event loop."""
        request = _with_format(request)
        answer = await self._acall(lambda client, limit: client.embeddings.create(**request, timeout=limit), tokens)
        return self._recorded(_expect(answer, "data", self.link))

    def chat(self, *, bound: Bound | None = None, **request: Any) -> ChatCompletion:
        """Request a whole reply: one call of `/chat/completions`, with retries.

        Args:
            bound: of each request, which an open budget is charged with; what a reply does not use is the caller's to
                settle.
        """
        answer: ChatCompletion = self._call(
            lambda client, limit: client.chat.completions.create(**request, timeout=limit), _as_it_is, bound=bound
        )
        return self._recorded(_expect(answer, "choices", self.link))

    async def achat(self, *, bound: Bound | None = None, **request: Any) -> ChatCompletion:
        """As `chat`, without blocking the event loop."""
        answer: ChatCompletion = await self._acall(
            lambda client, limit: client.chat.completions.create(**request, timeout=limit), bound=bound
        )
        return self._recorded(_expect(answer, "choices", self.link))

    def stream(self, **request: Any) -> Iterator[ChatCompletionChunk]:
        """Request a reply in pieces, with retries up to its first word.

        Raises:
            ServiceError: also after pieces were yielded, when the connection breaks or the server reports an error.
        """
        stream, first = self._call(
            lambda client, limit: started(client.chat.completions.create(**request, stream=True, timeout=limit)),
            _as_it_is,
        )
        usage, failure = None, None
        try:
            for chunk in chain(first, stream):
                usage = getattr(chunk, "usage", None) or usage
                yield chunk
        except self._failures as error:
            failure = failure_of(self.link, error)
        finally:
            stream.close()
            self._count(usage)
        if failure:
            raise broken_stream(failure)

    async def astream(self, **request: Any) -> AsyncIterator[ChatCompletionChunk]:
        """As `stream`, without blocking the event loop."""

        async def begin(client: openai.AsyncOpenAI, limit: float) -> Any:
            return await astarted(await client.chat.completions.create(**request, stream=True, timeout=limit))

        stream, first = await self._acall(begin)
        usage, failure = None, None
        try:
            async for chunk in joined(first, stream):
                usage = getattr(chunk, "usage", None) or usage
                yield chunk
        except self._failures as error:
            failure = failure_of(self.link, error)
        finally:
            await stream.close()
            self._count(usage)
        if failure:
            raise broken_stream(failure)

    # The raise of a translated error stands outside the except blocks, so that it does not carry the client's own
    # exception, which holds the request with its Authorization header.

    def _call(
        self,
        send: Callable[[openai.OpenAI, float], Arrived],
        read: Callable[[Arrived], Answer],
        tokens: int = 0,
        bound: Bound | None = None,
    ) -> Answer:
        client, attempts = self._sync_client(), Attempts(self.link, once=current().single_attempt)
        while True:
            if held := self.limiter.reserve(tokens):
                attempts.pause(held)
                sleep(held)
            limit = self._begin(attempts, bound)
            try:
                arrived = send(client, limit)
                leave_slot()
                return read(arrived)
            except self._failures as error:
                failure = failure_of(self.link, error)
            wait = _wait_after(failure, attempts, tokens, bound)
            attempts.pause(enter_slot())  # left, where the answer has arrived and cannot be read
            sleep(wait)

    async def _acall(
        self,
        send: Callable[[openai.AsyncOpenAI, float], Awaitable[Answer]],
        tokens: int = 0,
        bound: Bound | None = None,
    ) -> Answer:
        client, attempts = self._async_client(), Attempts(self.link, once=current().single_attempt)
        while True:
            if held := self.limiter.reserve(tokens):
                attempts.pause(held)
                await asleep(held)
            limit = self._begin(attempts, bound)
            try:
                return await send(client, limit)
            except self._failures as error:
                failure = failure_of(self.link, error)
            await asleep(_wait_after(failure, attempts, tokens, bound))

    def _begin(self, attempts: Attempts, bound: Bound | None) -> float:
        """Charge and begin a request; return its time limit in seconds.

        Raises:
            RequestCancelled: the run has ended.
        """
        if (end := current().cancelled) is not None and end.is_set():
            raise _cancelled()
        if bound is not None:
            bound.take()
        return attempts.begin()

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
            # A client's connections belong to the loop that opened them; those of closed loops are dropped.
            self._async_clients = {of: client for of, client in self._async_clients.items() if not of.is_closed()}
            if loop not in self._async_clients:
                from ragloom.providers.http_client import AsyncClient, make_client

                self._async_clients[loop] = make_client(self.link, AsyncClient)
            return self._async_clients[loop]

    def _demand_allowed(self) -> None:
        if current().no_requests:
            raise RuntimeError(f"{self!r} must send nothing here, and was called")

    @property
    def _failures(self) -> tuple[type[Exception], ...]:
        from ragloom.providers.http_client import FAILURES

        return FAILURES

    def _recorded(self, answer: Answer) -> Answer:
        self._count(getattr(answer, "usage", None))
        return answer

    def _count(self, reported: Any) -> None:
        prompt = _whole(getattr(reported, "prompt_tokens", None))
        completion = 0 if self.link.kind == "embedding" else _whole(getattr(reported, "completion_tokens", None))
        record(self.link.kind, self.link.model, input_tokens=prompt, output_tokens=completion)


def _as_it_is(answer: Answer) -> Answer:
    return answer


def _with_format(request: dict[str, Any]) -> dict[str, Any]:
    """Keep the client from adding `encoding_format`: by itself it adds base64."""
    from openai import Omit

    if "encoding_format" in request:
        return request
    return {**request, "encoding_format": "float"} | {
        "extra_body": {**(request.get("extra_body") or {}), "encoding_format": Omit()}
    }


def _expect(answer: Answer, part: str, link: Link) -> Answer:
    """Reject JSON outside the protocol: the client builds its objects unchecked."""
    from openai import BaseModel

    items = getattr(answer, part, None)
    if not isinstance(items, list) or not all(isinstance(item, BaseModel) for item in items):
        text = answer.to_json(indent=None, warnings=False) if isinstance(answer, BaseModel) else str(answer)
        raise ServiceError(
            f"{link.kind}: the answer of {link.place} must hold a list {part!r} of objects; is it an OpenAI API? "
            f"It answered: {mask_secrets(text, link)}"
        )
    return answer


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _wait_after(failure: RequestFailure, attempts: Attempts, tokens: int, bound: Bound | None) -> float:
    """Return the wait for the next request; charge billable failures again."""
    if bound is not None and not failure.maybe_done:
        bound.settle(0, 0)
    wait = attempts.wait_after(failure)
    if failure.maybe_done and tokens:
        charge(tokens)
    return wait


def sleep(seconds: float) -> None:
    """Wait before a request, or until its run is cancelled.

    Raises:
        RequestCancelled: the run ended meanwhile.
    """
    end = current().cancelled
    if end is None:
        time.sleep(seconds)
    elif end.wait(seconds):
        raise _cancelled()


def _cancelled() -> RequestCancelled:
    return RequestCancelled("the run ended before this request was sent; run it again")


async def asleep(seconds: float) -> None:
    """Wait before a request without blocking the event loop."""
    await asyncio.sleep(seconds)

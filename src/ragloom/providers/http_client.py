"""The `openai` client for one server, with errors in answers detected."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar

import httpx
from openai import AsyncOpenAI, Omit, OpenAI, OpenAIError
from openai._streaming import ServerSentEvent, SSEDecoder
from openai._types import Headers
from openai.types import CreateEmbeddingResponse

from ragloom.errors import ConfigError
from ragloom.providers.credentials import read_headers, read_key
from ragloom.providers.error_bodies import ErrorBody, error_in
from ragloom.providers.response_deadline import limit_answers
from ragloom.providers.retry import Link, mask_secrets
from ragloom.providers.server_address import is_openai, resolved, split_query, wants_api_key_header

Client = TypeVar("Client", bound=OpenAI | AsyncOpenAI)

FAILURES = (OpenAIError, httpx.HTTPError, httpx.InvalidURL, ErrorBody, ValueError, RecursionError)
"""What a request may raise. ValueError: no JSON; RecursionError: JSON nested too deeply."""
_FIELD = re.compile(r"(data|event|id|retry)?(:|$)")
_MOST_STRAY = 100_000  # characters kept of an answer that should be a stream and is not


class _CheckedAnswers:
    """Mixin of OpenAI's clients; raises `ErrorBody` for answers with an error."""

    def _process_response_data(self, *, data: object, cast_to: type, response: httpx.Response) -> Any:
        part = "data" if cast_to is CreateEmbeddingResponse else "choices"
        if (error := error_in(data, part)) is not None:
            raise ErrorBody(error, response.headers)
        return super()._process_response_data(  # type: ignore[misc]
            data=data, cast_to=cast_to, response=response
        )

    def _make_sse_decoder(self) -> SSEDecoder:
        return Events()

    def _validate_headers(self, headers: Headers, custom_headers: Headers) -> None:
        """Allow a request without a key: not every server wants one."""


class SyncClient(_CheckedAnswers, OpenAI):
    """OpenAI's client with checked answers."""


class AsyncClient(_CheckedAnswers, AsyncOpenAI):
    """As `SyncClient`, without blocking the event loop."""


def make_client(link: Link, of: type[Client]) -> Client:
    """Make a client for one server, without settings of others.

    Raises:
        ConfigError: the key, a header, or what the environment says of proxies and certificates cannot be used.
    """
    url = resolved(link.base_url)
    base, query = split_query(url)
    headers = _headers(link, url)
    try:
        # The client insists on a key; where none is to be sent, its header is left out.
        client = of(
            base_url=base,
            max_retries=0,
            api_key=read_key(link.kind, link.api_key_env) or "none",
            default_query=query,
            default_headers=headers,
        )
    except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
        reason = f"{type(error).__name__}: {mask_secrets(str(error), link)}"
    else:
        if not is_openai(url):  # OPENAI_ORG_ID and the like are for OpenAI alone
            client.organization = client.project = None
            client._custom_headers = headers
        limit_answers(client._client, link)
        return client
    raise ConfigError(
        f"{link.kind}: no client for {link.place} can be made ({reason}); look at the address, and at the environment "
        "variables HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and SSL_CERT_FILE"
    )


def _headers(link: Link, url: str) -> dict[str, Any]:
    """Compose a server's headers; `Omit` in place of an unwanted key."""
    configured = read_headers(link.kind, link.headers_env)
    headers: dict[str, Any] = {
        name.title() if name.lower() == "authorization" else name: value for name, value in configured.items()
    }
    key = read_key(link.kind, link.api_key_env)
    elsewhere = wants_api_key_header(url)
    if key and elsewhere and "api-key" not in map(str.lower, headers):
        headers["api-key"] = key
    if (key is None or elsewhere) and "Authorization" not in headers:
        headers["Authorization"] = Omit()
    return headers


class Events(SSEDecoder):
    """Decoder of a stream's events; raises `ErrorBody` for any error."""

    def __init__(self) -> None:
        super().__init__()
        self._events, self._stray = 0, ""

    def decode(self, line: str) -> ServerSentEvent | None:
        """Take a line; return the event that it completes."""
        if line.startswith("error:"):  # llama.cpp
            raise ErrorBody(_error(line.removeprefix("error:")))
        if not _FIELD.match(line):
            self._stray = f"{self._stray}{line}\n"[:_MOST_STRAY]
            return None
        event = super().decode(line)
        if event is None or not event.data:  # the client would read a heartbeat as JSON
            return None
        if event.event == "error":
            raise ErrorBody(_error(event.data))
        return self._checked(event.event, event.data)

    def iter_bytes(self, iterator: Iterator[bytes]) -> Iterator[ServerSentEvent]:
        """Yield the events, also a last one without an empty line."""
        yield from super().iter_bytes(iterator)
        yield from self._rest()

    async def aiter_bytes(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[ServerSentEvent]:
        """As `iter_bytes`, without blocking the event loop."""
        async for event in super().aiter_bytes(iterator):
            yield event
        for event in self._rest():
            yield event

    def _rest(self) -> Iterator[ServerSentEvent]:
        last = self.decode("")
        if last is not None:
            yield last
        if not self._events and self._stray.strip():  # an answer that is no stream
            yield self._checked(None, self._stray)

    def _checked(self, event: str | None, data: str) -> ServerSentEvent:
        self._events += 1
        if not data.lstrip().startswith(("{", "[")):
            raise ErrorBody(data.strip())  # no client could read it
        if '"error"' in data and (error := error_in(json.loads(data), "choices")) is not None:
            raise ErrorBody(error)
        return ServerSentEvent(event=event, data=data)


def _error(data: str) -> Any:
    """Read an error that a server wrote as JSON or as text."""
    try:
        read = json.loads(data)
    except ValueError:
        return data.strip()
    return error_in(read, "choices") or read

"""Deadline of a whole answer; the client's time-out is per byte."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import httpx

from ragloom.core.run_context import current

if TYPE_CHECKING:
    from ragloom.providers.retry import Link


class DeadlineStream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The bytes of an answer, until a moment.

    Args:
        end: by `time.monotonic`.
    """

    def __init__(self, stream: Any, end: float) -> None:
        self._stream, self._end = stream, end

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            _demand_time(self._end)
            yield part

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            _demand_time(self._end)
            yield part

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()


def _demand_time(end: float) -> None:
    if time.monotonic() > end:
        raise httpx.ReadTimeout("the answer did not end")


def limit_answers(client: Any, link: Link) -> None:
    """Limit whole answers by the deadline, or the time-out under `once`."""

    def bounded(response: httpx.Response) -> None:
        if "event-stream" not in response.headers.get("content-type", ""):
            seconds = link.timeout if current().single_attempt else link.deadline
            response.stream = DeadlineStream(response.stream, time.monotonic() + seconds)

    async def abounded(response: httpx.Response) -> None:
        bounded(response)

    hook = abounded if isinstance(client, httpx.AsyncClient) else bounded
    client.event_hooks = {**client.event_hooks, "response": [hook]}

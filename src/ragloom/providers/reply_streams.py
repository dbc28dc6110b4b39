"""Streamed replies, read up to the first word to allow retries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openai import AsyncStream, Stream
    from openai.types.chat import ChatCompletionChunk


class StartedStream:
    """A stream after its first word, or its end.

    Raises:
        Exception: of reading the first word; the connection is closed.
    """

    def __init__(self, stream: Stream[ChatCompletionChunk]) -> None:
        self._stream = stream
        self._first: list[ChatCompletionChunk] = []
        try:
            while (piece := next(stream, None)) is not None:
                self._first.append(piece)
                if _has_begun(piece):
                    break
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[ChatCompletionChunk]:
        yield from self._first
        yield from self._stream

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()


class AsyncStartedStream:
    """As `StartedStream`; `start` makes one."""

    def __init__(self, stream: AsyncStream[ChatCompletionChunk]) -> None:
        self._stream = stream
        self._first: list[ChatCompletionChunk] = []

    @classmethod
    async def start(cls, stream: AsyncStream[ChatCompletionChunk]) -> AsyncStartedStream:
        """Read a stream up to its first word."""
        started = cls(stream)
        try:
            while (piece := await anext(stream, None)) is not None:
                started._first.append(piece)
                if _has_begun(piece):
                    break
        except BaseException:
            await started.close()
            raise
        return started

    async def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        for piece in self._first:
            yield piece
        async for piece in self._stream:
            yield piece

    async def close(self) -> None:
        """Close the connection."""
        await self._stream.close()


def _has_begun(piece: ChatCompletionChunk) -> bool:
    """Return whether a piece has text, reasoning or the reply's end."""
    choices = getattr(piece, "choices", None)  # the client builds its objects unchecked
    if not isinstance(choices, list) or not choices:
        return False
    delta: Any = getattr(choices[0], "delta", None)
    fields = delta.to_dict(warnings=False) if hasattr(delta, "to_dict") else {}
    return bool(getattr(choices[0], "finish_reason", None)) or any(fields[name] for name in fields if name != "role")

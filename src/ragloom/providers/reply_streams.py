"""A reply in pieces, read as far as its first word: what fails before it can be asked for again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openai import AsyncStream, Stream
    from openai.types.chat import ChatCompletionChunk


class Begun:
    """A stream that has brought its first word, or has ended.

    Raises:
        Exception: what reading as far raised; the connection is let go.
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


class AsyncBegun:
    """As `Begun`; `begin` makes one."""

    def __init__(self, stream: AsyncStream[ChatCompletionChunk]) -> None:
        self._stream = stream
        self._first: list[ChatCompletionChunk] = []

    @classmethod
    async def begin(cls, stream: AsyncStream[ChatCompletionChunk]) -> AsyncBegun:
        """Read a stream as far as its first word."""
        begun = cls(stream)
        try:
            while (piece := await anext(stream, None)) is not None:
                begun._first.append(piece)
                if _has_begun(piece):
                    break
        except BaseException:
            await begun.close()
            raise
        return begun

    async def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        for piece in self._first:
            yield piece
        async for piece in self._stream:
            yield piece

    async def close(self) -> None:
        """Close the connection."""
        await self._stream.close()


def _has_begun(piece: ChatCompletionChunk) -> bool:
    """Return whether a piece brings text, reasoning or the end of the reply."""
    choices = getattr(piece, "choices", None)  # the client builds its objects unchecked
    if not isinstance(choices, list) or not choices:
        return False
    delta: Any = getattr(choices[0], "delta", None)
    said = delta.to_dict(warnings=False) if hasattr(delta, "to_dict") else {}
    return bool(getattr(choices[0], "finish_reason", None)) or any(said[name] for name in said if name != "role")

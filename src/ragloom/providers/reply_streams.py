"""Streamed replies, read up to the first word to allow retries."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openai import AsyncStream, Stream
    from openai.types.chat import ChatCompletionChunk

Pieces = list["ChatCompletionChunk"]


def started(stream: Stream[ChatCompletionChunk]) -> tuple[Stream[ChatCompletionChunk], Pieces]:
    """Read a stream up to its first word, or its end.

    Returns:
        the stream, and the pieces read.

    Raises:
        Exception: of reading; the connection is closed.
    """
    first: Pieces = []
    try:
        while (piece := next(stream, None)) is not None:
            first.append(piece)
            if _has_begun(piece):
                break
    except BaseException:
        stream.close()
        raise
    return stream, first


async def astarted(stream: AsyncStream[ChatCompletionChunk]) -> tuple[AsyncStream[ChatCompletionChunk], Pieces]:
    """As `started`, without blocking the event loop."""
    first: Pieces = []
    try:
        while (piece := await anext(stream, None)) is not None:
            first.append(piece)
            if _has_begun(piece):
                break
    except BaseException:
        await stream.close()
        raise
    return stream, first


async def joined(first: Iterable[Any], rest: AsyncIterable[Any]) -> AsyncIterator[Any]:
    """Yield what was read, then the rest."""
    for piece in first:
        yield piece
    async for piece in rest:
        yield piece


def _has_begun(piece: ChatCompletionChunk) -> bool:
    """Return whether a piece has text, reasoning or the reply's end."""
    choices = getattr(piece, "choices", None)  # the client builds its objects unchecked
    if not isinstance(choices, list) or not choices:
        return False
    delta: Any = getattr(choices[0], "delta", None)
    fields = delta.to_dict(warnings=False) if hasattr(delta, "to_dict") else {}
    return bool(getattr(choices[0], "finish_reason", None)) or any(fields[name] for name in fields if name != "role")

"""The `fixed` chunker: windows of a fixed number of tokens."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from llama_index.core.schema import BaseNode

from ragloom.components.chunking.base import Span, SpanParser
from ragloom.core.outline import Outline
from ragloom.core.tokenizers import Offsets, Tokenizer, load


def token_windows(tokenizer: Tokenizer, text: str, size: int, overlap: int) -> Iterator[Span]:
    """Cut a text into windows of at most `size` tokens.

    Windows consist of whole characters. A window's end is the last character boundary before its last token's end, the
    next one's start the first at or after the token that the overlap asks for: both are at most three tokens (bytes of
    one character) off, in the direction that never exceeds the size.

    Args:
        size: tokens, at least those of any single character.
        overlap: tokens, less than `size`.

    Yields:
        (start, end) in characters; the first starts at 0, the last ends at the end, none leaves a gap to the next.
    """
    previous: tuple[Offsets, Offsets] | None = None
    start = at = 0
    for complete, begun in tokenizer.edges(text, fitting=size):
        # Boundary i stands before token i; boundaries before the current window are dropped.
        if previous is not None:
            complete = np.concatenate((previous[0][at:], complete[1:]))
            begun = np.concatenate((previous[1][at:], begun[1:]))
        previous, at, tokens = (complete, begun), 0, len(complete) - 1
        while True:
            while at < tokens and begun[at + 1] <= start:
                at += 1
            stop = at + size
            while stop < tokens and complete[stop] <= start:
                stop += 1
            if stop >= tokens:  # fits, unless the next piece brings more
                break
            end = int(complete[stop])
            yield start, end
            while complete[stop - 1] >= end:
                stop -= 1
            at = max(stop - overlap, at)
            start = min(end, max(int(begun[at]), start + 1))
            while begun[at] > start:  # the token before holds the start's character, and those before it
                at -= 1
    if start < len(text):
        yield start, len(text)


class TokenWindows(SpanParser):
    """Windows of `chunk_size` tokens with an overlap of `chunk_overlap` tokens."""

    chunk_size: int
    chunk_overlap: int
    tokenizer: str

    def cut(self, outline: Outline) -> Iterator[Span]:
        """Yield the windows, blanks at their edges included."""
        return token_windows(load(self.tokenizer), outline.text, self.chunk_size, self.chunk_overlap)

    def _parse_nodes(self, nodes: Sequence[BaseNode], show_progress: bool = False, **kwargs: Any) -> list[BaseNode]:
        # Nodes hold no reference cycles, and each full collection visits the 220,000 objects that importing
        # LlamaIndex leaves: collecting was a sixth of the time of 10,000 short documents.
        with _collector_paused():
            return super()._parse_nodes(nodes, show_progress, **kwargs)


@contextmanager
def _collector_paused() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

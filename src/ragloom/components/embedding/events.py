"""LlamaIndex's events around the embedding of texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from llama_index.core.instrumentation.event_handlers import NullEventHandler
from llama_index.core.instrumentation.events.embedding import EmbeddingEndEvent, EmbeddingStartEvent
from llama_index_instrumentation import get_dispatcher

_dispatcher = get_dispatcher(__name__)


def with_events(
    texts: list[str], payload: Callable[[], Mapping[str, Any]], make: Callable[[], np.ndarray]
) -> np.ndarray:
    """Fire the events around `make`, if a handler listens.

    Args:
        payload: describes the embedding.
    """
    if not _listened_to():
        return make()
    _dispatcher.event(EmbeddingStartEvent(model_dict=dict(payload())))
    vectors = make()
    _dispatcher.event(EmbeddingEndEvent(chunks=texts, embeddings=vectors.tolist()))
    return vectors


def _listened_to() -> bool:
    """Return whether a handler listens; only then are vectors turned into lists."""
    dispatcher: Any = _dispatcher
    while dispatcher is not None:
        if any(not isinstance(handler, NullEventHandler) for handler in dispatcher.event_handlers):
            return True
        dispatcher = dispatcher.parent if dispatcher.propagate else None
    return False

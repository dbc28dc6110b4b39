"""Callbacks from a worker to its parent process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

ParentCallback = Callable[[Any], Any]
"""Maps a worker's request to its reply; both picklable."""

_callback: ContextVar[ParentCallback | None] = ContextVar("ragloom_parent_callback", default=None)
_cancelled: ContextVar[Callable[[], bool] | None] = ContextVar("ragloom_callback_cancelled", default=None)


class CallbackCancelled(Exception):
    """Raised inside a callback after its pool or run ended."""


def call_parent(request: Any) -> Any:
    """Run the pool's callback in the parent, outside the item's time limit.

    Args:
        request: picklable, as the reply must be.

    Raises:
        RuntimeError: called outside a worker, or the pool has no `callback`.
        CallbackError: the callback raised; without worker processes, the callback's own error.
    """
    callback = _callback.get()
    if callback is None:
        raise RuntimeError("call_parent() was called outside a worker, or its pool has no `callback`")
    return callback(request)


@contextmanager
def _changed(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def callback_handler(callback: ParentCallback | None) -> AbstractContextManager[None]:
    """Route `call_parent` to a function inside the block."""
    return _changed(_callback, callback)


def raise_if_cancelled() -> None:
    """Stop a callback whose result nobody awaits.

    Call it between the parts of a long callback.

    Raises:
        CallbackCancelled: the pool was closed, or its run ended.
    """
    cancelled = _cancelled.get()
    if cancelled is not None and cancelled():
        raise CallbackCancelled


def cancellation_check(cancelled: Callable[[], bool]) -> AbstractContextManager[None]:
    """Set the condition that `raise_if_cancelled` checks inside the block."""
    return _changed(_cancelled, cancelled)

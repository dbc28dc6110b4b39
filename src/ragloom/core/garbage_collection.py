"""Python's garbage collector during imports and long work."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def older_objects_unscanned() -> Iterator[None]:
    """Leave what exists now out of the collections inside the block.

    The imported libraries alone are a million objects, and looking for garbage among them stops all threads for a
    quarter of a second. What an application has frozen itself stays as it is.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pause garbage collection inside the block.

    Importing LlamaIndex and LanceDB makes a million objects that stay, and the collector would walk over them again
    and again: a fifth of the time of the imports. Later collections leave them out.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()

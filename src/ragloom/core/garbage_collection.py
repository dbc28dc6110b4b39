"""Python's garbage collector during long work."""

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

"""Start of a program: garbage collection waits until everything is loaded."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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

"""What comes of an item. Knows no process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Done(Generic[Item, Value]):
    """An item, and what the function returned for it."""

    item: Item
    value: Value


@dataclass(frozen=True, slots=True)
class Failed(Generic[Item]):
    """An item that took its worker down or over its limits.

    Attributes:
        reason: one plain sentence that begins with `it` or `its`, such as `it took longer than 60 s`.
    """

    item: Item
    reason: str


class Lost(RuntimeError):
    """An exception of a worker that could not be pickled: its type and text are kept."""


class Refused(RuntimeError):
    """What `ask` raises in a worker: answering raised, and the caller is told what."""

    def __init__(self) -> None:
        super().__init__("what this item asked for was not answered")


class InWorker(Exception):
    """The cause of an exception that a worker raised: where that was, as text."""

    def __init__(self, traceback: str) -> None:
        super().__init__(traceback)

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def panicked(panic: BaseException) -> str:
    """Puts a library's panic (pyo3's `PanicException` is no `Exception`) in one sentence."""
    said = " ".join(str(panic).split())[:200]
    return f"its reader failed inside a library: {type(panic).__name__}: {said}"


FROM_OUTSIDE = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""`BaseException`s that are no panic of a library."""
OUT_OF_MEMORY = 86
"""Exit status of a worker that has not even the memory to say so."""

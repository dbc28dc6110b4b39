"""Results and errors of a process pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class TaskResult(Generic[Item, Value]):
    """An item with the function's return value."""

    item: Item
    value: Value


@dataclass(frozen=True, slots=True)
class TaskFailure(Generic[Item]):
    """An item that crashed its worker or exceeded a limit.

    Attributes:
        reason: one plain sentence that begins with `it` or `its`, such as `it took longer than 60 s`.
    """

    item: Item
    reason: str


Outcome = TaskResult[Item, Value] | TaskFailure[Item]


class UnpicklableError(RuntimeError):
    """A worker's exception that cannot be pickled: its type and text."""


class CallbackError(RuntimeError):
    """Raised in a worker after the parent's callback raised.

    The caller of the pool sees the original error.
    """


class WorkerTraceback(Exception):
    """Cause of an exception from a worker: the worker's traceback as text."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def panic_reason(panic: BaseException) -> str:
    """Describe a library's panic, such as pyo3's `PanicException`, which is no `Exception`."""
    text = " ".join(str(panic).split())[:200]
    return f"its reader failed inside a library: {type(panic).__name__}: {text}"


EXIT_EXCEPTIONS = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""Each `BaseException` that is no panic of a library."""
OUT_OF_MEMORY_STATUS = 86
"""Exit status of a worker without memory for a message."""

"""Errors for people: their type says who can fix them.

`ConfigError`, `DataError` and `ServiceError` are printed one line a problem, and the program exits with status 1.
Anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Sequence
from types import ModuleType

_NAMED = 5
"""Examples that a count names."""


class RagloomError(Exception):
    """A failure that is explained by its text alone.

    Args:
        problems: one line each, in the form `group: key=value must RULE; what to do`.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ConfigError(RagloomError):
    """Wrong configuration: its author can fix it."""


class DataError(RagloomError):
    """Wrong document, index or file: its owner can fix it."""


class ServiceError(RagloomError):
    """Failure of a store or provider: its operator can fix it.

    A later try may succeed.
    """


class OutdatedRanking(ServiceError):
    """A ranked chunk was replaced before it was read: search again."""


def nearest(wrong: str, known: Iterable[str]) -> str:
    """Suggest the nearest known name for a wrong one.

    Returns:
        `; did you mean 'x'?` where a known name is near, otherwise `; known: a, b, c`.
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""


def require(module: str, *, extra: str, option: str) -> ModuleType:
    """Import a module that only an extra installs.

    Raises:
        ConfigError: the module is not installed; the text names the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise ConfigError(
            f"{option} needs the package {module.split('.')[0]!r}, which is not installed; "
            f"run: pip install 'ragloom[{extra}]'"
        ) from None


def counted(names: Sequence[str], noun: str) -> str:
    """Count things and name the first: `2 quotes (q1, q7)`."""
    shown = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    return f"{len(names):,} {noun}{'' if len(names) == 1 else 's'} ({shown})"

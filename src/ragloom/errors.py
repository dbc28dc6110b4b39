"""The errors a person sees: their type says who can fix it, their text says how. Knows no other module of ours.

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
    """The configuration is wrong: whoever wrote the config or the command can fix it."""


class DataError(RagloomError):
    """A document, an index or a file is wrong: whoever owns the data can fix it."""


class ServiceError(RagloomError):
    """A store or a provider failed: whoever runs the service can fix it, and a later try may succeed."""


def nearest(wrong: str, known: Iterable[str]) -> str:
    """Says what `wrong` was probably meant to be.

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
    """Count things and names the first of them: `2 quotes (q1 (in a.md), q7 (in b.md))`."""
    shown = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    return f"{len(names):,} {noun}{'' if len(names) == 1 else 's'} ({shown})"

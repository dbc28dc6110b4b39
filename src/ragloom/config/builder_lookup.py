"""Import of the builder that a `_target_` names."""

from __future__ import annotations

import importlib
import inspect
import traceback
from collections.abc import Callable
from typing import Any

from ragloom.config.builder_keys import TARGET
from ragloom.config.moved_names import moved_import, new_name
from ragloom.errors import ConfigError, nearest


def locate(target: str, extensions: list[str]) -> Callable[..., Any]:
    """Import a builder by its dotted name.

    Raises:
        ConfigError: it is not below `ragloom` or a listed extension, is missing, is no builder, or the extension's
            code uses a name that does not exist.
    """
    allowed = ["ragloom", *extensions]
    if target.split(".")[0] not in {name.split(".")[0] for name in allowed}:
        raise ConfigError(
            f"{TARGET}={target} must name a builder of {' or '.join(allowed)}; "
            f"if it is yours, add 'extensions=[{target.split('.')[0]}]'"
        )
    if (moved := new_name(target)) is not None:
        raise ConfigError(f"{TARGET}={target} must be the builder's present name, since it moved; write {moved}")
    module_name, _, name = target.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if moved := moved_import(error):
            raise ConfigError(f"{TARGET}={target} must be importable; {moved}: change the import") from None
        raise ConfigError(
            f"{TARGET}={target} must be importable; no module named {error.name!r}; install its package in this Python"
        ) from None
    except (ImportError, AttributeError, NameError) as error:
        if (place := _line_of(error, target.split(".")[0])) is None or target.startswith("ragloom."):
            raise  # a bug that is not in the extension's own lines
        raise ConfigError(f"{TARGET}={target} must be importable; {place}: {error}; correct that line") from None
    builder = getattr(module, name, None)
    if not inspect.isfunction(builder):
        known = [
            item
            for item, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module_name and not item.startswith("_")
        ]
        raise ConfigError(f"{TARGET}={target} must name a function{nearest(name, known)}")
    return builder


def _line_of(error: Exception, package: str) -> str | None:
    """Name a package's module, file and line that failed."""
    lines = [
        f"{frame.f_globals['__name__']} ({frame.f_code.co_filename}, line {line})"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__", "").split(".")[0] == package
    ]
    return lines[-1] if lines else None

"""Models of fastembed's list, from its cache or downloaded."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_HUB_SECONDS = 10.0


def load_listed(make: Callable[..., Any], name: str, listed: list[dict[str, Any]]) -> Any:
    """Load a model by fastembed's name for it.

    fastembed 0.9 tries a hub that cannot be reached for 39 s and logs eight lines: the hub is asked once before.

    Args:
        make: fastembed's class, called with `name` and keyword arguments.
        listed: fastembed's descriptions of its models.

    Raises:
        OSError, ValueError: the hub cannot be reached or does not have the model; the text has the hub's reason.
    """
    with _silent_log():
        try:
            return make(name, local_files_only=True)
        except ValueError:  # what fastembed raises for a model that its cache lacks
            pass
        hub = next((item["sources"].get("hf") for item in listed if item["model"].lower() == name.lower()), None)
        if hub is not None:
            importlib.import_module("huggingface_hub").HfApi().model_info(hub, timeout=_HUB_SECONDS)
        return make(name)


@contextmanager
def _silent_log() -> Iterator[None]:
    """Keep fastembed's log lines off the screen; the error has the reason."""
    logger = importlib.import_module("loguru").logger
    logger.disable("fastembed")
    try:
        yield
    finally:
        logger.enable("fastembed")

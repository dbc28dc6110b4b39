"""Finds the embedded server's executable; never fetches it. Starts nothing."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

from ragloom.errors import ConfigError


def find(version: str, binary_path: str | None) -> Path:
    """Returns the executable of a version.

    Args:
        version: such as `1.39.0`.
        binary_path: the executable, or a folder that holds it; None = the official client's cache folder.

    Raises:
        ConfigError: there is none; says where it was looked for, and how to get it.
    """
    if platform.system() == "Windows":
        raise ConfigError(
            "vector_store: vector_store=weaviate_embedded must run on Linux or macOS, Weaviate has no executable for "
            "Windows; run it with Docker and set vector_store=weaviate, or set vector_store=lancedb"
        )
    path = _cache() if binary_path is None else Path(binary_path).expanduser()
    tried = [path / _official_name(version), path / "weaviate"] if path.is_dir() or binary_path is None else [path]
    for candidate in tried:
        if candidate.is_file():
            if not os.access(candidate, os.X_OK):
                raise ConfigError(
                    f"vector_store: {candidate} must be executable for vector_store=weaviate_embedded; "
                    f"run: chmod +x {candidate}"
                )
            return candidate
    if binary_path is not None:
        raise ConfigError(
            f"vector_store: vector_store.binary_path={binary_path} must be Weaviate's executable or its folder, and "
            f"there is no {' or '.join(map(str, tried))}; set vector_store.binary_path=null for the official client's"
        )
    raise ConfigError(
        f"vector_store: vector_store=weaviate_embedded must find the executable of Weaviate {version} at {tried[0]}; "
        f"fetch it there with the official client: python -c {_fetch(version)!r} (or set vector_store.binary_path)"
    )


def _cache() -> Path:
    """The official client's default `binary_path`: bare `$XDG_CACHE_HOME`, or a folder of its own (TRAPS 7)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache" / "weaviate-embedded")


def _official_name(version: str) -> str:
    """The official client's name for it, which it uses without any download."""
    tag = f"v{version}"
    return f"weaviate-{tag}-{hashlib.sha256(tag.encode()).hexdigest()}"


def _fetch(version: str) -> str:
    options = f'EmbeddedOptions(version="{version}")'
    return f"from weaviate.embedded import *; EmbeddedV4({options}).ensure_weaviate_binary_exists()"

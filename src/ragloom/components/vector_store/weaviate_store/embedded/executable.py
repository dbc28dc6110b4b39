"""Location of the embedded server's executable; it is never downloaded."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

from ragloom.errors import ConfigError


def find(version: str, binary_path: str | None) -> Path:
    """Find the executable of a version.

    Args:
        version: such as `1.39.0`.
        binary_path: the executable, or its folder; None = the official client's cache folder.

    Raises:
        ConfigError: no executable; names the searched paths and the command to get it.
    """
    if platform.system() == "Windows":
        raise ConfigError(
            "vector_store: vector_store=weaviate_embedded must run on Linux or macOS, Weaviate has no executable for "
            "Windows; run it with Docker and set vector_store=weaviate, or set vector_store=lancedb"
        )
    path = _cache() if binary_path is None else Path(binary_path).expanduser()
    is_folder = binary_path is None or path.is_dir()
    candidates = [path / official_name(version), path / "weaviate"] if is_folder else [path]
    for candidate in candidates:
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
            f"{' or '.join(map(str, candidates))} does not exist; correct it, or set vector_store.binary_path=null for "
            "the official client's"
        )
    raise ConfigError(
        f"vector_store: vector_store=weaviate_embedded needs the executable of Weaviate {version} at {candidates[0]}; "
        f"download it with the official client: python -c {_download(version)!r} (or set vector_store.binary_path)"
    )


def _cache() -> Path:
    """Return the official client's default `binary_path` (TRAPS 7)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache" / "weaviate-embedded")


def official_name(version: str) -> str:
    """Return the official client's file name for a version.

    The client downloads nothing if this file exists.
    """
    tag = f"v{version}"
    return f"weaviate-{tag}-{hashlib.sha256(tag.encode()).hexdigest()}"


def _download(version: str) -> str:
    options = f'EmbeddedOptions(version="{version}")'
    return f"from weaviate.embedded import *; EmbeddedV4({options}).ensure_weaviate_binary_exists()"

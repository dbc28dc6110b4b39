"""Environment of a run: Python, packages, platform, git commit."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import re
import subprocess
from functools import lru_cache
from typing import Any

_GIT_SECONDS = 10


@lru_cache(maxsize=1)
def environment() -> dict[str, Any]:
    """Return the versions of Python, platform, and the packages that Ragloom requires."""
    packages = {}
    for name in sorted(_requirements()):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # of an extra
            packages[name] = importlib.metadata.version(name)
    system = f"{platform.system()} {platform.machine()}"
    return {"python": platform.python_version(), "platform": system, "packages": packages}


@lru_cache(maxsize=1)
def git() -> dict[str, Any] | None:
    """Return git commit and dirtiness; None outside a repository."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}


def _requirements() -> set[str]:
    names = {"ragloom", "llama-index-core", "tokenizers", "onnxruntime"}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for requirement in importlib.metadata.requires("ragloom") or []:
            names.add(re.split(r"[;\[<>=!~ (]", requirement, maxsplit=1)[0].strip())
    return names


def _git(*arguments: str) -> str | None:
    command = ["git", *arguments]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=True).stdout.strip()
    return None

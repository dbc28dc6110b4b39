"""What a run was made with: Python, packages, platform, git commit. Knows no config."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

_TOLD_BY = ("ragloom",)
_GIT_SECONDS = 10


@lru_cache(maxsize=1)
def environment() -> dict[str, Any]:
    """Says which Python, platform and packages (those that Ragloom asks for) there are."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: version for name in sorted(_asked_for()) if (version := _version(name)) is not None},
    }


@lru_cache(maxsize=1)
def git() -> dict[str, Any] | None:
    """Says the commit of the working directory's repository, and whether files differ from it; None without one."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return None
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": bool(changed)}


def _asked_for() -> set[str]:
    names = {"ragloom"}
    for root in _TOLD_BY:
        try:
            wanted = importlib.metadata.requires(root) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for requirement in wanted:
            name = requirement.partition(";")[0]
            for mark in "[<>=!~ (":
                name = name.partition(mark)[0]
            names.add(name.strip())
    return names | {"llama-index-core", "tokenizers", "onnxruntime"}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None  # an extra that is not installed


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=Path.cwd(), capture_output=True, text=True, timeout=_GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None

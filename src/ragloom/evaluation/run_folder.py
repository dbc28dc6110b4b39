"""Run folder: config, scores, and everything needed to score the run again.

    config.yaml     the composed config, without secrets
    run.json        names, fingerprints, seeds, environment, git commit
    metrics.json    means, verdicts, counts, cost: byte-equal for the same index and config
    queries.jsonl   one line for each query, in the order of the dataset
    run.trec, qrels.trec    rankings and gold for standard tools
    documents.txt   ids of the searched documents, one JSON string a line; run.json has their digest
    latency.json    only after a latency pass

Seeds are those sent to models. Nothing else is random: samples are chosen by digests, and vectors are hashed without a
seed. Two runs may still differ by the variance of a model, and by an approximate index, which its store trains without
a seed (its recall is measured). `compare` has its own seed for resampling.

A run folder is written under a temporary name and renamed: an existing folder is complete.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from ragloom.core.records import sha256
from ragloom.core.redaction import redact_tree
from ragloom.errors import DataError

PARTIAL = ".partial-"
"""Name prefix of an unfinished folder."""
_ABANDONED = 3600
"""Seconds after which an unfinished folder counts as left by a killed process."""
LOCK = ".lock"
"""Lock file of the final rename."""


def write_run(folder: Path, files: Mapping[str, Iterable[str] | Mapping[str, Any]]) -> None:
    """Write a run folder; an existing one is replaced.

    Args:
        folder: path of the run folder.
        files: name -> lines, or a mapping that is written as JSON.

    Raises:
        DataError: the folder cannot be written.
    """
    partial = folder.parent / f"{PARTIAL}{sha256(folder.name)[:12]}-{os.getpid()}"
    old = partial.with_name(f"{partial.name}-old")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, content in files.items():
            with (partial / name).open("w", encoding="utf-8", newline="\n", errors="surrogatepass") as file:
                if isinstance(content, Mapping):
                    file.write(json_text(content))
                else:
                    file.writelines(content)
        with FileLock(folder.parent / LOCK):  # two processes may have measured the same
            if folder.exists():
                shutil.rmtree(old, ignore_errors=True)
                folder.rename(old)
            partial.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
        for abandoned in folder.parent.glob(f"{PARTIAL}*"):
            with contextlib.suppress(FileNotFoundError):  # another process has removed or renamed it
                if time.time() - abandoned.stat().st_mtime > _ABANDONED:
                    shutil.rmtree(abandoned, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"config: runs={folder.parent} must be a folder that can be written ({error.strerror}); what was computed "
            "is kept in the cache, and the same command goes on from there"
        ) from None


def json_text(value: Mapping[str, Any]) -> str:
    """Format a mapping as indented JSON, secrets masked."""
    return json.dumps(redact_tree(dict(value)), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def json_line(value: Mapping[str, Any] | str) -> str:
    """Format a value as one line of JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"


def yaml_text(tree: Mapping[str, Any]) -> str:
    """Format a config as YAML, secrets masked."""
    return str(yaml.safe_dump(redact_tree(dict(tree)), allow_unicode=True, sort_keys=False))

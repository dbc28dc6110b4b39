"""The folder that one run leaves: what was run, what it scored, and everything needed to score it again.

    config.yaml     the composed config, without secrets
    run.json        names, fingerprints, seeds, environment, git commit
    metrics.json    means, verdicts, counts, cost: byte-equal for the same index and config
    queries.jsonl   a line for each question, in the dataset's order
    run.trec, qrels.trec    what standard tools read
    documents.txt   ids of the documents that were searched, a JSON text a line; run.json has their digest
    latency.json    only where a pass for latency was made

Seeds are those that were sent to models. Nothing else is drawn at random: samples are chosen by digests, and vectors
are hashed without a seed. What may differ between two runs is a model's own mood, and an approximate index, which its
store trains without a seed (its recall is measured). What `compare` resamples has a seed of its own.

It is written aside and put in its place whole, so that a folder that is there is complete.
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

from filelock import FileLock

from ragloom.core.records import sha256
from ragloom.core.redaction import redact_tree
from ragloom.errors import DataError

ASIDE = ".partial-"
"""Begins the name of a folder that is being written."""
_LEFT = 3600
"""Seconds after which one is what a killed process left."""
LOCK = ".lock"
"""Held while a folder is put in its place."""


def write_run(folder: Path, files: Mapping[str, Iterable[str] | Mapping[str, Any]]) -> None:
    """Writes a run's folder; one that is there is replaced.

    Args:
        folder: the place.
        files: name -> lines, or a mapping that is written as JSON.

    Raises:
        DataError: the place cannot be written.
    """
    aside = folder.parent / f"{ASIDE}{sha256(folder.name)[:12]}-{os.getpid()}"
    old = aside.with_name(f"{aside.name}-old")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        for name, content in files.items():
            with (aside / name).open("w", encoding="utf-8", newline="\n", errors="surrogatepass") as file:
                if isinstance(content, Mapping):
                    file.write(json_text(content))
                else:
                    file.writelines(content)
        with FileLock(folder.parent / LOCK):  # two processes may have measured the same
            if folder.exists():
                shutil.rmtree(old, ignore_errors=True)
                folder.rename(old)
            aside.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
        for left in folder.parent.glob(f"{ASIDE}*"):
            with contextlib.suppress(FileNotFoundError):  # another process has just removed it, or put it in its place
                if time.time() - left.stat().st_mtime > _LEFT:
                    shutil.rmtree(left, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"config: runs={folder.parent} must be a folder that can be written ({error.strerror}); what was computed "
            "is kept in the cache, and the same command goes on from there"
        ) from None


def json_text(value: Mapping[str, Any]) -> str:
    """Writes a mapping as JSON for people and programs, with every secret masked."""
    return json.dumps(redact_tree(dict(value)), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def json_line(value: Mapping[str, Any] | str) -> str:
    """Writes a value as one line of JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"


def yaml_text(tree: Mapping[str, Any]) -> str:
    """Writes a config as YAML, with every secret masked."""
    import yaml

    text: str = yaml.safe_dump(redact_tree(dict(tree)), allow_unicode=True, sort_keys=False)
    return text

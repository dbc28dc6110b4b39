"""What a command lacks, checked before anything heavy is imported: its documents, its questions, its model files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.core.redaction import redact
from ragloom.errors import DataError

if TYPE_CHECKING:
    from ragloom.config.config import Config

_FILES = ("model", "tokenizer", "binary_path")
"""Keys that may be a path: they are one where they begin as one."""
_PATHS = ("/", "./", "../", "~")
_READ = {"ingest": ("source",), "evaluate": ("dataset", "source"), "query": ()}
"""The groups whose `path` a verb reads."""


def demand_ready(verb: str, overrides: Sequence[str], configs: Sequence[Config]) -> None:
    """Refuses a command whose documents are not chosen or not there.

    Args:
        verb: `ingest`, `evaluate` or `query`.
        overrides: as they were given.
        configs: all that are to be run.

    Raises:
        DataError: all problems, one line each.
    """
    problems = [problem for config in configs for problem in _problems(verb, overrides, config)]
    if problems:
        raise DataError(*dict.fromkeys(problems))


def demand_file(flag: str, path: str | None) -> None:
    """Refuses a file that is not there.

    Raises:
        DataError: names the flag.
    """
    if path is not None and not Path(path).is_file():
        what = "it is a folder" if Path(path).is_dir() else "there is nothing of this name"
        raise DataError(f"{flag}={redact(path)} must be a readable file; {what}")


def _problems(verb: str, overrides: Sequence[str], config: Config) -> Iterator[str]:
    dataset, read = config.choices.get("dataset"), list(_READ[verb])
    chosen = any(item.lstrip("+").startswith(("source=", "source@")) for item in overrides)
    if verb == "evaluate" and config.choices.get("source") == "sample" != dataset and not chosen:
        yield (
            f"source: dataset={dataset} brings no documents, and source=sample is only the default; choose "
            "them: source=folder source.path=FOLDER (or source=sample, if the sample is meant)"
        )
    if verb == "evaluate" and config.tree["ingest"] == "never":
        read.remove("source")
    paths: dict[str, str] = {}  # a dataset's source has the same path
    for group in read:
        if isinstance(path := config.values(group).get("path"), str):
            paths.setdefault(path, group)
    for path, group in paths.items():
        if not _exists(path):
            yield (
                f"{group}: {group}.path={path!r} must be an existing file or folder; there is nothing of this name"
                f"{_from_here(path)}"
            )
    for group, key, value in _files(config):
        if not _exists(value):
            yield f"{group}: {group}.{key}={value!r} must exist; there is nothing of this name"


def _files(config: Config) -> Iterator[tuple[str, str, str]]:
    """Yields what is named as a path and read by several options: model files, tokenizers, executables."""
    for group in config.choices:
        values: Any = config.tree.get(group)
        for key in _FILES if isinstance(values, dict) else ():
            if isinstance(value := values.get(key), str) and value.startswith(_PATHS):
                yield group, key, value


def _exists(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # no permission, no home, a NUL: reading it says why
        return True


def _from_here(path: str) -> str:
    return "" if Path(path).expanduser().is_absolute() else f" in {Path.cwd()}"

"""Prerequisites of a command, checked before heavy imports: documents, questions, model files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.core.redaction import redact
from ragloom.errors import DataError

if TYPE_CHECKING:
    from ragloom.config.config import Config

_FILES = ("model", "tokenizer", "binary_path")
"""Keys that hold a path if they start like one."""
_PATHS = ("/", "./", "../", "~")
_READ = {"ingest": ("source",), "evaluate": ("dataset", "source"), "benchmark": ("dataset",), "query": ()}
"""Groups whose `path` a verb reads."""


def require_inputs(verb: str, overrides: Sequence[str], configs: Sequence[Config]) -> None:
    """Require that documents, questions and model files are chosen and exist.

    Args:
        verb: `ingest`, `evaluate`, `benchmark` or `query`.
        overrides: of the command.
        configs: of all jobs.

    Raises:
        DataError: all problems, one line each.
    """
    problems = [problem for config in configs for problem in _problems(verb, overrides, config)]
    if problems:
        raise DataError(*dict.fromkeys(problems))


def require_file(flag: str, path: str | None) -> None:
    """Require an existing file.

    Raises:
        DataError: names the flag.
    """
    if path is not None and not Path(path).is_file():
        what = "it is a folder" if Path(path).is_dir() else "it does not exist"
        raise DataError(f"{flag}={redact(path)} must be a readable file; {what}")


def _problems(verb: str, overrides: Sequence[str], config: Config) -> Iterator[str]:
    dataset, read = config.choices.get("dataset"), list(_READ[verb])
    in_file = config.project is not None and "source" in config.project.options
    chosen = in_file or any(item.lstrip("+").startswith(("source=", "source@")) for item in overrides)
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
                f"{group}: {group}.path={path!r} must be an existing file or folder; it does not exist"
                f"{_from_here(path)}"
            )
    for group, key, value in _files(config):
        if not _exists(value):
            yield f"{group}: {group}.{key}={value!r} must exist; it does not exist"


def _files(config: Config) -> Iterator[tuple[str, str, str]]:
    """Yield (group, key, path) of model files, tokenizers and executables."""
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

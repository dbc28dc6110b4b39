"""`ragloom init`: write a commented project file from flags or questions."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.cli.argument_parsing import parse_keys
from ragloom.cli.config_arguments import add_config_flags
from ragloom.cli.console import OK, ask, run_program
from ragloom.core.redaction import redact
from ragloom.core.suggested_commands import program
from ragloom.errors import ConfigError

if TYPE_CHECKING:
    from ragloom.config.conf_folder import ConfFolder

_HEADER = """\
# Ragloom's project file: what is the same in every command run in this folder.
# A line KEY: VALUE means what KEY=VALUE means on the command line. The command line comes first, then an experiment,
# then this file, then the defaults. Relative paths are relative to this file. No key or password stands here: only
# the name of the environment variable that holds it. Where each value comes from: {program} --cfg job
"""
_FURTHER = """\
# Further lines have the same form, for example:
# retriever.top_k: 10
# workers: {processes: 4}
# budget.max_usd: 5
"""
_DOCUMENT_END = "\n...\n"  # PyYAML writes it behind a single scalar
_BY_SUFFIX = {".jsonl": "jsonl", ".json": "squad"}
_FLAGS = ("source", "dataset", "embedding", "vector_store")


def _parser() -> argparse.ArgumentParser:
    """Describe the arguments: `--help` is their documentation."""
    parser = argparse.ArgumentParser(
        prog="ragloom init",
        description="Write a project file, ragloom.yaml: what is the same in every command. Without flags it asks.",
        epilog="Example:  ragloom init --source docs --dataset questions.jsonl --vector-store weaviate",
    )
    parser.add_argument("keys", nargs="*", metavar="KEY=VALUE", help="further lines, such as retriever.top_k=5")
    parser.add_argument("--source", metavar="PATH", help="your documents: a folder, a .jsonl file, or sample")
    parser.add_argument("--dataset", metavar="PATH", help="your questions: a .jsonl file, a BEIR folder ..., or sample")
    parser.add_argument("--embedding", metavar="OPTION", help="such as hashing, openai or openai_compatible")
    parser.add_argument("--vector-store", metavar="OPTION", help="such as lancedb or weaviate")
    parser.add_argument("--force", action="store_true", help="overwrite a project file")
    add_config_flags(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the program; return the exit status."""
    return run_program(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: list[str]) -> int:
    from ragloom.config.conf_folder import conf_folder
    from ragloom.config.project_file import FILE

    options = parse_keys(_parser(), argv)
    path, conf = Path(options.project or FILE).expanduser(), conf_folder(options.config_dir)
    if path.exists() and not options.force:
        raise ConfigError(
            f"{redact(str(path))} exists; give --force to overwrite it, or --project FILE for another one"
        )
    flags = {flag: getattr(options, flag) for flag in _FLAGS if getattr(options, flag) is not None}
    if flags or options.keys:
        entries = _entries(flags, options.keys, path, conf)
    elif sys.stdin.isatty():
        entries = _answers(path, conf)
    else:
        raise ConfigError("init: --source PATH must be given where no terminal is there to ask on; see --help")
    _write(path, entries, conf, options.config_dir)
    sys.stdout.write(f"wrote {redact(str(path))}; next: {program('ingest')}\n")
    return OK


def _entries(flags: Mapping[str, str], keys: list[str], path: Path, conf: ConfFolder) -> dict[str, Any]:
    """Return the lines of the file: options with paths, then keys.

    Raises:
        ConfigError: a path is no source or dataset, or a key is not KEY=VALUE.
    """
    import yaml

    entries: dict[str, Any] = {}
    for group, value in flags.items():
        if group in ("source", "dataset") and value not in conf.options(group):
            entries[group] = _option_of(group, Path(value).expanduser())
            entries[f"{group}.path"] = _relative(value, path.parent)
        else:
            entries[group] = value
    for item in keys:
        key, equals, text = item.partition("=")
        if not equals:
            raise ConfigError(f"{redact(item)} must be KEY=VALUE, such as retriever.top_k=5")
        entries[key] = yaml.safe_load(text)
    return entries


def _option_of(group: str, path: Path) -> str:
    """Choose the option that reads a path.

    Raises:
        ConfigError: there is nothing at the path, or no option reads it.
    """
    if not path.exists():
        raise ConfigError(f"--{group}={redact(str(path))} must exist; nothing of this name is there")
    if path.is_dir():
        for file, option in {"corpus.jsonl": "beir", "questions_df.csv": "spans"}.items():
            if (path / file).is_file():
                return option
        if group == "source":
            return "folder"
    elif path.suffix in _BY_SUFFIX:
        return _BY_SUFFIX[path.suffix]
    forms = "a folder, or a .jsonl or .json file" if group == "source" else "a .jsonl or .json file, or a BEIR folder"
    raise ConfigError(f"--{group}={redact(str(path))} must be {forms}")


def _relative(text: str, folder: Path) -> str:
    """Return a path as seen from the file's folder."""
    if Path(text).is_absolute() or text.startswith("~") or folder.resolve() == Path.cwd():
        return text
    return Path(os.path.relpath(text, folder)).as_posix()


def _answers(path: Path, conf: ConfFolder) -> dict[str, Any]:
    """Ask for the lines of the file."""
    flags: dict[str, str] = {}
    if source := ask("Your documents, a folder or file (empty: the bundled sample): "):
        flags["source"] = source
    if dataset := ask("Your questions, a file or folder (empty: none yet): "):
        flags["dataset"] = dataset
    for group, default in (("embedding", "hashing"), ("vector_store", "lancedb")):
        flags[group] = ask(f"{group}, one of {', '.join(conf.options(group))} (empty: {default}): ") or default
    return _entries({"source": "sample"} | flags, [], path, conf)


def _write(path: Path, entries: Mapping[str, Any], conf: ConfFolder, config_dir: str | None) -> None:
    """Write the file after reading back and validating its content.

    Raises:
        ConfigError: a line is wrong, a key is missing, or the place cannot be written; nothing is left then.
    """
    from ragloom.config.config import load
    from ragloom.config.project_file import find_project

    text = "\n".join(
        [_HEADER.format(program=program("ingest")), *(_line(key, entries, conf) for key in entries), "", _FURTHER]
    )
    draft = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        load([], extra_dir=config_dir, project=find_project(str(draft), conf))
        draft.replace(path)
    except ConfigError as error:
        raise ConfigError(*(line.replace(str(draft), str(path)) for line in error.problems)) from None
    except OSError as error:
        raise ConfigError(f"{redact(str(path))} cannot be written ({error.strerror})") from None
    finally:
        draft.unlink(missing_ok=True)


def _line(key: str, entries: Mapping[str, Any], conf: ConfFolder) -> str:
    """Write one line, with the comment of its option or key."""
    import yaml

    shown = yaml.safe_dump(entries[key], allow_unicode=True, width=100_000, default_flow_style=True)
    line = f"{key}: {shown.removesuffix(_DOCUMENT_END).strip()}"
    group, _, name = key.partition(".")
    options = [str(entries[group])] if group in entries else conf.options(group)
    comment = next((text for option in options if (text := conf.comment(group, option, name))), "")
    return f"{line} # {comment}" if comment and name != "path" else line

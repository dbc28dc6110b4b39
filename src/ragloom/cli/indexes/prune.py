"""`indexes.py prune`: delete indexes that no config and no alias names."""

from __future__ import annotations

import shlex
import sys
from typing import Any

from ragloom.assembly import Assembly
from ragloom.cli.console import FAILED, OK, print_json, stdout_to_stderr
from ragloom.cli.indexes.render import names_of, print_indexes
from ragloom.cli.indexes.request import Request
from ragloom.components.vector_store.record_types import IndexInfo
from ragloom.config.config import Config, load
from ragloom.config.fingerprint import describe, difference
from ragloom.config.hydra_compose import demand_countable
from ragloom.core.redaction import redact
from ragloom.core.suggested_commands import program
from ragloom.errors import ConfigError, DataError, RagloomError, ServiceError

_NO_KEEP = "the config of this command"


def prune(request: Request) -> int:
    """Delete unnamed indexes, after a confirmation.

    Raises:
        ConfigError: a `--keep` is no list of overrides, chooses another store, or is too large a sweep.
        DataError: no config names an existing index, so that all would be deleted.
    """
    wanted = _wanted(request)
    infos, aliases = request.infos, request.aliases
    names = {info.name for info in infos}
    if infos and not names & set(wanted):
        raise DataError(
            f"prune: at least one given config must have an index there; none has ({', '.join(wanted)}), and all "
            f"{len(infos)} would go: check the overrides, or remove indexes one by one with {program('indexes')} delete"
        )
    unnamed = [info for info in infos if info.name not in wanted and not names_of(info.name, aliases)]
    if not request.as_json:
        _print_plan(wanted, names, unnamed, infos)
    count = f"{len(unnamed)} index{'es' if len(unnamed) != 1 else ''}"
    if unnamed and not request.confirm(f"delete {count}?", f"{count} not deleted"):
        if request.as_json:
            _print_json(request, unnamed, [])
        return FAILED
    _remove(request, unnamed)
    return OK


def _remove(request: Request, unnamed: list[IndexInfo]) -> None:
    """Delete indexes; a failure does not stop the others."""
    aliases = request.aliases  # the confirmation may have taken long
    problems: list[str] = []
    deleted: list[str] = []
    for info in unnamed:
        if names := names_of(info.name, aliases):
            problems.append(f"prune: {info.name} was kept: alias {names[0]} names it now")
            continue
        try:
            with stdout_to_stderr():
                request.database.delete(info.name)
        except RagloomError as error:
            problems += error.problems
            continue
        deleted.append(info.name)
        if not request.as_json:
            sys.stdout.write(f"deleted {info.name}\n")
            sys.stdout.flush()
    if request.as_json:
        _print_json(request, unnamed, deleted)
    if problems:
        raise ServiceError(*problems)


def _wanted(request: Request) -> dict[str, str]:
    """Return the indexes named by configs: index -> overrides of the config."""
    if not request.options.keep:
        return {Assembly(request.config).index_name: _NO_KEEP}
    wanted: dict[str, str] = {}
    for text in request.options.keep:
        try:
            own = shlex.split(text)
        except ValueError as error:
            raise ConfigError(f"--keep {redact(text)!r} must be overrides as a shell reads them; {error}") from None
        demand_countable(own)
        for config in load(
            [*request.options.overrides, *own],
            extra_dir=request.options.config_dir,
            sweep=True,
            project=request.config.project,
        ):
            _require_same_store(text, request.config, config)
            wanted.setdefault(Assembly(config).index_name, text)
    return wanted


def _require_same_store(text: str, ours: Config, theirs: Config) -> None:
    """Require the command's store: others would make every index look unnamed."""
    differs = difference({"vector_store": _place(ours)}, {"vector_store": _place(theirs)})
    if differs:
        raise ConfigError(
            f"--keep {redact(text)!r} must choose the store of the command itself; it differs in {redact(differs[0])}: "
            "give overrides of vector_store outside --keep"
        )


def _place(config: Config) -> dict[str, Any]:
    """Return the identity of the store: option, tenant, non-shaping keys."""
    builder, values = config.builder("vector_store"), config.values("vector_store")
    shaping = describe(builder, values)
    where = {key: value for key, value in values.items() if key not in shaping}
    return {"option": shaping["builder"], "tenant": values.get("tenant"), **where}


def _print_plan(wanted: dict[str, str], names: set[str], unnamed: list[IndexInfo], infos: list[IndexInfo]) -> None:
    for name, text in wanted.items():
        if name not in names:
            sys.stdout.write(f"not there: {name} ({redact(text)})\n")
    if unnamed:
        sys.stdout.write(f"of {len(infos)} indexes these go:\n")
        print_indexes(unnamed, {})
    else:
        sys.stdout.write(f"nothing to prune: all {len(infos)} indexes are named by a given config or an alias\n")


def _print_json(request: Request, unnamed: list[IndexInfo], deleted: list[str]) -> None:
    leaving = {info.name for info in unnamed}
    remaining = [info.name for info in request.infos if info.name not in leaving]
    print_json({"kept": remaining, "unnamed": [info.name for info in unnamed], "deleted": deleted})

"""`indexes.py prune`: removes the indexes that no given config and no alias names."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

from ragloom.cli.console import FAILED, OK, print_json, silenced_stdout
from ragloom.cli.indexes.render import names_of, print_table
from ragloom.core.redaction import redact
from ragloom.core.suggested_commands import program
from ragloom.errors import ConfigError, DataError, RagloomError, ServiceError

if TYPE_CHECKING:
    from ragloom.cli.indexes.options import Request
    from ragloom.components.vector_store.protocols import IndexInfo
    from ragloom.config.config import Config

_NO_KEEP = "the config of this command"


def prune(request: Request) -> int:
    """Removes indexes, after showing and asking.

    Raises:
        ConfigError: a `--keep` is no list of overrides, chooses another store, or is too large a sweep to be sure of.
        DataError: no given config has an index there, so that nothing is known to be worth keeping.
    """
    wanted = _wanted(request)
    infos, aliases = request.infos, request.aliases
    there = {info.name for info in infos}
    if infos and not there & set(wanted):
        raise DataError(
            f"prune: at least one given config must have an index there; none has ({', '.join(wanted)}), and all "
            f"{len(infos)} would go: check the overrides, or remove indexes one by one with {program('indexes')} delete"
        )
    going = [info for info in infos if info.name not in wanted and not names_of(info.name, aliases)]
    if not request.as_json:
        _print_plan(wanted, there, going, infos)
    count = f"{len(going)} index{'es' if len(going) != 1 else ''}"
    if going and not request.is_sure(f"delete {count}?", f"{count} not deleted"):
        if request.as_json:
            _print_json(request, going, [])
        return FAILED
    _remove(request, going)
    return OK


def _remove(request: Request, going: list[IndexInfo]) -> None:
    """Removes indexes; one that cannot be removed now does not keep the others."""
    aliases = request.aliases  # a person may have taken long to answer
    problems: list[str] = []
    deleted: list[str] = []
    for info in going:
        if names := names_of(info.name, aliases):
            problems.append(f"prune: {info.name} was kept: alias {names[0]} names it now")
            continue
        try:
            with silenced_stdout():
                request.database.delete(info.name)
        except RagloomError as error:
            problems += error.problems
            continue
        deleted.append(info.name)
        if not request.as_json:
            sys.stdout.write(f"deleted {info.name}\n")
            sys.stdout.flush()
    if request.as_json:
        _print_json(request, going, deleted)
    if problems:
        raise ServiceError(*problems)


def _wanted(request: Request) -> dict[str, str]:
    """Returns the indexes that the given configs name: index -> the overrides that name it."""
    from ragloom.assembly import Assembly
    from ragloom.config.config import load
    from ragloom.config.hydra_compose import demand_countable

    if not request.options.keep:
        return {Assembly(request.config).index_name: _NO_KEEP}
    found: dict[str, str] = {}
    for text in request.options.keep:
        try:
            own = shlex.split(text)
        except ValueError as error:
            raise ConfigError(f"--keep {redact(text)!r} must be overrides as a shell reads them; {error}") from None
        demand_countable(own)
        for config in load([*request.options.overrides, *own], extra_dir=request.options.config_dir, sweep=True):
            _demand_same_store(text, request.config, config)
            found.setdefault(Assembly(config).index_name, text)
    return found


def _demand_same_store(text: str, ours: Config, theirs: Config) -> None:
    """Refuses a config whose index lies elsewhere: every index here would seem to be one that nobody names."""
    from ragloom.config.fingerprint import difference

    differs = difference({"vector_store": _place(ours)}, {"vector_store": _place(theirs)})
    if differs:
        raise ConfigError(
            f"--keep {redact(text)!r} must choose the store of the command itself; it differs in {redact(differs[0])}: "
            "give overrides of vector_store outside --keep"
        )


def _place(config: Config) -> dict[str, Any]:
    """Returns what says where indexes live: the option, its keys that do not shape an index, and the tenant."""
    from ragloom.config.fingerprint import describe

    builder, values = config.builder("vector_store"), config.values("vector_store")
    shaping = describe(builder, values)
    where = {key: value for key, value in values.items() if key not in shaping}
    return {"option": shaping["builder"], "tenant": values.get("tenant"), **where}


def _print_plan(wanted: dict[str, str], there: set[str], going: list[IndexInfo], infos: list[IndexInfo]) -> None:
    for name, text in wanted.items():
        if name not in there:
            sys.stdout.write(f"not there: {name} ({redact(text)})\n")
    if going:
        sys.stdout.write(f"of {len(infos)} indexes these go:\n")
        print_table(going, {})
    else:
        sys.stdout.write(f"nothing to prune: all {len(infos)} indexes are named by a given config or an alias\n")


def _print_json(request: Request, going: list[IndexInfo], deleted: list[str]) -> None:
    leaving = {info.name for info in going}
    kept = [info.name for info in request.infos if info.name not in leaving]
    print_json({"kept": kept, "unnamed": [info.name for info in going], "deleted": deleted})

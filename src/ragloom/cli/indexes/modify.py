"""`indexes.py delete`, `rebuild` and `promote`: what is done to one index."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from ragloom.cli.console import FAILED, OK, print_json, silenced_stdout
from ragloom.cli.indexes.render import as_json, names_of
from ragloom.cli.progress import shown_steps
from ragloom.errors import ConfigError, DataError

if TYPE_CHECKING:
    from ragloom.cli.indexes.options import Request


def delete(request: Request) -> int:
    """Deletes an index, also one that is damaged or was never committed.

    Raises:
        ConfigError: an alias names it, and `--with-aliases` was not given.
        DataError: there is none of that name.
    """
    from ragloom.components.vector_store.protocols import IndexMissing

    name = request.options.index
    if not request.database.has(name):
        request.named(name)
    names, size = names_of(name, request.aliases), "of unknown size"
    with suppress(DataError, StopIteration):  # this index or another is damaged, or it was never committed: it can go
        size = next(f"{info.documents} documents, {info.chunks} chunks" for info in request.infos if info.name == name)
    if names and not request.options.with_aliases:
        raise ConfigError(
            f"index: {name} must not be deleted while aliases name it ({', '.join(names)}); promote another index to "
            "them first, or add --with-aliases: queries with these aliases then fail"
        )
    going = f"{name} ({size}{'; with its aliases ' + ', '.join(names) if names else ''})"
    if not request.is_sure(f"delete {going}?", f"{name} was not deleted"):
        return FAILED
    try:
        with silenced_stdout():
            request.database.delete(name)
    except IndexMissing:
        raise DataError(f"index: {name} was deleted by somebody else meanwhile") from None
    if request.as_json:
        print_json({"deleted": [name], "aliases": names})
    else:
        sys.stdout.write(f"deleted {going}\n")
    return OK


def rebuild(request: Request) -> int:
    """Builds an index anew from what it holds."""
    before = request.of_source(request.options.index)
    with silenced_stdout(), shown_steps(f"rebuilding {before.name}"):
        after = request.database.rebuild(before.name)
    if request.as_json:
        print_json(as_json(after, request.aliases))
    else:
        counted = f"; {before.deleted_chunks} deleted chunks count no longer" if before.deleted_chunks else ""
        sys.stdout.write(
            f"rebuilt {after.name} ({after.documents} documents, {after.chunks} chunks), commit {after.version}"
            f"{counted}\n"
        )
    return OK


def promote(request: Request) -> int:
    """Points an alias at an index."""
    name, alias = request.of_source(request.options.index).name, request.options.alias
    before = request.aliases.get(alias)
    with silenced_stdout():
        request.database.promote(name, alias)
    if request.as_json:
        print_json({"alias": alias, "index": name, "before": before})
    else:
        was = f" (was {before})" if before not in (None, name) else ""
        sys.stdout.write(f"{alias} -> {name}{was}; queries read it with vector_store.alias={alias}\n")
    return OK

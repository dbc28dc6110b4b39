"""`indexes.py delete`, `rebuild` and `promote`."""

from __future__ import annotations

import sys
from contextlib import suppress

from ragloom.cli.console import FAILED, OK, print_json, print_outcome, stdout_to_stderr
from ragloom.cli.indexes.render import as_json, names_of
from ragloom.cli.indexes.request import Request
from ragloom.cli.progress import terminal_steps
from ragloom.components.vector_store.record_types import IndexMissing
from ragloom.errors import ConfigError, DataError


def delete(request: Request) -> int:
    """Delete an index, also one that is damaged or was never committed.

    Raises:
        ConfigError: an alias names it, and `--with-aliases` was not given.
        DataError: no index has this name.
    """
    name = request.options.index
    if not request.database.has(name):
        request.find(name)
    names, size = names_of(name, request.aliases), "of unknown size"
    with suppress(DataError, StopIteration):  # this index or another is damaged, or it was never committed: it can go
        size = next(f"{info.documents} documents, {info.chunks} chunks" for info in request.infos if info.name == name)
    if names and not request.options.with_aliases:
        raise ConfigError(
            f"index: {name} must not be deleted while aliases name it ({', '.join(names)}); promote another index to "
            "them first, or add --with-aliases: queries with these aliases then fail"
        )
    summary = f"{name} ({size}{'; with its aliases ' + ', '.join(names) if names else ''})"
    if not request.confirm(f"delete {summary}?", f"{name} was not deleted"):
        return FAILED
    try:
        with stdout_to_stderr():
            request.database.delete(name)
    except IndexMissing:
        raise DataError(f"index: {name} was deleted by another process in the meantime") from None
    print_outcome({"deleted": [name], "aliases": names}, f"deleted {summary}", as_json=request.as_json)
    return OK


def rebuild(request: Request) -> int:
    """Rebuild an index from its stored documents and vectors."""
    before = request.find_of_source(request.options.index)
    with stdout_to_stderr(), terminal_steps(f"rebuilding {before.name}"):
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
    """Point an alias at an index."""
    name, alias = request.find_of_source(request.options.index).name, request.options.alias
    before = request.aliases.get(alias)
    with stdout_to_stderr():
        request.database.promote(name, alias)
    was = f" (was {before})" if before not in (None, name) else ""
    text = f"{alias} -> {name}{was}; queries read it with vector_store.alias={alias}"
    print_outcome({"alias": alias, "index": name, "before": before}, text, as_json=request.as_json)
    return OK

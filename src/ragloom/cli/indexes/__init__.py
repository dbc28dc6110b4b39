"""`indexes.py`: what is in a store, and its upkeep: list, show, compare, delete, rebuild, promote, prune."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ragloom.cli.console import guarded, parsed, silenced_stdout
from ragloom.core.suggested_commands import program

if TYPE_CHECKING:
    from ragloom.cli.indexes.options import Request

_VERBS = (
    ("list", (), "all indexes: documents, chunks, size, last ingest, aliases, what shaped them"),
    ("show", ("index",), "one index, with everything that shaped it"),
    ("compare", ("index", "other"), "in which keys two indexes differ"),
    ("delete", ("index",), "remove an index and all its versions from the store"),
    ("rebuild", ("index",), "build an index anew from what it holds: no text is embedded, no deleted chunk counts"),
    ("promote", ("index", "alias"), "point an alias at an index: queries with vector_store.alias=ALIAS read that"),
    ("prune", (), "remove the indexes that no given config and no alias names"),
)


def parser() -> argparse.ArgumentParser:
    """Describes the arguments: `--help` is their documentation."""
    made = argparse.ArgumentParser(
        prog=program("indexes"),
        description="List, show, compare, delete, rebuild, promote and prune the indexes of a vector store.",
        epilog=f"Overrides choose the store: {program('indexes')} list vector_store.path=/data/lancedb. "
        "With vector_store.tenant, everything concerns that tenant only.",
    )
    verbs = made.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, names, text in _VERBS:
        sub = verbs.add_parser(verb, help=text, description=text)
        for name in names:
            sub.add_argument(name, metavar=name.upper())
        sub.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="such as vector_store.path=FOLDER")
        sub.add_argument("--json", action="store_true", help="print JSON")
        sub.add_argument("--config-dir", metavar="DIR", help="a folder with further options (as conf/)")
        if verb in ("delete", "prune"):
            sub.add_argument("--yes", action="store_true", help="do not ask")
        if verb == "delete":
            sub.add_argument("--with-aliases", action="store_true", help="also when aliases name it: they go with it")
        if verb == "prune":
            sub.add_argument(
                "--keep",
                action="append",
                metavar="OVERRIDES",
                help="overrides of a config whose index is kept, in one argument, such as 'chunking=fixed,paragraph "
                "embedding=hashing'; commas sweep; may be given several times (default: the config without further "
                "overrides)",
            )
    return made


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns the exit status."""
    return guarded(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: list[str]) -> int:
    # Argparse takes the overrides of a verb only in one row; whatever else is no option is an override too.
    options, further = _parsed_known(argv)
    options.overrides += further
    from ragloom.config.config import load

    (config,) = load(options.overrides, extra_dir=options.config_dir)
    with silenced_stdout():
        from ragloom.assembly import Assembly
        from ragloom.cli.indexes.options import Request
    with Assembly(config) as assembly:
        with silenced_stdout():
            database = assembly.database
        as_json = options.json or config.tree["output"] == "json"
        return _verb(options.verb)(Request(options, config, database, as_json))


def _verb(name: str) -> Callable[[Request], int]:
    from ragloom.cli.indexes import modify, prune, render

    verbs: dict[str, Callable[[Request], int]] = {
        "list": render.list_all,
        "show": render.show,
        "compare": render.compare,
        "delete": modify.delete,
        "rebuild": modify.rebuild,
        "promote": modify.promote,
        "prune": prune.prune,
    }
    return verbs[name]


def _parsed_known(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Parses arguments whose options may stand among the overrides."""
    made = parser()
    further: list[str] = []

    def parse(arguments: Sequence[str]) -> argparse.Namespace:
        options, rest = made.parse_known_args(arguments)
        unknown = [item for item in rest if item.startswith("-")]
        if unknown:
            made.error(f"unrecognized arguments: {' '.join(unknown)}")
        further.extend(rest)
        return options

    return parsed(parse, argv), further

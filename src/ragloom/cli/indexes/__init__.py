"""`indexes.py`: list, show, compare, delete, rebuild, promote and prune indexes."""

from __future__ import annotations

import argparse
import sys

from ragloom.cli.argument_parsing import parse_verb
from ragloom.cli.config_arguments import add_config_flags, config_of
from ragloom.cli.console import run_program, stdout_to_stderr
from ragloom.core.suggested_commands import program

_VERBS = (
    ("list", (), "all indexes: documents, chunks, size, last ingest, aliases, what shaped them"),
    ("show", ("index",), "one index, with everything that shaped it"),
    ("compare", ("index", "other"), "in which keys two indexes differ"),
    ("delete", ("index",), "remove an index and all its versions from the store"),
    ("rebuild", ("index",), "rebuild an index from its stored data: no text is embedded, no deleted chunk counts"),
    ("promote", ("index", "alias"), "point an alias at an index: queries with vector_store.alias=ALIAS read that"),
    ("prune", (), "remove the indexes that no given config and no alias names"),
)


def _parser() -> argparse.ArgumentParser:
    """Return the argument parser; `--help` is its documentation."""
    parser = argparse.ArgumentParser(
        prog=program("indexes"),
        description="List, show, compare, delete, rebuild, promote and prune the indexes of a vector store.",
        epilog=f"Overrides choose the store: {program('indexes')} list vector_store.path=/data/lancedb. "
        "With vector_store.tenant, everything concerns that tenant only.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, names, text in _VERBS:
        sub = verbs.add_parser(verb, help=text, description=text)
        for name in names:
            sub.add_argument(name, metavar=name.upper())
        sub.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="such as vector_store.path=FOLDER")
        sub.add_argument("--json", action="store_true", help="print JSON")
        add_config_flags(sub)
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
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the program; return the exit status."""
    return run_program(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: list[str]) -> int:
    options = parse_verb(_parser(), argv)
    config = config_of(options, options.overrides)
    with stdout_to_stderr():
        from ragloom.assembly import Assembly
        from ragloom.cli.indexes import modify, prune, render
        from ragloom.cli.indexes.request import Request
    verbs = {
        "list": render.list_all,
        "show": render.show,
        "compare": render.compare,
        "delete": modify.delete,
        "rebuild": modify.rebuild,
        "promote": modify.promote,
        "prune": prune.prune,
    }
    with Assembly(config) as assembly:
        with stdout_to_stderr():
            database = assembly.database
        as_json = options.json or config.tree["output"] == "json"
        return verbs[options.verb](Request(options, config, database, as_json))

"""`cache.py`: show, verify and prune the embedding cache."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.cli.argument_parsing import parse_verb
from ragloom.cli.config_arguments import add_config_flags, config_of
from ragloom.cli.console import LISTED_FAILURES, OK, console, print_json, print_outcome, run_program
from ragloom.cli.table_layout import Column, print_columns
from ragloom.core.suggested_commands import program
from ragloom.errors import ConfigError

if TYPE_CHECKING:
    from ragloom.cache.embeddings.embedding_cache import EmbeddingCache
    from ragloom.cache.embeddings.maintenance import CacheReport, ModelReport

_DAY = 86_400


def _parser() -> argparse.ArgumentParser:
    """Return the argument parser; `--help` is its documentation."""
    parser = argparse.ArgumentParser(
        prog=program("cache"),
        description="Show, verify and prune the embedding cache: the vectors made before, for all experiments.",
        epilog=f"Overrides choose the cache: {program('cache')} show cache.path=/data/cache",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text in (
        ("show", "what is kept: vectors, MB, hits, by model"),
        ("verify", "check every entry, remove damaged ones, recover what a damaged file still holds"),
        ("prune", "remove vectors, and make the file smaller"),
    ):
        sub = verbs.add_parser(verb, help=text, description=text)
        sub.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="such as cache.path=FOLDER")
        sub.add_argument("--json", action="store_true", help="print JSON")
        add_config_flags(sub)
        if verb == "prune":
            sub.add_argument(
                "--max-gb", type=_amount, metavar="GB", help="leave at most as much, least used goes first"
            )
            sub.add_argument("--unused-days", type=_amount, metavar="DAYS", help="remove what was not used for as long")
            sub.add_argument("--model", help="remove what this model made: its name, or the id that show prints")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the program; return 0, 3 for damage found, 1 on failure."""
    return run_program(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: list[str]) -> int:
    options = parse_verb(_parser(), argv)
    config = config_of(options, options.overrides)
    if options.verb == "prune" and (options.max_gb, options.unused_days, options.model) == (None, None, None):
        raise ConfigError("prune: --max-gb, --unused-days or --model must say what to remove; --max-gb 0 removes all")
    from ragloom.cache.embeddings.embedding_cache import EmbeddingCache

    settings = config.tree["cache"]
    folder, max_bytes = Path(settings["path"]).expanduser(), int(settings["max_gb"] * 1e9)
    cache = EmbeddingCache(folder, max_bytes=max_bytes) if folder.exists() else None  # show creates no folder
    as_json = options.json or config.tree["output"] == "json"
    if options.verb == "show":
        return _show(cache, folder, max_bytes, as_json=as_json)
    if options.verb == "verify":
        return _verify(cache, as_json=as_json)
    return _prune(cache, options, as_json=as_json)


def _amount(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError(text)
    return value


def _show(cache: EmbeddingCache | None, folder: Path, max_bytes: int, *, as_json: bool) -> int:
    from ragloom.cache.embeddings.maintenance import CacheReport, report

    contents = CacheReport(str(folder), max_bytes=max_bytes) if cache is None else report(cache)
    if as_json:
        print_json(_report_json(contents))
        return OK
    from rich.markup import escape

    screen = console()
    screen.print(
        f"{escape(contents.path)}: {contents.entries} vectors, {contents.bytes / 1e6:.2f} of at most "
        f"{max_bytes / 1e6:.0f} MB, {contents.hits} hits"
    )
    if contents.set_aside_bytes:
        screen.print(
            f"[yellow]a damaged file of {contents.set_aside_bytes / 1e6:.2f} MB was set aside:[/] "
            "verify recovers what can be read"
        )
    if contents.models:
        print_columns(screen, _model_columns(contents.models))
    return OK


def _model_columns(models: Sequence[ModelReport]) -> list[Column]:
    used = ["-" if model.last_used is None else model.last_used.strftime("%Y-%m-%d %H:%M") for model in models]
    return [
        Column("id", [model.id for model in models], whole=True),
        Column("model", [model.name for model in models]),
        Column("dimensions", [str(model.dimensions) for model in models], number=True, rank=3),
        Column("vectors", [str(model.entries) for model in models], number=True),
        Column("MB", [f"{model.bytes / 1e6:.2f}" for model in models], number=True, rank=1),
        Column("hits", [str(model.hits) for model in models], number=True, rank=2),
        Column("last used (UTC)", used, number=True, rank=4),
    ]


def _report_json(report: CacheReport) -> dict[str, Any]:
    shown = {**asdict(report), "entries": report.entries, "hits": report.hits}
    for model in shown["models"]:
        model["last_used"] = None if model["last_used"] is None else model["last_used"].isoformat()
    return shown


def _verify(cache: EmbeddingCache | None, *, as_json: bool) -> int:
    from ragloom.cache.embeddings.maintenance import CacheVerification, verify

    result = CacheVerification() if cache is None else verify(cache)
    recovered = f", {result.taken_back} of them recovered from a damaged file" if result.taken_back else ""
    text = f"{result.entries} vectors are right{recovered}; {result.damaged} were damaged and are removed"
    print_outcome(asdict(result), text, as_json=as_json)
    return LISTED_FAILURES if result.damaged else OK


def _prune(cache: EmbeddingCache | None, options: argparse.Namespace, *, as_json: bool) -> int:
    from ragloom.cache.embeddings.maintenance import PruneResult, prune

    result = PruneResult(0, 0)
    if cache is not None:
        result = prune(
            cache,
            max_bytes=None if options.max_gb is None else int(options.max_gb * 1e9),
            unused_seconds=None if options.unused_days is None else options.unused_days * _DAY,
            model=options.model,
        )
    text = f"removed {result.entries} vectors; the file is {result.bytes / 1e6:.2f} MB smaller"
    print_outcome(asdict(result), text, as_json=as_json)
    return OK

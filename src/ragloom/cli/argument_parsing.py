"""Parsing of the arguments of programs, with overrides among them."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence

from ragloom.cli.console import FAILED
from ragloom.core.redaction import redact, redact_override
from ragloom.errors import ConfigError, nearest


@contextlib.contextmanager
def _status_of_wrong_arguments() -> Iterator[None]:
    """Exit with status 1 for arguments that argparse refuses."""
    try:
        yield
    except SystemExit as error:
        if error.code == 0:  # --help
            raise
        raise SystemExit(FAILED) from None


def parse_verb(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Parse arguments with subcommands; overrides stand anywhere among them."""
    with _status_of_wrong_arguments():
        options, rest = parser.parse_known_args(argv)
        if unknown := [item for item in rest if item.startswith("-")]:
            parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    options.overrides += rest
    return options


def parse_keys(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Parse flags and KEY=VALUE overrides in any order.

    Raises:
        ConfigError: unknown flags; shows how a key is written.
    """
    with _status_of_wrong_arguments():
        options, unknown = parser.parse_known_intermixed_args(argv)
    if flags := [text for text in unknown if text.startswith("-")]:
        raise ConfigError(*(_unknown_flag(text, argv, parser) for text in flags))
    return options


def _unknown_flag(text: str, argv: Sequence[str], parser: argparse.ArgumentParser) -> str:
    flag, _, value = text.partition("=")
    key = flag.lstrip("-").replace("-", "_")
    rest = list(argv[argv.index(text) + 1 :])[:1] if text in argv else []
    if not value and rest and "=" not in rest[0] and not rest[0].startswith("-"):
        value = rest[0]
    written = f"{key}={value or 'VALUE'}"
    meant = nearest(flag, [name for action in parser._actions for name in action.option_strings])
    return (
        f"{redact(flag)} is no flag of this program{meant if '?' in meant else ''}; config options are written as "
        f"KEY=VALUE without dashes: {redact_override(written)}"
    )

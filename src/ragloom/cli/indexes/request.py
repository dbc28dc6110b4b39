"""Arguments of the verbs of `indexes.py`, and the confirmation before a deletion."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from functools import cached_property

from ragloom.cli.console import ask, stdout_to_stderr
from ragloom.components.vector_store.index_identity import demand_root
from ragloom.components.vector_store.protocols import Database
from ragloom.components.vector_store.record_types import IndexInfo
from ragloom.config.config import Config, build
from ragloom.core.suggested_commands import program
from ragloom.errors import ConfigError, DataError, nearest


@dataclass
class Request:
    """Arguments of one verb, with its store.

    Attributes:
        options: parsed arguments.
        config: of the store.
        database: the opened store.
        as_json: print JSON instead of text.
    """

    options: argparse.Namespace
    config: Config
    database: Database
    as_json: bool

    @cached_property
    def infos(self) -> list[IndexInfo]:
        """Committed indexes of the store."""
        with stdout_to_stderr():
            return self.database.indexes()

    @property
    def aliases(self) -> dict[str, str]:
        """Alias -> index name, read at each use."""
        with stdout_to_stderr():
            return self.database.aliases()

    @property
    def tenant(self) -> str | None:
        """Tenant of the command; None without tenants."""
        tenant: str | None = self.config.values("vector_store").get("tenant")
        return tenant

    def find(self, name: str) -> IndexInfo:
        """Return the index of a name.

        Raises:
            DataError: no index has this name; names the nearest one.
        """
        for info in self.infos:
            if info.name == name:
                return info
        if not self.infos:
            raise DataError(
                f"index: {name} must be the name of an index; the store is empty: {program('ingest')} builds one"
            )
        known = nearest(name, (info.name for info in self.infos))
        raise DataError(f"index: {name} must be the name of an index{known}")

    def find_of_source(self, name: str) -> IndexInfo:
        """Return the index of a name, checked against the overridden source.

        Raises:
            DataError: no index has this name.
            ConfigError: the overrides choose another corpus, or another root.
        """
        info = self.find(name)
        if any(item.startswith(("source=", "source.")) for item in self.options.overrides):
            source = build(self.config, "source")
            if source.name != info.source:
                raise ConfigError(
                    f"source: source.name={source.name} must be {info.source}, for which index {name} is named; leave "
                    "the source out, since the index's name says which is meant"
                )
            demand_root(name, source.name, info.root, source.root)
        return info

    def confirm(self, question: str, otherwise: str) -> bool:
        """Ask for confirmation, unless `--yes` is set.

        Args:
            question: of the prompt.
            otherwise: message without confirmation.
        """
        if self.options.yes:
            return True
        if not sys.stdin.isatty():
            sys.stderr.write(f"{otherwise}: nobody is there to ask; --yes does it without asking\n")
            return False
        if ask(f"{question} type yes: ").lower() == "yes":
            return True
        sys.stderr.write(f"{otherwise}\n")
        return False

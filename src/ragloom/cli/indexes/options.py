"""What a verb of `indexes.py` is given, and the question that the verbs that remove something ask."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ragloom.cli.console import silenced_stdout
from ragloom.core.suggested_commands import program
from ragloom.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from ragloom.components.vector_store.protocols import Database, IndexInfo
    from ragloom.config.config import Config


@dataclass
class Request:
    """A verb with its arguments, on a store.

    Attributes:
        options: parsed arguments.
        config: that chose the store.
        database: the store.
        as_json: print JSON instead of text for people.
    """

    options: argparse.Namespace
    config: Config
    database: Database
    as_json: bool

    @cached_property
    def infos(self) -> list[IndexInfo]:
        """The committed indexes of the store."""
        with silenced_stdout():
            return self.database.indexes()

    @property
    def aliases(self) -> dict[str, str]:
        """The index that each alias names, read anew at each use."""
        with silenced_stdout():
            return self.database.aliases()

    @property
    def tenant(self) -> str | None:
        """The tenant that everything concerns."""
        tenant: str | None = self.config.values("vector_store").get("tenant")
        return tenant

    def named(self, name: str) -> IndexInfo:
        """Finds an index by its name.

        Raises:
            DataError: there is none of that name; says which is near.
        """
        for info in self.infos:
            if info.name == name:
                return info
        if not self.infos:
            raise DataError(
                f"index: {name} must be the name of an index; there is none yet: {program('ingest')} builds one"
            )
        known = nearest(name, (info.name for info in self.infos))
        raise DataError(f"index: {name} must be the name of an index{known}")

    def of_source(self, name: str) -> IndexInfo:
        """Finds an index by its name; where the command chooses a source, it must be the index's.

        Raises:
            DataError: there is none of that name.
            ConfigError: the command's source is another corpus, or lies elsewhere.
        """
        from ragloom.components.vector_store.index_identity import demand_root
        from ragloom.config.config import build

        info = self.named(name)
        if any(item.startswith(("source=", "source.")) for item in self.options.overrides):
            source = build(self.config, "source")
            if source.name != info.source:
                raise ConfigError(
                    f"source: source.name={source.name} must be {info.source}, for which index {name} is named; leave "
                    "the source out, since the index's name says which is meant"
                )
            demand_root(name, source.name, info.root, source.root)
        return info

    def is_sure(self, question: str, otherwise: str) -> bool:
        """Asks a person, unless `--yes` answers; says on standard error when nothing will be done.

        Args:
            question: what would be done.
            otherwise: what was not done then.
        """
        if self.options.yes:
            return True
        if not sys.stdin.isatty():
            sys.stderr.write(f"{otherwise}: nobody is there to ask; --yes does it without asking\n")
            return False
        sys.stderr.write(f"{question} type yes: ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() == "yes":
            return True
        sys.stderr.write(f"{otherwise}\n")
        return False

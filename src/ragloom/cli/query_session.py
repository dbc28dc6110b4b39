"""Session of questions on an open index, warm between them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from ragloom.cli.config_arguments import config_arguments
from ragloom.cli.console import console, stdout_to_stderr
from ragloom.cli.prerequisites import require_inputs
from ragloom.core.garbage_collection import collection_paused
from ragloom.core.redaction import redact
from ragloom.core.suggested_commands import command
from ragloom.errors import ConfigError

if TYPE_CHECKING:
    from ragloom.assembly import Assembly
    from ragloom.components.vector_store.protocols import Index
    from ragloom.config.config import Config
    from ragloom.query.engine import CitedQueryEngine
    from ragloom.query.query_result import QueryResult


class QuerySession:
    """Open index with its query engine; a context manager.

    Args:
        config: validated.
        overrides: of the command.
        options: of the command: `config_dir`, `project`, `retrieve_only` and `ingest` (sync the index first).

    Attributes:
        assembly, index, engine: of the present config and commit.

    Raises:
        ConfigError, DataError, ServiceError: the index or a part of the engine cannot be opened.
    """

    assembly: Assembly
    index: Index
    engine: CitedQueryEngine

    def __init__(self, config: Config, overrides: list[str], options: argparse.Namespace) -> None:
        self.overrides = overrides
        self._options = options
        self._answering = not options.retrieve_only
        with collection_paused(), stdout_to_stderr():
            from ragloom.assembly import Assembly

            self.assembly = Assembly(config)
        try:
            if options.ingest:
                self._ingest()
            self._open()
        except BaseException:
            self.assembly.close()
            raise

    def __enter__(self) -> QuerySession:
        return self

    def __exit__(self, *error: Any) -> None:
        self.assembly.__exit__(*error)

    @property
    def config(self) -> Config:
        """The present config."""
        return self.assembly.config

    def ask(self, question: str, on_text: Callable[[str], None] | None = None) -> QueryResult:
        """Answer a question, or retrieve only.

        Args:
            question: not empty.
            on_text: receives the pieces of the answer as they arrive.

        Raises:
            ServiceError: a provider or the store failed.
        """
        with stdout_to_stderr() if on_text is None else nullcontext():
            return self.engine.answer(question, on_text=on_text) if self._answering else self.engine.search(question)

    def refresh(self) -> None:
        """Switch to the newest commit, and report one.

        Raises:
            DataError: the index is gone.
        """
        with stdout_to_stderr():
            newest = self._index(self.assembly)
            before, now = self.index.info, newest.info
            if (now.name, now.version, now.committed_at) == (before.name, before.version, before.committed_at):
                return
            sys.stderr.write(f"note: index {now.name} has a new commit ({now.committed_at:%Y-%m-%d %H:%M:%S} UTC)\n")
            if now.name == before.name:
                self.index, self.engine = newest, self._engine(self.assembly, newest)
            else:  # another version of the code may have built it
                self.assembly.close()
                self.assembly = type(self.assembly)(self.config)
                self._open()

    def shown_config(self) -> str:
        """Return the config as YAML, with each value's origin."""
        from ragloom.config.key_origins import annotated_yaml

        return annotated_yaml(self.overrides, self._options.config_dir, self.config.project, resolve=True)

    def reconfigure(self, overrides: Sequence[str]) -> list[str]:
        """Change keys that the open index does not depend on.

        Returns:
            what changed: `retriever.top_k: 10 / 5`.

        Raises:
            ConfigError: an override is wrong, or shapes or places the index; nothing has changed.
            DataError: a file that it names is missing.
        """
        from ragloom.config.config import load
        from ragloom.config.fingerprint import SHAPING_GROUPS, difference

        keys = {_key(text) for text in overrides}
        merged = [*(text for text in self.overrides if _key(text) not in keys), *overrides]
        (config,) = load(merged, extra_dir=self._options.config_dir, project=self.config.project)
        require_inputs("query", merged, [config])
        changed = difference(self.config.tree, config.tree)
        if fixed := [line for line in changed if line.split(".")[0] in SHAPING_GROUPS]:
            start = command("query", config_arguments(self._options, merged))
            raise ConfigError(
                *(
                    f"{line.split('.')[0]}: {redact(line)} (now / asked for) must stay while its index is open; "
                    f"end this session, and start another: {start}"
                    for line in fixed
                )
            )
        with stdout_to_stderr():
            assembly = self.assembly.sharing(config)
            self.engine = self._engine(assembly, self.index)
        self.assembly, self.overrides = assembly, merged
        return [redact(line) for line in changed]

    def _ingest(self) -> None:
        """Sync the index with its source.

        Raises:
            ConfigError: the queries read an alias.
        """
        from ragloom.cli.ingest import print_summary
        from ragloom.cli.progress import terminal_progress

        if (alias := self.assembly.alias) is not None:
            raise ConfigError(
                f"--ingest must not go with vector_store.alias={alias}; it syncs this config's own index, "
                "which the alias need not name: leave one of them out"
            )
        with stdout_to_stderr():
            if self._answering:
                _ = self.assembly.llm  # a missing key is an error before an embedding is paid for
            with terminal_progress(self.assembly) as progress:
                summary = self.assembly.ingest(progress)
            print_summary(console(stderr=True), summary, self.assembly)

    def _open(self) -> None:
        """Open the index and build the engine."""
        from ragloom.cli.upgrade_notice import upgrade_notice

        with collection_paused(), stdout_to_stderr():
            self.index = self._index(self.assembly)
            if note := upgrade_notice(self.assembly, config_arguments(self._options, self.overrides)):
                self.assembly.notes.append(note)
                sys.stderr.write(f"note: {redact(note)}\n")
            self.engine = self._engine(self.assembly, self.index)

    def _engine(self, assembly: Assembly, index: Index) -> CitedQueryEngine:
        return assembly.query_engine(index, answering=self._answering)

    def _index(self, assembly: Assembly) -> Index:
        """Open the newest commit of the index.

        Raises:
            IndexMissing: names the command that builds it.
        """
        from ragloom.components.vector_store.record_types import IndexMissing

        try:
            return assembly.open(or_older=True)
        except IndexMissing as error:
            first, *rest = error.problems
            build = command("ingest", config_arguments(self._options, self.overrides))
            raise IndexMissing(f"{first}; build it with: {build}", *rest) from None


def _key(override: str) -> str:
    """Return what an override sets."""
    return override.lstrip("+~").partition("=")[0]

"""A folder of documents whose embedding is paid for, at a server on this machine that counts what it is asked."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

import programs
from loopback import OpenAIServer, vector_of
from programs import Done
from ragloom.assembly import Assembly
from ragloom.config.config import load
from ragloom.core.records import Chunk, Entry
from ragloom.core.tokenizers import load as tokenizer
from ragloom.ingestion import IngestSummary
from ragloom.providers.request_context import no_requests

KEY = "sk-of-a-test-0123456789"
BATCH = 4
"""Texts per request."""


def counting_server(**settings: object) -> OpenAIServer:
    """A server that counts tokens itself, as OpenAI does."""
    return OpenAIServer(count=tokenizer("cl100k_base").count, **settings)  # type: ignore[arg-type]


class PaidCorpus:
    """Documents of one chunk each, ingested through the real client; the key must be in the environment.

    Attributes:
        store: overrides that choose the store.
    """

    def __init__(self, root: Path, documents: int = 20) -> None:
        self.root, self.folder = root, root / "docs"
        self.store = [f'vector_store.path="{root / "store"}"']
        self.folder.mkdir()
        for number in range(documents):
            self.write(number, f"Passage number {number} is about subject {number * 7}.")

    def write(self, number: int, text: str) -> None:
        """Writes a document, under its own heading."""
        (self.folder / f"{number:03}.md").write_text(f"# Part {number}\n\n{text}\n", encoding="utf-8")

    def overrides(self, server: OpenAIServer, *further: str) -> list[str]:
        """The config: four texts a request, two requests at once, in one process."""
        return [
            "source=folder",
            f'source.path="{self.folder}"',
            *self.store,
            f'cache.path="{self.root / "cache"}"',
            f'runs="{self.root / "runs"}"',
            "embedding=openai",
            f"embedding.base_url={server.base_url}",
            f"embedding.dimensions={server.dimensions}",
            f"embedding.batch_size={BATCH}",
            "embedding.concurrency=2",
            "workers.processes=0",
            *further,
        ]

    def assembly(self, server: OpenAIServer, *further: str) -> Assembly:
        """Composes the config."""
        (config,) = load(self.overrides(server, *further))
        return Assembly(config)

    def ingest(self, server: OpenAIServer, *further: str) -> IngestSummary:
        """Ingests once."""
        with self.assembly(server, *further) as assembly:
            return assembly.ingest()

    def run(self, server: OpenAIServer, *further: str) -> Done:
        """Runs the program."""
        return programs.run("ingest", *self.overrides(server, *further), cwd=self.root, OPENAI_API_KEY=KEY)

    def chunks(self, server: OpenAIServer, *further: str) -> dict[str, list[tuple[Chunk, str]]]:
        """Cuts the documents as they are now: each document's chunks, with what is sent for them."""
        assembly = self.assembly(server, *further)
        with no_requests():  # needs no key
            assembly.embedding  # noqa: B018 - built here
        found = {}
        for entry in assembly.source.entries():
            assert isinstance(entry, Entry)
            document = assembly.source.parse(entry, assembly.source.read(entry))
            chunks = list(assembly.chunking.chunks(document))
            found[entry.id] = [(one, assembly.embedding.document_text(one.text, one.metadata)) for one in chunks]
        return found

    def demand_complete(self, server: OpenAIServer, *further: str, but: tuple[str, ...] = ()) -> None:
        """Holds that the index has every chunk with the vector of its text, and nothing else.

        Args:
            but: documents that are not there.
        """
        expected = {name: some for name, some in self.chunks(server, *further).items() if name not in but}
        index = self.assembly(server, *further).open()
        stored = index.vectors([chunk.id for some in expected.values() for chunk, _ in some])
        for some in expected.values():
            for chunk, sent in some:
                np.testing.assert_allclose(stored[chunk.id], vector_of(sent, server.dimensions), atol=1e-6)
        assert index.info.documents == len(expected)
        assert index.info.chunks == sum(map(len, expected.values())) == len(stored)


def batches(texts: int) -> int:
    """Requests that so many texts take."""
    return math.ceil(texts / BATCH)


def summary_of(done: Done) -> dict[str, object]:
    """The last event of a run with `output=json`."""
    summary: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return summary

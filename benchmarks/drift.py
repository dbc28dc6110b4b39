"""What deleted chunks do to BM25: python drift.py [OVERRIDE ...]

SciFact's 300 questions, top 10 by BM25. An index lives through 20 rounds in which 3 % of the documents change and 2 %
come and go, and ends with the same documents as a fresh one. How many of its rankings are the fresh index's? On LanceDB
all must be; on Weaviate deleted chunks keep counting in the statistics until `indexes.py rebuild`, after which all must
be (or be the server's own misses, see parity.py). Exits 1 otherwise. Data: ../shared/data, read only.
"""

import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ragloom.core.records import Hit
from stores import DATA, TOLERANCE, Document, build, databases, document, scifact, write

ROUNDS, CHANGED, GONE, TOP, DIMENSIONS = 20, 0.03, 0.02, 10, 8
STORES = ("lancedb", "weaviate_embedded")
ALLOWED = 3
"""Rankings of a rebuilt Weaviate index that may differ by hits that its BlockMax-WAND misses (1 in 100)."""


def vectors_of(documents: Sequence[Document]) -> dict[str, np.ndarray]:
    """Makes a vector for each chunk; nothing here searches by them."""
    return {item.chunk.id: np.ones(DIMENSIONS, dtype=np.float32) for item in documents}


def live(database: Any, name: str, documents: Sequence[Document]) -> int:
    """Takes an index through the rounds; returns the chunks deleted on the way."""
    seed = random.Random(20261124)
    index: dict[str, Document] = {item.chunk.document: item for item in documents}
    build(database, name, documents, vectors_of(documents), DIMENSIONS)
    deleted = 0
    away: list[Document] = []
    for turn in range(ROUNDS + 1):
        last = turn == ROUNDS
        ids = sorted(index)
        changed = [index[id] for id in seed.sample(ids, int(CHANGED * len(ids)))]
        new = [document(item.chunk.document, f"{item.chunk.text} changed {turn}") for item in changed]
        gone = seed.sample(sorted(set(ids) - {item.chunk.document for item in changed}), int(GONE * len(ids)))
        if last:
            new = [item for item in documents if index.get(item.chunk.document) != item and item not in away]
            gone = []
        with database.writer(name, dimensions=DIMENSIONS, description={}, root="/") as writer:
            back, away = away, [item for item in documents if item.chunk.document in gone]
            written = [*back, *new]
            write(writer, written, vectors_of(written))
            deleted += sum(item.chunk.document in index for item in new) + len(gone)
            writer.delete(gone)
            writer.commit({})
        index |= {item.chunk.document: item for item in written}
        for id in gone:
            del index[id]
    assert index == {item.chunk.document: item for item in documents}
    return deleted


def rankings(index: Any, questions: Sequence[str]) -> list[list[Hit]]:
    """Returns each question's list."""
    return [index.lexical(question, TOP) for question in questions]


def same(ours: Sequence[Hit], theirs: Sequence[Hit]) -> bool:
    """Says whether two lists have the same documents in the same order, with the same scores."""
    return [hit.chunk.document for hit in ours] == [hit.chunk.document for hit in theirs] and np.allclose(
        [hit.score for hit in ours], [hit.score for hit in theirs], rtol=TOLERANCE
    )


def main() -> int:
    """Measures, prints, and says by the exit status whether the promises hold."""
    if not DATA.is_dir():
        sys.stderr.write("the evaluation sets are missing (../shared/data)\n")
        return 1
    documents, questions = scifact()
    failed = False
    table = Table("store", "deleted chunks", "rankings as fresh", "after rebuild")
    overrides = ["vector_store.index.type=flat", *sys.argv[1:]]
    with tempfile.TemporaryDirectory() as folder, databases(Path(folder), STORES, overrides) as stores:
        for name in STORES:
            database = stores[name].database
            build(database, "fresh-1", documents, vectors_of(documents), DIMENSIONS)
            expected = rankings(database.open("fresh-1"), questions)
            deleted = live(database, "lived-1", documents)
            shown = []
            for rebuilt in (False, True):
                if rebuilt:
                    database.rebuild("lived-1")
                found = rankings(database.open("lived-1"), questions)
                shown.append(sum(same(a, b) for a, b in zip(found, expected, strict=True)))
            failed |= shown[1] < len(questions) - (ALLOWED if name != "lancedb" else 0)
            failed |= name == "lancedb" and shown[0] < len(questions)
            table.add_row(name, str(deleted), *(f"{count} of {len(questions)}" for count in shown))
    Console().print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

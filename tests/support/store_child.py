"""A process that syncs an index and reports its steps, so that a test can kill it in the middle.

Usage: store_child.py lancedb FOLDER SEED COUNT
       store_child.py weaviate "URL GRPC_PORT PREFIX" SEED COUNT
"""

import random
import sys
from pathlib import Path

from ragloom.components.vector_store.protocols import Database
from store_tools import Cut, cut, database, sentence, sync, writer


def documents(seed: int, count: int) -> dict[str, Cut]:
    """Makes a corpus; those of two seeds share two documents of three, and every sixth changes its text."""
    found = {}
    for number in range(count):
        if number % 3 == 1:
            number += count * seed
        text = sentence(random.Random(number if number % 6 else number + 7919 * seed), 40)
        found[f"doc/{number}.md"] = cut(f"doc/{number}.md", text, number=number)
    return found


def opened(store: str, where: str) -> Database:
    """Opens the database of a folder, or of a server."""
    if store == "lancedb":
        return database(Path(where))
    from weaviate_servers import Address
    from weaviate_tools import weaviate_database

    url, port, prefix = where.split()
    return weaviate_database(Address(url, int(port)), prefix)


def main(store: str, where: str, seed: str, count: str) -> None:
    with writer(opened(store, where)) as writing:
        sync(writing, documents(int(seed), int(count)), say=lambda step: print(step, flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])

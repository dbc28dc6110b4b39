"""Kills ingests at drawn moments and runs them again: python kills.py [CHAINS]

A chain is a first ingest, an update, deletions and another chunk size on one index; each of its four steps is killed
once with SIGKILL, the whole process group of it, and run again (tests/support/kills.py). 25 chains on LanceDB and 25
on a real Weaviate (found as the tests find it) make 200 kills. After each the index is compared with that of an
undisturbed chain: chunk ids, texts, vectors, documents, counts, and on LanceDB the BM25 rankings of 50 questions.
Exits 1 when any differs, when fewer than three of four kills fell between the first write and the last commit, or
when a kind of write was hit less than ten times in 200.
"""

import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from kills import STAGES, Chain, Killed, killed, undisturbed
from weaviate_servers import Server, find_executable

CHAINS, WRITING, EACH = 25, 0.75, 0.05
SEED = 20261127


def lived(chain: Callable[[str], Chain], chains: int, *, rankings: bool) -> tuple[list[Killed], list[str]]:
    """Lives through undisturbed and killed chains; returns the kills, and what differed."""
    draw = random.Random(SEED)
    whole = undisturbed(chain("whole"), rankings=rankings)
    kills, wrong = [], []
    for number in range(chains):
        for kill, differs in killed(chain(f"c{number}"), whole, number, draw, rankings=rankings):
            kills.append(kill)
            if differs:
                wrong.append(f"chain {number}: {kill} ended with other {', '.join(differs)}")
        if sys.stderr.isatty():
            print(f"\r{number + 1} of {chains} chains", end="", file=sys.stderr)
    return kills, wrong


def main(chains: int = CHAINS) -> int:
    """Prints where the kills fell and their outcomes; returns the exit status."""
    screen, wrong = Console(width=120), []
    table = Table("store", *STAGES, "while writing", "kills", "equal", "seconds")
    total: Counter[str] = Counter()
    writing = count = 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ragloom-kills-")))
        stores = {"lancedb": lambda name: Chain(folder / name, [f"vector_store.path={folder / name / 'store'}"])}
        if isinstance(found := find_executable(), str):
            wrong.append(found)
        else:
            address = stack.enter_context(Server(folder / "server")).address
            stores["weaviate"] = lambda name: Chain(
                folder / f"w-{name}",
                [*address.overrides(collection_prefix=f"K{name}"), "vector_store.index.type=flat"],
            )
        for store, chain in stores.items():
            began = time.perf_counter()
            kills, differs = lived(chain, chains, rankings=store == "lancedb")
            at = Counter(kill.stage for kill in kills)
            wrote = sum(kill.writing for kill in kills)
            equal = len(kills) - len(differs)
            numbers = [*(at[stage] for stage in STAGES), wrote, len(kills), equal]
            table.add_row(store, *map(str, numbers), f"{time.perf_counter() - began:.0f}")
            total, writing, count = total + at, writing + wrote, count + len(kills)
            wrong += [f"{store}: {line}" for line in differs]
    screen.print(table)
    if writing < WRITING * count:
        wrong.append(f"only {writing} of {count} kills fell while it wrote")
    wrong += [
        f"only {total[stage]} of {count} kills fell at {stage!r}"
        for stage in STAGES[1:6]
        if total[stage] < EACH * count
    ]
    for line in wrong:
        screen.print(f"[red]{line}[/]")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))

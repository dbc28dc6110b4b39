"""Start of the command line: python startup.py [PAIRS]

First table: `ragloom query` as one process on the sample (LanceDB, hashing, extractive), next to a bare process that
imports `llama_index.core` and `lancedb`, which every query needs. The two run in turn; the ratio is the median over
pairs. Second table: seconds of commands that fail, each the median of five. Wall seconds count the machine's other
work, CPU seconds (user + system) less so.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

PAIRS, REPEATS = 10, 5
PROGRAM = [sys.executable, "-c", "import sys; from ragloom.cli import main; sys.exit(main(sys.argv[1:]))"]
BARE = [sys.executable, "-c", "import llama_index.core, lancedb"]
QUERY = [*PROGRAM, "query", "How long is the frame covered?"]
FAILING = (
    ["query", "q", "chunking=nonsense"],
    ["query", "q", "retriever.top_k=0"],
    ["query", "q", "no_such_key=1"],
    ["query", "q", "--project", "nowhere.yaml"],
    ["query", "--file", "nowhere.jsonl"],
    ["query"],
    ["ingest", "chunking.chunk_size=0"],
    ["ingest", "source=folder", "source.path=nowhere"],
    ["evaluate", "dataset=jsonl", "dataset.path=nowhere.jsonl", "source=sample"],
    ["evaluate", "-m", "chunking=fixed,nonsense"],
    ["compare", "a-run", "another"],
    ["compare", "comparison.plan=guess"],
    ["indexes", "list", "vector_store=nonsense"],
    ["cache", "show", "cache.max_gb=-1"],
    ["init", "no_such_key=1"],
    ["nonsense"],
)


@dataclass(frozen=True)
class Seconds:
    """Time of one process."""

    wall: float
    cpu: float


def timed(command: Sequence[str], folder: Path, status: int) -> Seconds:
    """Run a command; it must end with the status."""
    before, began = os.times(), time.perf_counter()
    environment = {**os.environ, "RAGLOOM_PROJECT": "none"}
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    wall, after = time.perf_counter() - began, os.times()
    assert done.returncode == status, done.stderr
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Seconds(wall, cpu)


def main() -> None:
    """Print both tables."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        timed([*PROGRAM, "ingest", "source=sample"], folder, 0)
        runs = [(timed(BARE, folder, 0), timed(QUERY, folder, 0)) for _ in range(pairs)]
        table = Table("", "bare imports s", "ragloom query s", "ratio", title=f"median of {pairs} pairs")
        for kind in ("wall", "cpu"):
            bare = [getattr(first, kind) for first, _ in runs]
            query = [getattr(second, kind) for _, second in runs]
            ratio = statistics.median(own / base for own, base in zip(query, bare, strict=True))
            table.add_row(kind, f"{statistics.median(bare):.2f}", f"{statistics.median(query):.2f}", f"{ratio:.2f}")
        Console().print(table)
        table = Table("command that fails", "wall s", "cpu s", title=f"median of {REPEATS}")
        for arguments in FAILING:
            seconds = [timed([*PROGRAM, *arguments], folder, 1) for _ in range(REPEATS)]
            wall, cpu = (statistics.median(getattr(item, kind) for item in seconds) for kind in ("wall", "cpu"))
            table.add_row(" ".join(arguments), f"{wall:.2f}", f"{cpu:.2f}")
        Console().print(table)


if __name__ == "__main__":
    main()

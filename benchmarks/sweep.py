"""What a sweep costs compared with its stages, and what a kill costs it: python sweep.py [cost] [kills] [--folder DIR]

27 trials on SciFact: 3 chunkings x 3 embeddings (feature hashing of 256 and 1,024 numbers, MiniLM of 128 tokens) x 3
retrievers.

`cost`: each config by itself, a process each, with one stage cache, gives what each unique stage takes (3 chunkings, 9
indexes, 27 rankings), and the sweep of all, from nothing, at most 1.1 x their sum; and the same sweep again with
its ledger deleted and its stages kept, at most .05 x.

`kills`: a sweep (of 256 numbers alone, 9 trials) whose process group is killed at 20 random moments, each time run
again, ends with the table and the run folders of an undisturbed one, timings aside.

Data and model: ../shared, read only. Exits 1 where a limit is not kept. `cost` takes an hour of computing.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
EVALUATE = [sys.executable, str(ROOT / "scripts" / "evaluate.py")]
CHUNKINGS, RETRIEVERS = ("fixed", "paragraph", "recursive"), ("dense", "bm25", "hybrid")
MOST_SWEEP, MOST_AGAIN, KILLS = 1.1, 0.05, 20
_TIMED = {"seconds", "changed", "run", "stages", "spent"}
"""What the table of a sweep says in addition to its numbers."""


class Place:
    """A separate folder for everything that one way of running makes."""

    def __init__(self, folder: Path, embeddings: dict[str, str]) -> None:
        self.folder, self.embeddings = folder, embeddings
        options = folder / "conf" / "embedding"
        options.mkdir(parents=True)
        for name, text in embeddings.items():
            (options / f"{name}.yaml").write_text(text, encoding="utf-8")

    def keys(self) -> list[str]:
        """Overrides that all trials share."""
        return [
            "output=json",
            "dataset=beir",
            f'dataset.path="{SHARED / "data" / "scifact"}"',
            "chunking.chunk_size=200",
            "retriever.top_k=20",
            f'runs="{self.folder / "runs"}"',
            f'stages="{self.folder / "stages"}"',
            f'cache.path="{self.folder / "cache"}"',
            f'vector_store.path="{self.folder / "store"}"',
        ]

    def command(self) -> list[str]:
        """The sweep."""
        options = [f"{group}={','.join(names)}" for group, names in self.groups().items()]
        return [*EVALUATE, "-m", "--config-dir", str(self.folder / "conf"), *options, *self.keys()]

    def groups(self) -> dict[str, tuple[str, ...]]:
        """What varies."""
        return {"chunking": CHUNKINGS, "embedding": tuple(self.embeddings), "retriever": RETRIEVERS}

    def sweep(self) -> tuple[float, dict[str, Any]]:
        """Runs the sweep; returns its seconds and its table."""
        began = time.perf_counter()
        found = last_line(self.command())
        return time.perf_counter() - began, found

    def alone(self) -> float:
        """Runs each config in a separate process; adds up what the stages took that each had to make."""
        total = 0.0
        for chunking in CHUNKINGS:
            for embedding in self.embeddings:
                for retriever in RETRIEVERS:
                    config = [f"chunking={chunking}", f"embedding={embedding}", f"retriever={retriever}"]
                    found = last_line([*EVALUATE, "--config-dir", str(self.folder / "conf"), *config, *self.keys()])
                    # Documents are cut while an index is made, and are in its seconds.
                    made = [item for item in found["stages"] if item["made"] and item["stage"] != "chunks"]
                    total += sum(item["seconds"] for item in made)
        return total

    def kept(self) -> dict[str, bytes]:
        """What the run folders hold that is no timing."""
        names = ("metrics.json", "run.trec", "qrels.trec")
        return {f"{path.parent.name}/{path.name}": path.read_bytes() for name in names for path in self.runs(name)}

    def clear(self) -> None:
        """Removes what was made."""
        for name in ("runs", "stages", "cache", "store"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def runs(self, name: str) -> list[Path]:
        """Files of this name of all runs."""
        return sorted((self.folder / "runs").glob(f"[!.]*/{name}"))  # what a kill left half written begins with a dot


def last_line(command: list[str]) -> dict[str, Any]:
    """Runs a program to its end; returns the last object that it prints."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, f"exit {done.returncode}: {done.stdout[-2000:]}"
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def hashing(dimensions: int) -> str:
    """The yaml of an option."""
    return f"defaults:\n  - hashing\ndimensions: {dimensions}\n"


def minilm() -> str:
    """The yaml of an option."""
    model = SHARED / "models" / "all-MiniLM-L6-v2-onnx"
    return f"defaults:\n  - fastembed\nmodel: {json.dumps(str(model))}\noverlong: truncate\nmax_length: 128\n"


def table_of(sweep: dict[str, Any]) -> list[dict[str, Any]]:
    """The trials of a sweep without what is a timing or says where it was found."""
    rows = []
    for trial in sweep["trials"]:
        record = {key: value for key, value in trial["told"].items() if key not in _TIMED}
        rows.append({**{key: value for key, value in trial.items() if key not in _TIMED}, "told": record})
    return rows


def cost(folder: Path, screen: Console) -> bool:
    """Measures what a sweep costs; says whether it is within the limits."""
    embeddings = {"small": hashing(256), "large": hashing(1024), "minilm": minilm()}
    stages = Place(folder / "alone", embeddings).alone()
    place = Place(folder / "sweep", embeddings)
    whole, _ = place.sweep()
    (place.folder / "runs" / "trials.sqlite").unlink()
    again, _ = place.sweep()
    screen.print(f"unique stages by themselves: {stages:.1f} s")
    screen.print(f"the sweep: {whole:.1f} s, {whole / stages:.3f} x (limit {MOST_SWEEP})")
    screen.print(f"again without its ledger: {again:.1f} s, {again / stages:.3f} x (limit {MOST_AGAIN})")
    return whole <= MOST_SWEEP * stages and again <= MOST_AGAIN * stages


def kills(folder: Path, screen: Console) -> bool:
    """Kills a sweep again and again; says whether it ends as one that was left in peace."""
    place = Place(folder / "killed", {"small": hashing(256)})
    seconds, undisturbed = place.sweep()
    calm, trials = place.kept(), len(place.runs("metrics.json"))
    place.clear()  # and not another place: where the store is, is a part of a run's name
    moments = random.Random(20261127)
    for number in range(KILLS):
        process = subprocess.Popen(place.command(), stdout=subprocess.DEVNULL, start_new_session=True)
        after = moments.uniform(1, max(2.0, seconds / 6))
        try:
            process.wait(after)
            screen.print(f"kill {number + 1}: it had ended before {after:.1f} s")
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            done = len(place.runs("metrics.json"))
            screen.print(f"kill {number + 1}: after {after:.1f} s, with {done} of {trials} runs there")
            if done == trials:  # begin again, so that each kill hits work
                place.clear()
    _, found = place.sweep()
    same_table, same_runs = table_of(found) == table_of(undisturbed), place.kept() == calm
    screen.print(f"{KILLS} kills: the table is {'equal' if same_table else 'NOT EQUAL'}")
    screen.print(f"{len(calm)} files of the runs are {'equal' if same_runs else 'NOT EQUAL'}")
    return same_table and same_runs


def main(arguments: list[str]) -> int:
    """Measures what is asked for, both by default; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[[], "cost", "kills"], help="both by default")
    parser.add_argument("--folder", type=Path, help="where everything is kept; a temporary one by default")
    given = parser.parse_args(arguments)
    screen = Console(width=120)
    with tempfile.TemporaryDirectory(prefix="ragloom-sweep-") as temporary:
        folder = (given.folder or Path(temporary)).absolute()
        wanted = given.what or ["cost", "kills"]
        kept = [{"cost": cost, "kills": kills}[name](folder, screen) for name in wanted]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

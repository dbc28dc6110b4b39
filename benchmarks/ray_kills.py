"""Kills ingests on a Ray cluster at drawn moments and completes them: python ray_kills.py FOLDER [EACH] [DOCUMENTS]

Ten times each (EACH) a Ray worker, a Ray node, the driver and a Weaviate server are killed with SIGKILL, at a moment
drawn over the time that an undisturbed ingest takes: three Ray nodes, three Weaviate servers with replication 3 and
QUORUM, 500 documents (DOCUMENTS) of about 3,000 chunks, `hashing` (tests/support/ray_kills.py). After at most one more
ingest the index is compared, by each server, with that of an undisturbed local one: ids, texts, vectors, manifest.

Each kill is a line of FOLDER/kills.jsonl; a run that was interrupted goes on from there. Exits 1 when any differs.
"""

import json
import random
import sys
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from ray_clusters import ray_nodes
from ray_kills import KINDS, RayIngests, RayKill
from weaviate_servers import Cluster

EACH, DOCUMENTS = 10, 500
SEED = 20261130


def main(folder: Path, each: int = EACH, documents: int = DOCUMENTS) -> int:
    """Prints the kills by kind; returns the exit status."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "kills.jsonl"
    kills = [RayKill(**json.loads(line)) for line in log.read_text("utf-8").splitlines()] if log.exists() else []
    planned = [kind for _ in range(each) for kind in KINDS]
    if len(kills) < len(planned):
        servers = Cluster(folder / f"servers-{time.time_ns()}")
        with ray_nodes() as nodes, servers:
            ingests = RayIngests(folder, nodes, servers, documents)
            ingests.write_documents()
            seconds = ingests.undisturbed()
            print(f"undisturbed: {ingests.expected['counts']} documents and chunks, workers there for {seconds:.1f} s")
            for number in range(len(kills), len(planned)):
                draw = random.Random(SEED + number)
                kill = ingests.disturbed(planned[number], f"K{number}", draw.uniform(0, seconds), draw)
                kills.append(kill)
                with log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(kill)) + "\n")
                print(number, kill, flush=True)
    table = Table("killed", "kills", "ended with an error", "completed by one more", "equal", "longest s")
    for kind in KINDS:
        some = [kill for kill in kills if kill.kind == kind]
        failed = [kill for kill in some if kill.first]
        table.add_row(
            kind,
            str(len(some)),
            str(len(failed)),
            str(sum(kill.second == 0 for kill in failed)),
            str(sum(kill.is_equal for kill in some)),
            f"{max((kill.seconds for kill in some), default=0):.0f}",
        )
    Console(width=120).print(table)
    return not all(kill.is_equal for kill in kills)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(int, sys.argv[2:])))

"""What a Ray cluster costs and what it gains: python ray_nodes.py FOLDER [local] [endpoint] [limits] [vectors]

`local`: 20,000 documents (DOCUMENTS; `generated_corpus.py`), `embedding=hashing`, LanceDB and, where a server is found,
Weaviate: `executor=ray` on one node takes at most 1.3 x the time of `executor=local`, its start included. Two turns, a
process each.

`endpoint`: an endpoint on this machine (a separate process) that answers after 200 ms, `embedding.concurrency=4` a
node, no limit per minute: two nodes take at most .6 x the time of one, from the first request to the last answer.

`limits`: two nodes with 60 requests, then 20,000 tokens, a minute: no minute at the endpoint has more, and with a
budget of tokens the endpoint never counts more.

`vectors`: all-MiniLM-L6-v2 on two nodes: ids are those of `executor=local`, and vectors within 1e-5 cosine.

All four by default. Exits 1 where a limit is not kept. Needs an idle machine. The model: ../shared, read only.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from fakes import cosine
from ingestion import MODEL, Endpoint
from loopback import Fault, OpenAIServer, Request
from million import KEYS
from ragloom.assembly import Assembly
from ragloom.config.config import load
from ragloom.core.tokenizers import load as tokenizer
from ragloom.ingestion import IngestSummary
from ray_clusters import RayNodes, ray_nodes
from scale import SCRIPT, corpus
from weaviate_servers import Server, find_executable

DOCUMENTS, TURNS, MOST_LOCAL = 20_000, 2, 1.3
PAID_DOCUMENTS, BATCH, IN_FLIGHT, MOST_TWO = 5_000, 32, 4, 0.6
LIMITED_DOCUMENTS, REQUESTS, TOKENS, MINUTE = 300, 60, 20_000, 59.5
"""A request may be on its way for half a second."""
MODEL_DOCUMENTS, MOST_APART = 200, 1e-5


class CountingServer(OpenAIServer):
    """An endpoint that notes when each request came, and its tokens.

    Attributes:
        arrivals: moment in seconds, tokens.
    """

    def __init__(self) -> None:
        super().__init__(count=tokenizer("cl100k_base").count)
        self.arrivals: list[tuple[float, int]] = []

    def take(self, request: Request) -> Fault:
        """Note a request."""
        self.arrivals.append((time.monotonic(), sum(map(self.count, request.body["input"]))))
        return super().take(request)

    def most_in_a_minute(self) -> tuple[int, int]:
        """Return the most requests, and the most tokens, of any minute."""
        windows = [
            [tokens for moment, tokens in self.arrivals if begin <= moment < begin + MINUTE]
            for begin, _ in self.arrivals
        ]
        return max(map(len, windows)), max(map(sum, windows))


def source_keys(folder: Path, documents: int) -> list[str]:
    """Write documents where they are missing; return the source's keys."""
    return ["source=jsonl", f'source.path="{corpus(folder, documents)}"']


def stores(folder: Path, stack: ExitStack) -> dict[str, list[str]]:
    """Return the keys of each store that can be had."""
    found = {"lancedb": ["vector_store=lancedb", f'vector_store.path="{folder / "store"}"']}
    if isinstance(find_executable(), Path):
        server = stack.enter_context(Server(folder / "server", env={"GOMEMLIMIT": "8GiB"}))
        found["weaviate"] = server.address.overrides()
    return found


def seconds_of(keys: Iterable[str]) -> float:
    """Ingest in a separate process; return its wall seconds, from its start to its end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, str(SCRIPT), *keys], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def local(folder: Path, screen: Console) -> bool:
    """Compare one node with no cluster."""
    source, ratios = source_keys(folder, DOCUMENTS), []
    table = Table("store", "executor=local, s", "executor=ray, s", "ratio", title=f"{DOCUMENTS:,} documents, one node")
    with ExitStack() as stack:
        for store, keys in stores(folder, stack).items():
            times: dict[str, list[float]] = {"local": [], "ray": []}
            for turn in range(TURNS):
                for executor, seconds in times.items():
                    shutil.rmtree(folder / "store", ignore_errors=True)
                    place = [f"vector_store.collection_prefix=Turn{turn}{executor}"] if store == "weaviate" else []
                    seconds.append(seconds_of([*KEYS, *source, *keys, *place, f"executor={executor}"]))
            best = {executor: min(seconds) for executor, seconds in times.items()}
            ratios.append(best["ray"] / best["local"])
            shown = [", ".join(f"{second:.1f}" for second in times[executor]) for executor in ("local", "ray")]
            table.add_row(store, *shown, f"{ratios[-1]:.2f}")
    screen.print(table)
    return max(ratios) <= MOST_LOCAL


def ingested(nodes: RayNodes | None, folder: Path, *keys: str) -> IngestSummary:
    """Ingest from nothing."""
    shutil.rmtree(folder / "store", ignore_errors=True)
    with assembly(folder, *keys, *([] if nodes is None else nodes.overrides())) as whole:
        return whole.ingest()


def assembly(folder: Path, *keys: str) -> Assembly:
    """Compose the config of an index in the folder."""
    place = ["vector_store=lancedb", f'vector_store.path="{folder / "store"}"', "cache.enabled=false"]
    (config,) = load([*place, *keys])
    return Assembly(config)


def endpoint(folder: Path, screen: Console) -> bool:
    """Compare two nodes with one at an endpoint that is slow."""
    times = {}
    with Endpoint(dimensions=384, slots=64) as server:
        keys = [*source_keys(folder, PAID_DOCUMENTS), *paid_keys(server.base_url, 384)]
        for count in (1, 2):
            with ray_nodes(count) as nodes:
                times[count] = server.timed(lambda nodes=nodes: ingested(nodes, folder, *keys))  # type: ignore[misc]
    table = Table(
        "nodes", "requests", "to the last answer, s", "to the end, s", "ideal, s", title="an endpoint of 200 ms"
    )
    for count, timeline in times.items():
        ideal = timeline.requests * 0.2 / (count * IN_FLIGHT)
        table.add_row(str(count), str(timeline.requests), f"{timeline.last:.1f}", f"{timeline.end:.1f}", f"{ideal:.1f}")
    screen.print(table)
    ratio, whole = times[2].last / times[1].last, times[2].end / times[1].end
    screen.print(f"two nodes / one: {ratio:.2f} to the last answer, {whole:.2f} to the end (limit {MOST_TWO})")
    return max(ratio, whole) <= MOST_TWO


def paid_keys(base_url: str, dimensions: int) -> list[str]:
    """Return the embedding at an endpoint."""
    return [
        "chunking=fixed",
        "chunking.chunk_size=192",
        "embedding=openai",
        f"embedding.base_url={base_url}",
        f"embedding.dimensions={dimensions}",
        f"embedding.batch_size={BATCH}",
        f"embedding.concurrency={IN_FLIGHT}",
    ]


def limits(folder: Path, screen: Console) -> bool:
    """Count requests and tokens at an endpoint."""
    table = Table("limit", "requests", "tokens", "most requests a minute", "most tokens a minute", "seconds")
    kept = []
    cases: dict[str, tuple[str, Callable[[int, int, int], bool]]] = {
        f"{REQUESTS} requests a minute": (
            f"embedding.requests_per_minute={REQUESTS}",
            lambda requests, tokens, total: requests <= REQUESTS,
        ),
        f"{TOKENS:,} tokens a minute": (
            f"embedding.tokens_per_minute={TOKENS}",
            lambda requests, tokens, total: tokens <= TOKENS,
        ),
        f"{TOKENS:,} tokens in all": (
            f"budget.max_tokens={TOKENS}",
            lambda requests, tokens, total: 0 < total <= TOKENS,
        ),
    }
    for name, (key, is_kept) in cases.items():
        with CountingServer() as server, ray_nodes(2) as nodes:
            keys = [*source_keys(folder, LIMITED_DOCUMENTS), *paid_keys(server.base_url, server.dimensions)]
            began = time.perf_counter()
            ingested(nodes, folder, *keys, "embedding.batch_size=8", "executor.documents=16", key)
            seconds = time.perf_counter() - began
            requests, tokens = server.most_in_a_minute()
            row = (len(server.arrivals), server.tokens, requests, tokens)
            table.add_row(name, *(f"{number:,}" for number in row), f"{seconds:.0f}")
            kept.append(is_kept(requests, tokens, server.tokens))
    screen.print(table)
    return all(kept)


def vectors(folder: Path, screen: Console) -> bool:
    """Compare the vectors of a model on two nodes with those of no cluster."""
    model = ["embedding=fastembed", f"embedding.model={json.dumps(str(MODEL))}", "chunking=fixed"]
    keys = [*source_keys(folder, MODEL_DOCUMENTS), *model, "chunking.chunk_size=128", "executor.documents=16"]
    found: list[dict[str, Any]] = []
    with ray_nodes(2, cpus=2) as nodes:
        for cluster in (None, nodes):
            ingested(cluster, folder, *(keys if cluster else keys[:-1]))
            with assembly(folder, *keys[:-1]) as whole:
                index = whole.open()
                ids = [chunk.id for row in index.manifest() for chunk in index.chunks_of([row.id])]
                found.append(index.vectors(ids))
    one, other = found
    apart = max(1 - cosine(one[id], other[id]) for id in one) if one.keys() == other.keys() else float("inf")
    screen.print(
        f"{len(one)} chunks by a model on two nodes: ids equal, at most {apart:.1e} apart (limit {MOST_APART})"
    )
    return apart <= MOST_APART


def main(arguments: list[str]) -> int:
    """Measure what is asked for, all by default; return the exit status."""
    folder, screen = Path(arguments[0]).absolute(), Console(width=110)
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OPENAI_API_KEY", "sk-of-a-benchmark")  # the nodes get what is there at their start
    parts = {"local": local, "endpoint": endpoint, "limits": limits, "vectors": vectors}
    kept = [parts[name](folder, screen) for name in arguments[1:] or parts]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.stderr.write(__doc__)
        sys.exit(2)
    sys.exit(main(sys.argv[1:]))

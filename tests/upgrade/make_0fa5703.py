"""Records what Ragloom wrote at commit 0fa5703, before all modules moved: everything that a later version must read.

    git worktree add OLD 0fa5703
    PYTHONPATH=OLD/src:tests/support python tests/upgrade/make_0fa5703.py /srv/shop
    PYTHONPATH=OLD/src:tests/support python tests/upgrade/make_0fa5703.py /srv/shop http://127.0.0.1:PORT GRPC_PORT

The folder (here /srv/shop) is made, and its name stands in the records: it may be public. The first command writes
0fa5703.tar.xz (store, embedding cache, stages, runs with the log of a sweep, a comparison with its recommended
experiment) and 0fa5703.json; the second, with a Weaviate server, weaviate_0fa5703.json.xz.
"""

from __future__ import annotations

import json
import lzma
import os
import shutil
import sys
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

import loopback
from programs import run
from ragloom.assembly import Assembly
from ragloom.config.config import load

HERE = Path(__file__).resolve().parent
PORT = 20_318
"""Of the server that embeds and judges here; where the records are read nobody listens on it."""
MODIFIED = 1_700_000_000
"""Seconds since 1970 at which every document was modified."""
SERVER = f"http://127.0.0.1:{PORT}/v1"
SOURCE = ("source=folder", "source.path=docs", "workers.processes=0")
BASE = (
    *SOURCE,
    "dataset=jsonl",
    "dataset.path=questions.jsonl",
    "chunking.chunk_size=24",
    "chunking.chunk_overlap=4",
    "embedding=openai",
    "embedding.dimensions=8",
    f"embedding.base_url={SERVER}",
    "judge=openai",
    f"judge.base_url={SERVER}",
    "answers=true",
    "metrics.answers=[f1,faithfulness,correctness]",
    "vector_store.path=store",
    "cache.path=cache",
    "stages=stages",
    "runs=runs",
    "output=json",
)
SWEEP = ("reranker=none,mmr", "vector_store.path=store,docs/en/refunds.txt")
"""Half of its trials fail: a file is no folder of a store."""
OTHER = ("chunking=paragraph", "retriever.top_k=9")
PASS = '{"verdict": "pass", "reason": "the passages say so"}'


class _AtPort(loopback._Server):
    def __init__(self, address: object, handler: type) -> None:
        super().__init__(("127.0.0.1", PORT), handler)


def prepared(base: Path) -> None:
    """Copies documents and questions; the documents get one time of modification."""
    shutil.copytree(HERE / "docs", base / "docs")
    shutil.copy(HERE / "questions.jsonl", base)
    for file in (base / "docs").rglob("*"):
        os.utime(file, (MODIFIED, MODIFIED))


def events(*arguments: str) -> list[dict[str, Any]]:
    """Runs evaluate; returns what it prints."""
    done = run("evaluate", *arguments, cwd=Path.cwd())
    assert done.stdout, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def on_disk(base: Path) -> None:
    """Evaluates a sweep and a config, compares, and packs what is left on disk."""
    loopback._Server = _AtPort
    with loopback.OpenAIServer(answer=PASS):
        (swept,) = [event for event in events("-m", *BASE, *SWEEP) if event.get("event") == "sweep"]
        (other,) = events(*BASE, *OTHER)
        (config,) = load(list(BASE))
        with Assembly(config) as assembly:
            recorded = {
                "root": assembly.source.root,
                "index": assembly.index_name,
                "description": assembly.description,
                "chunks": assembly.open().info.chunks,
                "sweep": swept["sweep"],
                "trials": {item["label"]: [item["trial"], item["state"], item["run"]] for item in swept["trials"]},
                "other": other["folder"],
            }
    runs = [str(path) for path in sorted(Path("runs").iterdir()) if path.is_dir()]
    done = run("compare", *runs, "--out", "comparison", "comparison.tolerance=1", cwd=base)
    assert (done.returncode, (base / "comparison/experiment/recommended.yaml").is_file()) == (0, True), done.stderr
    with tarfile.open(HERE / "0fa5703.tar.xz", "w:xz", preset=9) as archive:
        for name in ("store", "cache", "stages", "runs", "comparison"):
            archive.add(name, filter=_nameless)
    (HERE / "0fa5703.json").write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def on_weaviate(url: str, grpc_port: str) -> None:
    """Ingests on a server, and writes down schema and objects of both collections."""
    server = [f"vector_store.url={url}", f"vector_store.grpc_port={grpc_port}", "vector_store.collection_prefix=Old"]
    (config,) = load([*SOURCE, "embedding.dimensions=64", "runs=runs", "vector_store=weaviate", *server])
    with Assembly(config) as assembly:
        chunks = assembly.ingest().chunks
        recorded: dict[str, Any] = {"index": assembly.index_name, "root": assembly.source.root, "chunks": chunks}
    recorded["classes"] = [item for item in _asked(url, "/v1/schema")["classes"] if item["class"].startswith("Old")]
    recorded["objects"] = [
        item
        for each in recorded["classes"]
        for item in _asked(url, f"/v1/objects?class={each['class']}&include=vector&limit=1000")["objects"]
    ]
    text = json.dumps(recorded, ensure_ascii=False, sort_keys=True).encode()
    (HERE / "weaviate_0fa5703.json.xz").write_bytes(lzma.compress(text, preset=9))


def _asked(url: str, path: str) -> dict[str, list[dict[str, Any]]]:
    with urllib.request.urlopen(url + path) as answer:
        found: dict[str, list[dict[str, Any]]] = json.load(answer)
    return found


def _nameless(item: tarfile.TarInfo) -> tarfile.TarInfo | None:
    item.uid = item.gid = 0
    item.uname = item.gname = ""
    return None if item.name.endswith("lock") else item


def main() -> None:
    """Records what the arguments ask for."""
    base = Path(sys.argv[1])
    base.mkdir(parents=True)
    os.chdir(base)
    os.environ["OPENAI_API_KEY"] = "sk-of-a-test-0123456789"
    prepared(base)
    if len(sys.argv) > 2:
        on_weaviate(*sys.argv[2:])
    else:
        on_disk(base)


if __name__ == "__main__":
    main()

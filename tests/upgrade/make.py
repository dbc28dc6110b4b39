"""Makes what an older version of Ragloom would have left: a store, a cache, and what they are called.

    git worktree add OLD f425178
    PYTHONPATH=OLD/src:tests/support python tests/upgrade/make.py BASE     # BASE/docs is a copy of tests/upgrade/docs

It is run with the older version's code, on a place whose name may be public: BASE stands in the store as the root.
With the address and gRPC port of a Weaviate server behind BASE it writes weaviate.json.xz instead: the collections as
the server holds them, which a test sends to another server.
"""

from __future__ import annotations

import json
import lzma
import os
import sys
import tarfile
import urllib.request
from pathlib import Path

import loopback
from ragloom.assembly import Assembly
from ragloom.config.config import load

HERE = Path(__file__).resolve().parent
CONFIG = ("source=folder", "source.path=docs", "embedding=openai", "embedding.dimensions=8", "workers.processes=0")
PLACES = ("vector_store.path=store", "cache.path=cache", "runs=runs", "stages=null")


class _AtPort(loopback._Server):
    """The cache knows vectors by their server's address: the test gives the same one, where nobody listens."""

    def __init__(self, address: object, handler: type) -> None:
        super().__init__(("127.0.0.1", 20_317), handler)


def on_weaviate(url: str, grpc_port: str) -> None:
    """Ingests on a server, and writes down what it holds."""
    server = [f"vector_store.url={url}", f"vector_store.grpc_port={grpc_port}", "vector_store.collection_prefix=Old"]
    keys = ["source=folder", "source.path=docs", "embedding.dimensions=64", "workers.processes=0", "runs=runs"]
    (config,) = load([*keys, "vector_store=weaviate", *server])
    with Assembly(config) as assembly:
        assembly.ingest()
        held = {"index": assembly.index_name, "description": assembly.description, "root": assembly.source.root}
    classes = [item for item in _asked(url, "/v1/schema")["classes"] if item["class"].startswith("Old")]
    held["classes"] = classes
    held["objects"] = [
        item
        for each in classes
        for item in _asked(url, f"/v1/objects?class={each['class']}&include=vector&limit=1000")["objects"]
    ]
    text = json.dumps(held, ensure_ascii=False).encode()
    (HERE / "weaviate.json.xz").write_bytes(lzma.compress(text, preset=9))


def _asked(url: str, path: str) -> dict[str, list[dict[str, object]]]:
    with urllib.request.urlopen(url + path) as answer:
        found: dict[str, list[dict[str, object]]] = json.load(answer)
    return found


def main() -> None:
    """Ingests, and writes store.tar.xz with recorded.json."""
    os.chdir(sys.argv[1])
    if len(sys.argv) > 2:
        on_weaviate(*sys.argv[2:])
        return
    os.environ["OPENAI_API_KEY"] = "sk-of-a-test-0123456789"
    loopback._Server = _AtPort
    with loopback.OpenAIServer() as server:
        (config,) = load([*CONFIG, *PLACES, f"embedding.base_url={server.base_url}"])
        with Assembly(config) as assembly:
            summary = assembly.ingest()
            assembly.database.promote(assembly.index_name, "live")
            recorded = {
                "index": assembly.index_name,
                "description": assembly.description,
                "documents": summary.documents,
                "chunks": summary.chunks,
                "embedded": summary.embedded,
                "root": assembly.source.root,
                "base_url": server.base_url,
            }
    with tarfile.open(HERE / "store.tar.xz", "w:xz") as archive:
        for name in ("store", "cache"):
            archive.add(name, filter=_nameless)
    (HERE / "recorded.json").write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _nameless(item: tarfile.TarInfo) -> tarfile.TarInfo:
    item.uid = item.gid = 0
    item.uname = item.gname = ""
    return item


if __name__ == "__main__":
    main()

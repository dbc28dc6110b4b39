"""Load 1,000,000 chunks into a store, once: python million.py FOLDER [KEY=VALUE ...]

    python million.py ~/million                                        LanceDB, in FOLDER/lancedb
    python million.py ~/million vector_store=weaviate                  a server; its address: vector_store.url=...

The documents are `generated_corpus.py`'s: 300,000, half English, half Korean, in FOLDER/corpus.jsonl, with 2,000
questions about them in FOLDER/questions.jsonl. They are cut into windows of 192 tokens, 32 of them repeated, embedded
by `hashing` with 384 dimensions, and ingested as by `ragloom ingest`: killed at any moment, the same command goes on
where it was. The last argument of a key wins (`documents=50000` loads fewer). FOLDER/<store>.txt keeps the overrides,
for queries and `benchmark`.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from generated_corpus import write_jsonl, write_questions

DOCUMENTS, QUESTIONS = 300_000, 2_000
KEYS = (
    "chunking=fixed",
    "chunking.chunk_size=192",
    "chunking.chunk_overlap=32",
    "embedding=hashing",
    "embedding.dimensions=384",
)


def prepared(folder: Path, documents: int) -> Path:
    """Write the corpus and its questions where they are missing; a killed run leaves drafts alone."""
    corpus, questions = folder / "corpus.jsonl", folder / "questions.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    for place, write in (
        (corpus, lambda draft: write_jsonl(draft, documents)),
        (questions, lambda draft: write_questions(draft, QUESTIONS, documents)),
    ):
        if not place.exists():
            print(f"writing {place}", flush=True)
            draft = place.with_suffix(".draft")
            write(draft)
            draft.replace(place)
    return corpus


def main(place: str, *given: str) -> int:
    """Write what is missing and ingest."""
    folder = Path(place).expanduser().absolute()
    keys = {key: value for key, _, value in (item.partition("=") for item in given)}
    corpus = prepared(folder, int(keys.pop("documents", DOCUMENTS)))
    store = keys.pop("vector_store", "lancedb")
    overrides = [*KEYS, "source=jsonl", f"source.path={corpus}", f"vector_store={store}"]
    if store in ("lancedb", "weaviate_embedded"):
        overrides.append(f"vector_store.path={folder / store}")
    overrides += [f"{key}={value}" for key, value in keys.items()]
    (folder / f"{store}.txt").write_text("\n".join(overrides) + "\n", encoding="utf-8")
    begun = time.monotonic()
    command = [str(Path(sys.executable).with_name("ragloom")), "ingest", *overrides]
    status = subprocess.run(command, cwd=folder, env={**os.environ, "RAGLOOM_PROJECT": "none"}).returncode
    print(f"ended with status {status} after {time.monotonic() - begun:.0f} s", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

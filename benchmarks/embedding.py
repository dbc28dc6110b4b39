"""Local embedding and semantic chunking, as ratios of one run: python embedding.py [FOLDER]

Processor seconds of one thread, best of three, since other work on the machine disturbs these least. Three ratios:
sentence-transformers to ONNX Runtime on the same chunks, whose vectors must agree (skipped without the extra
`huggingface` or without FOLDER, which holds the weights of the ONNX model for PyTorch); tokens, and seconds, of cutting
by meaning to those of embedding the final chunks. Data: ../shared, read only.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from rich.console import Console

from ragloom.components import chunking
from ragloom.components import embedding as builders
from ragloom.components.embedding.base import Embedding

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
MODEL = SHARED / "models" / "all-MiniLM-L6-v2-onnx"
TEXTS, CHARACTERS, REPEATS = 128, 40_000, 3
console = Console(highlight=False)


def keys(group: str, option: str, **changed: Any) -> dict[str, Any]:
    """Returns the values of an option's yaml, with changes."""
    values: dict[str, Any] = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / group / f"{option}.yaml"))  # type: ignore[assignment]
    del values["_target_"]
    return values | changed


def documents() -> Iterator[tuple[str, list[str]]]:
    """Yields a set's name and texts: the beginning of each of Chroma's corpora, and contexts of KorQuAD."""
    corpora = sorted((SHARED / "data" / "chroma-chunking" / "corpora").glob("*.md"))
    yield "Chroma", [file.read_text(encoding="utf-8")[:CHARACTERS] for file in corpora]
    squad = json.loads((SHARED / "data" / "korquad1-dev" / "KorQuAD_v1.0_dev.json").read_text(encoding="utf-8"))
    yield "KorQuAD", ["\n\n".join(part["context"] for part in entry["paragraphs"]) for entry in squad["data"][:8]]


def seconds(work: Callable[[], Any]) -> float:
    """Returns the least processor time of a few repeats."""
    times = []
    for _ in range(REPEATS):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times)


def against_torch(onnx: Embedding, texts: list[str], folder: str | None) -> None:
    """Compares ONNX Runtime with sentence-transformers."""
    if find_spec("sentence_transformers") is None or folder is None:
        console.print("sentence-transformers: skipped; needs the extra 'huggingface' and FOLDER")
        return
    import torch

    torch.set_num_threads(1)
    changed = {"max_length": 256, "overlong": "truncate", "embedded_metadata": [], "model": folder, "dimensions": 384}
    reference = builders.huggingface(**keys("embedding", "huggingface", **changed, device="cpu"))
    cosine = (onnx.embed(texts) * reference.embed(texts)).sum(axis=1).min()
    ours, theirs = seconds(lambda: onnx.embed(texts)), seconds(lambda: reference.embed(texts))
    console.print(f"{len(texts)} chunks: ONNX Runtime {ours:.2f} s, sentence-transformers {theirs:.2f} s")
    console.print(f"ratio {theirs / ours:.2f}, least cosine {cosine:.7f}")


def cutting(onnx: Embedding, name: str, texts: list[str]) -> list[str]:
    """Compares cutting by meaning with embedding the chunks; returns the chunks."""
    cutter = chunking.semantic(onnx, **keys("chunking", "semantic", chunk_size=200, tokenizer=str(MODEL)))
    sentences = [sentence for text in texts for sentence in cutter.embedded_texts(text)]
    begin = time.process_time()
    chunks = [text[start:end] for text in texts for start, end in cutter.spans(text)]
    cut = time.process_time() - begin
    begin = time.process_time()
    onnx.embed(chunks)
    embedded = time.process_time() - begin
    tokens = sum(onnx.count_tokens(sentences)) / sum(onnx.count_tokens(chunks))
    console.print(f"semantic on {name}: {len(sentences)} texts to cut, {len(chunks)} chunks; tokens {tokens:.2f} x")
    console.print(f"seconds {cut:.1f} / {embedded:.1f} = {cut / embedded:.2f} x")
    return chunks


def main(folder: str | None) -> None:
    """Prints the ratios."""
    changed = {"model": str(MODEL), "overlong": "truncate", "embedded_metadata": [], "threads": 1}
    onnx = builders.fastembed(**keys("embedding", "fastembed", **changed))
    chunks: list[str] = []
    for name, texts in documents():
        chunks += cutting(onnx, name, texts)
    every = np.random.default_rng(0).permutation(len(chunks))[:TEXTS]
    against_torch(onnx, [chunks[at] for at in every], folder)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)

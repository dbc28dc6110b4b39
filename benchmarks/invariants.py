"""Holds every chunking option's promises over all of ../shared/data; prints counts, exits 1 when a promise is broken.

    python benchmarks/invariants.py [--every N]    # N: only every Nth document of a set

Counted are: spans that are not the chunk's text, characters lost, ids given twice, chunks over the size (by their own
tokens for `paragraph`, `semantic` and `hybrid`, by the document's tokens for `fixed`), and for `recursive` chunks that
differ from LangChain's.
"""

import argparse
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from llama_index.core import Document
from llama_index.core.schema import MediaResource

from ragloom.components import chunking, embedding
from ragloom.components.chunking.base import SpanParser
from ragloom.core.records import Chunk, Entry
from ragloom.core.tokenizers import load
from ragloom.errors import DataError

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SIZE, OVERLAP, TOKENIZER = 256, 32, "cl100k_base"
CHARACTERS = 500


def chroma() -> Iterator[Document]:
    for file in sorted((SHARED / "chroma-chunking" / "corpora").glob("*.md")):
        yield Document(id_=file.name, text=file.read_text(encoding="utf-8"), metadata={"ragloom_format": "markdown"})


def korquad() -> Iterator[Document]:
    articles = json.loads((SHARED / "korquad1-dev" / "KorQuAD_v1.0_dev.json").read_text(encoding="utf-8"))["data"]
    contexts = dict.fromkeys(paragraph["context"] for article in articles for paragraph in article["paragraphs"])
    for number, context in enumerate(contexts):
        yield Document(id_=f"context-{number}", text=context)


def scifact() -> Iterator[Document]:
    with (SHARED / "scifact" / "corpus.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            yield Document(
                id_=str(row["_id"]), text=f"{row['title']}\n\n{row['text']}", metadata={"title": row["title"]}
            )


def folder() -> Iterator[Document]:
    """Every file of the documents folder that `source=folder` can read."""
    from omegaconf import OmegaConf

    from ragloom.components import source

    file = Path(__file__).resolve().parents[1] / "conf" / "source" / "folder.yaml"
    keys = OmegaConf.to_container(OmegaConf.load(file))
    assert isinstance(keys, dict)
    keys = {**keys, "path": str(SHARED / "documents")}
    keys.pop("_target_")
    reader = source.folder(**keys)
    for entry in reader.entries():
        if isinstance(entry, Entry):
            try:
                yield reader.parse(entry, reader.read(entry))
            except DataError as error:
                print(f"  (not read: {entry.id}: {error})")


def options() -> dict[str, SpanParser]:
    sizes = {"chunk_size": SIZE, "chunk_overlap": OVERLAP, "tokenizer": TOKENIZER}
    meaning = {"min_size": 48, "buffer_size": 1, "threshold": "percentile", "threshold_value": 80.0}
    separators = {"separators": ["\n\n", "\n", " ", ""], "keep_separator": "start"}
    from omegaconf import OmegaConf

    file = Path(__file__).resolve().parents[1] / "conf" / "embedding" / "hashing.yaml"
    keys = OmegaConf.to_container(OmegaConf.load(file))
    assert isinstance(keys, dict)
    keys.pop("_target_")
    hashing = embedding.hashing(**keys)
    return {
        "fixed": chunking.fixed(**sizes),
        "recursive": chunking.recursive(
            **separators, special_tokens=0, length="characters", chunk_size=CHARACTERS, chunk_overlap=50
        ),
        "paragraph": chunking.paragraph(**sizes),
        "semantic": chunking.semantic(hashing, **sizes, **meaning),
        "hybrid": chunking.hybrid(hashing, **sizes, **meaning),
    }


def broken(option: str, text: str, chunks: list[Chunk]) -> Counter[str]:
    """Counts broken promises of one document's chunks."""
    counts: Counter[str] = Counter()
    covered = bytearray(len(text))
    for chunk in chunks:
        counts["mismatches"] += text[chunk.start : chunk.end] != chunk.text
        counts["blank"] += chunk.text.isspace() or not chunk.text
        covered[chunk.start : chunk.end] = b"\x01" * (chunk.end - chunk.start)
    gaps = (text[match.start() : match.end()] for match in re.finditer(b"\x00+", bytes(covered)))
    counts["lost"] = sum(len("".join(gap.split())) for gap in gaps)
    if option == "fixed":
        counts["oversized"], counts["overlap"] = fixed_sizes(text, chunks)
    elif option == "recursive":
        counts["oversized"] = sum(len(chunk.text) > CHARACTERS for chunk in chunks)
        counts["unlike LangChain"] = unlike_langchain(text, chunks)
    else:
        counts["oversized"] = sum(tokens > SIZE for tokens in load(TOKENIZER).counts([chunk.text for chunk in chunks]))
    return counts


def fixed_sizes(text: str, chunks: list[Chunk]) -> tuple[int, int]:
    """Counts chunks that touch more tokens than the size, and neighbours whose overlap is over 3 tokens off."""
    encoding = load(TOKENIZER)._encoding  # type: ignore[attr-defined]
    place = [0]  # the character that each byte belongs to
    for number, character in enumerate(text):
        place += [number] * len(character.encode())
    first, last, at = [], [], 1
    for token in encoding.encode_ordinary(text):
        length = len(encoding.decode_single_token_bytes(token))
        first.append(place[at])
        last.append(place[at + length - 1])
        at += length
    from bisect import bisect_left

    def touched(start: int, end: int) -> int:
        return bisect_left(first, end) - bisect_left(last, start)

    sizes = [touched(chunk.start, chunk.end) for chunk in chunks]
    overlaps = [touched(after.start, before.end) for before, after in pairwise(chunks)]
    return sum(size > SIZE for size in sizes), sum(not OVERLAP - 3 <= overlap <= OVERLAP for overlap in overlaps)


def unlike_langchain(text: str, chunks: list[Chunk]) -> int:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    library = RecursiveCharacterTextSplitter(chunk_size=CHARACTERS, chunk_overlap=50).split_text(text)
    return len(library) != len(chunks) or any(
        theirs != chunk.text for theirs, chunk in zip(library, chunks, strict=True)
    )


def shortened(document: Document, every: int) -> Document:
    """Keep the beginning of one of a few very long documents."""
    return document.model_copy(
        update={"text_resource": MediaResource(text=document.text[: len(document.text) // every])}
    )


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--every", type=int, default=1)
    every = arguments.parse_args().every
    if not SHARED.exists():
        print("../shared/data is missing: nothing to measure")
        return 2
    corpora: dict[str, Iterable[Document]] = {
        "chroma": [shortened(document, every) for document in chroma()],
        "KorQuAD": list(korquad())[::every],
        "SciFact": list(scifact())[::every],
        "documents": list(folder()),
    }
    columns = ("mismatches", "lost", "repeated ids", "blank", "oversized", "overlap", "unlike LangChain")
    print(f"{'option':<11}{'corpus':<11}{'documents':>10}{'chunks':>9}" + "".join(f"{name:>18}" for name in columns))
    failures = 0
    for option, parser in options().items():
        for name, documents in corpora.items():
            begin, counts, ids, number = time.perf_counter(), Counter[str](), set[str](), 0
            for document in documents:
                chunks = list(parser.chunks(document))
                number += len(chunks)
                ids.update(chunk.id for chunk in chunks)
                counts += broken(option, document.text, chunks)
            counts["repeated ids"] = number - len(ids)
            failures += sum(counts[column] for column in columns)
            cells = "".join(f"{counts[column]:>18}" for column in columns)
            seconds = time.perf_counter() - begin
            print(f"{option:<11}{name:<11}{len(list(documents)):>10,}{number:>9,}{cells}  {seconds:.1f} s", flush=True)
    print(f"\n{failures} broken promises" if failures else "\nno promise broken")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

"""How often the gold span is in the top 5, by retriever, on real questions: python hit_rate.py [OVERRIDE ...]

300 seeded questions each of KorQuAD (Korean; documents are its contexts) and of Chroma's chunking evaluation (English;
documents are its five corpora), the composed default config unless overridden, no key. A question is a hit when one of
its gold spans lies whole inside one of the first five chunks, and the mean share of its gold characters that the
five chunks cover together. Data: ../shared/data, read only; the index is built in a temporary folder.
"""

import csv
import json
import random
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ragloom.assembly import Assembly
from ragloom.config.config import load

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
QUESTIONS, SEED, TOP = 300, 20261123, 5


@dataclass(frozen=True)
class Question:
    """A question with its gold spans in one document, (start, end) in characters."""

    text: str
    document: str
    spans: list[tuple[int, int]]


def korquad(folder: Path) -> tuple[list[str], list[Question]]:
    """Writes the contexts as a jsonl source; returns the overrides that select it, and all questions."""
    names: dict[str, str] = {}
    questions = []
    articles = json.loads((DATA / "korquad1-dev" / "KorQuAD_v1.0_dev.json").read_text(encoding="utf-8"))["data"]
    for paragraph in (paragraph for article in articles for paragraph in article["paragraphs"]):
        name = names.setdefault(paragraph["context"], f"c{len(names)}")
        for item in paragraph["qas"]:
            spans = [(a["answer_start"], a["answer_start"] + len(a["text"])) for a in item["answers"]]
            questions.append(Question(item["question"], name, spans))
    path = folder / "korquad.jsonl"
    lines = (json.dumps({"id": name, "text": text}, ensure_ascii=False) for text, name in names.items())
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ["source=jsonl", f'source.path="{path}"'], questions


def chroma(folder: Path) -> tuple[list[str], list[Question]]:
    """Returns the overrides that select the corpora as a folder, and all questions."""
    questions = []
    with (DATA / "chroma-chunking" / "questions_df.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            spans = [(item["start_index"], item["end_index"]) for item in json.loads(row["references"])]
            questions.append(Question(row["question"], f"{row['corpus_id']}.md", spans))
    path = DATA / "chroma-chunking" / "corpora"
    return ["source=folder", f'source.path="{path}"', "source.name=chroma"], questions


def covered(spans: list[tuple[int, int]], chunks: list[tuple[int, int]]) -> float:
    """Returns the share of the gold characters that the union of the chunks covers."""
    gold = {position for start, end in spans for position in range(start, end)}
    found = {position for position in gold if any(start <= position < end for start, end in chunks)}
    return len(found) / len(gold)


def measure(retriever: str, overrides: list[str], sample: list[Question]) -> tuple[float, float]:
    """Returns hit rate and mean coverage of the gold characters at the top 5."""
    (config,) = load([*overrides, f"retriever={retriever}", f"retriever.top_k={TOP}"])
    assembly = Assembly(config)
    engine = assembly.query_engine(assembly.open(), answering=False)
    hits, shares = 0, 0.0
    for question in sample:
        nodes = [node.node for node in engine.search(question.text).nodes if node.node.ref_doc_id == question.document]
        chunks = [(node.start_char_idx, node.end_char_idx) for node in nodes]
        hits += any(start <= a and b <= end for start, end in chunks for a, b in question.spans)
        shares += covered(question.spans, chunks)
    return hits / len(sample), shares / len(sample)


def main() -> int:
    """Measures and prints a table."""
    if not DATA.is_dir():
        sys.stderr.write("the evaluation sets are missing (../shared/data)\n")
        return 1
    table = Table("set", "retriever", "documents", "chunks", "hit@5", "gold characters@5")
    sets: dict[str, Callable[[Path], tuple[list[str], list[Question]]]] = {"KorQuAD": korquad, "Chroma": chroma}
    with tempfile.TemporaryDirectory() as folder:
        for name, prepare in sets.items():
            source, questions = prepare(Path(folder))
            overrides = [*source, f'vector_store.path="{folder}/store"', *sys.argv[1:]]
            sample = random.Random(SEED).sample(questions, QUESTIONS)
            (config,) = load(overrides)
            summary = Assembly(config).ingest()
            for retriever in ("dense", "bm25", "hybrid"):
                hit, share = measure(retriever, overrides, sample)
                counts = (str(summary.documents), str(summary.chunks))
                table.add_row(name, retriever, *counts, f"{hit:.3f}", f"{share:.3f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Are our numbers the published ones? python reproduce.py [--only PART ...] [--folder DIR]

Parts: `omega` (Chroma's PrecisionΩ, which needs no retrieval), `bm25` (nDCG@10 on SciFact and KorQuAD), `chroma` (the
row of Chroma's table with MiniLM, 5 chunks by exact search) and `scifact` (nDCG@10 of MiniLM and of both). Each is a
committed experiment (`conf/experiment/`) with an index in LanceDB; ours is printed next to the published value.
Exits 1 when a value is out of tolerance. Data and model: ../shared, read only. `--folder` keeps indexes and vectors.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llama_index.core.schema import NodeWithScore, QueryBundle
from rich.console import Console
from rich.table import Table

from ragloom.assembly import Assembly
from ragloom.config.config import load
from ragloom.core.gold import Query
from ragloom.core.nodes import to_chunk
from ragloom.evaluation.metrics import Passage
from ragloom.evaluation.metrics.ranking import documents, ranking_scores
from ragloom.evaluation.metrics.spans import at_first_occurrence, precision_omega, span_scores

SHARED = Path(__file__).resolve().parents[2] / "shared"
CHROMA = ["experiment=chroma_chunking", f'dataset.path="{SHARED / "data" / "chroma-chunking"}"']
SCIFACT = ["experiment=scifact", f'dataset.path="{SHARED / "data" / "scifact"}"']
KORQUAD = [
    "experiment=korquad_contexts",
    f'dataset.path="{SHARED / "data" / "korquad1-dev" / "KorQuAD_v1.0_dev.json"}"',
]
MINILM = f'embedding.model="{SHARED / "models" / "all-MiniLM-L6-v2-onnx"}"'
OMEGA = (  # published PrecisionΩ, in percent; sizes in tokens of cl100k_base
    ("recursive", 800, 400, 6.7),
    ("recursive", 400, 200, 13.9),
    ("recursive", 400, 0, 17.7),
    ("recursive", 200, 0, 29.9),
    ("fixed", 400, 0, 12.5),
    ("fixed", 200, 0, 21.0),
)
CHROMA_WITHIN = 0.1
"""Percent: what the published table's last digit leaves open, and as much again."""


@dataclass(frozen=True)
class Value:
    """One number of ours.

    Attributes:
        published: as it is known, for people.
        low, high: what ours must lie between.
    """

    name: str
    ours: float
    published: str
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether it is within its tolerance."""
        return self.low <= self.ours <= self.high


def near(name: str, ours: float, published: float, within: float) -> Value:
    """Makes a value that must be near a published one."""
    return Value(name, ours, f"{published:g} ± {within:g}", published - within, published + within)


def least(name: str, ours: float, floor: float) -> Value:
    """Makes a value that must reach a floor."""
    return Value(name, ours, f"≥ {floor:g}", floor, 1.0)


def assembled(folder: Path, *overrides: str) -> Assembly:
    """Composes an experiment whose index and vectors are in `folder`."""
    places = [f'vector_store.path="{folder / "lancedb"}"', f'cache.path="{folder / "cache"}"']
    (config,) = load([*overrides, *places])
    return Assembly(config)


def omega(folder: Path) -> Iterator[Value]:
    """Measures PrecisionΩ of each published chunking."""
    for option, size, overlap, published in OMEGA:
        if option == "fixed":
            own = ["chunking=fixed", "~chunking.length", "~chunking.separators", "~chunking.special_tokens"]
        else:
            own = ["chunking.length=cl100k_base", "chunking.special_tokens=0"]
        sizes = [f"chunking.chunk_size={size}", f"chunking.chunk_overlap={overlap}"]
        with assembled(folder, *CHROMA, MINILM, *own, *sizes) as assembly:
            yield near(f"PrecisionΩ {option} {size}/{overlap}", _omega(assembly), published, CHROMA_WITHIN)


def _omega(assembly: Assembly) -> float:
    """Returns the mean PrecisionΩ of all chunks, in percent, as Chroma counts."""
    texts: dict[str, str] = {}
    chunks: dict[str, list[Passage]] = {}
    for document in assembly.source.lazy_load_data():
        text = texts[document.node_id] = document.text
        chunks[document.node_id] = [
            at_first_occurrence(Passage(chunk.document, chunk.start, chunk.end), chunk.text, text)
            for chunk in assembly.chunking.chunks(document)
        ]
    queries = assembly.dataset.check(texts.get).queries
    return 100 * statistics.fmean(
        precision_omega(chunks[query.spans[0].document], query.spans, "chroma") for query in queries
    )


def chroma(folder: Path) -> Iterator[Value]:
    """Measures the published row with MiniLM: 200 tokens of the model's tokenizer, special ones too, no overlap."""
    with assembled(folder, *CHROMA, MINILM) as assembly:
        yield near("MiniLM recursive 200/0: PrecisionΩ", _omega(assembly), 31.2, CHROMA_WITHIN)
        queries, found = searched(assembly)
        texts = {document.node_id: document.text for document in assembly.source.lazy_load_data()}
        scores = []
        for query in queries:
            moved = [
                at_first_occurrence(_passage(node), node.node.get_content(), texts[node.node.ref_doc_id or ""])
                for node in found[query.id]
            ]
            scores.append(span_scores(moved, query.spans, "chroma"))
    for name, published, within in (("precision", 6.5, 0.1), ("iou", 6.5, 0.1), ("recall", 76.1, 0.15)):
        ours = 100 * statistics.fmean(getattr(score, name) for score in scores)
        yield near(f"MiniLM recursive 200/0: {name} at 5 chunks", ours, published, within)


def scifact(folder: Path) -> Iterator[Value]:
    """Measures nDCG@10 over whole abstracts, of MiniLM alone and with BM25."""
    hybrid = ["analyzer=english", "retriever=hybrid", "retriever.candidates=100"]
    with assembled(folder, *SCIFACT, MINILM) as assembly:
        yield near("SciFact nDCG@10: MiniLM dense", ndcg(assembly), 0.645, 0.002)
    for floor, name, own in (
        (0.725, "hybrid, weighted 0.5", ["retriever.fusion=weighted", "retriever.dense_weight=0.5"]),
        (0.714, "hybrid, reciprocal rank", ["retriever.fusion=rrf"]),
    ):
        with assembled(folder, *SCIFACT, MINILM, *hybrid, *own) as assembly:
            yield least(f"SciFact nDCG@10: {name}", ndcg(assembly), floor)


def bm25(folder: Path) -> Iterator[Value]:
    """Measures nDCG@10 of BM25 over abstracts and over Korean paragraphs; words without their forms next to it."""
    own = ["retriever=bm25", "embedding=hashing", MINILM, "~embedding.model", "~embedding.overlong"]
    for analyzer, floor in (("multilingual", 0.655), ("english", 0.67)):
        with assembled(folder, *SCIFACT, *own, f"analyzer={analyzer}") as assembly:
            yield least(f"SciFact nDCG@10: BM25 {analyzer}", ndcg(assembly), floor)
    with assembled(folder, *KORQUAD) as assembly:
        yield least("KorQuAD nDCG@10: BM25 multilingual", ndcg(assembly), 0.94)
    with assembled(folder, *KORQUAD, "analyzer=whitespace") as assembly:
        yield near("KorQuAD nDCG@10: BM25 whitespace (words)", ndcg(assembly), 0.835, 0.015)


def searched(assembly: Assembly) -> tuple[list[Query], dict[str, list[NodeWithScore]]]:
    """Ingests, and asks every query: query id -> chunks, best first."""
    summary = assembly.ingest()
    assert not summary.unreadable, summary.unreadable
    index = assembly.open()
    queries = assembly.dataset.check(lambda name: index.document(name).text).queries
    engine = assembly.query_engine(index, answering=False)
    return queries, {query.id: engine.search(QueryBundle(query.text)).nodes for query in queries}


def ndcg(assembly: Assembly) -> float:
    """Returns the mean nDCG@10 of documents."""
    queries, found = searched(assembly)
    rankings = {query.id: documents(map(_passage, found[query.id])) for query in queries}
    scores = ranking_scores(rankings, {query.id: query.grades for query in queries}, ["nDCG@10"])
    return statistics.fmean(score["nDCG@10"] for score in scores.values())


def _passage(node: NodeWithScore) -> Passage:
    chunk = to_chunk(node.node)
    return Passage(chunk.document, chunk.start, chunk.end)


PARTS: dict[str, Callable[[Path], Iterator[Value]]] = {
    "omega": omega,
    "bm25": bm25,
    "chroma": chroma,
    "scifact": scifact,
}


def main(argv: Sequence[str]) -> int:
    """Measures, prints, and says by the exit status whether every value holds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="parts; all of them")
    parser.add_argument("--folder", type=Path, help="where indexes and vectors are kept; a temporary folder if absent")
    options = parser.parse_args(argv)
    if not SHARED.is_dir():
        sys.stderr.write(f"{SHARED} is missing: it holds the data and the model\n")
        return 1
    table = Table("value", "published", "ours", "holds")
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for part in options.only:
            for value in PARTS[part](folder):
                failed += not value.holds
                digits = 2 if value.ours > 1 else 4
                table.add_row(value.name, value.published, f"{value.ours:.{digits}f}", "yes" if value.holds else "NO")
                sys.stderr.write(f"{value.name}: {value.ours:.{digits}f} ({value.published})\n")
    Console().print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

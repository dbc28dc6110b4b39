"""Do the stores give the same rankings, and the right ones? python parity.py [OVERRIDE ...]

SciFact (300 questions) and KorQuAD's contexts (5,774 questions), freshly built, one shard, flat vectors, depth 100:
each list of each store against brute force (every document scored in double precision), the stores against each other,
Ragloom's fusion against Weaviate's own `hybrid`. Every difference is printed with its reason. Exits 1 unless LanceDB is
right on all lists and Weaviate on at least 99.9 %. Data: ../shared/data, read only.
"""

import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from weaviate.classes.query import HybridFusion, MetadataQuery

from ragloom.components.retriever.fusion import ordered, placed, weighted_score
from ragloom.core.records import Hit
from stores import DATA, BruteForce, build, databases, korquad, scifact, wrong

DEPTH = 100
LEAST = 0.999
"""The share of Weaviate's lists that must be right."""
STORES = ("lancedb", "weaviate_embedded")


def fused(dense: Sequence[Hit], lexical: Sequence[Hit]) -> list[Hit]:
    """Ragloom's fusion, as the retriever makes it."""
    candidates = weighted_score(ordered(dense), ordered(lexical), dense_weight=0.5)
    chunks = {hit.chunk.id: hit.chunk for hit in (*dense, *lexical)}
    return [Hit(chunk, item.score) for item, chunk in placed(candidates, chunks)][:DEPTH]


def native(index: Any, question: str, terms: Sequence[str], vector: np.ndarray) -> list[tuple[str, float]]:
    """Weaviate's own hybrid list at the same depth."""
    answer = index.pair.chunks.query.hybrid(
        " ".join(terms),
        vector=vector.tolist(),
        alpha=0.5,
        query_properties=["terms"],
        fusion_type=HybridFusion.RELATIVE_SCORE,
        limit=DEPTH,
        return_properties=["about"],
        return_metadata=MetadataQuery(score=True),
    )
    return [(str(item.uuid), float(item.metadata.score or 0)) for item in answer.objects]


def same_scores(ours: Sequence[Hit], theirs: Sequence[tuple[str, float]]) -> bool:
    """Says whether two fused lists have the same scores, rank by rank; equal scores may stand in any order."""
    return len(ours) == len(theirs) and all(
        math.isclose(hit.score, score, rel_tol=1e-4, abs_tol=1e-5) for hit, (_, score) in zip(ours, theirs, strict=True)
    )


def main() -> int:
    """Measures, prints, and says by the exit status whether the stores agree."""
    if not DATA.is_dir():
        sys.stderr.write("the evaluation sets are missing (../shared/data)\n")
        return 1
    screen = Console()
    table = Table("set", "questions", "list", *STORES, "lists alike", "fusion = native")
    failed = False
    sets = {"SciFact": scifact, "KorQuAD": korquad}
    overrides = ["vector_store.index.type=flat", *sys.argv[1:]]
    with tempfile.TemporaryDirectory() as folder, databases(Path(folder), STORES, overrides) as stores:
        for name, read in sets.items():
            documents, questions = read()
            assembly = stores["lancedb"]
            embedding, analyzer = assembly.embedding, assembly.analyzer
            texts = [item.chunk.text for item in documents]
            made = np.array(embedding.get_text_embedding_batch(texts), dtype=np.float32)
            vectors = {item.chunk.id: vector for item, vector in zip(documents, made, strict=True)}
            brute = BruteForce(documents, analyzer, vectors)
            indexes = {}
            for store, opened in stores.items():
                build(opened.database, f"{name.lower()}-parity", documents, vectors, embedding.dimensions)
                indexes[store] = opened.database.open(f"{name.lower()}-parity")
            right = {kind: dict.fromkeys(STORES, 0) for kind in ("dense", "bm25", "hybrid")}
            alike = dict.fromkeys(right, 0)
            natives = 0
            for question in questions:
                vector = np.array(embedding.get_query_embedding(question), dtype=np.float32)
                true = {"dense": brute.dense(vector), "bm25": brute.lexical(question)}
                lists: dict[str, dict[str, list[Hit]]] = {}
                for store, index in indexes.items():
                    found = {"dense": index.dense(vector.tolist(), DEPTH), "bm25": index.lexical(question, DEPTH)}
                    reasons = {kind: wrong(found[kind], true[kind], DEPTH) for kind in found}
                    for kind, reason in reasons.items():
                        right[kind][store] += reason is None
                        if reason is not None:
                            screen.print(f"{name}, {store}, {kind}: {question!r}: {reason}", markup=False)
                    right["hybrid"][store] += not any(reasons.values())
                    lists[store] = {**found, "hybrid": fused(found["dense"], found["bm25"])}
                for kind in alike:
                    places = [[hit.chunk.document for hit in lists[store][kind]] for store in STORES]
                    alike[kind] += places[0] == places[1]
                theirs = native(indexes["weaviate_embedded"], question, analyzer.terms(question), vector)
                natives += same_scores(lists["weaviate_embedded"]["hybrid"], theirs)
            for kind, counts in right.items():
                total = len(questions)
                cells = [f"{counts[store]} ({counts[store] / total:.2%})" for store in STORES]
                last = f"{natives} ({natives / total:.2%})" if kind == "hybrid" else ""
                table.add_row(name, str(total), kind, *cells, f"{alike[kind]} ({alike[kind] / total:.2%})", last)
                failed |= counts["lancedb"] < total or counts["weaviate_embedded"] < LEAST * total
    screen.print("lists that equal brute force:")
    screen.print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Ranking metrics by ranx, from TREC files: python second_opinion.py run.trec qrels.trec measure ... (JSON to stdout).

A separate program, since ranx compiles for a minute unless NUMBA_DISABLE_JIT is set before it is imported. It prints
measure -> query -> score, with every query of the qrels.
"""

import json
import os
import sys
from collections import defaultdict
from pathlib import Path

os.environ["NUMBA_DISABLE_JIT"] = "1"

from ranx import Qrels, Run, evaluate

NAMES = {
    "nDCG": "ndcg",
    "R": "recall",
    "P": "precision",
    "RR": "mrr",
    "AP": "map",
    "Success": "hit_rate",
}


def main(run_file: str, qrels_file: str, *measures: str) -> None:
    run: dict[str, dict[str, float]] = defaultdict(dict)
    for line in Path(run_file).read_text(encoding="utf-8").splitlines():
        query, _, id, _, score, _ = line.split()
        run[query][id] = float(score)
    qrels: dict[str, dict[str, int]] = defaultdict(dict)
    for line in Path(qrels_file).read_text(encoding="utf-8").splitlines():
        query, _, id, grade = line.split()
        if int(grade) > 0:
            qrels[query][id] = int(grade)
    print(json.dumps({measure: scores(dict(run), dict(qrels), measure) for measure in measures}))


def scores(run: dict[str, dict[str, float]], qrels: dict[str, dict[str, int]], measure: str) -> dict[str, float]:
    name, _, k = measure.partition("@")
    asked = Run(run)
    evaluate(Qrels(qrels), asked, f"{NAMES[name]}@{k}", make_comparable=True, return_mean=False)
    return {query: float(score) for query, score in asked.scores[f"{NAMES[name]}@{k}"].items()}


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Makes run folders in the form that `evaluate` writes, with scores that a test chooses."""

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ragloom.config import conf_folder
from ragloom.config.config import load

METRIC = "nDCG@10"


@functools.lru_cache
def _composed(overrides: tuple[str, ...], folder: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Return choices and public config, composed once for each folder of configs."""
    (config,) = load(list(overrides))
    return config.choices, config.public()


def write(
    folder: Path,
    scores: Sequence[float | None],
    *overrides: str,
    groups: Sequence[str] | None = None,
    tags: Sequence[Mapping[str, str]] | None = None,
    failed: Sequence[int] = (),
    p95: float | None = None,
    timed: int = 200,
    usd: float | None = 0.0,
    **record: Any,
) -> Path:
    """Writes the folder of a run.

    Args:
        scores: of the metric, a query each; None: not judged by the judge.
        overrides: of the run's config.
        groups: of the queries; otherwise every query has its own.
        failed: queries that ended in an error, which have no score.
        p95: of the whole question, in milliseconds; None: not timed.
        timed: number of timed questions.
        usd: price of all questions.
        record: what run.json says otherwise (`dataset`, `created`, `choices`), `metric`, `qrels` and `positions`.
    """
    folder.mkdir(parents=True)
    choices, config = _composed(overrides, conf_folder.config_dir())
    metric = record.pop("metric", METRIC)
    qrels = record.pop("qrels", [f"q{at} 0 d{at} 1" for at in range(len(scores))])
    positions = record.pop("positions", None)
    lines = []
    for at, score in enumerate(scores):
        wrong = at in failed
        chunk = {"rank": 1, "chunk": "c", "document": f"d{at}", "start": 0, "end": 9, "score": 1.0}
        line = {
            "query": f"q{at}",
            "text": f"question {at}?",
            "group": f"d{at}" if groups is None else groups[at],
            "tags": dict(tags[at]) if tags is not None else {},
            "judged": True,
            "metrics": {} if wrong else {metric: score},
            "error": "ServiceError: down" if wrong else None,
            "chunks": [] if wrong else [{**chunk, "text": f"found by {folder.name} for {at}"}],
            "answer": None,
        }
        if positions is not None:
            line["gold"] = [{"document": line["group"], "start": positions[at], "end": positions[at] + 1}]
        lines.append(json.dumps(line))
    counted = [0.0 if at in failed or score is None else score for at, score in enumerate(scores)]
    cost = {"embedding_tokens": 0, "llm_input_tokens": 0, "llm_output_tokens": 0, "usd": usd}
    run = {
        "run": folder.name,
        "dataset": {"name": "made", "digest": "d1"},
        "index": {"name": "i", "fingerprint": "f", "bytes": 1000, "embedding_tokens": 0, "usd": 0.0},
        "choices": choices,
        "config": config,
        "created": "2026-01-01T00:00:00+00:00",
        "seeds": {},
        **record,
    }
    (folder / "run.json").write_text(json.dumps(run))
    measured = {"metrics": {metric: sum(counted) / len(counted)}, "counts": {}, "cost": cost}
    (folder / "metrics.json").write_text(json.dumps(measured))
    (folder / "queries.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "qrels.trec").write_text("\n".join(qrels) + "\n")
    (folder / "run.trec").write_text("")
    (folder / "config.yaml").write_text("{}\n")
    if p95 is not None:
        total = {"p50": p95 / 2, "p95": p95, "p99": p95 * 2}
        (folder / "latency.json").write_text(json.dumps({"n": timed, "concurrency": 1, "stages": {"total": total}}))
    return folder

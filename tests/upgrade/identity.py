"""Every name that the code derives from a config: of indexes, cache entries, stages, trials, sweeps and their labels.

    git worktree add OLD 0fa5703
    PYTHONPATH=OLD/src:tests python tests/upgrade/identity.py      # writes identity_0fa5703.json

It is recorded once; a test derives the same names from the same options with the code of now.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from places import CONF, UPGRADE
from ragloom.assembly import Assembly
from ragloom.cache.embeddings.embedding_cache import EmbeddingCache
from ragloom.config.config import Config, load
from ragloom.config.labels import label_of, values_of, varying
from ragloom.config.settings import COMPONENTS
from ragloom.core.metric_names import judged, need
from ragloom.core.records import canonical_json, sha256
from ragloom.evaluation.chunk_cache import chunk_key
from ragloom.evaluation.index_sync import index_key
from ragloom.evaluation.judging import AnswerJudge
from ragloom.evaluation.query_cache import CachedQueries
from ragloom.evaluation.runner import trial_digest
from ragloom.evaluation.sweep_log import sweep_digest

FILE = UPGRADE / "identity_0fa5703.json"
RAISED = ("chunking=semantic", "chunking=hybrid")
"""Options whose code version was raised since the file was written."""
JUDGED = ("answers=true", "metrics.answers=[f1,faithfulness,correctness]")
SERVER = "http://127.0.0.1:20318/v1"
NEEDED = {
    "source=folder": ("source.path=docs",),
    "source=jsonl": ("source.path=docs.jsonl",),
    "source=spans": ("dataset=spans", "dataset.path=corpus"),
    "source=beir": ("dataset=beir", "dataset.path=corpus"),
    "source=squad": ("dataset=squad", "dataset.path=corpus.json"),
    "dataset=jsonl": ("dataset.path=questions.jsonl",),
    "dataset=spans": ("dataset.path=corpus",),
    "dataset=beir": ("dataset.path=corpus",),
    "dataset=squad": ("dataset.path=corpus.json",),
    "embedding=openai_compatible": (f"embedding.base_url={SERVER}", "embedding.model=m", "embedding.dimensions=8"),
    "llm=openai_compatible": (f"llm.base_url={SERVER}", "llm.model=m"),
    "judge=openai": JUDGED,
    "judge=openai_compatible": (f"judge.base_url={SERVER}", "judge.model=m", *JUDGED),
    "reranker=llm": ("llm=openai",),
    "experiment=chroma_chunking": ("dataset.path=corpus", "embedding.model=m", "chunking.length=cl100k_base"),
    "experiment=scifact": ("dataset.path=corpus", "embedding.model=m"),
    "experiment=korquad_contexts": ("dataset.path=corpus.json",),
}
"""What some options must have beside their defaults."""
SWEEPS = (
    ("chunking=fixed,paragraph", "chunking.chunk_size=128,256", "reranker=none,mmr"),
    ("experiment=baseline,baseline_offline", "retriever.top_k=5,10", "prompt=cited,plain"),
    ("embedding=hashing,openai", "embedding.dimensions=64,256", "vector_store=lancedb,weaviate"),
)


def options() -> list[tuple[str, str]]:
    """Lists every option of every group."""
    return sorted((file.parent.name, file.stem) for file in CONF.glob("*/*.yaml"))


def identities(group: str, option: str) -> dict[str, Any]:
    """Derives all names from an option and, beside it, the defaults."""
    choice = f"{group}={option}"
    (config,) = load([choice, *NEEDED.get(choice, ())])
    with Assembly(config) as assembly:
        committed = SimpleNamespace(
            name=assembly.index_name,
            version=3,
            committed_at=datetime(2026, 1, 1, tzinfo=UTC),
            description=assembly.description,
        )
        index: Any = SimpleNamespace(info=committed)
        asking = CachedQueries(assembly, index, need(config.tree["metrics"], spans=True, documents=True))
        names = {
            "index": assembly.index_name,
            "trial": trial_digest(config),
            "chunks": _digest(chunk_key(assembly)),
            "rankings": _digest(asking.ranking_key()),
            "answers": _digest(asking.answer_key()),
        }
        if _is_described(config, group):
            names["described"] = assembly.described(group)
        if judged(config.tree["metrics"]):
            names["verdicts"] = _digest(AnswerJudge(assembly, ["faithfulness"]).key())
        if group == "vector_store":
            names["in step"] = _digest({**index_key(assembly), "listed": None})
        if group == "embedding":
            names["cache"] = _cached(config, assembly)
    return names


def sweep(overrides: tuple[str, ...]) -> dict[str, Any]:
    """Derives the names of a sweep and its trials."""
    configs = load(list(overrides), sweep=True)
    keys = varying(configs)
    trials = {label_of(config, keys): trial_digest(config) for config in configs}
    values = [values_of(config, keys) for config in configs]
    return {"sweep": sweep_digest(list(trials.values())), "keys": keys, "trials": trials, "values": _digest(values)}


def everything() -> dict[str, Any]:
    """Derives all names from all options and sweeps."""
    return {
        "options": {f"{group}={option}": identities(group, option) for group, option in options()},
        "sweeps": {" ".join(overrides): sweep(overrides) for overrides in SWEEPS},
    }


def _is_described(config: Config, group: str) -> bool:
    return group in COMPONENTS and hasattr(config.builder(group), "code_version")


def _cached(config: Config, assembly: Assembly) -> dict[str, str]:
    """Derives the part of the cache; a model that would have to be loaded is described, and lacks its files."""
    remote = config.choices["embedding"] in ("openai", "openai_compatible")
    embedding = assembly.embedding if remote else Assembly(load([])[0]).embedding
    if not remote:
        embedding.use_cache(EmbeddingCache(Path("cache"), max_bytes=1), assembly.described("embedding"))
    return {"made by": embedding.cache.described, "identity": embedding.cache.rows.identity.hex()}


def _digest(value: Any) -> str:
    return sha256(canonical_json(value))[:12]


def main() -> None:
    """Records; versions of installed packages are replaced by their names."""
    os.environ["OPENAI_API_KEY"] = "sk-of-a-test-0123456789"
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(importlib.metadata, "version", installed):
        os.chdir(folder)
        text = json.dumps(everything(), ensure_ascii=False, indent=1)
    FILE.write_text(text + "\n", encoding="utf-8")


def installed(distribution: str) -> str:
    """Stands for the version of a package, whichever is installed."""
    return f"version of {distribution}"


if __name__ == "__main__":
    main()

"""No metric value and no prefix of a ranking depends on which metrics are requested: both stores, every reranker."""

from __future__ import annotations

import itertools
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.llms import MockLLM

from components.reranker.test_reranker import save_model, save_tokenizer
from made import defaults
from ragloom.assembly import Assembly
from ragloom.cache.stages.stage_cache import StageCache
from ragloom.components.retriever import deeper_ranks
from ragloom.config.config import Config, load
from ragloom.core.records import sha256
from ragloom.evaluation.callbacks import EvaluationCallbacks
from ragloom.evaluation.runner import Trial

pytest_plugins = ["store_places"]

WORDS = [f"{consonant}{vowel}{end}" for consonant in "bdfgklmnprst" for vowel in "aeiou" for end in ("", "n")]
CHUNK = ["chunking=recursive", "chunking.length=characters", "chunking.chunk_size=60", "chunking.chunk_overlap=0"]
RETRIEVERS = {
    "weighted": ["retriever=hybrid", "retriever.candidates=10", "retriever.fusion=weighted"],
    "rrf": ["retriever=hybrid", "retriever.candidates=10", "retriever.fusion=rrf"],
    "dense": ["retriever=dense"],
    "bm25": ["retriever=bm25"],
}
RERANKERS = ["none", "mmr", "cross_encoder", "llm"]
CASES = [("weighted", each) for each in RERANKERS] + [(each, "none") for each in RETRIEVERS if each != "weighted"]
METRICS = [["nDCG@3"], ["R@12", "RR@25", "nDCG@3"], ["Success@1", "AP@100", "nDCG@3", "R@12"]]


class RankingLLM(MockLLM):
    """Ranks passages by a digest of their text."""

    def chat(self, messages: Any, **_: Any) -> ChatResponse:
        shown = re.findall(r"^\[(\d+)\] (.+)$", messages[-1].content, re.MULTILINE)
        order = sorted((sha256(text), number) for number, text in shown)
        reply = " > ".join(f"[{number}]" for _, number in order)
        return ChatResponse(message=ChatMessage(role="assistant", content=reply))


def write_corpus(folder: Path) -> None:
    """Writes sixty documents of a few sentences, and questions with documents or passages as gold."""
    draw = random.Random(3)

    def sentence() -> str:
        return " ".join(draw.choices(WORDS[:40], k=draw.randint(5, 9))).capitalize() + "."

    texts = {f"d{number}": " ".join(sentence() for _ in range(draw.randint(2, 7))) for number in range(60)}
    lines = [json.dumps({"id": id, "text": text}) for id, text in texts.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    questions: list[dict[str, Any]] = []
    for number in range(4):
        names = draw.sample(sorted(texts), 4)
        gold: dict[str, Any] = {"documents": {name: at + 1 for at, name in enumerate(names)}}
        if number % 2:
            gold = {"gold": [{"document": name, "quote": texts[name].split(". ")[0]} for name in names]}
        questions.append({"id": f"q{number}", "question": " ".join(draw.choices(WORDS[:40], k=5)), **gold})
    (folder / "questions.jsonl").write_text("".join(json.dumps(each) + "\n" for each in questions))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("depth")
    write_corpus(place)
    save_model(place)
    save_tokenizer(place)
    return place


@pytest.fixture(scope="module")
def own(folder: Path, shared: Any) -> list[str]:
    """Overrides of the corpus in a store, of which the index is built."""
    usual = defaults("vector_store", shared.option)
    changed = {name: value for name, value in shared.keys.items() if value != usual[name] and name != "index"}
    keys = [f"vector_store.{name}={value}" for name, value in changed.items()]
    chosen = [
        f"vector_store={shared.option}",
        *keys,
        "source=jsonl",
        f"source.path={folder / 'corpus.jsonl'}",
        "dataset=jsonl",
        f"dataset.path={folder / 'questions.jsonl'}",
        "embedding.dimensions=64",
        "workers.processes=0",
        "ingest=never",
        "concurrency=2",
        *CHUNK,
    ]
    (config,) = load(chosen)
    with Assembly(config) as assembly:
        assembly.ingest()
    return chosen


def measured(config: Config, names: list[str], stages: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Evaluates; returns question -> metric -> score, and question -> ids of the ranking."""
    metrics = {**config.tree["metrics"], "spans": names, "documents": names}
    with Trial(
        Config({**config.tree, "metrics": metrics}, config.choices), StageCache(stages), EvaluationCallbacks()
    ) as trial:
        trial.assembly.__dict__["llm"] = RankingLLM()
        report = trial.run()
    assert report.errors == []
    lines = [json.loads(line) for line in (report.folder / "queries.jsonl").read_text().splitlines()]
    return {line["query"]: line["metrics"] for line in lines}, {
        line["query"]: [chunk["chunk"] for chunk in line["chunks"]] for line in lines
    }


def demand_same(one: tuple[dict[str, Any], dict[str, Any]], other: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Holds that shared metrics are equal, and that of two rankings one begins the other."""
    for query, scores in one[0].items():
        shared = scores.keys() & other[0][query].keys()
        assert {name: scores[name] for name in shared} == {name: other[0][query][name] for name in shared}
        short, long = sorted((one[1][query], other[1][query]), key=len)
        assert long[: len(short)] == short
        assert len(set(long)) == len(long), "no chunk is there twice"


@pytest.mark.parametrize(("retriever", "reranker"), CASES)
@pytest.mark.slow
def test_no_metric_and_no_prefix_depends_on_which_metrics_are_requested(
    own: list[str],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reranker: str,
    retriever: str,
) -> None:
    monkeypatch.setattr(deeper_ranks, "BLOCK", 7)  # so that sixty documents have several blocks and steps
    chosen = [*RETRIEVERS[retriever], "retriever.top_k=6", f"reranker={reranker}"]
    if reranker != "none":
        chosen.append("reranker.top_n=3")
    if reranker == "llm":
        chosen += ["llm=openai_compatible", "reranker.window_size=4", "reranker.window_step=2"]
    if reranker == "cross_encoder":
        chosen += [f"reranker.model={folder}", "reranker.max_length=32"]
    (config,) = load([*own, f"runs={tmp_path / 'runs'}", *chosen])
    alone = [measured(config, names, None) for names in METRICS]
    for one, other in itertools.combinations(alone, 2):
        demand_same(one, other)
    assert max(map(len, alone[-1][1].values())) > 40, "steps below were read"
    for at in (0, 2, 1):  # made, extended, and cut from what was kept
        assert measured(config, METRICS[at], tmp_path / "stages") == alone[at], "what others asked changes nothing"

"""A corpus of a few documents with questions whose scores can be computed by hand, and how to evaluate it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import programs
from programs import Done

DOCUMENTS = {
    "anchor.txt": "The anchor of the ferry weighs two tonnes.\n\nIt was cast in Busan.",
    "bell.txt": "The bell of the ferry rings at noon.\n\nIt was cast in Incheon.",
    "cabin.txt": "Each cabin has four beds.\n\nBeds are made at noon.",
    "deck.txt": "The upper deck is closed in winter.\n\nThe lower deck never is.",
}
QUESTIONS: list[dict[str, Any]] = [
    {"id": "weight", "question": "How much does the anchor weigh?", "gold": [("anchor.txt", "weighs two tonnes")]},
    {"id": "ring", "question": "When does the bell ring?", "gold": [("bell.txt", "rings at noon")]},
    {"id": "beds", "question": "How many beds has a cabin?", "gold": [("cabin.txt", "four beds")]},
    {"id": "captain", "question": "Who is the captain?", "gold": []},
]


def write_corpus(folder: Path, documents: dict[str, str] | None = None) -> Path:
    """Writes documents below `folder`."""
    place = folder / "corpus"
    place.mkdir(exist_ok=True)
    for name, text in (DOCUMENTS if documents is None else documents).items():
        (place / name).write_text(text, encoding="utf-8")
    return place


def write_questions(folder: Path, questions: Sequence[dict[str, Any]] = QUESTIONS) -> Path:
    """Writes questions in Ragloom's own form."""
    path = folder / "questions.jsonl"
    lines = []
    for question in questions:
        gold = [{"document": document, "quote": quote} for document, quote in question.get("gold", ())]
        lines.append(json.dumps({**question, "gold": gold}, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


def overrides(folder: Path) -> list[str]:
    """Chooses the corpus and the questions in `folder`."""
    return [
        "source=folder",
        f"source.path={folder / 'corpus'}",
        "dataset=jsonl",
        f"dataset.path={folder / 'questions.jsonl'}",
        "workers.processes=0",
        "retriever=bm25",
    ]


def evaluate(folder: Path, *arguments: str, **env: str) -> Done:
    """Runs `scripts/evaluate.py` in `folder` on its corpus."""
    return programs.run("evaluate", *overrides(folder), *arguments, cwd=folder, **env)


def evaluated(folder: Path, *arguments: str, status: int = 0, **env: str) -> dict[str, Any]:
    """As `evaluate`, and reads the one object that it prints."""
    done = evaluate(folder, *arguments, "output=json", **env)
    assert done.returncode == status, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return shown


def queries(folder: Path, shown: dict[str, Any]) -> list[dict[str, Any]]:
    """Reads a run's lines."""
    lines = (folder / shown["folder"] / "queries.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def own_llm(place: Path, declared: str = "") -> list[str]:
    """Writes an LLM of one's own, and chooses it."""
    (place / "mine").mkdir()
    (place / "mine" / "my_llm.py").write_text(
        "from typing import ClassVar\n\nfrom llama_index.core.llms.mock import MockLLM\n\n\n"
        f"class Mine(MockLLM):\n    {declared or 'pass'}\n\n\n"
        "def mine() -> MockLLM:\n    return Mine()\n\n\nmine.code_version = 1\n"
    )
    (place / "conf" / "llm").mkdir(parents=True)
    (place / "conf" / "llm" / "mine.yaml").write_text("_target_: my_llm.mine\n")
    return ["--config-dir", str(place / "conf"), "extensions=[my_llm]", "llm=mine"]


@contextmanager
def importable(place: Path) -> Iterator[None]:
    """Has the module of `own_llm` found."""
    sys.path.insert(0, str(place / "mine"))
    try:
        yield
    finally:
        sys.path.remove(str(place / "mine"))
        sys.modules.pop("my_llm", None)

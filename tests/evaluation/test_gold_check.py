"""The gold of equal trials is compared with the texts once, and again as soon as anything differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation_corpus import overrides, write_corpus, write_questions
from ragloom.components.dataset.base import Dataset
from ragloom.config.config import load
from ragloom.core.gold import GoldSpan, Query
from ragloom.errors import DataError
from ragloom.evaluation import runner
from ragloom.evaluation.gold_check import GoldCheck
from ragloom.evaluation.sweep import run_sweep

TEXTS = {"a.md": "The sky is blue.", "b.md": "하늘은 파랗다."}


def dataset(quote: str = "sky", max_missing: float = 1.0) -> Dataset:
    queries = [
        Query("1", "What colour?", spans=(GoldSpan("a.md", (), quote),)),
        Query("2", "무슨 색?", spans=(GoldSpan("b.md", (), "파랗다"),)),
    ]
    return Dataset("d", queries, "any", max_missing=max_missing)


def test_equal_dataset_and_texts_are_read_once_and_give_the_same() -> None:
    read: list[str] = []

    def text(name: str) -> str:
        read.append(name)
        return TEXTS[name]

    gold = GoldCheck()
    first = gold.check(dataset(), "t", text)
    assert gold.check(dataset(), "t", text) == first == dataset().check(TEXTS.get)
    assert sorted(read) == sorted(TEXTS)


@pytest.mark.parametrize(
    ("changed", "texts"),
    [(dataset("blue"), "t"), (Dataset("d", dataset().queries(), "first"), "t"), (dataset(), "u")],
    ids=["gold", "rule", "texts"],
)
def test_another_dataset_or_other_texts_are_checked_anew(changed: Dataset, texts: str) -> None:
    gold = GoldCheck()
    gold.check(dataset(), "t", TEXTS.get)
    moved = {name: f"Now: {text}" for name, text in TEXTS.items()}
    assert gold.check(changed, texts, moved.get) == changed.check(moved.get)


def test_error_is_raised_each_time() -> None:
    gold = GoldCheck()
    for _ in range(2):
        with pytest.raises(DataError):
            gold.check(dataset(max_missing=0.0), "t", {"a.md": "Nothing.", "b.md": "없다."}.get)


def test_sweep_reads_the_gold_documents_of_one_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpus(tmp_path)
    write_questions(tmp_path)
    monkeypatch.chdir(tmp_path)
    read: list[str] = []
    text_in = runner.text_in

    def counted(index: object, name: str) -> str | None:
        read.append(name)
        return text_in(index, name)  # type: ignore[arg-type]

    monkeypatch.setattr(runner, "text_in", counted)
    configs = load(
        [
            *overrides(tmp_path),
            "retriever.top_k=5,6",
            "chunking.chunk_size=20,40",
            "chunking.chunk_overlap=0",
        ],
        sweep=True,
    )
    sweep = run_sweep(configs)
    assert [record.state for record in sweep.records()] == ["done"] * 4
    assert read
    assert len(read) == len(set(read))

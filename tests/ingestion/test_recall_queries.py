"""What approximate search is measured with: one sentence of each chunk, embedded as a question is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made import make
from messages.evaluation import recall_measured
from messages.vector_store import approximate_search
from ragloom.assembly import Assembly
from ragloom.components.embedding.base import Embedding, Vectors
from ragloom.components.vector_store import recall_probes
from ragloom.components.vector_store.lancedb_store import ann_index, ann_recall
from ragloom.config.config import load
from ragloom.core.usage import collect_usage
from ragloom.ingestion.recall_queries import questions_of, sentence
from ragloom.providers.batch_errors import Unanswered

TEXT = "Refunds take ten days to arrive. Dr. Kim answers every letter himself! 환불은 열흘 안에 처리됩니다. Yes."


def test_question_is_one_whole_sentence_and_always_the_same() -> None:
    assert sentence(TEXT) in {
        "Refunds take ten days to arrive.",
        "Dr. Kim answers every letter himself!",
        "환불은 열흘 안에 처리됩니다.",
    }
    assert sentence(TEXT) == sentence(TEXT)
    assert len({sentence(f"{TEXT} {number:015}.") for number in range(50)}) > 3  # chunks differ in which one


@pytest.mark.parametrize("text", ["", " \n", "Yes.", "| --- | --- |"])
def test_text_without_a_sentence_gives_no_question(text: str) -> None:
    assert sentence(text) == ""


@given(st.text())
def test_question_stands_in_its_text_and_is_short(text: str) -> None:
    found = sentence(text)
    assert len(found) <= 200
    assert found in " ".join(text.split())


class Letters(Embedding):
    """Counts a, b and c; remembers what it was sent."""

    sent: list[str] = []  # noqa: RUF012 - a pydantic field

    def count_tokens(self, texts: Any) -> list[int]:
        return [len(text) for text in texts]

    def compute_vectors(self, texts: list[str], counts: list[int] | None) -> Vectors:
        self.sent += texts
        return np.array([[text.count(letter) + 1 for letter in "abc"] for text in texts], dtype=np.float32)


def test_questions_go_the_query_path_and_what_gives_none_is_zero() -> None:
    embedding = Letters(
        model_name="letters",
        dimensions=3,
        max_tokens=40,
        embedded_metadata=[],
        query_prefix="query: ",
        document_prefix="passage: ",
    )
    long = "a sentence that is longer than what this model takes in at once."
    texts = ["abc abc abc abc abc.", "--", long, "abc abc abc abc abc."]
    with collect_usage() as usage:
        vectors = questions_of(embedding)(texts)
    assert embedding.sent == ["query: abc abc abc abc abc."]
    assert vectors.tolist() == [[6, 6, 6], [0, 0, 0], [0, 0, 0], [6, 6, 6]]
    assert usage.cache.made == 1
    assert questions_of(embedding)(["--"]).tolist() == [[0, 0, 0]]


@pytest.mark.slow
def test_ingest_measures_recall_and_tells_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (recall_probes, ann_index):
        monkeypatch.setattr(module, "FEWEST", 20)
    monkeypatch.setattr(ann_recall, "QUESTIONS", 24)
    folder = tmp_path / "documents"
    folder.mkdir()
    for number in range(40):
        text = f"Document {number} speaks of subject {number % 7} at some length."
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    (config,) = load(
        [
            "source=folder",
            f'source.path="{folder}"',
            f'vector_store.path="{tmp_path / "index"}"',
            f'cache.path="{tmp_path / "cache"}"',
            "vector_store.ann_threshold=30",
        ]
    )
    with Assembly(config) as assembly:
        summary = assembly.ingest()
        assert approximate_search() in summary.notes[0]
        assert recall_measured(24, 40) in summary.notes[0]
        assert summary.embedded == 40  # what was asked to measure is no chunk
        assert assembly.open().info.notes == tuple(summary.notes)
        assert assembly.ingest().notes == summary.notes


def test_builders_know_hashing_gives_questions() -> None:
    vectors = questions_of(make("embedding", "hashing"))(["How long is the frame covered by warranty?"])
    assert vectors.any()


class Choosy(Letters):
    """Fails at texts with a zebra, as some servers do."""

    def compute_vectors(self, texts: list[str], counts: list[int] | None) -> Vectors:
        if any("zebra" in text for text in texts):
            raise Unanswered("embedding: failed", says="500: NaN")
        return super().compute_vectors(texts, counts)


def test_sentence_at_which_the_embedding_fails_gives_no_question_and_stops_nothing() -> None:
    embedding = Choosy(model_name="choosy", dimensions=3, max_tokens=None, embedded_metadata=[])
    texts = ["A sentence of many animals.", "A sentence of a zebra.", "Another sentence of animals."]
    made = questions_of(embedding)(texts)
    assert made.any(axis=1).tolist() == [True, False, True]

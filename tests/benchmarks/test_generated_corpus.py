"""The documents and questions that benchmarks of scale draw (`benchmarks/generated_corpus.py`)."""

import json
from hashlib import sha256
from itertools import islice
from pathlib import Path

import generated_corpus as corpus
from ragloom.assembly import Assembly
from ragloom.components.dataset import jsonl as questions_of
from ragloom.config.config import load

FIRST_HUNDRED = "5d93fb36233eba40147bce5b0488c4ec31c163f88315b0db467d3c898acef4c8"
"""SHA-256 of the first hundred texts: indexes and measurements of other machines are of these."""


def test_a_document_depends_on_seed_and_number_alone() -> None:
    backwards = [corpus.document(number) for number in reversed(range(50))]
    assert backwards[::-1] == list(corpus.documents(50)) == list(islice(corpus.documents(1_000_000), 50))
    assert list(corpus.documents(50, first=40)) == backwards[9::-1]
    assert corpus.document(7, seed=1).text != corpus.document(7, seed=2).text


def test_documents_are_the_same_everywhere() -> None:
    text = "\n".join(document.text for document in corpus.documents(100))
    assert sha256(text.encode()).hexdigest() == FIRST_HUNDRED


def test_one_in_twenty_is_an_exact_copy_under_another_name() -> None:
    documents = list(corpus.documents(4000))
    copies = [document for document in documents if document.original != document.number]
    assert 0.04 < len(copies) / len(documents) < 0.06
    assert all(document.text == documents[document.original].text for document in copies)
    assert all(documents[document.original].original == document.original for document in copies)
    assert len({document.text for document in documents}) == len(documents) - len(copies)
    assert len({document.id for document in documents}) == len(documents)


def test_half_are_korean_and_lengths_are_those_of_the_real_sets() -> None:
    documents = list(corpus.documents(2000))
    words = {"en": [], "ko": []}
    for document in documents:
        words[document.language].append(len(document.text.split()))
    assert 0.45 < len(words["ko"]) / len(documents) < 0.55
    for language, mean in ("en", 201.8), ("ko", 120.3):  # of SciFact's abstracts, of KorQuAD's contexts
        assert abs(sum(words[language]) / len(words[language]) - mean) < 0.05 * mean


def test_a_questions_words_stand_at_its_place_in_a_document_that_is_no_copy() -> None:
    for question in corpus.questions(200, 1000):
        document = corpus.document(int(Path(question.document).stem))
        assert document.text[question.start : question.end] + "?" == question.text
        assert document.original == document.number < 1000


def test_both_forms_hold_the_same_documents_and_sources_read_them(tmp_path: Path) -> None:
    corpus.main(["documents", "1005", str(tmp_path / "corpus.jsonl")])
    corpus.main(["documents", "1005", str(tmp_path / "corpus")])
    texts = []
    for keys in (
        ["source=jsonl", f'source.path="{tmp_path / "corpus.jsonl"}"'],
        [
            "source=folder",
            f'source.path="{tmp_path / "corpus"}"',
        ],
    ):
        source = Assembly(load(keys)[0]).source
        texts.append({entry.id: source.parse(entry, source.read(entry)).text for entry in source.entries()})
    assert texts[0] == texts[1] == {document.id: document.text for document in corpus.documents(1005)}


def test_the_jsonl_dataset_reads_its_questions(tmp_path: Path) -> None:
    corpus.main(["questions", "20", str(tmp_path / "questions.jsonl"), "100"])
    dataset = questions_of(
        path=str(tmp_path / "questions.jsonl"), name=None, group="own", occurrence="any", max_missing=0.1
    )
    lines = [json.loads(line) for line in (tmp_path / "questions.jsonl").read_text("utf-8").splitlines()]
    assert [query.text for query in dataset.queries()] == [line["question"] for line in lines]
    assert all(query.spans for query in dataset.queries())

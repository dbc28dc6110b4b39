"""The real evaluation sets of ../shared/data: their counts, and gold that stands where it is said to."""

from collections.abc import Callable
from typing import Any

import pytest

from ragloom.assembly import Assembly
from ragloom.components.dataset.base import CheckedQueries
from ragloom.config.config import load
from shared import SHARED, needs_data

pytestmark = pytest.mark.data
DATA = SHARED / "data"


def checked(*overrides: str) -> tuple[CheckedQueries, dict[str, str]]:
    assembly = Assembly(load(list(overrides))[0])
    texts = {document.node_id: document.text for document in assembly.source.lazy_load_data()}
    get: Callable[[str], Any] = texts.get
    return assembly.dataset.check(get), texts


@needs_data("chroma-chunking")
@pytest.mark.parametrize("rule", ["any", "first"])
def test_chroma_has_472_questions_and_790_spans_that_read_as_said(rule: str) -> None:
    found, texts = checked("dataset=spans", f'dataset.path="{DATA / "chroma-chunking"}"', f"dataset.occurrence={rule}")
    spans = [span for query in found.queries for span in query.spans]
    assert (len(found.queries), len(spans), len(texts)) == (472, 790, 5)
    assert all(texts[span.document][slice(*place)] == span.quote for span in spans for place in span.places)
    assert len(found.problems) == 1
    assert found.problems[0].startswith("97 quotes (")  # TRAPS 44: the finance text repeats itself
    assert sum(len(span.places) for span in spans) == (
        790 if rule == "first" else 790 + 65 + 15 * 2 + 13 * 3 + 3 * 5 + 1
    )
    assert len({query.group for query in found.queries}) == 5


@needs_data("scifact")
def test_scifact_has_300_test_and_809_train_questions_with_their_grades() -> None:
    for split, questions, grades in (("test", 300, 339), ("train", 809, 919)):
        found, texts = checked("dataset=beir", f'dataset.path="{DATA / "scifact"}"', f"dataset.split={split}")
        assert (len(found.queries), sum(len(query.grades) for query in found.queries)) == (questions, grades)
        assert len(texts) == 5183
        assert found.problems == []


@needs_data("korquad1-dev")
@pytest.mark.parametrize(("unit", "documents"), [("context", 961), ("article", 140)])
def test_korquad_has_5774_questions_whose_answers_are_in_their_documents(unit: str, documents: int) -> None:
    path = DATA / "korquad1-dev" / "KorQuAD_v1.0_dev.json"
    found, texts = checked("dataset=squad", f'dataset.path="{path}"', f"dataset.document={unit}")
    assert (len(found.queries), len(texts)) == (5774, documents)
    assert found.problems == []
    for query in found.queries:
        (span,) = query.spans
        assert texts[span.document][slice(*span.places[0])] == query.answers[0]
        assert query.grades == {span.document: 1}
    assert {query.tags["language"] for query in found.queries} == {"ko"}

"""What metric names ask of a run."""

from typing import Any

import pytest

from messages.config import did_you_mean, metric_with_number
from ragloom.core.metric_names import Need, judged, measurable, measures, need, problems

SETTINGS: dict[str, Any] = {
    "spans": ["recall@5", "recall@1000tokens", "iou@300tokens", "nDCG@7", "precision_omega"],
    "documents": ["RR@20", "P@3"],
    "answers": ["f1", "citation_recall"],
}


@pytest.mark.parametrize(
    ("spans", "documents", "depth"),
    [
        (True, True, Need(chunks=7, documents=20, tokens=1000)),
        (True, False, Need(chunks=7, tokens=1000)),
        (False, True, Need(documents=20)),
        (False, False, Need()),
    ],
)
def test_depth_is_the_largest_cut_off_of_each_kind_that_has_gold(spans: bool, documents: bool, depth: Need) -> None:
    assert need(SETTINGS, spans=spans, documents=documents) == depth


@pytest.mark.parametrize(
    ("changed", "has", "expected"),
    [
        ({}, {"answers": True}, True),
        ({"answers": ["citation_recall"]}, {"answers": True}, False),  # citations need gold
        ({"answers": ["citation_recall"], "spans": []}, {"answers": True, "spans": True}, True),
        ({"answers": ["citation_recall"], "spans": []}, {"answers": True, "documents": True}, True),
        ({}, {}, False),
        ({}, {"spans": True}, True),
        ({"spans": []}, {"spans": True}, False),
        ({}, {"documents": True}, True),
        ({"documents": []}, {"documents": True}, False),
    ],
)
def test_something_is_measurable_where_a_metric_has_what_it_needs(
    changed: dict[str, list[str]], has: dict[str, bool], expected: bool
) -> None:
    given = {"answers": False, "spans": False, "documents": False, **has}
    assert measurable({**SETTINGS, **changed}, **given) is expected


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("answers", "answerd", did_you_mean("answered")),
        ("spans", "recal@5", did_you_mean("recall@k")),
        ("spans", "nDCG@0", metric_with_number()),
        ("spans", "nDCG@10tokens", metric_with_number()),
        ("spans", "precision_omeg", did_you_mean("precision_omega")),
        ("documents", "recall@5", "metrics.spans"),
        ("documents", "precision_omega", "metrics.spans"),
    ],
)
def test_wrong_name_is_an_error_with_its_fix(kind: str, name: str, words: str) -> None:
    assert problems(SETTINGS) == []
    (line,) = problems({**SETTINGS, kind: [name]})
    assert f"metrics.{kind}={name}" in line
    assert words in line


def test_name_given_twice_is_an_error() -> None:
    (line,) = problems({**SETTINGS, "answers": ["f1", "f1"]})
    assert "once" in line


def test_kinds_of_metrics_are_told_apart() -> None:
    assert [item.of_characters for item in measures(SETTINGS["spans"])] == [True, True, True, False, True]
    assert [item.k for item in measures(SETTINGS["spans"])] == [5, 1000, 300, 7, 0]
    assert [item.budget for item in measures(SETTINGS["spans"])] == [False, True, True, False, False]
    assert judged({"answers": ["f1", "faithfulness", "abstained", "correctness"]}) == ["faithfulness", "correctness"]

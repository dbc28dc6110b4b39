"""The judge's replies are read strictly: whatever is not a verdict is not judged, and never a pass."""

import pytest

from messages import wording
from messages.evaluation import metric_counts_apart, right_answer
from ragloom.evaluation.metrics.llm_judge import (
    Verdict,
    correctness,
    faithfulness,
    judged,
    verdict,
)

PASS = '{"verdict": "pass", "reason": "passage 1 says so"}'


def test_reply_of_the_asked_form_is_a_verdict() -> None:
    assert verdict(PASS) == Verdict(True, "passage 1 says so")
    assert verdict(f"\n {PASS}\n").passed is True
    assert verdict(PASS.replace("pass", "fail", 1)).passed is False


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "yes",
        "Yes, the answer is faithful.",
        "No. A yes would be wrong.",
        f"Here is my verdict: {PASS}",
        f"```json\n{PASS}\n```",
        PASS + PASS,
        '{"verdict": "pass"}',
        '{"verdict": "PASS", "reason": ""}',
        '{"verdict": true, "reason": ""}',
        '{"verdict": ["pass"], "reason": ""}',
        '{"verdict": "pass", "reason": null}',
        '{"verdict": "fail", "verdict": "pass", "reason": ""}',
        '{"verdict": "pass", "reason": "", "score": 1}',
        "[]",
        "null",
        "[" * 100_000,
    ],
)
def test_any_other_reply_is_not_judged(reply: str) -> None:
    """TRAPS 26: faithfulness passed on any "yes" substring."""
    assert verdict(reply).passed is None


def test_missing_verdicts_are_shown_and_lower_what_may_be_claimed() -> None:
    counted = judged([Verdict(True, ""), Verdict(True, ""), Verdict(False, ""), Verdict(None, "")])
    assert counted == {"passed": 2, "failed": 1, "not_judged": 1, "lowest": 2 / 4, "highest": 3 / 4}
    assert (judged([])["lowest"], judged([])["highest"]) == (0.0, 0.0)


def test_judge_is_shown_the_case_and_asked_for_the_form() -> None:
    instruction, case = faithfulness("Why?", "Because.", ["one", "둘"])
    assert '{"verdict": "pass", "reason": "..."}' in instruction
    assert case == "Passage 1:\none\n\nPassage 2:\n둘\n\nQuestion:\nWhy?\n\nAnswer:\nBecause."
    assert "There are no passages." in faithfulness("Why?", "Because.", [])[1]
    assert right_answer(2, "so") in correctness("Why?", "Because.", ["thus", "so"])[1]
    with pytest.raises(ValueError, match=wording(metric_counts_apart())):
        correctness("Why?", "Because.", [])

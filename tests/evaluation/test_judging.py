"""Answers judged by the real client against a server on this machine: who is asked, what is kept, what counts."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from evaluation_corpus import evaluate, evaluated, queries, write_corpus, write_questions
from loopback import OpenAIServer, raw, status
from messages import wording
from messages.config import known_names, unknown_option
from messages.evaluation import (
    abstained_wrongly,
    judge_needed,
    left_by_window,
    no_part_of_cost,
    not_judged,
    reply_not_json,
    right_answer,
    set_judge,
)
from messages.providers import key_not_valid, variable_must_hold
from ragloom.comparison.run_loader import demand_comparable, load_run
from ragloom.comparison.score_table import build_table
from ragloom.config.config import load
from ragloom.core.gold import Query
from ragloom.core.prompt_and_reply import NO_ANSWER
from ragloom.errors import ConfigError, DataError
from ragloom.evaluation.judging import judge_request
from ragloom.evaluation.metrics.llm_judge import Verdict
from ragloom.evaluation.query_outcome import Answer, QueryOutcome

pytestmark = pytest.mark.slow

KEY = "sk-planted-judge-0123456789"
ENV = {"JUDGE_KEY": KEY}
QUESTIONS: list[dict[str, Any]] = [
    {
        "id": "weight",
        "question": "How much does the anchor weigh?",
        "gold": [("anchor.txt", "weighs two tonnes")],
        "answers": ["two tonnes"],
    },
    {
        "id": "ring",
        "question": "When does the bell ring?",
        "gold": [("bell.txt", "rings at noon")],
        "answers": ["noon"],
    },
    {"id": "beds", "question": "How many beds has a cabin?", "gold": [("cabin.txt", "four beds")], "answers": ["four"]},
    {"id": "deck", "question": "Which deck is closed?", "gold": [("deck.txt", "upper deck")], "answers": ["the upper"]},
    {"id": "captain", "question": "Who is the captain of the ferry?", "gold": [], "answerable": False},
]
ANSWERED = {
    "anchor weigh": "It weighs two tonnes [1].",
    "bell ring": "It rings at midnight [1].",
    "beds": "It has four beds [1].",
    "deck": NO_ANSWER["en"],
    "captain": "The captain is Kim [1].",
}
BOTH = "metrics.answers=[answered,abstained,faithfulness,correctness]"


def said(verdict: str, reason: str = "it says so") -> str:
    return json.dumps({"verdict": verdict, "reason": reason})


class Servers(OpenAIServer):
    """Writes the answers above, and judges: what is said of midnight fails, everything else passes.

    Attributes:
        replies: words of a case -> what the judge replies to it instead.
        answered: words of a question -> what is written.
        asked: what the judge was asked: instruction and case.
    """

    def __init__(self) -> None:
        super().__init__(answer=self.reply)
        self.replies: dict[str, str] = {}
        self.answered = dict(ANSWERED)
        self.asked: list[tuple[str, str]] = []
        self._writing = threading.Lock()

    def reply(self, messages: list[dict[str, str]]) -> str:
        instruction, shown = (message["content"] for message in messages)
        if not instruction.startswith("You check"):
            return next(answer for words, answer in self.answered.items() if words in shown.rpartition("Question:")[2])
        with self._writing:
            self.asked.append((instruction, shown))
        for words, reply in self.replies.items():
            if words in shown:
                return reply
        return said("fail" if "midnight" in shown else "pass")

    def writing(self) -> list[str]:
        """Has this server write."""
        return [
            "answers=true",
            "llm=openai_compatible",
            f"llm.base_url={self.base_url}",
            "llm.model=writer",
            "concurrency=2",
            "+prices.models={writer: {input: 1, output: 2}, judge: {input: 10, output: 20}}",
        ]

    def overrides(self) -> list[str]:
        """Has this server write and judge."""
        return [
            *self.writing(),
            "judge=openai_compatible",
            f"judge.base_url={self.base_url}",
            "judge.model=judge",
            "judge.api_key_env=JUDGE_KEY",
            "judge.attempts=1",
        ]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working directory with a corpus and its questions."""
    write_corpus(tmp_path)
    write_questions(tmp_path, QUESTIONS)
    return tmp_path


def judged(place: Path, server: Servers, *arguments: str, status: int = 0) -> dict[str, Any]:
    """Evaluates with both metrics."""
    return evaluated(place, *server.overrides(), BOTH, *arguments, status=status, **ENV)


def stage(shown: dict[str, Any]) -> tuple[int, int]:
    """Verdicts that were found and made."""
    (unit,) = [unit for unit in shown["stages"] if unit["stage"] == "verdicts"]
    return unit["hits"], unit["made"]


def test_each_question_is_judged_by_what_suits_it_and_scores_one_or_zero(place: Path) -> None:
    with Servers() as server:
        shown = judged(place, server)
    scores = {line["query"]: line["metrics"] for line in queries(place, shown)}
    assert (scores["weight"]["faithfulness"], scores["weight"]["correctness"]) == (1.0, 1.0)
    assert (scores["ring"]["faithfulness"], scores["ring"]["correctness"]) == (0.0, 0.0)
    assert "faithfulness" not in scores["deck"], "an abstention says nothing that could be unfaithful"
    assert scores["deck"]["correctness"] == 0.0
    assert set(scores["captain"]) == {"abstained"}, "a question without an answer counts there only"
    assert shown["metrics"]["faithfulness"] == pytest.approx(2 / 3)
    assert shown["metrics"]["correctness"] == pytest.approx(2 / 4)
    assert shown["verdicts"] == {
        "faithfulness": {"passed": 2, "failed": 1, "not_judged": 0, "lowest": 2 / 3, "highest": 2 / 3},
        "correctness": {"passed": 2, "failed": 2, "not_judged": 0, "lowest": 0.5, "highest": 0.5},
    }
    assert len(server.asked) == 3 + 3, "nothing was asked about the abstention and the question without an answer"


def test_judge_reads_what_the_prompt_held_and_is_asked_at_temperature_zero(place: Path) -> None:
    with Servers() as server:
        shown = judged(place, server)
    about = [case for instruction, case in server.asked if "passages" in instruction and "two tonnes [1]" in case]
    assert len(about) == 1
    prompts = [
        request.body["messages"][1]["content"]
        for request in server.requests
        if request.path.endswith("completions") and request.body["model"] == "writer"
    ]
    passages = about[0].partition("Passage 1:\n")[2].partition("\n\nPassage 2")[0]
    assert any(prompt.startswith(passages) for prompt in prompts)
    (right,) = [case for instruction, case in server.asked if "right answers" in instruction and "weigh" in case]
    assert right_answer(1, "two tonnes") in right
    asked = [request for request in server.requests if request.body["model"] == "judge"]
    assert {request.body["temperature"] for request in asked} == {0.0}
    assert {request.headers["Authorization"] for request in asked} == {f"Bearer {KEY}"}
    line = queries(place, shown)[0]
    assert line["verdicts"]["faithfulness"] == {"passed": True, "reason": "it says so"}


def test_judging_is_no_part_of_what_a_config_costs(place: Path) -> None:
    with Servers() as server:
        with_judge = judged(place, server)["cost"]
        without = evaluated(place, *server.writing(), "metrics.answers=[f1]", **ENV)["cost"]
    assert with_judge["usd"] == without["usd"] > 0
    assert with_judge["llm_input_tokens"] == without["llm_input_tokens"]
    tokens = [sum(len(text.split()) for text in pair) for pair in server.asked]
    assert with_judge["judge_input_tokens"] == sum(tokens)
    spent = with_judge["judge_input_tokens"] * 10 + with_judge["judge_output_tokens"] * 20
    assert with_judge["judge_usd"] == pytest.approx(spent / 1e6)
    assert (without["judge_input_tokens"], without["judge_usd"]) == (0, 0.0)


def test_second_run_asks_nothing_and_writes_the_same_bytes(place: Path) -> None:
    with Servers() as server:
        server.replies = {"four beds [1]": "Yes, it is faithful."}
        first = judged(place, server)
        written = (place / first["folder"] / "metrics.json").read_bytes()
        before = len(server.requests)
        again = judged(place, server)
        assert len(server.requests) == before, "also a malformed reply is the judge's reply, and is kept"
    assert stage(first) == (0, 6)
    assert stage(again) == (6, 0)
    assert (place / again["folder"] / "metrics.json").read_bytes() == written
    assert json.loads(written)["verdicts"]["faithfulness"]["not_judged"] == 1


def test_malformed_reply_is_no_pass_and_shows_between_which_values_the_share_lies(place: Path) -> None:
    with Servers() as server:
        server.replies = {"four beds [1]": "Yes, it is faithful and correct: pass."}
        shown = judged(place, server)
        text = evaluate(place, *server.overrides(), BOTH, **ENV).stdout
    count = shown["verdicts"]["faithfulness"]
    assert (count["passed"], count["failed"], count["not_judged"]) == (1, 1, 1)
    assert (count["lowest"], count["highest"]) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert shown["metrics"]["faithfulness"] == 1 / 2, "the mean of those that were judged"
    beds = queries(place, shown)[2]
    assert beds["metrics"]["faithfulness"] is None
    assert reply_not_json() in beds["verdicts"]["faithfulness"]["reason"]
    assert not_judged("0.5000", 1, "0.3333", "0.6667") in text
    assert no_part_of_cost() in text


def test_judge_that_is_down_leaves_questions_unjudged_and_is_asked_again(place: Path) -> None:
    with Servers() as server:
        answered = evaluated(place, *server.writing(), "metrics.answers=[f1]", **ENV)
        server.script = [status(500)] * 6
        down = judged(place, server)
        assert down["counts"]["errors"] == 0, "the questions were answered"
        assert down["verdicts"]["faithfulness"]["not_judged"] == 3
        assert "faithfulness" not in down["metrics"], "there is no mean of nothing"
        assert down["metrics"]["correctness"] == 0.0, "the abstention alone has a verdict"
        assert stage(down) == (0, 0)
        reason = queries(place, down)[0]["verdicts"]["faithfulness"]["reason"]
        assert reason.startswith("no reply: judge: ")
        up = judged(place, server)
    assert stage(up) == (0, 6)
    assert up["verdicts"]["faithfulness"]["not_judged"] == 0
    assert up["metrics"]["answered"] == pytest.approx(3 / 4)
    assert answered["run"] != up["run"]


def test_question_that_failed_is_a_zero_that_nobody_is_asked_about(place: Path) -> None:
    with Servers() as server:
        evaluated(place, *server.writing(), "metrics.answers=[f1]", "answers=false", **ENV)
        server.script = [raw(b"no JSON")]
        shown = judged(place, server, "concurrency=1", "llm.attempts=1", status=3)
        weight = queries(place, shown)[0]
    assert weight["error"]
    assert (weight["metrics"]["faithfulness"], weight["metrics"]["correctness"]) == (0.0, 0.0)
    assert weight["verdicts"]["correctness"] == {"passed": False, "reason": "the question failed"}
    assert len(server.asked) == 4


def test_run_names_the_seeds_that_were_sent_and_no_others(place: Path) -> None:
    def seeds(shown: dict[str, Any]) -> dict[str, int]:
        record: dict[str, int] = json.loads((place / shown["folder"] / "run.json").read_text("utf-8"))["seeds"]
        return record

    with Servers() as server:
        assert seeds(judged(place, server, "judge.seed=7")) == {"judge.seed": 7}
        assert {request.body.get("seed") for request in server.requests if request.body["model"] == "judge"} == {7}
        assert seeds(judged(place, server, "judge.seed=7", "llm.seed=3")) == {"llm.seed": 3, "judge.seed": 7}
        own = [*server.writing(), "llm.seed=3", "answers=false"]
        assert seeds(evaluated(place, *own, **ENV)) == {}, "nobody was asked"


def test_trials_of_a_sweep_share_verdicts_on_the_same_answers(place: Path) -> None:
    with Servers() as server:
        sweep = evaluated(place, *server.overrides(), BOTH, "-m", "retriever.top_k=2,3", **ENV)
    correctness = [case for instruction, case in server.asked if "right answers" in instruction]
    assert len(correctness) == len(set(correctness)) == 3, "no passage is shown, so that both trials ask the same"
    assert [item["state"] for item in sweep["trials"]] == ["done", "done"]


def test_another_judge_is_asked_again_and_its_runs_are_not_compared(place: Path) -> None:
    with Servers() as server:
        one = judged(place, server)
        assert stage(judged(place, server, "judge.timeout=5")) == (6, 0)
        other = judged(place, server, "judge.model=stricter", "retriever.top_k=3")
        assert stage(other) == (0, 6)
    runs = [load_run(place / shown["folder"]) for shown in (one, other)]
    with pytest.raises(DataError, match="must share a judge"):
        demand_comparable(runs)


def test_config_does_not_win_by_missing_verdicts_or_by_abstaining(place: Path) -> None:
    """A judge's silence and an abstention count as zero where runs are paired, whatever the run's own mean is."""
    with Servers() as server:
        whole = judged(place, server)
        server.replies = {"perhaps": "no verdict"}
        server.answered["bell ring"] = "It rings at midnight, perhaps [1]."
        missing = judged(place, server, "prompt.max_context_tokens=5000")
        server.answered["bell ring"] = NO_ANSWER["en"]
        abstaining = judged(place, server, "prompt.max_context_tokens=4000")
    assert whole["metrics"]["faithfulness"] < missing["metrics"]["faithfulness"] == 1.0
    assert abstaining["metrics"]["faithfulness"] == 1.0
    runs = [load_run(place / shown["folder"]) for shown in (whole, missing, abstaining)]
    demand_comparable(runs)
    paired = build_table(runs, "faithfulness")
    assert paired.means.tolist() == [pytest.approx(2 / 3)] * 3
    assert (paired.not_judged, paired.not_answered) == ([0, 1, 0], [0, 0, 1])


def test_judges_key_comes_from_the_environment_and_is_in_nothing_that_is_left(place: Path) -> None:
    with Servers() as server:
        missing = evaluate(place, *server.overrides(), BOTH, JUDGE_KEY="")
        assert missing.returncode == 1
        assert missing.stderr.startswith("judge: the " + variable_must_hold("JUDGE_KEY"))
        assert not server.requests, "reported before anything is paid for"
        judged(place, server)
        server.api_key = "another"
        refused = evaluate(place, *server.overrides(), BOTH, "judge.model=other", **ENV)
    assert refused.returncode == 1
    assert key_not_valid("JUDGE_KEY").rstrip() in refused.stderr
    files = [path for path in (place / ".ragloom").rglob("*") if path.is_file()]
    assert [str(path) for path in files if b"planted" in path.read_bytes()] == []


def test_what_is_judged_by_whom() -> None:
    query = Query("q", "How long?", answers=("five years",), answerable=True)
    answered = QueryOutcome(answer=Answer("Five years.", passages=("one",)))
    silent = QueryOutcome(answer=Answer(NO_ANSWER["ko"]))
    assert "Passage 1:\none" in (judge_request("faithfulness", query, answered) or ("", ""))[1]  # type: ignore[index]
    assert right_answer(1, "five years") in str(judge_request("correctness", query, answered))
    assert judge_request("faithfulness", query, silent) is None
    assert judge_request("correctness", query, silent) == Verdict(False, abstained_wrongly())
    failed = QueryOutcome(error="it broke")
    assert (
        judge_request("faithfulness", query, failed)
        == judge_request("correctness", query, failed)
        == Verdict(False, "the question failed")
    )
    for name in ("faithfulness", "correctness"):
        assert judge_request(name, Query("n", "Who?", answerable=False), failed) is None
    assert judge_request("correctness", Query("w", "Why?"), answered) is None
    assert judge_request("faithfulness", Query("w", "Why?"), answered) is not None


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["judge=openai"], "must have answers to judge; set answers=true, or leave it out"),
        (["answers=true"], judge_needed("none") + set_judge()),
        (
            ["answers=true", "judge=extractive"],
            unknown_option("judge=extractive", "judge") + known_names("none", "openai"),
        ),
        (["answers=true", "judge=openai", "judge.temperature=1.0"], "judge.temperature=1.0 must be 0"),
        (
            ["answers=true", "judge=openai", "judge.context_window=4096"],
            left_by_window("prompt.max_context_tokens=6000", 2560, 4096),
        ),
        (["answers=true", "judge=openai", "judge.max_tokens=2000000"], "lower judge.max_tokens"),
    ],
)
def test_judge_that_is_missing_or_cannot_judge_is_named(overrides: list[str], line: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(["metrics.answers=[faithfulness]", *overrides])
    assert line in str(raised.value)


def test_option_that_only_extracts_is_no_judge(tmp_path: Path) -> None:
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge" / "mine.yaml").write_text("_target_: ragloom.components.llm.extractive\nmax_sentences: 1\n")
    with pytest.raises(ConfigError, match=wording(judge_needed("mine"))):
        load(["metrics.answers=[correctness]", "answers=true", "judge=mine"], extra_dir=str(tmp_path))


@pytest.mark.parametrize("reason", ["content_filter", "error"])
def test_filtered_or_failed_reply_is_a_failed_question_and_no_abstention(place: Path, reason: str) -> None:
    with Servers() as server:
        server.answered["captain"] = NO_ANSWER["en"]
        server.finish_reason = reason
        shown = evaluated(place, *server.writing(), "metrics.answers=[f1,answered,abstained]", status=3, **ENV)
        assert shown["counts"]["errors"] == len(QUESTIONS)
        assert all(repr(reason) in line["error"] for line in queries(place, shown))
        assert shown["metrics"]["abstained"] == shown["metrics"]["answered"] == shown["metrics"]["f1"] == 0.0
        server.finish_reason = "stop"
        again = evaluated(place, *server.writing(), "metrics.answers=[f1,answered,abstained]", **ENV)
    assert again["metrics"]["abstained"] == 1.0, "a failed reply is not kept: the next run asks again"


def test_judges_reply_that_was_filtered_is_no_verdict(place: Path) -> None:
    with Servers() as server:
        evaluated(place, *server.writing(), "metrics.answers=[f1]", **ENV)
        server.finish_reason = "content_filter"
        shown = judged(place, server)
    assert shown["verdicts"]["faithfulness"]["not_judged"] == 3
    assert "content_filter" in queries(place, shown)[0]["verdicts"]["faithfulness"]["reason"]


def test_reasoning_of_writer_and_judge_is_no_part_of_answer_and_verdict(place: Path) -> None:
    with Servers() as server:
        server.answered["beds"] = f"<think>{NO_ANSWER['en']} Or [2]?</think>\n\nIt has four beds [1]."
        server.replies = {"four beds [1]": f"Let me see: fail?\n</think>\n{said('pass')}"}
        shown = judged(place, server)
    beds = queries(place, shown)[2]
    assert beds["answer"] == "It has four beds [1]."
    assert beds["reasoning"] == f"{NO_ANSWER['en']} Or [2]?"
    assert beds["metrics"]["faithfulness"] == beds["metrics"]["answered"] == 1.0

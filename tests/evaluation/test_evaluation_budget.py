"""What an evaluation may spend: no call of an LLM is sent that might exceed it, and what was asked is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage

import ragloom.providers.openai_client
from evaluation_corpus import evaluate, evaluated, importable, own_llm, write_corpus, write_questions
from loopback import Fault, OpenAIServer, Request, raw, slow, status
from made import make
from messages import wording
from messages.cli import from_there, same_command_goes_on
from messages.evaluation import (
    budget_not_counted,
    dollars_spent,
    more_than_left,
    next_request_up_to,
    no_gold_at_all,
    price_needed,
)
from ragloom.components.llm.openai_llm import OpenAIChat, sent_tokens
from ragloom.core.budget import Bound, Budget, BudgetSpent, within
from ragloom.core.tokenizers import load
from ragloom.errors import ServiceError

pytestmark = pytest.mark.slow

COUNT = load("cl100k_base").count
REPLY = '{"verdict": "pass", "reason": "the passage says so"}'
LONGEST = 50
QUESTIONS = 4


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working directory with a corpus and questions that have right answers."""
    write_corpus(tmp_path)
    words = ["anchor", "bell", "cabin", "deck"]
    write_questions(tmp_path, [{"id": word, "question": f"What of the {word}?", "answers": [word]} for word in words])
    return tmp_path


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ragloom.providers.openai_client, "sleep", lambda seconds: None)


def counting(*script: Fault) -> OpenAIServer:
    return OpenAIServer(script, answer=REPLY, count=COUNT)


def llm(group: str, server: OpenAIServer) -> list[str]:
    keys = {"base_url": server.base_url, "model": f"my-{group}", "max_tokens": LONGEST}
    return [f"{group}=openai_compatible", *(f"{group}.{key}={value}" for key, value in keys.items())]


def asked(server: OpenAIServer, *further: str) -> list[str]:
    """Has answers written and judged, a question at a time, each token at a millionth of a dollar."""
    price = "{input: 1, output: 1}"
    return [
        *llm("llm", server),
        *llm("judge", server),
        "answers=true",
        "metrics.answers=[answered,correctness]",
        "concurrency=1",
        f"+prices.models={{my-llm: {price}, my-judge: {price}}}",
        *further,
    ]


def texts(request: Request) -> list[str]:
    return [message["content"] for message in request.body["messages"]]


def billed(request: Request) -> int:
    return sum(map(COUNT, texts(request))) + COUNT(REPLY)


def stages(shown: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {unit["stage"]: (unit["hits"], unit["made"]) for unit in shown["stages"]}


@pytest.mark.parametrize("calls", [3, 6], ids=["while answering", "while judging"])
@pytest.mark.parametrize("short", [0, 1], ids=["fits exactly", "one token short"])
def test_run_stops_before_the_call_that_might_exceed_it_and_goes_on(place: Path, calls: int, short: int) -> None:
    with counting() as server:
        evaluated(place, *asked(server), "stages=null", "runs=apart")
        requests = list(server.requests)
        server.requests.clear()
        *before, last = requests[:calls]
        most = sum(map(billed, before)) + sent_tokens(texts(last)) + LONGEST - short
        done = evaluate(place, *asked(server), f"budget.max_usd={most / 1e6:.6f}")
        assert done.returncode == 1
        assert done.stderr.startswith("budget: budget.max_usd=")
        assert "the " + same_command_goes_on() + from_there() in done.stderr
        assert len(server.requests) == calls - short
        assert sum(map(billed, server.requests)) <= most
        rest = stages(evaluated(place, *asked(server)))
        assert len(server.requests) == len(requests) == 2 * QUESTIONS, "what was asked is not asked again"
        assert rest["answers"] == (min(QUESTIONS, calls - short), max(0, QUESTIONS - calls + short))


def test_concurrent_calls_stay_within_it_together(place: Path) -> None:
    with counting() as server:
        evaluated(place, *asked(server), "stages=null", "runs=apart")
        whole = sum(map(billed, server.requests))
        server.requests.clear()
        done = evaluate(place, *asked(server), "concurrency=4", f"budget.max_usd={whole / 2e6:.6f}")
        assert done.returncode == 1
        assert sum(map(billed, server.requests)) <= whole / 2


def test_sweep_stops_within_a_trial_whose_rest_a_later_run_asks(place: Path) -> None:
    sweep = ["-m", "prompt.max_context_tokens=4000,5000,6000"]
    with counting() as server:
        one = evaluated(place, *asked(server), "stages=null", "runs=apart", "prompt.max_context_tokens=4000")
        bills = list(map(billed, server.requests))
        server.requests.clear()
        most = sum(bills) + sum(bills[:2]) + LONGEST
        shown = evaluated(place, *asked(server), *sweep, f"budget.max_usd={most / 1e6:.6f}", status=1)
        assert [item["state"] for item in shown["trials"]] == ["done", "waiting", "waiting"]
        assert shown["trials"][0]["told"]["spent"]["usd"] == pytest.approx(sum(bills) / 1e6)
        assert "budget.max_usd=" in shown["trials"][1]["error"]
        assert len(bills) < len(server.requests) < len(bills) + QUESTIONS
        assert sum(map(billed, server.requests)) <= most
        rest = evaluated(place, *asked(server), *sweep)
        assert [item["state"] for item in rest["trials"]] == ["done"] * 3
    assert one["verdicts"]["correctness"]["passed"] == QUESTIONS
    assert len(server.requests) == QUESTIONS * 3 + QUESTIONS, "three times answered; the same answers are judged once"


def test_sweep_counts_what_failed_trials_spent(place: Path) -> None:
    sweep = ["-m", "prompt.max_context_tokens=4000,5000,6000"]
    with counting() as server:
        evaluated(place, *asked(server), "stages=null", "runs=apart", "prompt.max_context_tokens=4000")
        most = 1.5 * sum(map(billed, server.requests[:QUESTIONS])) + LONGEST
    refuses = [*[Fault()] * QUESTIONS, status(401)]
    with counting(*refuses, *refuses, *refuses) as server:
        shown = evaluated(place, *asked(server), *sweep, f"budget.max_usd={most / 1e6:.6f}", status=1)
        assert [item["state"] for item in shown["trials"]] == ["failed", "waiting", "waiting"]
        assert all("spent" in item["told"] for item in shown["trials"][:2])
        answered = [request for request in server.requests if request.body["model"] == "my-llm"]
        assert QUESTIONS < len(answered) < 2 * QUESTIONS
        assert sum(map(billed, answered)) <= most


def test_sweep_counts_what_a_server_does_not_report(place: Path) -> None:
    sweep = ["-m", "prompt.max_context_tokens=4000,5000,6000"]
    with OpenAIServer(answer=REPLY, count=COUNT, reports_usage=False) as server:
        evaluated(place, *asked(server), "stages=null", "runs=apart", "prompt.max_context_tokens=4000")
        most = 3 * sum(map(billed, server.requests)) // 2
        server.requests.clear()
        shown = evaluated(place, *asked(server), *sweep, f"budget.max_tokens={most}", status=1)
        assert [item["state"] for item in shown["trials"]][-1] == "waiting"
        assert sum(map(billed, server.requests)) <= most


def test_tokens_of_llms_count_as_those_that_are_embedded(place: Path) -> None:
    with counting() as server:
        evaluated(place, "answers=true")  # what is embedded is there
        done = evaluate(place, *asked(server), f"budget.max_tokens={LONGEST}")
        assert done.returncode == 1
        assert next_request_up_to() in done.stderr
        assert not server.requests


def test_dollars_without_the_price_of_an_llm_or_a_judge_are_refused_before_anything_is_paid(place: Path) -> None:
    with counting() as server:
        done = evaluate(place, *asked(server)[:-1], "budget.max_usd=1")
        assert not server.requests
    assert done.returncode == 1
    for model in ("my-llm", "my-judge"):
        assert price_needed("budget.max_usd=1", model) in done.stderr
    assert not (place / ".ragloom").exists()


@pytest.mark.parametrize("limit", ["budget.max_usd=1", "budget.max_tokens=100000"])
def test_llm_of_ones_own_that_no_budget_sees_is_refused_where_anything_is_limited(place: Path, limit: str) -> None:
    own = [*own_llm(place), "answers=true"]
    with importable(place):
        done = evaluate(place, *own, limit)
        assert not (place / ".ragloom").exists()
        unlimited = evaluate(place, *own)
        searching = evaluate(place, *own, limit, "answers=false")
    assert done.returncode == 1
    key, _, value = limit.partition("=")
    assert done.stderr.startswith(budget_not_counted(f"{key}={value}", "llm=mine"))
    assert "`paid: ClassVar[bool] = False`" in done.stderr
    assert unlimited.returncode == 0, unlimited.stderr
    assert "budget" not in searching.stderr, "nothing is asked of it; the questions have no gold, which is an error"
    assert no_gold_at_all() in searching.stderr


def test_llm_of_ones_own_that_is_said_to_cost_nothing_is_asked_within_a_budget(place: Path) -> None:
    own = [*own_llm(place, "paid: ClassVar[bool] = False"), "answers=true"]
    with importable(place):
        done = evaluate(place, *own, "budget.max_usd=1")
        free = evaluate(place, "answers=true", "budget.max_usd=1")
    assert done.returncode == free.returncode == 0, done.stderr + free.stderr


def chat(server: OpenAIServer, **changed: Any) -> OpenAIChat:
    keys = {"base_url": server.base_url, "model": "m", "max_tokens": LONGEST, "attempts": 2}
    made = make("llm", "openai_compatible", **(keys | changed))
    assert isinstance(made, OpenAIChat)
    return made


MESSAGES = [ChatMessage(content="Is it so?")]
GIVEN = COUNT("Is it so?")


@pytest.mark.parametrize(
    ("faults", "tokens"),
    [
        ([], GIVEN + COUNT(REPLY)),
        ([status(500)], GIVEN + COUNT(REPLY)),
        ([status(500), status(429)], 0),
        ([status(400)], 0),
        ([slow(1.0)], sent_tokens(["Is it so?"]) + LONGEST + GIVEN + COUNT(REPLY)),
        ([raw(b"no JSON"), raw(b"no JSON")], 2 * (sent_tokens(["Is it so?"]) + LONGEST)),
    ],
    ids=["answered", "tried again", "gave up", "refused", "timed out, and may be billed", "answered with what is none"],
)
def test_budget_ends_with_what_is_billed_or_may_be(faults: list[Fault], tokens: int) -> None:
    budget = Budget(max_usd=None, max_tokens=10_000, price=0)
    with counting(*faults) as server, within(budget):
        try:
            chat(server, timeout=0.4).chat(MESSAGES)
        except ServiceError:
            assert len(faults) > 1 or faults[0].status == 400
    assert budget.tokens == tokens


def test_reply_without_a_limit_may_fill_the_window() -> None:
    with counting() as server, within(Budget(max_usd=None, max_tokens=8000, price=0)):
        with pytest.raises(BudgetSpent, match=wording(more_than_left(8192, 8000))):
            chat(server, max_tokens=None).chat(MESSAGES)
        assert not server.requests


def test_llms_price_counts_what_is_sent_and_what_is_replied() -> None:
    prices = {"m": {"input": 1, "output": 10}}
    budget = Budget(max_usd=0.000110, max_tokens=None, price=0, prices=prices)
    with within(budget):
        bound = Bound("m", input=10, output=10)
        bound.take()
        with pytest.raises(BudgetSpent, match=wording(dollars_spent("0.000110", "0.000001"))):
            Bound("m", input=1, output=0).take()
    later = Budget(max_usd=0.000110, max_tokens=None, price=0, prices=prices)
    with within(later):
        bound.take()
        bound.settle(10, 1)
        Bound("m", input=90, output=0).take()
    assert later.tokens == 10 + 1 + 90

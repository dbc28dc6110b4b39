"""What a dry run says of questions, answers, reranking and verdicts: a bound that the real run keeps, and no zero unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evaluation_corpus import DOCUMENTS, evaluate, evaluated, importable, own_llm, write_corpus, write_questions
from loopback import OpenAIServer
from messages.evaluation import in_all, not_estimated, planned_requests, reply_tokens, without_local_time
from ragloom.core.prompt_and_reply import NO_ANSWER
from ragloom.core.tokenizers import load

pytestmark = pytest.mark.slow

COUNT = load("cl100k_base").count
KEY = {"OPENAI_API_KEY": "sk-test-0123456789"}
WORDS = ["anchor", "bell", "cabin", "deck"]
QUESTIONS = [f"What of the {word}?" for word in WORDS]
PRICES = "+prices.models={writer: {input: 1, output: 2}, judge: {input: 10, output: 20}}"
PASS = '{"verdict": "pass", "reason": "it says so"}'


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working directory with a corpus and questions that have right answers, and documents as gold."""
    write_corpus(tmp_path)
    gold = {word: {"answers": [word], "documents": {f"{word}.txt": 1}} for word in WORDS}
    write_questions(tmp_path, [{"id": word, "question": f"What of the {word}?", **gold[word]} for word in WORDS])
    return tmp_path


def replied(messages: list[dict[str, str]]) -> str:
    instruction, asked = messages[0]["content"], messages[-1]["content"]
    if instruction.startswith("You rank"):
        return " > ".join(f"[{number}]" for number in range(1, asked.count("\n\n[") + 1))
    return PASS if instruction.startswith("You check") else "It is so [1]."


def serving() -> OpenAIServer:
    return OpenAIServer(answer=replied, count=COUNT)


def llm(group: str, server: OpenAIServer, model: str) -> list[str]:
    keys = {"base_url": server.base_url, "model": model, "max_tokens": 100}
    return [f"{group}=openai_compatible", *(f"{group}.{key}={value}" for key, value in keys.items())]


def judged(server: OpenAIServer) -> list[str]:
    metrics = "metrics.answers=[answered,faithfulness,correctness]"
    return [*llm("llm", server, "writer"), *llm("judge", server, "judge"), "answers=true", metrics, PRICES]


def asked(plan: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {item["what"]: item for item in plan["asked"]}


def test_questions_are_counted_exactly_where_they_are_paid_for_and_not_cached(place: Path) -> None:
    with serving() as server:
        paid = ["embedding=openai", "embedding.dimensions=16", f"embedding.base_url={server.base_url}"]
        sweep = [*paid, "-m", "retriever=dense,hybrid,bm25"]
        plan = evaluated(place, *sweep, "dry_run=true", **KEY)
        tokens = sum(map(COUNT, QUESTIONS))
        assert asked(plan)["questions"] == {
            "what": "questions",
            "model": "text-embedding-3-small",
            "requests": 4,
            "input_tokens": tokens,
            "output_tokens": 0,
            "cost_usd": pytest.approx(tokens * 0.02 / 1e6),
        }
        assert plan["cost_usd_at_most"] == pytest.approx((plan["tokens"] + tokens) * 0.02 / 1e6)
        assert not server.requests
        evaluated(place, *paid, "retriever=dense", **KEY)
        assert server.tokens == plan["tokens"] + tokens
        assert asked(evaluated(place, *sweep, "dry_run=true", **KEY)) == {}, "all are in the cache"
        timed = evaluated(place, *paid, "retriever=dense", "latency.questions=2", "dry_run=true", **KEY)
        assert asked(timed)["questions"]["requests"] == 2 + 2, "a pass for latency warms up, and finds nothing cached"
        before = len(server.requests)
        evaluated(place, *paid, "retriever=dense", "latency.questions=2", **KEY)
        assert len(server.requests) == before + 4


@pytest.mark.parametrize("embedding", ["hashing", "bm25 alone"])
def test_what_costs_nothing_is_not_listed(place: Path, embedding: str) -> None:
    with serving() as server:
        own = ["retriever=dense"] if embedding == "hashing" else ["embedding=openai", f"llm.base_url={server.base_url}"]
        own += [] if embedding == "hashing" else ["llm=openai"]
        plan = evaluated(place, *own, "dry_run=true", **KEY)
        answers = evaluated(place, "answers=true", "dry_run=true")
    assert plan["asked"] == answers["asked"] == []
    assert plan["unknown"] == answers["unknown"] == ["what local computing takes"]


def test_answers_and_verdicts_cost_at_most_what_is_said_and_nothing_once_they_are_there(place: Path) -> None:
    with serving() as server:
        plan = evaluated(place, *judged(server), "dry_run=true")
        most = asked(plan)
        assert {what: item["requests"] for what, item in most.items()} == {"answers": 4, "verdicts": 8}
        assert not server.requests
        cost = evaluated(place, *judged(server))["cost"]
        assert 0 < cost["llm_input_tokens"] <= most["answers"]["input_tokens"]
        assert 0 < cost["llm_output_tokens"] <= most["answers"]["output_tokens"] == 4 * 100
        assert 0 < cost["judge_input_tokens"] <= most["verdicts"]["input_tokens"]
        assert cost["usd"] + cost["judge_usd"] <= plan["cost_usd_at_most"]
        answers, verdicts = most["answers"], most["verdicts"]
        spent = answers["input_tokens"] + 2 * answers["output_tokens"]
        spent += 10 * verdicts["input_tokens"] + 20 * verdicts["output_tokens"]
        assert plan["cost_usd_at_most"] == pytest.approx(spent / 1e6)
        again = evaluated(place, *judged(server), "dry_run=true")
        assert again["asked"] == []
        assert again["cost_usd_at_most"] == 0.0
        other = evaluated(place, *judged(server), "judge.model=another", "dry_run=true")
        assert [(item["what"], item["requests"], item["cost_usd"]) for item in other["asked"]] == [
            ("verdicts", 8, None)
        ]
        assert other["cost_usd_at_most"] is None, "a price that is not known is no zero"


def test_verdicts_on_known_answers_are_counted_by_what_the_judge_is_sent(place: Path) -> None:
    with serving() as server:
        evaluated(place, *llm("llm", server, "writer"), "answers=true", "metrics.answers=[answered]", PRICES)
        (verdicts,) = evaluated(place, *judged(server), "dry_run=true")["asked"]
        before = server.tokens
        evaluated(place, *judged(server))
        sent = server.tokens - before
    assert sent <= verdicts["input_tokens"] <= sent + 8 * 3 * 4, "but for what the protocol adds to each message"


def test_abstention_is_known_to_be_unasked(place: Path) -> None:
    with OpenAIServer(answer=NO_ANSWER["en"], count=COUNT) as server:
        evaluated(place, *judged(server))
        assert evaluated(place, *judged(server), "dry_run=true")["asked"] == []


@pytest.mark.parametrize("names", ["nDCG@3", "nDCG@3,R@12"], ids=["as the config says", "metrics look deeper"])
def test_llm_that_reranks_is_asked_once_however_deep_metrics_look(tmp_path: Path, names: str) -> None:
    calls = 1 + 3  # of windows of 4 passages of 9, moved by 2
    write_corpus(tmp_path, {f"{at}-{name}": text for at in range(3) for name, text in DOCUMENTS.items()})
    write_questions(
        tmp_path,
        [{"id": "q", "question": "ferry bell noon anchor cabin deck the", "gold": [("0-bell.txt", "rings at noon")]}],
    )
    with serving() as server:
        keys = [
            "retriever.top_k=9",
            "reranker=llm",
            "reranker.window_size=4",
            "reranker.window_step=2",
            f"metrics.spans=[{names}]",
        ]
        own = [*llm("llm", server, "writer"), *keys, PRICES]
        plan = evaluated(tmp_path, *own, "dry_run=true")
        (reranking,) = plan["asked"]
        assert reranking["what"] == "reranking"
        shown = evaluated(tmp_path, *own)
        assert len(server.requests) == reranking["requests"] == calls
        assert 0 < shown["cost"]["llm_input_tokens"] <= reranking["input_tokens"]
        assert shown["cost"]["usd"] <= plan["cost_usd_at_most"]
        assert evaluated(tmp_path, *own, "dry_run=true")["asked"] == []
        server.requests.clear()
        (answers,) = evaluated(tmp_path, *own, "answers=true", "dry_run=true")["asked"]
        evaluated(tmp_path, *own, "answers=true")
        assert len(server.requests) == answers["requests"]
        server.requests.clear()
        fresh = ["answers=true", "latency.questions=1", "stages=null"]
        plan = evaluated(tmp_path, *own, *fresh, "dry_run=true")
        evaluated(tmp_path, *own, *fresh)
        assert len(server.requests) == sum(item["requests"] for item in plan["asked"])


def test_trials_that_share_answers_count_them_once(place: Path) -> None:
    with serving() as server:
        sweep = ["-m", "metrics.min_coverage=0.5,1.0"]
        plan = evaluated(place, *judged(server), *sweep, "dry_run=true")
        assert {item["what"]: item["requests"] for item in plan["asked"]} == {"answers": 4, "verdicts": 8}
        both = evaluated(place, *judged(server), "-m", "prompt.max_context_tokens=3000,4000", "dry_run=true")
    assert {item["what"]: item["requests"] for item in both["asked"]} == {"answers": 8, "verdicts": 16}


def test_trials_that_keep_nothing_each_ask_again(place: Path) -> None:
    with serving() as server:
        sweep = ["-m", "metrics.min_coverage=0.5,1.0", "stages=null"]
        plan = evaluated(place, *judged(server), *sweep, "dry_run=true")
        assert {item["what"]: item["requests"] for item in plan["asked"]} == {"answers": 8, "verdicts": 16}
        evaluated(place, *judged(server), *sweep)
        assert len(server.requests) == 24


@pytest.mark.parametrize("enabled", [True, False])
def test_questions_are_counted_for_each_trial_where_no_vector_is_kept(place: Path, enabled: bool) -> None:
    with serving() as server:
        paid = ["embedding=openai", "embedding.dimensions=16", f"embedding.base_url={server.base_url}"]
        sweep = [*paid, f"cache.enabled={enabled}", "-m", "retriever=dense,hybrid"]
        plan = evaluated(place, *sweep, "dry_run=true", **KEY)
        assert asked(plan)["questions"]["requests"] == (4 if enabled else 8)
        evaluated(place, *sweep, **KEY)
        assert server.tokens == plan["tokens"] + asked(plan)["questions"]["input_tokens"]


def test_questions_are_embedded_once_for_ranking_and_answer(tmp_path: Path) -> None:
    write_corpus(tmp_path, {f"{at}-{name}": text for at in range(3) for name, text in DOCUMENTS.items()})
    gold = [("0-bell.txt", "rings at noon")]
    write_questions(tmp_path, [{"id": f"{n}", "question": f"What of bell {n}?", "gold": gold} for n in range(70)])
    with serving() as server:
        paid = ["embedding=openai", "embedding.dimensions=16", f"embedding.base_url={server.base_url}"]
        own = [*paid, "cache.enabled=false", "retriever=dense", "answers=true"]
        plan = evaluated(tmp_path, *own, "dry_run=true", **KEY)
        assert asked(plan)["questions"]["requests"] == 70
        evaluated(tmp_path, *own, **KEY)
        assert server.tokens == plan["tokens"] + asked(plan)["questions"]["input_tokens"]


def test_passes_for_latency_embed_a_question_for_the_reranker_as_well(place: Path) -> None:
    with serving() as server:
        paid = ["embedding=openai", "embedding.dimensions=16", f"embedding.base_url={server.base_url}"]
        own = [*paid, "retriever=dense", "retriever.top_k=11", "reranker=mmr", "latency.questions=2"]
        plan = evaluated(place, *own, "dry_run=true", **KEY)
        evaluated(place, *own, **KEY)
        assert server.tokens == plan["tokens"] + asked(plan)["questions"]["input_tokens"]


def test_long_headings_before_passages_are_within_what_is_said(tmp_path: Path) -> None:
    heading = " ".join(f"chapter {number} of the voyage" for number in range(40))
    documents = {f"{at}.md": f"# {heading}\n\nThe bell rings at noon, {at} times.\n" for at in range(5)}
    write_corpus(tmp_path, documents)
    write_questions(tmp_path, [{"id": "q", "question": "When does the bell ring?", "answers": ["noon"]}])
    with serving() as server:
        own = [*judged(server), "chunking.chunk_size=16", "chunking.chunk_overlap=0"]
        most = asked(evaluated(tmp_path, *own, "dry_run=true"))
        cost = evaluated(tmp_path, *own)["cost"]
    assert cost["llm_input_tokens"] > 3 * COUNT(heading), "the headings stand before the passages"
    assert cost["llm_input_tokens"] <= most["answers"]["input_tokens"]
    assert cost["judge_input_tokens"] <= most["verdicts"]["input_tokens"]


def test_labels_before_passages_that_fill_the_prompt_are_within_what_the_judge_is_said_to_be_sent(
    tmp_path: Path,
) -> None:
    write_corpus(tmp_path, {f"{at}.txt": f"bell {at}" for at in range(40)})
    write_questions(tmp_path, [{"id": "q", "question": "Which bell?", "answers": ["all"]}])
    with serving() as server:
        own = [*judged(server), "metrics.answers=[faithfulness]", "prompt=plain", "llm.max_tokens=5"]
        full = 40 * COUNT("bell 12\n")
        own += ["retriever.top_k=40", "reranker.top_n=40", f"prompt.max_context_tokens={full}"]
        most = asked(evaluated(tmp_path, *own, "dry_run=true"))
        cost = evaluated(tmp_path, *own)["cost"]
    assert full < cost["judge_input_tokens"] <= most["verdicts"]["input_tokens"]
    assert cost["llm_input_tokens"] <= most["answers"]["input_tokens"]


def test_dry_run_demands_no_key(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    own = ["llm=openai", "judge=openai", "embedding=openai", "answers=true", "metrics.answers=[correctness]"]
    plan = evaluated(place, *own, "dry_run=true")
    assert {item["what"] for item in plan["asked"]} == {"answers", "verdicts"}
    done = evaluate(place, *own)
    assert done.returncode == 1
    assert "OPENAI_API_KEY" in done.stderr


def test_answers_of_a_length_that_nobody_knows_have_no_price_before_the_judge(place: Path) -> None:
    with serving() as server:
        mine = own_llm(place, "paid: ClassVar[bool] = False")
        own = [*mine, *judged(server)[len(llm("llm", server, "writer")) :], "dry_run=true"]
        with importable(place):
            plan = evaluated(place, *own)
    assert plan["cost_usd_at_most"] is None
    assert plan["unknown"][1:] == ["how long the answers of llm=mine are, which the judge reads"]


def test_text_says_what_is_asked_what_it_costs_and_on_what_that_rests(place: Path) -> None:
    with serving() as server:
        text = evaluate(place, *judged(server), "dry_run=true").stdout
        unknown = evaluate(place, *judged(server)[:-1], "dry_run=true").stdout
    assert planned_requests(4, "writer") in text
    assert "sent, " + reply_tokens(400, "at most $0.0") in text
    assert in_all("at most $0.") in text
    assert "a reply max_tokens" in text
    assert reply_tokens(400, "unknown price") in unknown
    assert in_all("unknown price") in unknown
    assert without_local_time() in text


def test_llm_of_ones_own_that_does_not_say_what_it_costs_is_named(place: Path) -> None:
    own = [*own_llm(place), "answers=true", "dry_run=true"]
    with importable(place):
        done = evaluate(place, *own)
        plan = evaluated(place, *own)
    assert not_estimated("llm=mine") in done.stdout, done.stderr
    assert plan["cost_usd_at_most"] is None, "what is not known is no zero"

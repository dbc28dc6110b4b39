"""What servers put into a reply: reasons to end, reasoning, lists of parts, halves of characters; whole and streamed."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from fakes import FakeIndex, chunk
from loopback import Fault, OpenAIServer, edit, raw, status
from made import make
from messages import wording
from messages.llm import reasoning_only
from ragloom.components import retriever
from ragloom.components.llm.openai_llm import OpenAIChat
from ragloom.components.llm.reasoning import Separator
from ragloom.components.prompt.base import Prompt
from ragloom.components.reranker import none
from ragloom.components.reranker.llm_reranker import Listwise
from ragloom.config.config import load as load_config
from ragloom.core.prompt_and_reply import ending_note, has_failed, reasoning_of
from ragloom.core.tokenizers import load
from ragloom.errors import ConfigError, ServiceError
from ragloom.query.engine import CitedQueryEngine
from ragloom.query.query_result import QueryResult

SENTENCE = "The frame is covered for five years from the day of purchase."
TEXT = f'{SENTENCE} [1]\n\n[1] "{SENTENCE}"'
THOUGHT = "[1] seems right, and [2] too."
QUESTION = [ChatMessage(role="system", content="Be brief."), ChatMessage(content="How long?")]


_made: dict[str, OpenAIChat] = {}


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    """One server and few clients for all tests: making a client takes longer than asking it."""
    with OpenAIServer() as serving.server:  # type: ignore[attr-defined]
        yield
    _made.clear()


@contextmanager
def serving(
    script: Sequence[Fault] = (), *, answer: str = "An answer [1].", finish_reason: str = "stop"
) -> Iterator[OpenAIServer]:
    """Has the server answer so."""
    server: OpenAIServer = serving.server  # type: ignore[attr-defined]
    server.script, server.answer, server.finish_reason = list(script), answer, finish_reason
    server.requests.clear()
    yield server


def compatible(server: OpenAIServer, **changed: Any) -> OpenAIChat:
    key = json.dumps(changed)
    if key not in _made:
        _made[key] = make("llm", "openai_compatible", **({"base_url": server.base_url, "attempts": 1} | changed))
    return _made[key]


def engine(llm: OpenAIChat) -> CitedQueryEngine:
    class Document:
        text = SENTENCE

    return CitedQueryEngine(
        retriever.bm25(FakeIndex([chunk("a.md", 0, SENTENCE)]), top_k=5, filters=None, min_score=None),
        none(top_n=5),
        Prompt({"en": "Answer.", "ko": "답하세요."}, "auto", 1000, "cl100k_base", numbered=True),
        llm,
        lambda _: Document(),
    )


def whole(llm: OpenAIChat) -> ChatResponse:
    return llm.chat(QUESTION)


def awhole(llm: OpenAIChat) -> ChatResponse:
    return asyncio.run(llm.achat(QUESTION))


def streamed(llm: OpenAIChat) -> ChatResponse:
    return list(llm.stream_chat(QUESTION))[-1]


def astreamed(llm: OpenAIChat) -> ChatResponse:
    async def ask() -> ChatResponse:
        return [response async for response in await llm.astream_chat(QUESTION)][-1]

    return asyncio.run(ask())


Ask = Callable[[OpenAIChat], ChatResponse]
two_ways = pytest.mark.parametrize("ask", [whole, streamed], ids=lambda ask: ask.__name__)
every_way = pytest.mark.parametrize("ask", [whole, awhole, streamed, astreamed], ids=lambda ask: ask.__name__)


def answered(llm: OpenAIChat, *, streaming: bool) -> QueryResult:
    pieces: list[str] = []
    return engine(llm).answer("How long is the frame covered?", on_text=pieces.append if streaming else None)


both_ways = pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])

# Why a reply ended.

FAILED = [
    "content_filter",
    "error",
    "abort",
    "insufficient_system_resource",
    "SAFETY",
    "RECITATION",
    "sensitive",
    "network_error",
    "refusal",
    "tool_calls",
    "cancelled",
    "nobody_knows_this_one",
]


@both_ways
@pytest.mark.parametrize("reason", [*FAILED, "end_turn", "eos"])
def test_reason_other_than_stop_is_a_note(reason: str, streaming: bool) -> None:
    with serving(answer="The frame is cov", finish_reason=reason) as server:
        result = answered(compatible(server), streaming=streaming)
    assert result.answer == "The frame is cov"
    assert result.finish_reason == reason
    assert any(repr(reason) in note and "incomplete" in note for note in result.notes)


@both_ways
@pytest.mark.parametrize("reason", ["length", "max_tokens", "MAX_TOKENS", "model_length"])
def test_reply_that_was_cut_names_the_key_that_raises_the_limit(reason: str, streaming: bool) -> None:
    with serving(answer="The frame is cov", finish_reason=reason) as server:
        result = answered(compatible(server), streaming=streaming)
    assert any("llm.max_tokens" in note for note in result.notes)
    assert not has_failed(reason)


@both_ways
@pytest.mark.parametrize("reason", ["stop", "STOP"])
def test_stop_is_no_note(reason: str, streaming: bool) -> None:
    with serving(answer=TEXT, finish_reason=reason) as server:
        assert answered(compatible(server), streaming=streaming).notes == []


@pytest.mark.parametrize("reason", FAILED)
def test_reason_that_is_not_known_to_be_harmless_has_failed(reason: str) -> None:
    assert has_failed(reason)
    assert ending_note(reason)


@pytest.mark.parametrize("reason", [None, "stop", "STOP", "length", "eos", "end_turn", "stop_sequence", "eos_token"])
def test_reason_of_a_reply_that_stands_has_not_failed(reason: str | None) -> None:
    assert not has_failed(reason)


def test_whole_reply_without_a_reason_is_noted_and_has_not_failed() -> None:
    with serving([edit(lambda body: body["choices"][0].update(finish_reason=None))], answer=TEXT) as server:
        result = answered(compatible(server), streaming=False)
    assert any("not said" in note for note in result.notes)
    assert not has_failed(result.finish_reason)


@both_ways
@pytest.mark.parametrize("reason", ["content_filter", "error", "length"])
def test_reply_without_text_is_an_error_whatever_its_reason(reason: str, streaming: bool) -> None:
    with serving(answer="", finish_reason=reason) as server, pytest.raises(ServiceError, match=reason):
        answered(compatible(server), streaming=streaming)


# Reasoning inside the text.

REASONING = {
    "tags": f"<think>\n{THOUGHT}\n</think>\n\n{TEXT}",
    "tags on one line": f"<think>{THOUGHT}</think>{TEXT}",
    "blanks ahead": f"\n\n  <think>{THOUGHT}</think>\n{TEXT}",
    "capitals": f"<Think>{THOUGHT}</THINK>{TEXT}",
    "closing tag only": f"{THOUGHT}\n</think>\n\n{TEXT}",
    "two blocks": f"<think>{THOUGHT[:15]}</think>\n<think>{THOUGHT[15:]}</think>\n{TEXT}",
}


@every_way
@pytest.mark.parametrize("reply", REASONING.values(), ids=REASONING)
def test_reasoning_is_kept_apart_from_the_text(reply: str, ask: Ask) -> None:
    with serving(answer=reply) as server:  # streams four characters at a time, so that tags come in parts
        message = ask(compatible(server)).message
    assert message.content == TEXT
    assert "".join((reasoning_of(message) or "").split()) == "".join(THOUGHT.split())


@both_ways
@pytest.mark.parametrize("reply", REASONING.values(), ids=REASONING)
def test_citations_are_those_of_the_text_and_not_of_the_reasoning(reply: str, streaming: bool) -> None:
    with serving(answer=reply) as server:
        result = answered(compatible(server), streaming=streaming)
    assert result.answer == f"{SENTENCE} [1]"
    assert [(citation.number, citation.verified) for citation in result.citations] == [(1, True)]
    assert THOUGHT[:15] in (result.reasoning or "")


@two_ways
@pytest.mark.parametrize("tags", [("[THINK]", "[/THINK]"), ("◁think▷", "◁/think▷"), ("<seed:think>", "</seed:think>")])
def test_tags_are_those_of_the_config(tags: tuple[str, str], ask: Ask) -> None:
    with serving(answer=f"{tags[0]}{THOUGHT}{tags[1]}\n{TEXT}") as server:
        message = ask(compatible(server, reasoning_tags=list(tags))).message
    assert (message.content, reasoning_of(message)) == (TEXT, THOUGHT)


@two_ways
def test_reply_that_begins_inside_its_reasoning_never_shows_it(ask: Ask) -> None:
    with serving(answer=f"{THOUGHT}</think>{TEXT}") as server:
        llm = compatible(server, reasoning_tags=["", "</think>"])
        assert ask(llm).message.content == TEXT
        assert "".join(response.delta or "" for response in llm.stream_chat(QUESTION)) == TEXT


@two_ways
def test_without_tags_nothing_is_separated(ask: Ask) -> None:
    with serving(answer=REASONING["tags"]) as server:
        assert ask(compatible(server, reasoning_tags=None)).message.content == REASONING["tags"]


def test_streamed_text_that_turns_out_to_be_reasoning_is_marked() -> None:
    pieces: list[str] = []
    with serving(answer=REASONING["closing tag only"]) as server:
        engine(compatible(server)).answer("frame?", on_text=pieces.append)
    thought, mark, text = "".join(pieces).partition("[the text above is the model's reasoning; its answer:]")
    assert mark
    assert "seems right" in thought
    assert text.strip() == TEXT


def test_streamed_reasoning_is_not_shown() -> None:
    pieces: list[str] = []
    with serving(answer=REASONING["tags"]) as server:
        engine(compatible(server)).answer("frame?", on_text=pieces.append)
    assert "".join(pieces) == TEXT


@two_ways
@pytest.mark.parametrize("reply", ["<think>still at it", "<think>done</think>", "done</think>\n\n"])
def test_reply_of_reasoning_alone_is_an_error(reply: str, ask: Ask) -> None:
    with (
        serving(answer=reply, finish_reason="length") as server,
        pytest.raises(ServiceError, match=wording(reasoning_only())),
    ):
        ask(compatible(server))


@two_ways
@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_in_a_field_of_its_own_is_kept(field: str, ask: Ask) -> None:
    def change(body: dict[str, Any]) -> None:
        said = body["choices"][0] if body["choices"] else {}
        said = said.get("message") or said.get("delta") or {}
        if said.get("content"):
            said[field] = "a"

    with serving([edit(change)], answer="Five years.") as server:
        message = ask(compatible(server)).message
    assert message.content == "Five years."
    assert set(reasoning_of(message) or "") == {"a"}


def test_conversation_goes_on_without_the_reasoning() -> None:
    with serving(answer=REASONING["tags"]) as server:
        llm = compatible(server)
        llm.chat([*QUESTION, llm.chat(QUESTION).message])
    assert server.requests[1].body["messages"][-1] == {"role": "assistant", "content": TEXT}


def test_reranker_reads_the_text_without_reasoning() -> None:
    nodes = [NodeWithScore(node=TextNode(text=text), score=1.0) for text in ("one", "two")]
    with serving(answer="<think>[1] > [2]? No.</think>\n[2] > [1]") as server:
        ranker = Listwise(
            llm=compatible(server),
            tokenizer=load("cl100k_base"),
            top_n=2,
            window_size=20,
            window_step=10,
            passage_tokens=300,
        )
        ranked = ranker.postprocess_nodes(nodes, query_bundle=QueryBundle("q"))
    assert [node.node.get_content() for node in ranked] == ["two", "one"]
    assert ranker.counts == {}


@given(st.text("<think/>ab \n", max_size=40), st.lists(st.integers(1, 5), min_size=1, max_size=40))
def test_separation_is_the_same_however_a_reply_is_cut(reply: str, sizes: Sequence[int]) -> None:
    at_once = Separator(("<think>", "</think>"))
    at_once.take(reply)
    at_once.end()
    pieces = Separator(("<think>", "</think>"))
    at = 0
    for size in [*sizes, len(reply)]:
        pieces.take(reply[at : at + size])
        at += size
    pieces.end()
    assert (pieces.text, pieces.reasoning) == (at_once.text, at_once.reasoning)


@given(st.text("<think/>ab \n", max_size=40))
def test_separation_loses_no_word(reply: str) -> None:
    apart = Separator(("<think>", "</think>"))
    apart.take(reply)
    apart.end()
    if "</think>" not in reply and "<think>" not in reply:
        assert (apart.text, apart.reasoning) == (reply, "")
    for letter in "ab":
        tags = reply.lower()
        assert (apart.text + apart.reasoning).count(letter) == tags.count(letter)


def test_opening_tag_inside_a_sentence_is_text() -> None:
    apart = Separator(("<think>", "</think>"))
    assert apart.take("Use the tag <think> for this.") + apart.end() == "Use the tag <think> for this."


# Lists of parts.

PARTS: dict[str, tuple[list[Any], str | None]] = {
    "thinking": ([{"type": "thinking", "thinking": [{"type": "text", "text": "hmm"}]}], "hmm"),
    "thinking as text": ([{"type": "thinking", "thinking": "hmm"}], "hmm"),
    "reasoning": ([{"type": "reasoning", "text": "hmm"}], "hmm"),
    "nothing else": ([], None),
    "empty text": ([{"type": "text", "text": ""}], None),
}


@two_ways
@pytest.mark.parametrize(("parts", "reasoning"), PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("text", [{"type": "text", "text": TEXT}, {"type": "output_text", "text": TEXT}, TEXT])
def test_content_may_be_a_list_of_parts(parts: list[Any], reasoning: str | None, text: Any, ask: Ask) -> None:
    def change(body: dict[str, Any]) -> None:
        choice = body["choices"][0] if body["choices"] else {}
        if choice.get("message"):
            choice["message"]["content"] = [*parts, text]
        elif (choice.get("delta") or {}).get("content") == "only":
            choice["delta"]["content"] = [*parts, text]

    with serving([edit(change)], answer="only") as server:
        message = ask(compatible(server)).message
    assert (message.content, reasoning_of(message)) == (TEXT, reasoning)


def test_parts_that_are_no_text_are_noted() -> None:
    content = [{"type": "text", "text": TEXT}, {"type": "image_url", "image_url": {"url": "x"}}]
    with serving([edit(lambda body: body["choices"][0]["message"].update(content=content))]) as server:
        assert any("image_url" in note for note in answered(compatible(server), streaming=False).notes)


@two_ways
def test_whole_answer_to_a_stream_is_read(ask: Ask) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": REASONING["tags"]}, "finish_reason": "stop"}
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    with serving([raw(json.dumps(body).encode())]) as server:
        assert ask(compatible(server)).message.content == TEXT


# Halves of characters.


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"covered \ud83d five years [1]", "covered \ufffd five years [1]"),
        (r"\udc4d yes", "\ufffd yes"),
        (r"yes \ud83d\udc4d", "yes 👍"),
        (r"<think>\ud83d</think>yes \ud83d", "yes \ufffd"),
    ],
)
def test_half_a_character_is_replaced(written: str, read: str) -> None:
    choice = '{"index":0,"message":{"role":"assistant","content":"%s"},"finish_reason":"stop"}'
    body = f'{{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{choice % written}]}}'
    with serving([raw(body.encode())] * 2) as server:
        message = whole(compatible(server)).message
        assert message.content == read
        assert answered(compatible(server), streaming=False).answer == read
    message.model_dump_json()


def test_character_that_comes_in_halves_is_put_together() -> None:
    events = [r'{"content":"yes \ud83d"}', r'{"content":"\udc4d \ud83d"}', '{"content":" end"}']
    lines = [
        f'data: {{"id":"x","object":"chat.completion.chunk","created":1,"model":"m",'
        f'"choices":[{{"index":0,"delta":{delta},"finish_reason":{reason}}}]}}\n\n'
        for delta, reason in [*((event, "null") for event in events), ("{}", '"stop"')]
    ]
    body = "".join([*lines, "data: [DONE]\n\n"]).encode()
    with serving([raw(body, "text/event-stream")]) as server:
        assert streamed(compatible(server)).message.content == "yes 👍 \ufffd end"


# What is sent.


def test_without_a_system_role_the_instructions_open_the_users_message() -> None:
    with serving() as server:
        compatible(server, system_role=False).chat(QUESTION)
        compatible(server, system_role=False).chat([ChatMessage(role="system", content="Be brief.")])
        compatible(server, system_role=False).chat([ChatMessage(content="How long?")])
        compatible(server).chat(QUESTION)
    sent = [request.body["messages"] for request in server.requests]
    assert sent[0] == [{"role": "user", "content": "Be brief.\n\nHow long?"}]
    assert sent[1] == [{"role": "user", "content": "Be brief."}]
    assert sent[2] == [{"role": "user", "content": "How long?"}]
    assert sent[3][0] == {"role": "system", "content": "Be brief."}


def test_limit_is_sent_in_the_field_that_the_server_knows() -> None:
    with serving() as server:
        compatible(server, max_tokens_field="max_completion_tokens", max_tokens=9).chat(QUESTION)
        compatible(server, max_tokens=9).chat(QUESTION, max_tokens=5)
    assert server.requests[0].body.get("max_completion_tokens") == 9
    assert "max_tokens" not in server.requests[0].body
    assert server.requests[1].body["max_tokens"] == 5


def test_server_without_a_system_role_or_with_the_newer_field_is_served() -> None:
    """Cases `chat_no_system` and `chat_max_completion_tokens`: the server's words name what to set."""
    refused = status(400, message="System role not supported")
    with serving([refused]) as server, pytest.raises(ServiceError, match="System role not supported"):
        compatible(server).chat(QUESTION)


def test_judge_has_the_same_keys() -> None:
    (config,) = load_config(
        [
            "judge=openai_compatible",
            "answers=true",
            "metrics.answers=[faithfulness]",
            "judge.system_role=false",
            "judge.max_tokens_field=max_completion_tokens",
            "judge.extra_body={top_p: 0.5}",
            "judge.headers_env={X-Org: MY_ORG}",
            'judge.reasoning_tags=["[THINK]", "[/THINK]"]',
        ]
    )
    assert config.tree["judge"]["system_role"] is False
    assert config.tree["judge"]["reasoning_tags"] == ["[THINK]", "[/THINK]"]


@pytest.mark.parametrize("tags", ["[a]", "[a, b, c]", '["<think>", ""]'])
def test_tags_are_a_pair_with_a_closing_one(tags: str) -> None:
    with pytest.raises(ConfigError, match="llm.*reasoning_tags"):
        load_config(["llm=openai_compatible", f"llm.reasoning_tags={tags}"])

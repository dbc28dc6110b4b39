"""llm=openai and openai_compatible, by the real client against a server on this machine."""

import asyncio
import importlib.util
import logging
import pickle
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers.base import BaseEventHandler
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMCompletionEndEvent
from llama_index.core.prompts import PromptTemplate
from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer
from llama_index.core.schema import NodeWithScore, TextNode

import ragloom.components.llm as builders
from loopback import Fault, OpenAIServer, edit, raw, slow, status
from made import defaults, make
from messages import wording
from messages.llm import reply_without_text, smaller_than_window
from messages.providers import (
    broken_off,
    gave_up,
    key_itself,
    no_address,
    no_password_in_address,
    not_json_gave_up,
    refused,
    variable_must_hold,
)
from provider_calls import KEY
from ragloom.components.llm.openai_llm import OpenAIChat
from ragloom.config.key_rules import key_problems
from ragloom.core.prompt_and_reply import PassageBlock
from ragloom.core.usage import Tokens, collect_usage
from ragloom.errors import ConfigError, DataError, ServiceError

ANSWER = "대여소는 7시에 엽니다 [1]. 👍"
QUESTION = [ChatMessage(role="system", content="Be brief."), ChatMessage(content="When?")]

pytestmark = pytest.mark.usefixtures("api_key", "waits")


def openai(server: OpenAIServer, **changed: Any) -> OpenAIChat:
    made = make("llm", "openai", **({"base_url": server.base_url} | changed))
    assert isinstance(made, OpenAIChat)
    return made


def compatible(server: OpenAIServer, **changed: Any) -> OpenAIChat:
    made = make("llm", "openai_compatible", **({"base_url": server.base_url} | changed))
    assert isinstance(made, OpenAIChat)
    return made


# Eight ways to ask: each returns the pieces of text that came and the last finish reason.

Reply = tuple[list[str], str | None]


def _pieces(responses: Sequence[Any]) -> Reply:
    last = responses[-1]
    text = last.message.content if hasattr(last, "message") else last.text
    pieces = [response.delta for response in responses]
    assert "".join(pieces) == text, "the last response holds all pieces"
    return [piece for piece in pieces if piece], last.additional_kwargs.get("finish_reason")


def chat(llm: OpenAIChat) -> Reply:
    response = llm.chat(QUESTION)
    return [str(response.message.content)], response.message.additional_kwargs.get("finish_reason")


def achat(llm: OpenAIChat) -> Reply:
    response = asyncio.run(llm.achat(QUESTION))
    return [str(response.message.content)], response.message.additional_kwargs.get("finish_reason")


def complete(llm: OpenAIChat) -> Reply:
    response = llm.complete("When?")
    return [response.text], response.additional_kwargs.get("finish_reason")


def acomplete(llm: OpenAIChat) -> Reply:
    response = asyncio.run(llm.acomplete("When?"))
    return [response.text], response.additional_kwargs.get("finish_reason")


def stream_chat(llm: OpenAIChat) -> Reply:
    return _pieces(list(llm.stream_chat(QUESTION)))


def astream_chat(llm: OpenAIChat) -> Reply:
    async def ask() -> Reply:
        return _pieces([response async for response in await llm.astream_chat(QUESTION)])

    return asyncio.run(ask())


def stream_complete(llm: OpenAIChat) -> Reply:
    return _pieces(list(llm.stream_complete("When?")))


def astream_complete(llm: OpenAIChat) -> Reply:
    async def ask() -> Reply:
        return _pieces([response async for response in await llm.astream_complete("When?")])

    return asyncio.run(ask())


WHOLE = [chat, achat, complete, acomplete]
STREAMED = [stream_chat, astream_chat, stream_complete, astream_complete]
Ask = Callable[[OpenAIChat], Reply]
every_way = pytest.mark.parametrize("ask", WHOLE + STREAMED, ids=lambda ask: ask.__name__)
whole_ways = pytest.mark.parametrize("ask", WHOLE, ids=lambda ask: ask.__name__)
streamed_ways = pytest.mark.parametrize("ask", STREAMED, ids=lambda ask: ask.__name__)


@every_way
def test_reply_is_the_servers_with_its_finish_reason(ask: Ask) -> None:
    with OpenAIServer(answer=ANSWER) as server:
        pieces, finish_reason = ask(openai(server))
    assert "".join(pieces) == ANSWER
    assert finish_reason == "stop"
    assert len(server.requests) == 1


@streamed_ways
def test_stream_comes_in_pieces(ask: Ask) -> None:
    with OpenAIServer(answer=ANSWER) as server:
        pieces, _ = ask(openai(server))
    assert pieces == [ANSWER[at : at + 4] for at in range(0, len(ANSWER), 4)]


@every_way
def test_reply_that_was_cut_says_so(ask: Ask) -> None:
    with OpenAIServer(answer=ANSWER, finish_reason="length") as server:
        pieces, finish_reason = ask(openai(server))
    assert "".join(pieces) == ANSWER
    assert finish_reason == "length"


# What a server may do to a request: the outcome, and the number of requests made.


@every_way
def test_429_with_retry_after_is_waited_out(ask: Ask, waits: list[float]) -> None:
    with OpenAIServer([status(429, retry_after=3)]) as server:
        assert ask(openai(server))
    assert len(server.requests) == 2
    assert [3 <= wait < 4 for wait in waits] == [True]


@every_way
def test_500_is_asked_again_as_often_as_configured_and_no_more(ask: Ask) -> None:
    """TRAPS 21: retries of client and caller multiply elsewhere."""
    with (
        OpenAIServer([status(500)] * 50) as server,
        pytest.raises(ServiceError, match=wording("llm: ", "500", gave_up(3))),
    ):
        ask(openai(server, attempts=3))
    assert len(server.requests) == 3


@every_way
def test_timeout_is_asked_again(ask: Ask) -> None:
    with OpenAIServer([slow(20)]) as server:
        assert ask(openai(server, timeout=0.5))
    assert len(server.requests) == 2


@whole_ways
def test_malformed_json_is_asked_again_and_then_an_error(ask: Ask) -> None:
    with (
        OpenAIServer([raw(b'{"choices": [{"mess')] * 50) as server,
        pytest.raises(ServiceError, match=wording(not_json_gave_up(2))),
    ):
        ask(openai(server, attempts=2))
    assert len(server.requests) == 2


@streamed_ways
@pytest.mark.parametrize("body", [b"data: {", b'data: {"choices": [{"delta": \n\n'])
def test_stream_that_opens_with_malformed_json_is_asked_for_again_and_then_an_error(ask: Ask, body: bytes) -> None:
    with (
        OpenAIServer([raw(body, "text/event-stream")] * 9) as server,
        pytest.raises(ServiceError, match=wording(not_json_gave_up(2))),
    ):
        ask(openai(server, attempts=2))
    assert len(server.requests) == 2


@streamed_ways
@pytest.mark.parametrize(("body", "says"), [(b"", broken_off()), (b"<html>Sign in</html>", "<html>Sign in")])
def test_answer_that_is_no_stream_is_an_error(ask: Ask, body: bytes, says: str) -> None:
    with OpenAIServer([raw(body, "text/event-stream")]) as server, pytest.raises(ServiceError, match=says):
        ask(openai(server))
    assert len(server.requests) == 1


@every_way
def test_prompt_that_is_too_long_for_the_server_is_an_error(ask: Ask) -> None:
    with (
        OpenAIServer([status(400, code="context_length_exceeded", message="maximum context length is 8")]) as server,
        pytest.raises(ServiceError, match=wording(refused("400: maximum context length is 8)"))),
    ):
        ask(openai(server))
    assert len(server.requests) == 1


BREAKS = {
    "cut": Fault(break_after=8),
    "ends": Fault(end_after=8),
    "hangs": Fault(hang_after=8, delay=20),
    "error": edit(lambda event: event.update(error={"message": "overloaded"}) if _says(event, "ver ") else None),
}


def _says(event: dict[str, Any], text: str) -> bool:
    return bool(event["choices"] and event["choices"][0]["delta"].get("content") == text)


@pytest.mark.parametrize("fault", BREAKS.values(), ids=BREAKS)
def test_stream_that_breaks_off_is_an_error_after_what_came(fault: Fault) -> None:
    came: list[str] = []

    def read(llm: OpenAIChat) -> None:
        for response in llm.stream_chat(QUESTION):
            came.append(str(response.delta))

    with (
        OpenAIServer([fault], answer="All is over now.") as server,
        pytest.raises(ServiceError, match=wording(broken_off())),
    ):
        read(openai(server, timeout=1.0))
    assert came == ["All ", "is o"]
    assert len(server.requests) == 1, "a stream that has begun is not asked for again"


@streamed_ways
@pytest.mark.parametrize("fault", [BREAKS["cut"], BREAKS["ends"]], ids=["cut", "ends"])
def test_every_stream_that_breaks_off_is_an_error(ask: Ask, fault: Fault) -> None:
    with OpenAIServer([fault]) as server, pytest.raises(ServiceError, match=wording(broken_off())):
        ask(openai(server))
    assert len(server.requests) == 1


@whole_ways
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda body: body.update(choices=[]), "without a message"),
        (lambda body: body.update(choices=None), "must hold a list 'choices'"),
        (lambda body: body["choices"][0].pop("message"), "without a message"),
        (lambda body: body["choices"][0]["message"].update(content=None), "without text .finish reason stop"),
        (lambda body: body["choices"][0]["message"].pop("content"), reply_without_text()),
        (lambda body: body["choices"][0]["message"].update(content=""), reply_without_text()),
        (
            lambda body: body["choices"][0]["message"].update(content=None, refusal="I won't."),
            "refused to answer: I won't",
        ),
        (
            lambda body: body["choices"][0].update(message={"role": "assistant"}, finish_reason="length"),
            "raise llm.max_tokens",
        ),
    ],
)
def test_reply_without_text_is_an_error(ask: Ask, change: Any, says: str) -> None:
    with OpenAIServer([edit(change)]) as server, pytest.raises(ServiceError, match=says):
        ask(openai(server))
    assert len(server.requests) == 1


@streamed_ways
def test_stream_without_text_is_an_error(ask: Ask) -> None:
    with OpenAIServer(answer="") as server, pytest.raises(ServiceError, match=wording(reply_without_text())):
        ask(openai(server))


@pytest.mark.parametrize("mode", [ResponseMode.COMPACT, ResponseMode.REFINE, ResponseMode.TREE_SUMMARIZE])
@pytest.mark.parametrize("fault", [raw(b"{"), edit(lambda body: body.update(choices=[])), status(400)])
def test_failure_is_not_swallowed_by_llamaindex_synthesizers(mode: ResponseMode, fault: Fault) -> None:
    """TRAPS 23: `refine` and `compact` make "Empty Response" of a ValueError or TypeError of the LLM."""
    with OpenAIServer([fault] * 9) as server, pytest.raises(ServiceError):
        get_response_synthesizer(openai(server, attempts=1), response_mode=mode).synthesize(
            "When?", nodes=[NodeWithScore(node=TextNode(text="At 7."), score=1.0)]
        )


# What is sent.


def test_request_holds_what_the_config_says_and_nothing_else() -> None:
    with OpenAIServer() as server:
        openai(server, model="gpt-x", temperature=0.5, seed=7, max_tokens=99).chat(QUESTION)
        openai(server, model="o9", temperature=None, seed=None, max_tokens=None).chat(QUESTION)
        compatible(server, model="m", temperature=0.0, seed=1, max_tokens=9).chat(QUESTION)
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "When?"}]
    first, second, third = (request.body for request in server.requests)
    assert first == {
        "model": "gpt-x",
        "messages": messages,
        "temperature": 0.5,
        "seed": 7,
        "max_completion_tokens": 99,
    }
    assert second == {"model": "o9", "messages": messages}
    assert third == {"model": "m", "messages": messages, "temperature": 0.0, "seed": 1, "max_tokens": 9}


def test_stream_asks_for_usage_unless_the_server_does_not_know_it() -> None:
    with OpenAIServer() as server:
        stream_chat(openai(server))
        stream_chat(compatible(server))
        stream_chat(compatible(server, stream_usage=False))
    usage = {"include_usage": True}
    assert [request.body.get("stream_options") for request in server.requests] == [usage, usage, None]


def test_call_may_override_the_config() -> None:
    with OpenAIServer() as server:
        openai(server).chat(QUESTION, temperature=1.0, max_tokens=5, stop=["x"], seed=None)
    body = server.requests[0].body
    assert (body["temperature"], body["max_completion_tokens"], body["stop"]) == (1.0, 5, ["x"])
    assert "seed" not in body
    assert "max_tokens" not in body


def test_message_of_several_blocks_is_sent_as_its_text() -> None:
    blocks = [TextBlock(text="Read:"), PassageBlock(text="[1] a.md\nAt 7.", number=1, passage="At 7.")]
    with OpenAIServer() as server:
        openai(server).chat([ChatMessage(blocks=blocks)])
    assert server.requests[0].body["messages"] == [{"role": "user", "content": "Read:\n[1] a.md\nAt 7."}]


def test_message_that_is_not_text_is_refused() -> None:
    with OpenAIServer() as server, pytest.raises(DataError, match="must hold text only"):
        openai(server).chat([ChatMessage(blocks=[TextBlock(text="See"), ImageBlock(url="http://x/y.png")])])
    assert server.requests == []


def test_llamaindex_predicts_and_plans_with_it() -> None:
    with OpenAIServer(answer=lambda messages: messages[-1]["content"].upper()) as server:
        llm = openai(server, model="gpt-x", context_window=9000, max_tokens=77)
        assert llm.predict(PromptTemplate("say {word}"), word="hello") == "SAY HELLO"
        assert "".join(llm.stream(PromptTemplate("say {word}"), word="hello")) == "SAY HELLO"
    metadata = llm.metadata
    assert (metadata.context_window, metadata.num_output, metadata.model_name) == (9000, 77, "gpt-x")
    assert metadata.is_chat_model
    assert not metadata.is_function_calling_model


def test_llamaindex_events_fire_once_per_call() -> None:
    seen: list[Any] = []

    class Handler(BaseEventHandler):
        def handle(self, event: Any, **_: Any) -> None:
            seen.append(event)

    handler = Handler()
    get_dispatcher().add_event_handler(handler)
    try:
        with OpenAIServer() as server:
            llm = openai(server)
            for ask in WHOLE + STREAMED:
                ask(llm)
    finally:
        get_dispatcher().event_handlers.remove(handler)
    assert sum(isinstance(event, LLMChatEndEvent) for event in seen) == 4
    assert sum(isinstance(event, LLMCompletionEndEvent) for event in seen) == 4


def test_compatible_server_needs_no_further_integration(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRAPS 24: `llama-index-llms-openai-like` conflicts with llama-index's pin; nothing of it is needed."""
    for name in ("llama_index.llms.openai_like", "llama_index.llms.openai"):
        monkeypatch.setitem(sys.modules, name, None)
    with OpenAIServer(answer=ANSWER) as server:
        assert chat(compatible(server)) == ([ANSWER], "stop")
    assert importlib.util.find_spec("openai")


# Usage and the key.


@every_way
def test_usage_is_what_the_server_reported(ask: Ask) -> None:
    with OpenAIServer([status(500)], answer="two words") as server, collect_usage() as usage:
        llm = openai(server, model="gpt-x")
        ask(llm)
    made = usage.models["llm", "gpt-x"]
    given = len(["When?"]) + (2 if "chat" in ask.__name__ else 0)
    assert len(server.requests) == 2
    assert (made.requests, made.input, made.output, made.unreported) == (1, given, 2, 0)


def test_usage_is_unknown_when_a_stream_breaks_off_or_the_server_reports_none() -> None:
    with OpenAIServer([Fault(break_after=8)]) as server, collect_usage() as usage, pytest.raises(ServiceError):
        stream_chat(openai(server))
    assert usage.tokens("llm") == Tokens(requests=1, unreported=1)
    with OpenAIServer(reports_usage=False) as server, collect_usage() as usage:
        stream_chat(openai(server))
    assert usage.tokens("llm") == Tokens(requests=1, unreported=1)


@pytest.mark.parametrize("make_one", [openai, compatible])
def test_key_is_in_nothing_that_an_llm_shows_or_saves(make_one: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with OpenAIServer(api_key=KEY, answer=ANSWER) as server:
        llm = make_one(server, api_key_env="OPENAI_API_KEY")
        response = llm.chat(QUESTION)
        *_, streamed = llm.stream_chat(QUESTION)
        shown = [repr(llm), str(llm), llm.to_json(), str(llm.to_dict()), str(vars(llm)), str(llm.to_payload())]
        shown += [response.model_dump_json(), streamed.model_dump_json()]
        shown += [record.getMessage() + str(vars(record)) for record in caplog.records]
        assert KEY not in "\n".join(shown)
        saved = pickle.dumps(llm)
        assert KEY.encode() not in saved
        assert KEY.encode() not in pickle.dumps(response)
        assert chat(pickle.loads(saved)) == ([ANSWER], "stop")


def test_missing_key_is_an_error_when_the_llm_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigError, match=wording("llm: the " + variable_must_hold("OPENAI_API_KEY"))):
        make("llm", "openai")
    with OpenAIServer() as server:
        assert chat(compatible(server, api_key_env=None))


@pytest.mark.parametrize(
    ("option", "changed", "says"),
    [
        ("openai", {"context_window": 1024}, smaller_than_window(1024, 1024)),
        ("openai", {"api_key_env": "sk-hidden"}, key_itself()),
        ("openai_compatible", {"base_url": "http://a:hidden@b/v1"}, no_password_in_address()),
        ("openai_compatible", {"base_url": "localhost/v1"}, no_address()),
    ],
)
def test_keys_that_contradict_each_other_are_named_without_building(
    option: str, changed: dict[str, Any], says: str
) -> None:
    keys = defaults("llm", option) | changed
    assert [
        says in problem and "hidden" not in problem
        for problem in key_problems(getattr(builders, option), keys | {"group": "llm"})
    ] == [True]
    with pytest.raises(ConfigError, match=says):
        make("llm", option, **changed)


@pytest.mark.parametrize("option", ["openai", "openai_compatible"])
def test_defaults_of_an_option_do_not_contradict_each_other(option: str) -> None:
    assert key_problems(getattr(builders, option), defaults("llm", option) | {"group": "llm"}) == []

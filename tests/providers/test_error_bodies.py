"""Answers that are errors although their HTTP status is 200: the server's words are shown, and what may pass is tried
again."""

import json
import threading
from contextlib import nullcontext
from typing import Any

import pytest

import ragloom.providers.openai_client
from loopback import Fault, OpenAIServer, edit, raw
from messages import wording
from messages.providers import broken_off, gave_up, not_json, other_protocol, refused
from provider_calls import (
    KEY,
    STREAMS,
    Call,
    achat,
    chat,
    embed,
    every_call,
    every_stream,
    every_whole_call,
    link,
    stream,
)
from ragloom.errors import ConfigError, RagloomError, ServiceError
from ragloom.providers.batch_errors import RequestRefused, Unanswered
from ragloom.providers.error_bodies import error_in, status_in, words_of
from ragloom.providers.openai_client import Provider
from ragloom.providers.request_context import single_attempt
from ragloom.providers.retry import Link

pytestmark = pytest.mark.usefixtures("api_key", "waits")

PASSING = [
    {"error": {"message": "upstream rate limited", "code": 429}},
    {"error": {"message": "upstream rate limited", "code": "429"}},
    {"error": {"message": "upstream rate limited", "code": 429.0}},
    {"error": {"message": "upstream rate limited", "type": "rate_limit_exceeded"}},
    {"error": {"message": "upstream rate limited", "status": "RESOURCE_EXHAUSTED"}},
    {"error": {"message": "upstream rate limited"}, "status": 503},
    {"error": {"code": 502, "metadata": {"raw": "upstream rate limited"}, "message": "Provider returned error"}},
    {"type": "error", "error": {"type": "overloaded_error", "message": "upstream rate limited"}},
    [{"error": {"code": 503, "message": "upstream rate limited", "status": "UNAVAILABLE"}}],
    {"object": "error", "message": "upstream rate limited", "type": "InternalServerError", "code": 500},
    {"object": "error", "message": "upstream rate limited", "code": 42901},
    {"detail": "upstream rate limited", "status_code": 503},
    {"error": True, "message": "upstream rate limited", "code": 429},
    {"success": False, "errors": [{"code": 500, "message": "upstream rate limited"}]},
    {"code": 429, "msg": "upstream rate limited"},
    {"base_resp": {"status_code": 429, "status_msg": "upstream rate limited"}},
]
FINAL = [
    ({"error": {"message": "no such tool"}}, RequestRefused),
    ({"error": "no such tool"}, RequestRefused),
    ({"error": {"code": 400, "message": "no such tool"}}, RequestRefused),
    ({"error": {"code": "invalid_request_error", "message": "no such tool"}}, RequestRefused),
    ({"object": "error", "message": "no such tool", "type": "BadRequestError", "code": 400}, RequestRefused),
    ({"detail": "no such tool"}, RequestRefused),
    ({"detail": [{"loc": ["body", "input"], "msg": "no such tool", "type": "missing"}]}, RequestRefused),
    ({"error": {"code": 403, "message": "no such tool"}}, ConfigError),
    ({"error": {"code": 404, "message": "no such tool"}}, ConfigError),
    ({"error": {"code": 429, "type": "insufficient_quota", "message": "no such tool"}}, ServiceError),
]


def provider_of(server: OpenAIServer, **changed: Any) -> Provider:
    return Provider(link(server.base_url, **({"kind": "llm", "attempts": 3} | changed)))


def body(data: Any) -> bytes:
    return json.dumps(data).encode()


@every_call
def test_error_in_the_body_that_may_pass_is_tried_again_like_the_status(call: Call) -> None:
    script = [fault for data in PASSING for fault in (raw(body(data)), None)]
    with OpenAIServer(script) as server:
        provider = provider_of(server)
        for number, data in enumerate(PASSING, start=1):
            assert call(provider), data
            assert len(server.requests) == 2 * number, data


@every_call
def test_error_in_the_body_shows_the_servers_words_when_the_attempts_are_used_up(call: Call) -> None:
    with OpenAIServer([raw(body(data)) for data in PASSING for _ in range(2)]) as server:
        provider = provider_of(server, attempts=2)
        for _ in PASSING:
            with pytest.raises(ServiceError, match=wording("upstream rate limited", gave_up(2))):
                call(provider)
    assert len(server.requests) == 2 * len(PASSING)


@every_call
def test_error_in_the_body_that_will_not_pass_is_final_and_shown(call: Call) -> None:
    with OpenAIServer([raw(body(data)) for data, _ in FINAL]) as server:
        provider = provider_of(server)
        for _, error in FINAL:
            with pytest.raises(error, match="no such tool") as caught:
                call(provider)
            assert caught.value.__context__ is None
    assert len(server.requests) == len(FINAL)


@every_call
def test_error_in_the_body_never_shows_a_key(call: Call) -> None:
    data = {"error": {"message": f"bad key {KEY}", "code": 500}}
    with OpenAIServer([raw(body(data))] * 9) as server, pytest.raises(ServiceError, match="bad key") as caught:
        call(provider_of(server))
    assert KEY not in str(caught.value)


@every_whole_call
@pytest.mark.parametrize("text", [b"upstream rate limited", b"<html>upstream rate limited</html>"])
def test_text_instead_of_json_shows_the_servers_words(call: Call, text: bytes) -> None:
    with (
        OpenAIServer([raw(text, "text/plain")]) as server,
        pytest.raises(ServiceError, match=wording(other_protocol(), "upstream rate limited")),
    ):
        call(provider_of(server))


@every_whole_call
def test_result_with_an_empty_error_is_a_result(call: Call) -> None:
    empty = [{"error": None}, {"error": ""}, {"error": {}}, {"error": {"code": 0}}, {"code": 0, "message": "ok"}]
    with OpenAIServer([edit(lambda data, more=more: data.update(more)) for more in empty]) as server:
        provider = provider_of(server)
        assert all(call(provider) for _ in empty)
    assert len(server.requests) == len(empty)


@every_whole_call
def test_error_in_the_body_is_waited_for_as_its_headers_ask(call: Call, waits: list[float]) -> None:
    fault = Fault(raw=body({"error": {"code": 429, "message": "slow down"}}), headers={"Retry-After": "7"})
    with OpenAIServer([fault]) as server:
        assert call(provider_of(server))
    assert 7 <= waits[0] <= 8


@every_whole_call
def test_refusal_shows_the_servers_words_wherever_they_stand(call: Call) -> None:
    bodies: list[Any] = [
        {"message": "'input_type' parameter is required"},
        {"error": "'input_type' parameter is required"},
        {"error": {"message": "'input_type' parameter is required"}},
        {"detail": "'input_type' parameter is required"},
        {"detail": [{"loc": ["body", "input_type"], "msg": "'input_type' parameter is required"}]},
        {"title": "Bad Request", "why": "'input_type' parameter is required"},
    ]
    faults = [Fault(status=400, raw=body(data)) for data in bodies]
    with OpenAIServer([*faults, Fault(status=400, raw=b"'input_type' parameter is required")]) as server:
        provider = provider_of(server)
        for _ in range(len(bodies) + 1):
            with pytest.raises(RequestRefused, match=wording(refused("400: "), "'input_type' parameter is required")):
                call(provider)


@pytest.mark.parametrize("call", [chat, achat], ids=lambda call: call.__name__)
def test_error_in_the_only_choice_counts_as_the_answers(call: Call) -> None:
    data = {"choices": [{"index": 0, "message": None, "error": {"code": 502, "message": "upstream"}}]}
    with OpenAIServer([raw(body(data))]) as server:
        assert call(provider_of(server))
    assert len(server.requests) == 2


STREAMED = [
    b'data: {"error": {"message": "upstream rate limited", "code": 429}}\n\n',
    b'error: {"code": 500, "message": "upstream rate limited", "type": "server_error"}\n\n',
    b'error: {"error": {"code": 503, "message": "upstream rate limited"}}',
    b'event: error\ndata: {"message": "upstream rate limited", "code": 429}\n\n',
    b'event: error\ndata: {"error": {"message": "upstream rate limited", "code": 429}}\n\n',
    b'data: {"error": "upstream rate limited", "error_type": "overloaded"}\n\n',
    b'data: {"object": "error", "message": "upstream rate limited", "code": 503}\n\n',
    b': waiting\n\nid: 7\n\nretry: 100\n\ndata: {"error": {"message": "upstream rate limited", "code": 429}}\n\n',
    b'{\n  "error": {\n    "message": "upstream rate limited",\n    "code": 429\n  }\n}\n',
]


@every_stream
def test_error_that_opens_a_stream_is_tried_again_like_the_status(call: Call) -> None:
    script = [fault for content in STREAMED for fault in (raw(content, "text/event-stream"), None)]
    with OpenAIServer(script) as server:
        provider = provider_of(server)
        for number, content in enumerate(STREAMED, start=1):
            assert call(provider), content
            assert len(server.requests) == 2 * number, content


@every_stream
def test_error_that_opens_a_stream_is_shown_in_the_servers_words(call: Call) -> None:
    with OpenAIServer([raw(content, "text/event-stream") for content in STREAMED]) as server:
        provider = provider_of(server, attempts=1)
        for _ in STREAMED:
            with pytest.raises(ServiceError, match="upstream rate limited"):
                call(provider)


PIECE = b'data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"well"}}]}\n\n'


@every_stream
@pytest.mark.parametrize(
    "content", [*STREAMED[:8], b"error: upstream rate limited", b"data: upstream rate limited\n\n"]
)
def test_error_after_the_first_word_is_shown_and_never_tried_again(call: Call, content: bytes) -> None:
    with (
        OpenAIServer([raw(PIECE + content, "text/event-stream")]) as server,
        pytest.raises(ServiceError, match=wording("upstream rate limited", broken_off())),
    ):
        call(provider_of(server))
    assert len(server.requests) == 1


@every_stream
def test_error_after_an_empty_piece_is_tried_again(call: Call) -> None:
    opening = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    with OpenAIServer([raw(opening + STREAMED[0], "text/event-stream")]) as server:
        assert call(provider_of(server))
    assert len(server.requests) == 2


@every_stream
def test_heartbeats_and_a_missing_last_line_break_no_stream(call: Call) -> None:
    content = b"id: 1\n: waiting\n\nevent: ping\n\nretry: 9\n\n" + PIECE + b": still here\n\n" + PIECE.rstrip()
    with OpenAIServer([raw(content, "text/event-stream")]) as server:
        assert len(call(provider_of(server))) == 2


@every_call
def test_json_nested_too_deeply_is_a_service_error(call: Call) -> None:
    deep = b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    content = b"data: " + deep + b"\n\n" if call in STREAMS else deep
    with OpenAIServer([raw(content)] * 9) as server, pytest.raises(ServiceError, match=wording(not_json())):
        call(provider_of(server))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 200}, None),
        ({"code": True}, None),
        ({"code": 1302}, None),
        ({"code": "context_length_exceeded"}, None),
        ({"code": None, "type": "RateLimitError"}, 429),
        ({"type": "authentication_error"}, 401),
        ([{"code": 503}], 503),
        ("text", None),
        ([], None),
    ],
)
def test_status_is_read_from_numbers_digits_and_names(error: Any, status: int | None) -> None:
    assert status_in(error) == status


@pytest.mark.parametrize("data", [None, 5, "x", [], [1, 2], {}, {"usage": {"prompt_tokens": 3}}, {"type": "ping"}])
def test_answer_without_an_error_holds_none(data: Any) -> None:
    assert error_in(data, "choices") is None


def test_words_in_no_known_place_are_shown_as_json() -> None:
    assert words_of({"why": "한도"}) == '{"why": "한도"}'


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ALL_PROXY", "nonsense://127.0.0.1:1"), ("SSL_CERT_FILE", "/does/not/exist.pem"), ("HTTP_PROXY", "http://[::1")],
)
def test_environment_that_no_client_can_be_made_with_is_a_config_error(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OpenAIServer() as server:
        monkeypatch.setenv(variable, value)
        with pytest.raises(ConfigError, match="no client for .* can be made"):
            chat(provider_of(server))


@pytest.mark.parametrize("address", ["http://127.0.0.1:1\n/v1", "http://x\x00y/v1", "ftp://127.0.0.1/v1"])
def test_address_of_the_environment_that_cannot_be_used_is_no_traceback(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ragloom.providers.retry.os, "environ", {"OPENAI_BASE_URL": address, "OPENAI_API_KEY": KEY})
    provider = Provider(Link("llm", "m", None, "OPENAI_API_KEY", 5.0, 1, 9.0))
    with pytest.raises(RagloomError):
        chat(provider)


def test_stream_that_is_left_while_it_opens_lets_its_connection_go() -> None:
    with OpenAIServer([raw(STREAMED[0], "text/event-stream")] * 3) as server:
        before = threading.active_count()
        with pytest.raises(ServiceError):
            stream(provider_of(server))
    assert threading.active_count() <= before + 1


@pytest.mark.parametrize("call", [embed, achat], ids=lambda call: call.__name__)
@pytest.mark.parametrize(("limits", "in_once"), [({"deadline": 1.0}, False), ({"timeout": 1.0}, True)])
def test_answer_that_trickles_in_without_end_has_failed(call: Call, limits: dict[str, float], in_once: bool) -> None:
    with (
        OpenAIServer([Fault(trickle=0.05)] * 9) as server,
        single_attempt() if in_once else nullcontext(),
        pytest.raises(Unanswered, match="did not answer"),
    ):
        call(provider_of(server, **limits))
    assert len(server.requests) == 1

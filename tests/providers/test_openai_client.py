"""The provider: one retry policy, errors that say who can fix them, usage, and a key that shows nowhere."""

import asyncio
import copy
import gc
import logging
import pickle
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopback import Fault, OpenAIServer, edit, raw, slow, status
from messages import wording
from messages.providers import (
    broken_off,
    connection_failed,
    gave_up,
    key_itself,
    key_not_valid,
    key_wanted,
    no_address,
    no_answer_in_time,
    no_password_in_address,
    no_time_left,
    not_json_gave_up,
    other_protocol,
    quota_used_up,
    retrying,
    variable_must_hold,
    wrong_model,
)
from provider_calls import KEY, Call, aembed, chat, embed, every_call, every_stream, every_whole_call, link
from ragloom.core.run_context import in_context
from ragloom.core.usage import Tokens, collect_usage
from ragloom.errors import ConfigError, RagloomError, ServiceError
from ragloom.providers.batch_errors import RequestRefused
from ragloom.providers.credentials import link_problems
from ragloom.providers.http_client import AsyncClient
from ragloom.providers.openai_client import Provider
from ragloom.providers.request_context import RequestCancelled, cancelled_by
from ragloom.providers.retry import Attempts, RequestFailure

pytestmark = pytest.mark.usefixtures("api_key")


@every_call
def test_transient_status_is_tried_again_until_it_passes(call: Call, waits: list[float]) -> None:
    with OpenAIServer([status(number) for number in (408, 409, 429, 500, 502, 503)]) as server:
        assert call(Provider(link(server.base_url, attempts=7)))
    assert len(server.requests) == 7
    assert len(waits) == 6


@every_call
def test_attempts_are_all_requests_that_are_made(call: Call, waits: list[float]) -> None:
    """TRAPS 21: retries of the client and of its caller multiply elsewhere; here `attempts` is what a server sees."""
    with OpenAIServer([status(500)] * 100) as server:
        provider = Provider(link(server.base_url, attempts=4))
        with pytest.raises(ServiceError, match=wording("500", gave_up(4))):
            call(provider)
    assert len(server.requests) == 4
    assert len(waits) == 3


@every_call
def test_run_that_has_ended_sends_no_further_request(call: Call) -> None:
    end = threading.Event()
    with OpenAIServer() as server, cancelled_by(end):
        provider = Provider(link(server.base_url))
        assert call(provider)
        end.set()
        with pytest.raises(RequestCancelled, match="run ended"):
            call(provider)
    assert len(server.requests) == 1


@every_call
@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        (status(400, message="too long"), ServiceError, "400: too long"),
        (status(403, message="not in your country"), ConfigError, "not in your country"),
        (status(404, message="no such model"), ConfigError, wording(wrong_model("m"), " serves")),
        (status(422), ServiceError, "422"),
        (status(429, code="insufficient_quota"), ServiceError, quota_used_up()),
    ],
)
def test_permanent_refusal_is_final(
    call: Call, fault: Fault, error: type[RagloomError], says: str, waits: list[float]
) -> None:
    with OpenAIServer([fault]) as server, pytest.raises(error, match=says):
        call(Provider(link(server.base_url)))
    assert len(server.requests) == 1
    assert waits == []


@every_call
def test_retry_after_is_waited_for_at_least(call: Call, waits: list[float]) -> None:
    with OpenAIServer([status(429, retry_after=7)]) as server:
        assert call(Provider(link(server.base_url)))
    assert len(server.requests) == 2
    assert len(waits) == 1
    assert 7 <= waits[0] <= 8


def test_half_a_character_in_what_a_server_says_keeps_no_report_from_being_written() -> None:
    with (
        OpenAIServer([status(400, message="half \ud800 a character")]) as server,
        pytest.raises(RequestRefused, match=r"half \? a character") as caught,
    ):
        embed(Provider(link(server.base_url)))
    assert f"{caught.value} {caught.value.says}".encode()


def test_retry_after_as_a_date_is_understood(waits: list[float]) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    with OpenAIServer([status(503, retry_after=date)]) as server:
        assert embed(Provider(link(server.base_url)))
    assert 15 <= waits[0] <= 21


@pytest.mark.parametrize("value", ["soon", "-5", "", "1e9x", "Sun, 99 Foo"])
def test_retry_after_that_cannot_be_read_is_left_aside(value: str, waits: list[float]) -> None:
    with OpenAIServer([status(503, retry_after=value)]) as server:
        assert embed(Provider(link(server.base_url)))
    assert waits[0] <= 1


def test_retry_after_in_parts_of_a_second_is_understood(waits: list[float]) -> None:
    with OpenAIServer([status(503, retry_after="90.5")]) as server:
        embed(Provider(link(server.base_url, deadline=200)))
    assert waits[0] >= 90.5


def test_retry_after_beyond_the_deadline_fails_at_once(waits: list[float]) -> None:
    with (
        OpenAIServer([status(429, retry_after=100)]) as server,
        pytest.raises(ServiceError, match=wording(no_time_left("embedding", 100, 60))),
    ):
        embed(Provider(link(server.base_url)))
    assert len(server.requests) == 1
    assert waits == []


@given(st.integers(1, 12), st.floats(0, 20))
def test_wait_doubles_is_jittered_and_never_shorter_than_asked(requests: int, asked: float) -> None:
    attempts = Attempts(link("http://x/v1", attempts=100, deadline=10_000.0))
    for _ in range(requests):
        attempts.begin()
    wait = attempts.wait_after(RequestFailure(ServiceError("x"), transient=True, retry_after=asked))
    longest = min(30, 0.5 * 2 ** (requests - 1))
    assert max(asked, longest / 2) <= wait <= max(asked, longest)


def test_no_request_is_given_more_time_than_the_deadline_leaves() -> None:
    assert Attempts(link("http://x/v1", timeout=50.0, deadline=2.0)).begin() <= 2


@every_call
def test_timeout_is_tried_again_and_then_an_error(call: Call, waits: list[float]) -> None:
    with OpenAIServer([slow(20)] * 9) as server:
        provider = Provider(link(server.base_url, timeout=0.2, attempts=2))
        with pytest.raises(ServiceError, match=wording(no_answer_in_time("embedding", 0.2) + "; " + gave_up(2))):
            call(provider)
    assert len(server.requests) == 2


@every_whole_call
@pytest.mark.parametrize("body", [b'{"data": [', b"", b"\xff\xfe{"])
def test_malformed_json_is_tried_again_and_then_an_error(call: Call, body: bytes, waits: list[float]) -> None:
    with (
        OpenAIServer([raw(body)] * 9) as server,
        pytest.raises(ServiceError, match=wording(not_json_gave_up(3))),
    ):
        call(Provider(link(server.base_url, attempts=3)))
    assert len(server.requests) == 3


@every_whole_call
@pytest.mark.parametrize(
    "fault",
    [raw(b"<html>", "text/html"), raw(b"[1, 2]"), raw(b"null"), raw(b'{"data": [1], "choices": ["x"]}'), raw(b"{}")],
)
def test_json_of_another_protocol_is_an_error_that_says_so(call: Call, fault: Fault, waits: list[float]) -> None:
    with OpenAIServer([fault]) as server, pytest.raises(ServiceError, match=wording(other_protocol())):
        call(Provider(link(server.base_url)))
    assert len(server.requests) == 1


@every_call
def test_connection_that_is_closed_is_tried_again(call: Call, waits: list[float]) -> None:
    with OpenAIServer([Fault(hang_up=True)]) as server:
        assert call(Provider(link(server.base_url)))
    assert len(server.requests) == 2


def test_server_that_is_not_there_is_named(waits: list[float]) -> None:
    with OpenAIServer() as server:
        pass
    with pytest.raises(ServiceError, match=wording(connection_failed(server.base_url), gave_up(4))):
        embed(Provider(link(server.base_url)))


def test_retries_for_one_reason_are_logged_once_however_many_requests_are_in_flight(
    waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    provider = Provider(link("http://127.0.0.1:9/v1", kind="llm"))
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(chat, provider) for _ in range(4)]:
            assert isinstance(future.exception(), ServiceError)
    lines = [record.getMessage() for record in caplog.records if record.name == "ragloom.providers.retry"]
    assert len(waits) == 4 * 3
    assert len(lines) == 1, lines
    assert retrying(4, 60) in lines[0]


@every_stream
def test_stream_that_has_begun_is_never_asked_for_again(call: Call, waits: list[float]) -> None:
    with (
        OpenAIServer([Fault(break_after=8)]) as server,
        pytest.raises(ServiceError, match=wording(broken_off())),
    ):
        call(Provider(link(server.base_url)))
    assert len(server.requests) == 1
    assert waits == []


def test_stream_closed_by_its_reader_lets_the_connection_go() -> None:
    with OpenAIServer([Fault(hang_after=4, delay=20)]) as server, collect_usage() as usage:
        provider = Provider(link(server.base_url, kind="llm"))
        pieces = provider.stream(model="m", messages=[{"role": "user", "content": "hi"}])
        next(pieces)
        pieces.close()
    assert usage.tokens("llm") == Tokens(requests=1, unreported=1)


def test_usage_adds_up_over_threads() -> None:
    with OpenAIServer(answer="two words") as server, collect_usage() as usage:
        provider = Provider(link(server.base_url, kind="llm"))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda call: call(provider), [in_context(chat) for _ in range(24)]))
    assert usage.tokens("llm") == Tokens(requests=24, input=24 * 1, output=24 * 2)


def test_usage_is_unknown_once_a_server_reports_none() -> None:
    with OpenAIServer(reports_usage=False) as server, collect_usage() as usage:
        embed(Provider(link(server.base_url)))
        chat(Provider(link(server.base_url, kind="llm")))
    assert usage.tokens("embedding") == usage.tokens("llm") == Tokens(requests=1, unreported=1)


@pytest.mark.parametrize("report", [{"prompt_tokens": "12"}, {"prompt_tokens": None}, None, []])
def test_usage_that_is_no_number_counts_as_none(report: Any) -> None:
    with OpenAIServer([edit(lambda body: body.update(usage=report))]) as server, collect_usage() as usage:
        embed(Provider(link(server.base_url)))
    assert usage.tokens("embedding") == Tokens(requests=1, unreported=1)


def test_calls_are_recorded_with_kind_and_model_where_usage_is_collected() -> None:
    with OpenAIServer([status(500)], answer="two words") as server, collect_usage() as usage:
        provider = Provider(link(server.base_url, kind="llm", attempts=2, deadline=9.0))
        chat(provider)
        asyncio.run(
            provider.achat(model="m", messages=[{"role": "user", "content": "hi"}])
        )  # one client per event loop
    tokens = usage.models["llm", "m"]
    assert (tokens.requests, tokens.input, tokens.output, tokens.unreported) == (2, 2, 4, 0)


def test_async_calls_work_in_one_event_loop_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    made = AsyncClient.__init__
    with OpenAIServer() as server:
        provider = Provider(link(server.base_url))
        clients = weakref.WeakSet[AsyncClient]()
        monkeypatch.setattr(AsyncClient, "__init__", lambda self, **keys: (clients.add(self), made(self, **keys))[1])
        for _ in range(3):
            assert aembed(provider)
        gc.collect()
        assert len(clients) == 1, "clients of closed loops are let go"


def test_async_calls_do_not_block_the_event_loop() -> None:
    async def both(provider: Provider) -> None:
        await asyncio.gather(*(provider.aembeddings(model="m", input=["x"], encoding_format="float") for _ in range(5)))

    barrier = threading.Barrier(5)
    with OpenAIServer(count=lambda text: barrier.wait(20)) as server:  # answers only when five requests are there
        asyncio.run(both(Provider(link(server.base_url))))
    assert len(server.requests) == 5


# The key.


def test_missing_key_is_an_error_that_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with OpenAIServer() as server:
        for wrong in (Provider(link(server.base_url)).check_key, lambda: embed(Provider(link(server.base_url)))):
            with pytest.raises(
                ConfigError, match=wording(variable_must_hold("OPENAI_API_KEY") + " the provider's API key")
            ):
                wrong()
    assert server.requests == []


@pytest.mark.parametrize("key", ["", "   ", "sk-한글", "sk-with\nline", "two words"])
def test_key_that_cannot_be_sent_is_refused_unseen(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ConfigError, match=wording(variable_must_hold("OPENAI_API_KEY"))) as caught:
        Provider(link("http://127.0.0.1:9/v1")).check_key()
    assert not key.strip() or key not in str(caught.value)


def test_key_is_sent_as_it_is_but_for_blanks_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", f" {KEY}\n")
    with OpenAIServer(api_key=KEY) as server:
        assert embed(Provider(link(server.base_url, api_key_env="MINE")))


@every_call
def test_server_without_key_is_sent_none(call: Call) -> None:
    with OpenAIServer() as server:
        assert call(Provider(link(server.base_url, api_key_env=None)))
    assert not any(name.lower() == "authorization" for name in server.requests[0].headers)


def test_key_is_not_needed_by_a_server_without(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)
    with OpenAIServer() as server:
        assert embed(Provider(link(server.base_url, api_key_env=None)))


@every_call
def test_wrong_key_is_a_config_error_that_does_not_repeat_it(call: Call) -> None:
    with (
        OpenAIServer(api_key="another") as server,
        pytest.raises(ConfigError, match=wording(key_not_valid("OPENAI_API_KEY"), "401")) as caught,
    ):
        call(Provider(link(server.base_url)))
    assert len(server.requests) == 1
    assert KEY not in str(caught.value)


def test_server_that_wants_a_key_is_told_apart_from_a_wrong_one() -> None:
    with (
        OpenAIServer(api_key="another") as server,
        pytest.raises(ConfigError, match=wording(key_wanted())),
    ):
        embed(Provider(link(server.base_url, api_key_env=None)))


@every_call
@pytest.mark.parametrize("fault", [status(400, message=f"I was sent {KEY}"), status(500, message=f"key={KEY}")])
def test_key_shows_in_no_error_log_representation_copy_or_pickle(
    call: Call, fault: Fault, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with OpenAIServer([fault] * 9) as server:
        provider = Provider(link(server.base_url))
        with pytest.raises(ServiceError) as caught:
            call(provider)
    assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}", "else this test shows nothing"
    seen: BaseException | None = caught.value
    assert seen.__cause__ is None
    assert seen.__context__ is None, "the client's exception holds the request with its header"
    texts = [repr(provider), str(provider), str(vars(provider.link)), str(caught.value), repr(caught.value)]
    texts += [record.getMessage() + str(record.exc_text) + str(vars(record)) for record in caplog.records]
    assert "openai" in {record.name.split(".")[0] for record in caplog.records}, "the client's own log is in"
    assert KEY not in "\n".join(texts)
    for saved in (pickle.dumps(provider), pickle.dumps(caught.value), pickle.dumps(copy.deepcopy(provider))):
        assert KEY.encode() not in saved


def test_provider_works_after_it_was_copied_and_pickled() -> None:
    with OpenAIServer() as server:
        provider = Provider(link(server.base_url))
        embed(provider)
        for twin in (copy.deepcopy(provider), pickle.loads(pickle.dumps(provider))):
            assert embed(twin)


@pytest.mark.parametrize(
    ("base_url", "api_key_env", "says"),
    [
        ("http://user:hidden@host/v1", None, no_password_in_address()),
        ("http://host/v1?api_key=hidden", None, no_password_in_address()),
        ("localhost:8000/v1", None, no_address()),
        ("http://[host/v1", None, no_address()),
        ("http://host:port/v1", None, no_address()),
        ("http://host:99999/v1", None, no_address()),
        ("http://user:hidden@host:port/v1", None, no_password_in_address()),
        ("http://[host/v1?api_key=hidden", None, no_password_in_address()),
        ("", None, None),
        (None, "sk-hidden-0123", key_itself()),
        ("https://host/v1", "MY_KEY", None),
    ],
)
def test_link_problems_are_named_without_what_may_be_secret(
    base_url: str | None, api_key_env: str | None, says: str | None
) -> None:
    problems = link_problems("embedding", base_url, api_key_env)
    assert (problems == []) == (says is None)
    assert "hidden" not in str(problems)
    assert all(str(says) in problem for problem in problems)


def test_messages_name_the_server_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://me:hidden@host:1/v1?key=hidden")
    assert link(None).place == "http://host:1/v1"
    monkeypatch.delenv("OPENAI_BASE_URL")
    assert link(None).place == "OpenAI"

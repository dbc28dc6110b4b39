"""Where requests go and what is sent with them: addresses, Azure's among them, headers, and nobody else's secrets."""

import copy
import logging
import pickle
import re
from typing import Any

import pytest

import ragloom.providers.openai_client
from loopback import OpenAIServer, status
from messages import wording
from messages.providers import (
    api_version_only,
    headers_wanted,
    no_headers,
    secret_in_body,
    value_itself,
    variable_must_hold,
)
from provider_calls import KEY, achat, astream, chat, embed, link, stream
from ragloom.config.config import load
from ragloom.core.redaction import redact_override, redact_tree
from ragloom.errors import ConfigError, RagloomError
from ragloom.providers.credentials import body_problems, link_problems
from ragloom.providers.http_client import SyncClient, make_client
from ragloom.providers.openai_client import Provider

AZURE = "/openai/deployments/d?api-version=2024-10-21"
OPENAI_ONLY = {
    "OPENAI_ORG_ID": "org-planted",
    "OPENAI_PROJECT_ID": "proj_planted",
    "OPENAI_CUSTOM_HEADERS": "X-Planted: custom-planted",
    "OPENAI_ADMIN_KEY": "sk-admin-planted",
    "OPENAI_WEBHOOK_SECRET": "hook-planted",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*OPENAI_ONLY, "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(ragloom.providers.openai_client, "sleep", lambda seconds: None)


def provider_of(base_url: str | None, **changed: Any) -> Provider:
    return Provider(link(base_url, **({"kind": "llm", "attempts": 2} | changed)))


def ask(provider: Provider) -> None:
    """Send one request of each kind."""
    for call in (embed, chat, stream, achat, astream):
        assert call(provider)


@pytest.mark.parametrize("root", [AZURE, "/openai/v1", "/openai/v1?api-version=preview", "/ml/v1?version=2023-05-29"])
def test_base_url_with_a_version_in_its_query_is_called_with_it(root: str) -> None:
    with OpenAIServer(root=root, api_key=KEY) as server:
        ask(provider_of(server.base_url))
    path, _, query = root.partition("?")
    tail = f"?{query}" if query else ""
    calls = ["embeddings", "chat/completions", "chat/completions", "chat/completions", "chat/completions"]
    assert [request.path for request in server.requests] == [f"{path}/{call}{tail}" for call in calls]


def test_azure_deployment_is_sent_the_key_in_its_own_header_only() -> None:
    with OpenAIServer(root=AZURE, api_key=KEY) as server:
        ask(provider_of(server.base_url))
    for request in server.requests:
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert headers["api-key"] == KEY
        assert "authorization" not in headers


def test_azure_deployment_takes_a_token_from_headers_env(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TOKEN", "Bearer ey-planted")
    with OpenAIServer(root=AZURE) as server:
        ask(provider_of(server.base_url, api_key_env=None, headers_env={"authorization": "AZURE_TOKEN"}))
    for request in server.requests:
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert headers["authorization"] == "Bearer ey-planted"
        assert "api-key" not in headers


def test_openai_base_url_of_the_environment_may_have_a_query(monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIServer(root=AZURE, api_key=KEY) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        provider = provider_of(None)
        ask(provider)
    assert provider.link.place == server.base_url.partition("?")[0]


def test_azure_address_that_is_not_found_says_what_an_address_looks_like(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragloom.providers.retry.is_azure", lambda url: True)
    with OpenAIServer([status(404)]) as server, pytest.raises(ConfigError, match=r"openai/v1, or .*api-version="):
        provider_of(server.base_url).chat(model="m", messages=[])


@pytest.mark.parametrize(
    ("base_url", "says"),
    [
        ("https://r.openai.azure.com/openai/deployments/d?api-version=2024-10-21", None),
        ("https://r.openai.azure.com/openai/v1/?api-version=preview", None),
        ("https://r.openai.azure.com/openai/v1", None),
        ("https://host/v1?version=2023-05-29", None),
        ("http://host/v1?", None),
        ("http://host/v1?key=hidden", api_version_only() + " may stand in the query"),
        ("http://host/v1?hidden", api_version_only()),
        ("http://host/v1?api-version=1&sig=hidden", api_version_only()),
        ("http://host/v1?api-version=hidden%20&", api_version_only()),
        ("http://host/v1#hidden", api_version_only()),
        ("http://host/v1/chat/completions", "must end before /chat/completions.*base_url=http://host/v1"),
        ("http://host/v1/embeddings/", "must end before /embeddings"),
        (
            "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=1",
            r"set llm.base_url=https://r.openai.azure.com/openai/deployments/d\?api-version=1",
        ),
    ],
)
def test_address_that_cannot_be_used_says_what_to_use(base_url: str, says: str | None) -> None:
    problems = link_problems("llm", base_url, None)
    assert (problems == []) == (says is None)
    assert "hidden" not in str(problems)
    for problem in problems:
        assert re.search(str(says), problem)


def test_what_the_environment_holds_for_openai_is_sent_to_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OPENAI_ONLY.items():
        monkeypatch.setenv(name, value)
    with OpenAIServer() as server:
        ask(provider_of(server.base_url))
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        ask(provider_of(None))
        ask(provider_of(server.base_url, api_key_env=None))
    assert len(server.requests) == 15
    for request in server.requests:
        assert "planted" not in str(request.headers).replace(KEY, "")


@pytest.mark.parametrize("base_url", [None, "https://api.openai.com/v1", "https://eu.api.openai.com/v1"])
def test_openai_is_sent_organization_and_project(base_url: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OPENAI_ONLY.items():
        monkeypatch.setenv(name, value)
    client = make_client(provider_of(base_url).link, SyncClient)
    assert (client.organization, client.project) == ("org-planted", "proj_planted")
    assert str(client.base_url) == f"{base_url or 'https://api.openai.com/v1'}/"


@pytest.mark.parametrize("base_url", ["https://api.openai.com.example.org/v1", "https://openai.com@example.org/v1"])
def test_address_that_only_looks_like_openai_is_not(base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-planted")
    assert make_client(provider_of(base_url).link, SyncClient).organization is None


# Headers from the environment.


def test_headers_env_sends_the_values_of_the_variables_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_ORG", " team-7 ")
    monkeypatch.setenv("GATEWAY_KEY", "planted")
    with OpenAIServer(api_key=KEY) as server:
        ask(provider_of(server.base_url, headers_env={"X-Org": "MY_ORG", "x-api-key": "GATEWAY_KEY"}))
    for request in server.requests:
        assert (request.headers["X-Org"], request.headers["x-api-key"]) == ("team-7", "planted")


@pytest.mark.parametrize("value", ["", "한글", "two\nlines"])
def test_headers_env_whose_variable_cannot_be_sent_is_named_unseen(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_ORG", value)
    with pytest.raises(ConfigError, match=wording(variable_must_hold("MY_ORG"))) as caught:
        provider_of("http://127.0.0.1:9/v1", headers_env={"X-Org": "MY_ORG"}).check_key()
    assert not value or value not in str(caught.value)


def test_headers_env_shows_no_value_in_errors_logs_copies_or_pickles(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MY_ORG", "Basic hush-7")
    headers = {"X-Org": "MY_ORG"}
    with OpenAIServer([status(500, message="I was sent Basic hush-7, that is hush-7")] * 2) as server:
        provider = provider_of(server.base_url, headers_env=headers)
        with pytest.raises(RagloomError, match=r"I was sent \*\*\*, that is \*\*\*") as caught:
            provider.chat(model="m", messages=[])
    assert server.requests[0].headers["X-Org"] == "Basic hush-7", "else this test shows nothing"
    texts = [repr(provider), str(vars(provider.link)), str(caught.value)]
    texts += [record.getMessage() + str(record.exc_text) + str(vars(record)) for record in caplog.records]
    assert "hush-7" not in "\n".join(texts)
    for saved in (pickle.dumps(provider), pickle.dumps(caught.value), pickle.dumps(copy.deepcopy(provider))):
        assert b"hush-7" not in saved
    assert pickle.loads(pickle.dumps(provider)).link.headers_env == headers


@pytest.mark.parametrize(
    ("headers_env", "says"),
    [
        ({"X-Org": "my org hidden"}, value_itself()),
        ({"X-Org": "hidden-0123"}, value_itself()),
        ({"X-Org": "hidden0123"}, "in capitals, " + value_itself()),
        ({"X Org": "MY_ORG"}, no_headers("X Org")),
        ({"Content-Length": "MY_ORG"}, headers_wanted()),
        ({"X-Org": "A", "x-org": "B"}, "must name each header once"),
        ({"X-Org": "MY_ORG", "api-key": "K2"}, None),
    ],
)
def test_headers_env_that_is_wrong_is_named_without_what_may_be_secret(
    headers_env: dict[str, str], says: str | None
) -> None:
    problems = link_problems("llm", "http://host/v1", None, headers_env)
    assert (problems == []) == (says is None)
    assert "hidden" not in str(problems)
    assert all(str(says) in problem for problem in problems)


def test_headers_env_names_are_kept_in_saved_configs_and_values_never() -> None:
    kept = {"headers_env": {"X-Api-Key": "MY_KEY"}}
    assert redact_tree(kept) == kept
    assert redact_tree({"headers_env": {"X-Api-Key": "hidden-0123"}}) == {"headers_env": {"X-Api-Key": "***"}}


@pytest.mark.parametrize(
    ("override", "shown"),
    [
        ("llm.headers_env={X-Api-Key: MY_KEY}", None),
        ("llm.headers_env={X-Api-Key: MY_KEY, X-Auth: B}", None),
        ("+llm.headers_env.X-Api-Key=MY_KEY", None),
        ("llm.headers_env={X-Api-Key: hidden-1}", "llm.headers_env=***"),
        ("llm.headers_env={X-Auth: OK, X-Api-Key: hidden}", "llm.headers_env=***"),
        ("llm.headers_env.X-Api-Key=hidden", "llm.headers_env.X-Api-Key=***"),
        ("llm.x={X-Api-Key: MY_KEY}", "llm.x=***"),
    ],
)
def test_headers_env_in_an_override_is_shown_only_where_it_names_variables(override: str, shown: str | None) -> None:
    assert redact_override(override) == (shown or override)


def test_headers_env_and_extra_body_can_be_given_on_the_command_line() -> None:
    overrides = ["llm=openai_compatible", "llm.headers_env={X-Api-Key: MY_KEY}", "llm.extra_body={top_p: 0.5}"]
    values = load(overrides)[0].values("llm")
    assert values["headers_env"] == {"X-Api-Key": "MY_KEY"}
    assert values["extra_body"] == {"top_p": 0.5}


def test_extra_body_is_sent_with_every_request() -> None:
    with OpenAIServer() as server:
        provider = provider_of(server.base_url)
        provider.chat(model="m", messages=[{"role": "user", "content": "hi"}], extra_body={"top_p": 0.5})
        provider.embeddings(model="m", input=["x"], extra_body={"input_type": "passage"})
    assert server.requests[0].body["top_p"] == 0.5
    assert server.requests[1].body == {"model": "m", "input": ["x"], "input_type": "passage"}


@pytest.mark.parametrize(
    ("extra_body", "says"),
    [
        ({"model": "x"}, r"ragloom sends model itself; set llm.model"),
        ({"messages": []}, r"ragloom sends messages itself; remove it"),
        ({"x": float("nan")}, "must be JSON"),
        ({"api_key": "hidden"}, secret_in_body()),
        ({"options": {"password": "hidden"}}, secret_in_body()),
        ({"options": {"num_ctx": 8192}}, None),
    ],
)
def test_extra_body_that_is_wrong_is_named(extra_body: dict[str, Any], says: str | None) -> None:
    problems = body_problems("llm", extra_body, {"model": "model", "messages": None})
    assert (problems == []) == (says is None)
    assert "hidden" not in str(problems)
    assert all(str(says) in problem for problem in problems)
